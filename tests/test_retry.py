"""The rules of retrying, without waiting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import ConfigurationError, RetryPolicy
from personaclick_async.names import Repeat
from personaclick_async.retry import Failure, RetryBudget, may_repeat, wait_before_next


@pytest.mark.parametrize(
    ("failure", "always", "unless_processed"),
    [
        (Failure(429), True, True),
        (Failure(503), True, True),
        (Failure(500), True, False),
        (Failure(502), True, False),
        (Failure(504), True, False),
        (Failure(408), True, False),
        (Failure(425), True, True),
        (Failure(520), True, False),
        (Failure(530), True, False),
        (Failure(501), False, False),
        (Failure(400), False, False),
        (Failure(404), False, False),
        (Failure(200), False, False),
        (Failure(None), True, False),
        (Failure(None, unsent=True), True, True),
        (Failure(None, hopeless=True), False, False),
    ],
)
def test_only_what_is_safe_and_useful_is_repeated(
    failure: Failure, always: bool, unless_processed: bool
) -> None:
    assert may_repeat(RetryPolicy(), failure, Repeat.ALWAYS) is always
    assert may_repeat(RetryPolicy(), failure, Repeat.UNLESS_PROCESSED) is unless_processed


def test_the_statuses_to_retry_are_a_setting() -> None:
    policy = RetryPolicy(statuses={418})
    assert may_repeat(policy, Failure(418), Repeat.ALWAYS)
    assert not may_repeat(policy, Failure(503), Repeat.ALWAYS)


@pytest.mark.parametrize("statuses", [503, "503", ["503"], None, [True]])
def test_statuses_that_are_none_are_refused(statuses: Any) -> None:
    with pytest.raises(ConfigurationError, match="statuses: expected HTTP statuses"):
        RetryPolicy(statuses=statuses)


POLICY = RetryPolicy(attempts=10, first_wait=1, longest_wait=8, total=100)


@pytest.mark.parametrize(
    ("attempt", "chance", "wait"),
    [(1, 0, 1), (1, 1, 0.5), (2, 0, 2), (3, 0, 4), (4, 0, 8), (5, 0, 8), (5, 1, 4)],
)
def test_waits_double_up_to_a_bound_and_are_spread(
    attempt: int, chance: float, wait: float
) -> None:
    found = wait_before_next(POLICY, Failure(503), attempt=attempt, elapsed=0, chance=chance)

    assert found == wait


@pytest.mark.parametrize(
    ("failure", "attempt", "elapsed", "wait"),
    [
        (Failure(429, retry_after=30), 1, 0, 30),
        (Failure(429, retry_after=99), 1, 0, 99),
        (Failure(429, retry_after=101), 1, 0, None),
        (Failure(429, retry_after=30), 1, 71, None),
        (Failure(429, retry_after=0), 1, 0, 0),
        (Failure(503), 10, 0, None),
        (Failure(503), 9, 99, None),
    ],
)
def test_a_retry_after_is_waited_out_or_given_up_at_once(
    failure: Failure, attempt: int, elapsed: float, wait: float | None
) -> None:
    found = wait_before_next(POLICY, failure, attempt=attempt, elapsed=elapsed, chance=0)

    assert found == wait


@given(
    attempt=st.integers(1, 10_000),
    elapsed=st.floats(0, 1000),
    chance=st.floats(0, 1),
    retry_after=st.none() | st.floats(0, 1000),
)
def test_no_wait_is_negative_too_early_or_beyond_the_total(
    attempt: int, elapsed: float, chance: float, retry_after: float | None
) -> None:
    policy = RetryPolicy(attempts=100_000, total=200)
    failure = Failure(429, retry_after=retry_after)
    wait = wait_before_next(policy, failure, attempt=attempt, elapsed=elapsed, chance=chance)

    if wait is not None:
        assert wait >= (retry_after or 0)
        assert elapsed + wait <= 200


def test_the_budget_is_a_reserve_and_a_share_of_the_calls() -> None:
    budget = RetryBudget(0.1)
    assert [budget.spend(calls=1) for _ in range(12)] == [True] * 10 + [False] * 2
    assert [budget.spend(calls=22) for _ in range(4)] == [True, True, False, False]
    assert [budget.spend(calls=10_000) for _ in range(12)] == [True] * 10 + [False] * 2
