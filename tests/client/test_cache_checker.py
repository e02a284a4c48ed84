"""Random operations never read what is older than the time to live, or than a write of ours."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.cache_checker import CacheChecker
from personaclick_async import CachePolicy
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient

TTL = 0.05


@pytest.mark.parametrize("seed", range(3))
async def test_each_read_is_one_that_may_be(
    make_client: MakeClient, emulator: Emulator, seed: int
) -> None:
    emulator.fault(path="/profile", delay=0.01, probability=0.4)
    emulator.fault(path="/profile/set", delay=0.01, probability=0.3)
    emulator.fault(status=503, probability=0.02)
    clients = [make_client(cache=CachePolicy(ttl=TTL)) for _ in range(2)]
    checker = CacheChecker(clients, ttl=TTL, seed=seed)

    await checker.run(operations=600)

    assert checker.violations == []
    assert checker.reads > 200
    assert sum(client.cache_stats.hits for client in clients) > 20


@pytest.mark.parametrize(
    ("ttl", "share_writes", "said"), [(0.01, False, "time"), (60, True, "later")]
)
async def test_a_cache_that_keeps_old_values_is_found_out(
    make_client: MakeClient, emulator: Emulator, ttl: float, share_writes: bool, said: str
) -> None:
    clients = [make_client(cache=CachePolicy(ttl=600)), make_client()]
    checker = CacheChecker(clients, ttl=ttl, share_writes=share_writes)
    await checker.write("device0001", 1)
    await checker.read("device0001", 0)
    assert checker.violations == []

    await checker.write("device0001", 1)
    while not checker.violations:
        await checker.read("device0001", 0)
        await asyncio.sleep(0.01)

    assert said in checker.violations[0]
