"""What is read from lists, generators and the like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from personaclick_async import CLEAR, ProfileUpdate
from personaclick_async.sync.records import Record, Rejected
from personaclick_async.sync.sources import IterableSource, SourceFailed
from tests.sync.sources.conftest import PEOPLE, faults, plain, wires


def test_updates_and_flat_mappings_are_records() -> None:
    source = IterableSource(
        [
            ProfileUpdate(email="ada@shop.example", birthday="1985-12-10", phone=CLEAR),
            {"id": 2, "colour": "red"},
            Record(7, {"email": "eve@shop.example"}),
            {"email": "zoe@shop.example"},
        ]
    )

    outcomes = list(source.outcomes())

    assert wires(outcomes) == [
        {"email": "ada@shop.example", "birthday": "1985-12-10", "phone": None},
        {"external_id": 2, "colour": "red"},
        {"email": "eve@shop.example"},
        {"email": "zoe@shop.example"},
    ]


def test_what_can_not_be_sent_is_rejected_one_by_one() -> None:
    items: list[Any] = [
        {"email": "nobody"},
        "text",
        ProfileUpdate(first_name="Ada"),
        ProfileUpdate(),
        {1: 2},
        {"email": CLEAR},
    ]

    outcomes = list(IterableSource(items).outcomes())

    assert all(isinstance(one, Rejected) for one in outcomes)
    assert [one.row for one in outcomes] == [1, 2, 3, 4, 5, 6]


def test_items_can_go_through_a_mapping() -> None:
    items: list[Any] = [{"id": 1, "email": "ada@shop.example", "name": "Ada", "x": 1}, 5]

    outcomes = list(IterableSource(items, PEOPLE).outcomes())

    assert wires(outcomes[:1]) == [
        {"external_id": "1", "email": "ada@shop.example", "first_name": "Ada"}
    ]
    assert faults(outcomes) == [(2, "record")]


def test_a_generator_is_read_once() -> None:
    def generate() -> Iterator[dict[str, str]]:
        yield {"email": "ada@shop.example"}

    source = IterableSource(generate())

    assert source.size_hint is None
    assert len(list(source.outcomes())) == 1
    with pytest.raises(SourceFailed, match="only once"):
        list(source.outcomes())


def test_a_list_can_be_resumed_if_its_version_is_given() -> None:
    items = [{"email": f"p{n}@shop.example"} for n in range(9)]
    source = IterableSource(items, version="monday")
    whole = list(source.outcomes())

    assert source.size_hint == 9
    assert source.fingerprint
    assert source.fingerprint != IterableSource(items, version="tuesday").fingerprint
    assert IterableSource(items).fingerprint is None
    assert [plain(one) for one in source.outcomes(after_row=4)] == [plain(one) for one in whole[4:]]


def test_the_sample_has_all_keys() -> None:
    sample = IterableSource([{"a": 1}, ProfileUpdate(), {"b": 2}, {"c": 3}]).sample(3)

    assert sample.columns == ("a", "b")
