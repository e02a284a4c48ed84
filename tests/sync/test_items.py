"""Anything that a caller has becomes a record, or is rejected with a reason."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from personaclick_async import CLEAR, ProfileUpdate
from personaclick_async.sync import Fault, Record, Rejected
from personaclick_async.sync.records import outcome_of
from personaclick_async.sync.sources import IterableSource


def test_an_update() -> None:
    update = ProfileUpdate(
        email="Ada@shop.example", id=7, birthday=date(1985, 12, 10), custom={"tier": "gold"}
    )
    record = outcome_of(update, 3)
    assert isinstance(record, Record)
    assert record.row == 3
    assert record.wire == {
        "email": "Ada@shop.example",
        "external_id": 7,
        "birthday": "1985-12-10",
        "tier": "gold",
    }
    assert record.identifiers == (("email", "ada@shop.example"), ("external_id", "7"))


def test_a_flat_mapping() -> None:
    record = outcome_of({"email": "ada@shop.example", "first_name": CLEAR, "tier": "gold"}, 1)
    assert isinstance(record, Record)
    assert record.wire == {"email": "ada@shop.example", "first_name": None, "tier": "gold"}


def test_records_and_rejections_keep_their_rows() -> None:
    record = Record(10, {"email": "ada@shop.example"})
    rejected = Rejected(20, (Fault("phone", "a phone number", "str of 2 characters"),), {})
    update = ProfileUpdate(email="bob@shop.example")
    source = IterableSource([update, record, update, rejected, update])
    assert [one.row for one in source.outcomes()] == [1, 10, 11, 20, 21]
    assert [one.row for one in source.outcomes(after_row=10)] == [11, 20, 21]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"email": "canary"}, "email"),
        ({"email": "canary@shop.example", "kids": [{"birthday": "canary"}]}, "kids[0].birthday"),
        ({"email": "canary@shop.example", "canary name": 1}, "custom"),
        ({1: "canary"}, "custom"),
        ({}, "record"),
        (ProfileUpdate(), "record"),
        ("canary", "record"),
        (None, "record"),
    ],
)
def test_what_can_not_be_sent_is_rejected_by_field(item: Any, field: str) -> None:
    rejected = outcome_of(item, 5)
    assert isinstance(rejected, Rejected)
    assert (rejected.row, rejected.field) == (5, field)
    assert "canary" not in repr(rejected)
