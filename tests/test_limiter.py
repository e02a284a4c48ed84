"""The limit is strict: no window holds more, however long the answers take."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import RateLimit
from personaclick_async.limiter import Limiter


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 20), st.floats(0, 1)), min_size=1, max_size=60
    )
)
def test_no_window_of_the_service_holds_more(steps: list[tuple[float, float, float]]) -> None:
    clock = Clock()
    limiter = Limiter(RateLimit(4, 60), clock)
    counted: list[float] = []
    for pause, answer_takes, counted_at in steps:
        clock.now += pause
        while (wait := limiter.try_enter()) is not None:
            clock.now += wait
        started = clock.now
        clock.now += answer_takes
        limiter.leave()
        # The service counts it at some moment between its start and its answer.
        counted.append(started + answer_takes * counted_at)
    for first, fifth in zip(counted, counted[4:], strict=False):
        assert fifth - first >= 60 - 1e-6


def test_places_in_flight_count() -> None:
    clock = Clock()
    limiter = Limiter(RateLimit(2, 60), clock)
    assert [limiter.try_enter() for _ in range(3)] == [None, None, 60]
    clock.now += 100
    assert limiter.try_enter() == 60
    limiter.leave()
    assert limiter.try_enter() == 60
    clock.now += 60
    assert limiter.try_enter() is None


def test_a_pause_holds_everything_and_ends() -> None:
    clock = Clock()
    limiter = Limiter(None, clock)
    assert limiter.is_open
    limiter.pause(10)
    limiter.pause(5)
    assert not limiter.is_open
    assert limiter.try_enter() == 10
    clock.now += 10
    assert limiter.try_enter() is None
    assert limiter.is_open


def test_a_pause_has_a_bound() -> None:
    limiter = Limiter(None, Clock())
    limiter.pause(1e9)
    assert limiter.try_enter() == 300


async def test_who_has_no_patience_is_told_how_long_it_would_take() -> None:
    limiter = Limiter(RateLimit(1, 60), Clock())
    assert await limiter.enter(1) is None
    assert await limiter.enter(1) == 60


def test_threads_share_the_limit() -> None:
    limiter = Limiter(RateLimit(100, 60), Clock())
    taken: list[float | None] = []

    def take() -> None:
        taken.extend(limiter.try_enter() for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(None) == 100


@pytest.mark.parametrize("waiters", [1, 5])
async def test_a_waiter_who_gives_up_takes_no_place(waiters: int) -> None:
    limiter = Limiter(RateLimit(1, 0.05), asyncio.get_running_loop().time)
    assert await limiter.enter(1) is None
    waiting = [asyncio.create_task(limiter.enter(1)) for _ in range(waiters)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    limiter.leave()
    assert await limiter.enter(1) is None
