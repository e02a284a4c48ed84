"""Which way records go, and whom they are about."""

from __future__ import annotations

from typing import Any

import pytest

from personaclick_async import CLEAR, ProfileUpdate
from personaclick_async.sync import Record, Rejected, Route
from personaclick_async.sync.records import (
    BULK_FROM,
    Outcome,
    admitted,
    choose_route,
    identifiers_of,
    outcome_of,
)


def record(**fields: Any) -> Record:
    outcome = outcome_of(ProfileUpdate.from_flat(fields), 1)
    assert isinstance(outcome, Record)
    return outcome


def admit(one: Outcome, route: Route) -> Outcome:
    return admitted(one, route, 10**6)[0]


def test_many_records_that_can_go_in_bulk_do() -> None:
    first = [record(email="ada@shop.example")] * BULK_FROM
    assert choose_route(first, whole=True) is Route.BULK
    assert choose_route(first, whole=False) is Route.BULK


@pytest.mark.parametrize(
    "fields",
    [{"telegram_id": "7"}, {"email": "ada@shop.example", "first_name": CLEAR}],
    ids=["no identifier for bulk", "something to clear"],
)
def test_one_record_that_cannot_go_in_bulk_keeps_all_on_the_other_route(
    fields: dict[str, Any],
) -> None:
    first = [record(email="ada@shop.example")] * (BULK_FROM - 1) + [record(**fields)]
    assert choose_route(first, whole=False) is Route.PER_PROFILE
    assert isinstance(admit(first[-1], Route.BULK), Rejected)
    assert admit(first[-1], Route.PER_PROFILE) is first[-1]


def test_few_records_go_one_by_one() -> None:
    assert choose_route([record(email="ada@shop.example")], whole=True) is Route.PER_PROFILE


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
