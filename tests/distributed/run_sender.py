"""Senders in processes of their own, for the tests that kill them.

Reads what to do as lines of JSON; for each it forks a process that does it, says its number
(``pid 123``), then passes on what it prints at its end, and says ``ended``. Forking saves the
seconds that a new interpreter takes to import everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from distributed import Client

from personaclick_async import PersonaClick, PersonaClickError, RetryPolicy
from personaclick_async.emulator.settings import DEFAULT_SECRET, DEFAULT_SHOP_ID
from personaclick_async.integrations.dask import DaskPartitions
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.rejects import RejectFile


async def main(asked: dict[str, Any], cluster: Client) -> dict[str, Any]:
    async with PersonaClick(
        DEFAULT_SHOP_ID,
        shop_secret=DEFAULT_SECRET,
        api_url=asked["url"],
        retry=RetryPolicy(first_wait=0.01, longest_wait=0.05),
        limits={},
    ) as client:
        folder = Path(asked["folder"])
        source = DaskPartitions(
            cluster, asked["source"], spool=folder / "spool", max_chunk_bytes=4096
        )
        options = SyncOptions(
            journal=folder / "sync.journal", rejects=RejectFile(folder / "rejects.jsonl")
        )
        try:
            report = await client.sync(source, options=options).run()
        except PersonaClickError as error:
            return {"error": type(error).__name__, "text": str(error)}
    return {
        "read": report.read,
        "sent": report.sent,
        "rejected": report.rejected,
        "earlier": report.earlier,
        "requests": report.requests,
    }


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def serve() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            untyped: Any = Client
            with untyped(asked["cluster"]) as cluster:
                say(json.dumps(asyncio.run(main(asked, cluster))))
            os._exit(0)
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    serve()
