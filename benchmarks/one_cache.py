"""Fill a cache, and print this process's memory in MiB; a process of the suite ``entries``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from benchmarks.clients import SHOP
from benchmarks.harness import at_once
from personaclick_async import CachePolicy, PersonaClick


async def fill(url: str, count: int) -> None:
    """Read so many profiles."""
    policy = CachePolicy(max_entries=max(1, count))
    async with PersonaClick(SHOP, api_url=url, cache=policy) as client:

        async def get(number: int) -> None:
            await client.user(did=f"device{number}").profile.get()

        await at_once(max(100, count), 50, get)
        report()


def report() -> None:
    """Print what is resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    resident = next(line for line in lines if line.startswith("VmRSS"))
    sys.stdout.write(str(int(resident.split()[1]) / 1024))


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], int(sys.argv[2])))
