"""A call may be cancelled at any point where it waits, and leaves everything as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

from personaclick_async import PersonaClick, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.sync import SyncOptions
from tests.wire.servers import nothing_left_behind


class CancelledAt:
    """Awaits a coroutine, and cancels it in place of its n-th wait."""

    def __init__(self, work: Coroutine[Any, Any, Any], n: int) -> None:
        self._work = work
        self._n = n
        self.happened = False

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = 0
        step: Callable[[], Any] = lambda: self._work.send(None)  # noqa: E731
        while True:
            try:
                awaited = step()
            except StopIteration as done:
                return done.value
            waits += 1
            if waits == self._n:
                self.happened = True
                if awaited is not None:
                    # What a task does: cancel what is waited for, and then whoever waits.
                    awaited._asyncio_future_blocking = False
                    awaited.cancel()
                step = lambda: self._work.throw(asyncio.CancelledError())  # noqa: E731
                continue
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - passed on to where it belongs
                passed_on = error
                step = lambda: self._work.throw(passed_on)  # noqa: B023, E731
            else:
                step = lambda: self._work.send(None)  # noqa: E731


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[PersonaClick]:
    async with PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=RetryPolicy(first_wait=0.001, longest_wait=0.002),
        max_concurrency=3,
    ) as client:
        yield client


async def everywhere(
    make: Callable[[], Coroutine[Any, Any, Any]], check: Callable[[], Awaitable[None]]
) -> int:
    """Cancel at the first wait, the second, and so on, checking each time; gives how many."""
    n = 1
    while True:
        attempt = CancelledAt(make(), n)

        async def run(attempt: CancelledAt = attempt) -> None:
            await attempt

        [outcome] = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
        if not attempt.happened:
            assert outcome is None or not isinstance(outcome, BaseException), outcome
            return n - 1
        assert isinstance(outcome, asyncio.CancelledError) or outcome is None, outcome
        await check()
        n += 1
        assert n < 500, "it never came to its end"


async def test_get(client: PersonaClick, emulator: Emulator) -> None:
    await client.user(did="device0001").profile.set(first_name="Ada")

    async def read() -> None:
        client.clear_cache()
        await client.user(did="device0001").profile.get()

    async def check() -> None:
        # As many at once as there are places: none has been lost, and no read hangs.
        async with asyncio.timeout(10):
            await asyncio.gather(
                *(client.user(did="device0001").profile.get(force=True) for _ in range(3))
            )

    assert await everywhere(read, check) > 0


async def test_get_with_retries(client: PersonaClick, emulator: Emulator) -> None:
    await client.user(did="device0001").profile.set(first_name="Ada")

    async def read() -> None:
        with emulator.fault(status=503, times=2):
            await client.user(did="device0001").profile.get(force=True)

    async def check() -> None:
        async with asyncio.timeout(10):
            await client.user(did="device0001").profile.get(force=True)

    assert await everywhere(read, check) > 2


async def test_set(client: PersonaClick, emulator: Emulator) -> None:
    user = client.user(external_id="7")
    counter = iter(range(1000))

    async def write() -> None:
        await user.profile.set(age=next(counter) % 100)

    async def check() -> None:
        # Whether or not it was carried out, what is read is what is stored.
        async with asyncio.timeout(10):
            await user.profile.set(first_name="Ada")
            read = (await user.profile.get()).raw
        stored = emulator.find_profile(external_id="7") or {}
        assert read.get("age") == stored.get("age")

    assert await everywhere(write, check) > 0


async def test_a_get_that_others_wait_for(client: PersonaClick, emulator: Emulator) -> None:
    await client.user(did="device0001").profile.set(gender="f")
    others: list[asyncio.Task[Any]] = []

    async def read() -> None:
        client.clear_cache()
        leading = client.user(did="device0001").profile.get()
        others.extend(
            asyncio.create_task(client.user(did="device0001").profile.get()) for _ in range(3)
        )
        await leading

    async def check() -> None:
        async with asyncio.timeout(10):
            profiles = await asyncio.gather(*others)
        assert {profile.gender for profile in profiles} == {"f"}
        others.clear()

    assert await everywhere(read, check) > 0
    await asyncio.gather(*others)


async def test_sync(client: PersonaClick, emulator: Emulator) -> None:
    rows = [{"external_id": str(n), "age": n} for n in range(20)]

    async def send() -> None:
        await client.sync_all(rows, options=SyncOptions(concurrency=4))

    async def check() -> None:
        async with asyncio.timeout(10):
            await client.user(external_id="x").profile.set(age=1)

    async with nothing_left_behind():
        assert await everywhere(send, check) > 0
        await client.close()
    assert emulator.count_profiles() == 21


async def test_close(emulator: Emulator) -> None:
    clients: list[PersonaClick] = []

    async def close() -> None:
        client = PersonaClick(emulator.shop_id, api_url=emulator.url)
        clients.append(client)
        reads = [asyncio.create_task(client.init()) for _ in range(3)]
        await asyncio.sleep(0)
        try:
            await client.close()
        finally:
            await asyncio.gather(*reads, return_exceptions=True)

    async def check() -> None:
        async with asyncio.timeout(10):
            await clients[-1].close()

    async with nothing_left_behind():
        assert await everywhere(close, check) > 0
