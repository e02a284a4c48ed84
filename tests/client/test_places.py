"""No more requests at once than there are places, first come first served, none ever lost."""

from __future__ import annotations

import asyncio

import pytest

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.places import Places


async def test_never_more_requests_at_once_than_the_client_may_make(emulator: Emulator) -> None:
    async with PersonaClick(
        emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url, max_concurrency=3
    ) as client:
        with emulator.hold("GET", "/profile") as held:
            reads = [
                asyncio.create_task(client.user(did=f"device{n:04}").profile.get())
                for n in range(20)
            ]
            await held.arrived(3)
            await asyncio.sleep(0.05)
            assert len(emulator.requests) == 3
        await asyncio.gather(*reads, return_exceptions=True)

    assert len(emulator.requests) == 20


async def test_who_waits_longest_is_next() -> None:
    places = Places(1)
    order: list[int] = []

    async def enter(number: int) -> None:
        if not places.take():
            await places.wait()
        order.append(number)
        await asyncio.sleep(0)
        places.give_back()

    await asyncio.gather(*(enter(number) for number in range(5)))

    assert order == [0, 1, 2, 3, 4]
    assert places.take()


async def test_nobody_overtakes_those_who_wait() -> None:
    places = Places(1)
    assert places.take()
    waiting = asyncio.create_task(places.wait())
    await asyncio.sleep(0)

    places.give_back()

    assert not places.take()
    await waiting
    places.give_back()
    assert places.take()


@pytest.mark.parametrize("given_back_first", [True, False])
async def test_a_place_is_not_lost_with_who_is_cancelled(given_back_first: bool) -> None:
    places = Places(1)
    assert places.take()
    first = asyncio.create_task(places.wait())
    second = asyncio.create_task(places.wait())
    await asyncio.sleep(0)

    if given_back_first:
        places.give_back()
        first.cancel()
    else:
        first.cancel()
        await asyncio.sleep(0)
        places.give_back()

    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    places.give_back()
    assert places.take()
    assert not places.take()
