"""What a caller has becomes a record or a rejection; which way records go, and about whom."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from personaclick_async import CLEAR, ProfileUpdate
from personaclick_async.models.update import to_wire
from personaclick_async.sync import Fault, Record, Rejected, Route
from personaclick_async.sync.records import (
    BULK_FROM,
    Outcome,
    admitted,
    choose_route,
    identifiers_of,
    outcome_of,
)
from personaclick_async.sync.sources import IterableSource


def record(**fields: Any) -> Record:
    return Record(1, to_wire(ProfileUpdate.from_flat(fields), user_id_name="external_id"))


def admit(one: Outcome, route: Route) -> Outcome:
    return admitted(one, route, 10**6)[0]


def test_many_records_that_can_go_in_bulk_do() -> None:
    first = [record(email="ada@shop.example")] * BULK_FROM
    assert choose_route(first) is Route.BULK


@pytest.mark.parametrize(
    "fields",
    [{"telegram_id": "7"}, {"email": "ada@shop.example", "first_name": CLEAR}],
    ids=["no identifier for bulk", "something to clear"],
)
def test_one_record_that_cannot_go_in_bulk_keeps_all_on_the_other_route(
    fields: dict[str, Any],
) -> None:
    first = [record(email="ada@shop.example")] * (BULK_FROM - 1) + [record(**fields)]
    assert choose_route(first) is Route.PER_PROFILE
    assert isinstance(admit(first[-1], Route.BULK), Rejected)
    assert admit(first[-1], Route.PER_PROFILE) is first[-1]


def test_few_records_go_one_by_one() -> None:
    assert choose_route([record(email="ada@shop.example")]) is Route.PER_PROFILE


@pytest.mark.parametrize("route", [Route.BULK, Route.PER_PROFILE])
def test_a_record_without_an_identifier_is_rejected(route: Route) -> None:
    nobody = admit(record(first_name="Ada"), route)
    assert isinstance(nobody, Rejected)
    assert nobody.field == "user"
    assert nobody.source_row == {"first_name": "Ada"}


def test_a_cleared_field_is_named() -> None:
    rejected = admit(record(email="ada@shop.example", first_name=CLEAR), Route.BULK)
    assert isinstance(rejected, Rejected)
    assert (rejected.field, rejected.given) == ("first_name", "CLEAR")


def test_spellings_of_one_person_agree() -> None:
    first = identifiers_of({"email": "Ada@Shop.example", "phone": "+7999"})
    assert first == identifiers_of({"email": "ada@shop.example", "phone": "7999"})


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
