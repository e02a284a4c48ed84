"""The rules of retrying, without waiting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import ConfigurationError, RetryPolicy, names
from personaclick_async.retry import Fate, RetryBudget, may_repeat, wait_before_next


@pytest.mark.parametrize(
    ("status", "fate", "always", "unless_processed"),
    [
        (429, Fate.OPEN, True, True),
        (503, Fate.OPEN, True, True),
        (500, Fate.OPEN, True, False),
        (502, Fate.OPEN, True, False),
        (504, Fate.OPEN, True, False),
        (408, Fate.OPEN, True, False),
        (425, Fate.OPEN, True, True),
        (520, Fate.OPEN, True, False),
        (530, Fate.OPEN, True, False),
        (501, Fate.OPEN, False, False),
        (400, Fate.OPEN, False, False),
        (404, Fate.OPEN, False, False),
        (200, Fate.OPEN, False, False),
        (None, Fate.OPEN, True, False),
        (None, Fate.STALE, True, False),
        (None, Fate.UNSENT, True, True),
        (None, Fate.HOPELESS, False, False),
    ],
)
def test_only_what_is_safe_and_useful_is_repeated(
    status: int | None, fate: Fate, always: bool, unless_processed: bool
) -> None:
    assert may_repeat(RetryPolicy(), names.PROFILE, status, fate) is always
    assert may_repeat(RetryPolicy(), names.PROFILE_PURGE, status, fate) is unless_processed


def test_the_statuses_to_retry_are_a_setting() -> None:
    policy = RetryPolicy(statuses={418})
    assert may_repeat(policy, names.PROFILE, 418, Fate.OPEN)
    assert not may_repeat(policy, names.PROFILE, 503, Fate.OPEN)


@pytest.mark.parametrize("statuses", [503, "503", ["503"], None, [True]])
def test_statuses_that_are_none_are_refused(statuses: Any) -> None:
    with pytest.raises(ConfigurationError, match="statuses: expected HTTP statuses"):
        RetryPolicy(statuses=statuses)


POLICY = RetryPolicy(attempts=10, first_wait=1, longest_wait=8, total=100)


@pytest.mark.parametrize(
    ("failed", "chance", "wait"),
    [(1, 0, 1), (1, 1, 0.5), (2, 0, 2), (3, 0, 4), (4, 0, 8), (5, 0, 8), (5, 1, 4)],
)
def test_waits_double_up_to_a_bound_and_are_spread(failed: int, chance: float, wait: float) -> None:
    found = wait_before_next(POLICY, failed=failed, elapsed=0, chance=chance)

    assert found == wait


@pytest.mark.parametrize(
    ("retry_after", "failed", "elapsed", "wait"),
    [
        (30, 1, 0, 30),
        (99, 1, 0, 99),
        (101, 1, 0, None),
        (30, 1, 71, None),
        (0, 1, 0, 0),
        (None, 10, 0, None),
        (None, 9, 99, None),
    ],
)
def test_a_retry_after_is_waited_out_or_given_up_at_once(
    retry_after: float | None, failed: int, elapsed: float, wait: float | None
) -> None:
    found = wait_before_next(
        POLICY, failed=failed, elapsed=elapsed, chance=0, retry_after=retry_after
    )

    assert found == wait


@given(
    failed=st.integers(1, 10_000),
    elapsed=st.floats(0, 1000),
    chance=st.floats(0, 1),
    retry_after=st.none() | st.floats(0, 1000),
)
def test_no_wait_is_negative_too_early_or_beyond_the_total(
    failed: int, elapsed: float, chance: float, retry_after: float | None
) -> None:
    policy = RetryPolicy(attempts=100_000, total=200)
    wait = wait_before_next(
        policy, failed=failed, elapsed=elapsed, chance=chance, retry_after=retry_after
    )

    if wait is not None:
        assert wait >= (retry_after or 0)
        assert elapsed + wait <= 200


def test_the_budget_is_a_reserve_and_a_share_of_the_calls() -> None:
    budget = RetryBudget(0.1)
    assert [budget.spend(calls_so_far=1) for _ in range(12)] == [True] * 10 + [False] * 2
    assert [budget.spend(calls_so_far=22) for _ in range(4)] == [True, True, False, False]
    assert [budget.spend(calls_so_far=10_000) for _ in range(12)] == [True] * 10 + [False] * 2
