"""The service goes away and comes back: traffic stays bounded, and no call is lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from personaclick_async import PersonaClick, PersonaClickError, RateLimited, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.facade import create_personaclick
from tests.wire.servers import nothing_left_behind, open_sockets

RESERVE = 10
POLICY = RetryPolicy(attempts=4, first_wait=0.005, longest_wait=0.02)


def a_client(emulator: Emulator, policy: RetryPolicy = POLICY) -> PersonaClick:
    return PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=policy,
        cache=None,
    )


async def outcomes(client: PersonaClick, count: int, *, at_once: int = 50) -> Counter[str]:
    """Set so many profiles, and give how the calls ended."""
    ended: Counter[str] = Counter()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            try:
                await client.user(external_id=number).profile.set(age=number % 100)
            except PersonaClickError as error:
                ended[type(error).__name__] += 1
            else:
                ended["done"] += 1

    await asyncio.gather(*(work() for _ in range(at_once)))
    return ended


async def test_an_outage_does_not_multiply_traffic() -> None:
    async with Emulator() as emulator, a_client(emulator) as client:
        assert await outcomes(client, 200) == {"done": 200}

        emulator.stop()
        down = await outcomes(client, 1000)
        sent = client.transport_stats.requests - 200

        assert down == {"ConnectionFailed": 1000}
        # A share of the calls is repeated, and a reserve for quiet times comes on top.
        assert 1000 < sent <= 1000 * (1 + POLICY.budget) + RESERVE

        emulator.start()
        assert await outcomes(client, 200) == {"done": 200}


async def test_it_comes_back_in_the_middle(emulator: Emulator) -> None:
    patient = RetryPolicy(attempts=50, first_wait=0.04, longest_wait=0.05, budget=1)
    async with nothing_left_behind(), a_client(emulator, patient) as client:
        with emulator.fault(drop=True):
            work = asyncio.create_task(outcomes(client, 200, at_once=2))
            await asyncio.sleep(0.1)
            assert not work.done()
        assert await work == {"done": 200}

    assert emulator.count_profiles() == 200


async def test_a_storm_of_429_holds_everybody_back(emulator: Emulator) -> None:
    async with a_client(emulator, RetryPolicy(attempts=2, first_wait=0.01)) as client:
        with emulator.fault(status=429, retry_after=1, times=5):
            began = len(emulator.requests)
            ended = await outcomes(client, 100, at_once=5)
        storm = emulator.requests[began:]

    assert ended == {"done": 100}
    refused = [one for one in storm if one.status == 429]
    assert len(refused) == 5
    # While the service said to wait, nobody sent anything.
    told = max(one.arrived_at for one in refused)
    later = [one.arrived_at for one in storm if one.arrived_at > told]
    assert min(later) - told > 0.9
    assert len(storm) == 105


async def test_a_wait_beyond_patience_fails_at_once(emulator: Emulator) -> None:
    with emulator.fault(status=429, retry_after=600):
        async with a_client(emulator) as client:
            with pytest.raises(RateLimited) as raised:
                await client.user(external_id=1).profile.set(age=1)

    assert raised.value.retry_after == 600


async def test_random_faults_lose_and_double_no_callback(emulator: Emulator) -> None:
    client = a_client(emulator, RetryPolicy(attempts=2, first_wait=0.001, longest_wait=0.002))
    personaclick = create_personaclick(client)
    succeeded: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    with (
        emulator.fault(status=500, probability=0.02),
        emulator.fault(drop=True, probability=0.02),
        emulator.fault(truncate=True, probability=0.02),
    ):
        await client.init()
        for number in range(2000):

            def success(_: object, number: int = number) -> None:
                succeeded[number] += 1

            def error(_: object, number: int = number) -> None:
                failed[number] += 1

            client.set_current_user(client.user(did=f"device{number % 100:04}"))
            personaclick("profile", "set", {"age": number % 100}, success, error)
        assert await personaclick.aflush(60)
    await personaclick.aclose()

    assert set((succeeded + failed).values()) == {1}
    assert len(succeeded + failed) == 2000
    assert not succeeded.keys() & failed.keys()
    assert failed
    stats = client.transport_stats
    assert stats.requests == stats.calls + stats.retries


async def test_ten_thousand_calls_at_once_on_a_hundred_connections(emulator: Emulator) -> None:
    others = open_sockets()
    async with nothing_left_behind(), a_client(emulator) as client:
        calls = (client.user(external_id=n).profile.set(age=n % 100) for n in range(10_000))
        work = asyncio.gather(*calls)
        most = 0
        while not work.done():
            most = max(most, open_sockets() - others)
            await asyncio.sleep(0.2)
        await work

    assert emulator.count_profiles() == 10_000
    # Both ends of each connection are in this process.
    assert 100 < most <= 200
