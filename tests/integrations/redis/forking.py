"""A process that forks while its client has connections; parent and child each go on with it."""

# ruff: noqa: T201 - its test reads what it prints

from __future__ import annotations

import asyncio
import os
import sys

from personaclick_async import PersonaClick
from personaclick_async.integrations.redis import RedisStore
from tests.integrations.redis.conftest import colour, turns


def main(shop_id: str, api_url: str, redis_url: str) -> None:
    store = RedisStore(redis_url, timeout=5, memory_ttl=0)
    client = PersonaClick(shop_id, api_url=api_url, store=store)
    user = client.user(did="device0001")
    runner = asyncio.Runner()

    async def before() -> None:
        await user.profile.set(custom={"colour": "red"})
        await colour(user)

    async def child() -> None:
        misses = client.cache_stats.misses
        print("child", await colour(user), client.cache_stats.misses - misses, flush=True)
        await user.profile.set(custom={"colour": "blue"})
        print("set", flush=True)
        await client.close()

    runner.run(before())
    pid = os.fork()
    if not pid:
        client.start_over_after_fork()
        asyncio.run(child())
        os._exit(0)
    runner.run(turns(user, "blue"))
    print("parent", runner.run(colour(user)), flush=True)
    _, status = os.waitpid(pid, 0)
    print("exit", os.waitstatus_to_exitcode(status), flush=True)
    runner.run(client.close())
    runner.close()


main(*sys.argv[1:])
