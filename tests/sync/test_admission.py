"""Which way records go, and what follows from a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from personaclick_async import CLEAR, ProfileUpdate, errors
from personaclick_async.sync import Record, Rejected, Route
from personaclick_async.sync.admission import (
    BULK_FROM,
    Verdict,
    admitted,
    choose_route,
    describe,
    judge,
    outcome_of,
    refusal,
)
from personaclick_async.sync.records import Outcome, identifiers_of

CANARY = "canary@shop.example"


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


def _service(kind: type[errors.ServiceError], status: int) -> errors.ServiceError:
    return kind(f"about {CANARY}", status=status, endpoint="profile/set", attempts=1)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (_service(errors.BadRequest, 400), Verdict.RECORD),
        (_service(errors.AuthenticationFailed, 400), Verdict.STOP),
        (_service(errors.AuthenticationFailed, 401), Verdict.PROBE),
        (_service(errors.Forbidden, 403), Verdict.PROBE),
        (_service(errors.NotFound, 404), Verdict.RECORD),
        (_service(errors.ServiceError, 405), Verdict.STOP),
        (_service(errors.ServiceError, 302), Verdict.STOP),
        (_service(errors.PayloadTooLarge, 413), Verdict.RECORD),
        (_service(errors.Unprocessable, 422), Verdict.RECORD),
        (_service(errors.RateLimited, 429), Verdict.WAIT),
        (_service(errors.ServerError, 500), Verdict.WAIT),
        (_service(errors.ServiceUnavailable, 503), Verdict.WAIT),
        (_service(errors.ServiceError, 200), Verdict.RECORD),
        (errors.ConnectionFailed("gone", endpoint="x", attempts=1), Verdict.WAIT),
        (errors.TimedOut("late", endpoint="x", attempts=1), Verdict.WAIT),
        (errors.MalformedAnswer("html", endpoint="x", attempts=1, answer=None), Verdict.WAIT),
        (errors.ClientClosed("closed"), Verdict.STOP),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_what_follows_from_a_failure(error: errors.PersonaClickError, verdict: Verdict) -> None:
    assert judge(error) is verdict
    assert CANARY not in describe(error)


def test_a_refusal_keeps_the_row_out_of_its_texts() -> None:
    error = errors.Unprocessable("not valid", status=422, endpoint="profile/set", attempts=1)
    rejected = refusal(7, {"email": CANARY}, error)
    assert "profile/set answered 422: not valid" in rejected.rule
    assert CANARY not in repr(rejected)
    assert rejected.source_row == {"email": CANARY}
