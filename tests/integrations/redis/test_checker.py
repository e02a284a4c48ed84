"""Random operations through Redis, restarts included, never read what was overwritten."""

from __future__ import annotations

import asyncio

from benchmarks.cache_checker import CacheChecker
from personaclick_async import CachePolicy
from personaclick_async.emulator import Emulator
from tests.integrations.redis.conftest import MakePeer, RedisServer


async def test_nobody_reads_what_any_process_has_overwritten(
    make_peer: MakePeer, emulator: Emulator
) -> None:
    emulator.fault(path="/profile", delay=0.01, probability=0.4)
    peers = [make_peer(cache=CachePolicy(ttl=0.1)) for _ in range(3)]
    clients = [peer.client for peer in peers]
    checker = CacheChecker(clients, ttl=0.1, share_writes=True)

    await checker.run(operations=800)

    assert checker.violations == []
    assert sum(peer.stats.shared_hits for peer in peers) > 20


async def test_a_server_that_goes_and_comes_back_brings_nothing_old(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    peers = [make_peer(cache=CachePolicy(ttl=0.1)) for _ in range(2)]
    checker = CacheChecker([peer.client for peer in peers], ttl=0.1)
    running = asyncio.create_task(checker.run(operations=1500))
    for _ in range(3):
        await asyncio.sleep(0.1)
        await asyncio.to_thread(redis_server.kill)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(redis_server.start)
    await running

    assert checker.violations == []
    assert sum(peer.stats.store_failures for peer in peers) > 0
