"""What follows from a refusal, how long to wait and when to give up, by the clock passed in."""

from __future__ import annotations

import math

import pytest

from personaclick_async import RetryPolicy, errors
from personaclick_async.sync.delivery import Outage, Verdict, describe, judge

CANARY = "canary@shop.example"
POLICY = RetryPolicy(first_wait=1, longest_wait=8, attempts=2, total=1)


def test_waits_grow_beyond_the_attempts_and_the_total_of_the_usual_policy() -> None:
    outage = Outage(POLICY, patience=1000)
    waits = [outage.wait(None, attempt=n, now=0, chance=0) for n in range(1, 8)]
    assert waits == [1, 2, 4, 8, 8, 8, 8]


def test_patience_counts_from_the_last_answer() -> None:
    outage = Outage(POLICY, patience=100)
    assert outage.wait(None, attempt=9, now=1000, chance=0) == 8
    assert outage.wait(None, attempt=9, now=1092, chance=0) == 8
    # The last wait ends with patience: there is no giving up before.
    assert outage.wait(None, attempt=9, now=1093, chance=0) == 7
    assert outage.wait(None, attempt=9, now=1100, chance=0) is None
    outage.end()
    assert outage.wait(None, attempt=9, now=1101, chance=0) == 8


def test_the_service_is_not_asked_earlier_than_it_said() -> None:
    outage = Outage(POLICY, patience=100)
    wait = outage.wait(60, attempt=1, now=0, chance=0.5)
    assert wait == 60.5
    assert outage.wait(101, attempt=1, now=0, chance=0) is None


def test_without_patience_nothing_is_waited_for() -> None:
    assert Outage(POLICY, patience=0).wait(None, attempt=1, now=5, chance=0) is None


def test_patience_without_end() -> None:
    outage = Outage(POLICY, patience=math.inf)
    outage.wait(None, attempt=1, now=0, chance=0)
    assert outage.wait(None, attempt=10**6, now=10**9, chance=0) == 8


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
    assert judge(error)[0] is verdict
    assert CANARY not in describe(error)
