"""Syncs in processes of their own, for the tests that kill them.

Reads what to do as lines of JSON; for each it forks a process that does it, says its number
(``pid 123``), then passes on what it prints at its end, and says ``ended``. Forking saves the
half second that a new interpreter takes to import everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from personaclick_async import PersonaClick, PersonaClickError, RetryPolicy
from personaclick_async.emulator.settings import DEFAULT_SECRET, DEFAULT_SHOP_ID
from personaclick_async.sync import FaultyRow
from tests.sync.support import sample, source_of, start


class RejectFile:
    """A sink that is on the disk after a flush."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 - as long as the process

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        self._file.writelines(f"{one.row}\n" for one in rows)

    def flush(self) -> None:
        self._file.flush()


async def main(asked: dict[str, Any]) -> dict[str, Any]:
    retry = RetryPolicy(first_wait=0.01, longest_wait=0.05)
    async with PersonaClick(
        DEFAULT_SHOP_ID,
        shop_secret=DEFAULT_SECRET,
        api_url=asked["url"],
        retry=retry,
        limits={},
    ) as client:
        sync = start(
            client,
            source_of(sample()),
            journal=asked["journal"],
            route=asked["route"],
            rejects=RejectFile(asked["rejects"]),
            concurrency=4,
            chunk_rows=25,
            max_chunk_bytes=4096,
        )
        try:
            report = await sync.run()
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
            if "largest_file" in asked:
                resource.setrlimit(resource.RLIMIT_FSIZE, (asked["largest_file"],) * 2)
            say(json.dumps(asyncio.run(main(asked))))
            os._exit(0)
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    serve()
