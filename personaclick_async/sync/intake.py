"""Reading any source in slices, without holding the event loop up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Final, TypeAlias, TypeGuard

from personaclick_async.sync.chunks import Plan, Slice, cut
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.items import Item
from personaclick_async.sync.ready import PreparedPartitions, ReadyReader
from personaclick_async.sync.records import Outcome, Source
from personaclick_async.sync.sources.iterable import IterableSource
from personaclick_async.sync.threads import OneThread

Records: TypeAlias = Source | PreparedPartitions | Iterable[Item] | AsyncIterable[Item]
"""What can be synced."""

_NAMELESS: Final = "records"


Reader: TypeAlias = "SourceReader | AsyncReader | ReadyReader"
"""Gives slices of a source."""


def reader_of(source: Records, thread: OneThread) -> Reader:
    """Make the reader for a source.

    :raises SyncRefused: it is none.
    """
    if isinstance(source, PreparedPartitions):
        return ReadyReader(source, thread)
    if _is_source(source):
        return SourceReader(source, thread)
    if isinstance(source, AsyncIterable):
        return AsyncReader(source, thread)
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping):
        return SourceReader(IterableSource(source), thread)
    raise SyncRefused(
        "source: expected a Source, or an iterable or async iterable of updates, got "
        + type(source).__name__
    )


def _is_source(source: Records) -> TypeGuard[Source]:
    # Not the fingerprint: to look for it is to hash the whole file, here on the event loop.
    return callable(getattr(source, "outcomes", None))


class SourceReader:
    """Reads a blocking source on a thread."""

    def __init__(self, source: Source, thread: OneThread) -> None:
        self._source = source
        self._thread = thread
        self._slices: Iterator[Slice] = iter(())

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    async def fingerprint(self) -> str | None:
        """Give the source's fingerprint."""
        return await self._thread.run(lambda: self._source.fingerprint)

    async def size_hint(self) -> int | None:
        """Give the number of rows, roughly."""
        return await self._thread.run(lambda: self._source.size_hint)

    def start(self, plan: Plan, rows: int) -> None:
        """Set out to read what the plan leaves to do, in slices of at most ``rows``."""
        self._slices = self._read(plan, rows)

    def _read(self, plan: Plan, rows: int) -> Iterator[Slice]:
        outcomes = self._source.outcomes(after_row=plan.after_row)
        try:
            yield from cut(outcomes, plan, rows)
        finally:
            # Here and not in close(): a generator's file is to be closed where it was opened.
            if hasattr(outcomes, "close"):
                outcomes.close()

    async def next(self) -> Slice | None:
        """Read on."""
        return await self._thread.run(lambda: next(self._slices, None))

    async def close(self) -> None:
        """Let go of the source, as soon as a read that is under way ends."""
        self._thread.close(getattr(self._slices, "close", None))


class AsyncReader:
    """Reads an async iterable on the event loop, and checks what it gives on a thread.

    A slice is what has come until the one before was worked off: a slow source makes short
    slices and nobody waits for a full one.
    """

    def __init__(self, items: AsyncIterable[Item], thread: OneThread) -> None:
        self._items: AsyncIterator[Item] = aiter(items)
        self._thread = thread
        self._come: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._row = 0
        self._rows = 1

    @property
    def name(self) -> str:
        """An async iterable has no name of its own."""
        return _NAMELESS

    async def fingerprint(self) -> str | None:
        """Give None: it can't be known."""
        return None

    async def size_hint(self) -> int | None:
        """Give None: it can't be known."""
        return None

    def start(self, plan: Plan, rows: int) -> None:
        """Set out to read in slices of at most ``rows``; there is never anything to resume."""
        self._row = plan.done_until
        self._rows = rows
        self._pump = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            async for item in self._items:
                self._come.append(item)
                self._changed.set()
                while len(self._come) >= self._rows:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._changed.set()

    async def next(self) -> Slice | None:
        """Read on."""
        while not self._come and self._pump is not None and not self._pump.done():
            self._changed.clear()
            await self._changed.wait()
        if not self._come:
            if self._pump is not None:
                await self._pump
            return None
        items = list(self._come)
        self._come.clear()
        self._room.set()
        after = self._row
        found = await self._thread.run(lambda: next(cut_all(items, after), None))
        if found is not None:
            self._row = found.outcomes[-1].row
        return found

    async def close(self) -> None:
        """Let go of the source."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
        self._thread.close()


class Intake:
    """Gives slices, some of which may have been looked at before."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ahead: deque[Slice] = deque()

    async def peek(self, rows: int) -> tuple[list[Outcome], bool]:
        """Look at the next rows, about so many; also say whether these are all that is left."""
        seen: list[Outcome] = []
        while len(seen) < rows:
            found = await self._reader.next()
            if found is None:
                return seen, True
            self._ahead.append(found)
            seen += found.outcomes
        return seen, False

    async def next(self) -> Slice | None:
        """Give the next slice; None at the end."""
        return self._ahead.popleft() if self._ahead else await self._reader.next()


def cut_all(items: list[Item], after_row: int) -> Iterator[Slice]:
    """Make one slice of all items."""
    return cut(IterableSource(items).outcomes(before=after_row), Plan((), after_row), len(items))
