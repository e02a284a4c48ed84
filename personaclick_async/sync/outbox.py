"""Results on their way to whoever iterates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from personaclick_async.sync.report import Result

_BATCHES: Final = 8
_RESULTS_AT_ONCE: Final = 1000


class Outbox:
    """A bounded queue of batches: a slow reader slows the sync down, nothing piles up.

    A batch may be lazy; of a bulk chunk only the row numbers are kept.
    """

    def __init__(self) -> None:
        self._batches: asyncio.Queue[Iterable[Result] | None] = asyncio.Queue(_BATCHES)
        self._closed = False

    async def put(self, batch: Iterable[Result]) -> None:
        """Hand results on; once nobody reads any more, they are dropped."""
        if not self._closed:
            await self._batches.put(batch)

    async def end(self) -> None:
        """Say that nothing more will come."""
        if not self._closed:
            await self._batches.put(None)

    def close(self) -> None:
        """Let whoever waits to put something go on, and whoever still reads come to the end."""
        self._closed = True
        while not self._batches.empty():
            self._batches.get_nowait()
        self._batches.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Result]:
        while (batch := await self._batches.get()) is not None:
            for count, result in enumerate(batch, 1):
                yield result
                if not count % _RESULTS_AT_ONCE:
                    # The 130,000 of a bulk chunk at one go would hold the event loop up for 0.1 s.
                    await asyncio.sleep(0)
