"""A sync in a process of its own, under a limit that it shares with others."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from personaclick_async import PersonaClick, RateLimit
from personaclick_async.emulator.settings import DEFAULT_SECRET, DEFAULT_SHOP_ID
from personaclick_async.integrations.shared_limit import SharedLimit
from personaclick_async.sync import SyncOptions


async def main(asked: dict[str, Any], number: str) -> dict[str, Any]:
    rows = [{"email": f"user{n}-{number}@shop.example", "version": n} for n in range(300)]
    async with (
        PersonaClick(
            DEFAULT_SHOP_ID, shop_secret=DEFAULT_SECRET, api_url=asked["url"], limits={}
        ) as client,
        SharedLimit(asked["redis"], shop="s", limit=RateLimit(20, 1.0), headroom=2.0) as limit,
    ):
        options = SyncOptions(route="bulk", max_chunk_bytes=1024, limit=limit)
        report = await client.sync_all(rows, options=options)
    return {"sent": report.sent, "requests": report.requests, "retries": report.retries}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), sys.argv[2]))))
