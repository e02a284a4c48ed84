"""No window of the limit's length holds more requests than the limit says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.emulator.parameters import Refused
from personaclick_async.emulator.service import Quota


# Sixty-fourths of a second, which floats add up without rounding.
@given(waits=st.lists(st.integers(min_value=0, max_value=45).map(lambda n: n / 64), max_size=80))
def test_the_limit_is_strict_and_its_advice_is_right(waits: list[float]) -> None:
    now = 0.0
    quota = Quota(4, 1.0, lambda: now)
    taken: list[float] = []
    for wait in waits:
        now += wait
        try:
            quota.take("shop")
        except Refused as refused:
            now += refused.retry_after or 0
            quota.take("shop")
        taken.append(now)
    for first, fifth in zip(taken, taken[4:], strict=False):
        assert fifth - first >= 1.0


def test_shops_have_limits_of_their_own_and_can_start_anew() -> None:
    quota = Quota(1, 1.0, lambda: 0.0)
    quota.take("one")
    quota.take("two")
    quota.arrivals.clear()
    quota.take("one")


def test_no_limit_lets_everything_through() -> None:
    quota = Quota(None, 1.0, lambda: 0.0)
    for _ in range(100):
        quota.take("shop")
