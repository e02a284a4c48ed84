"""Places for requests in flight: first come first served, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from personaclick_async.pools import Room


async def test_places_go_to_those_who_wait_in_their_order() -> None:
    room = Room(0)
    served: list[int] = []

    async def wait(number: int) -> None:
        await room.wait()
        served.append(number)
        room.give_back()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(wait(number))
        await asyncio.sleep(0)
        assert room.free == 0
        room.give_back()

    assert served == [0, 1, 2]
    assert room.free == 1


@pytest.mark.parametrize("is_handed_over", [False, True])
async def test_a_place_of_a_cancelled_call_goes_to_the_next(is_handed_over: bool) -> None:
    room = Room(0)
    cancelled, following = (asyncio.create_task(room.wait()) for _ in range(2))
    await asyncio.sleep(0)

    if is_handed_over:
        room.give_back()
        cancelled.cancel()
    else:
        cancelled.cancel()
        room.give_back()

    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await following
    assert room.free == 0
