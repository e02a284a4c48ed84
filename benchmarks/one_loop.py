"""Make calls with one client on one kind of event loop; a process of the suite ``uvloop``."""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from benchmarks import clients
from benchmarks.harness import at_once


async def call(client: str, url: str, workers: int, count: int) -> None:
    """Print the seconds that the calls take, after a warm-up."""
    opened = clients.bare_aiohttp(url) if client == "bare" else clients.sdk(url)
    async with opened as calls:

        async def get(_: int) -> None:
            await calls["get"](clients.device())

        await at_once(count // 3, workers, get)
        began = time.perf_counter()
        await at_once(count, workers, get)
        sys.stdout.write(str(time.perf_counter() - began))


if __name__ == "__main__":
    name, loop, address, at_the_same_time, calls = sys.argv[1:]
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(call(name, address, int(at_the_same_time), int(calls)))
