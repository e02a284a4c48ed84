"""A process of its own: prints what it reads, waits for a change, and makes one itself."""

# ruff: noqa: T201 - its test reads what it prints

from __future__ import annotations

import asyncio
import sys

from personaclick_async import PersonaClick
from personaclick_async.integrations.redis import RedisStore
from tests.integrations.redis.conftest import colour, turns


async def main(shop_id: str, api_url: str, redis_url: str) -> None:
    store = RedisStore(redis_url, timeout=5, memory_ttl=0)
    async with PersonaClick(shop_id, api_url=api_url, store=store) as client:
        user = client.user(did="device0001")
        print(await colour(user), client.cache_stats.misses, flush=True)
        await turns(user, "blue")
        await user.profile.set(custom={"colour": "green"})
        print("set", flush=True)


asyncio.run(main(*sys.argv[1:]))
