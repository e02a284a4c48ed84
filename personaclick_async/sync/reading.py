"""Reading any source in slices, without holding the event loop up."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import chain, islice, pairwise
from operator import lt
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

import attrs

from personaclick_async.sync.batch import Chunk
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.records import Item, Outcome, Source
from personaclick_async.sync.sources.objects import IterableSource

T = TypeVar("T")

Records: TypeAlias = Source | Iterable[Item] | AsyncIterable[Item]
"""What can be synced."""


class OneThread:
    """Runs functions one at a time, always on the same thread, as cursors and generators need it.

    It is a daemon, unlike the threads of an executor: a source that is stuck in a read (standard
    input, say) must not keep the process from ending. Nothing is ever delivered by it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function on the thread, after those before it, and return its result.

        Once it has begun, a caller that is cancelled leaves it running.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        result: Future[T] = Future()
        self._jobs.put((result, work))
        return await asyncio.wrap_future(result)

    def close(self, last: Callable[[], object] | None = None) -> None:
        """Let the thread end after what was given to it, and after ``last``. Does not wait."""
        if self._thread is not None:
            if last is not None:
                self._jobs.put((Future(), last))
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            result, work = job
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(work())
                except BaseException as error:  # noqa: BLE001 - raised again by who waits
                    result.set_exception(error)
            # A name in this frame would keep the result, and what an error holds, alive.
            del job, result, work


@attrs.frozen
class Slice:
    """Some rows in order, all of one chunk of an earlier run or all new.

    :ivar chunk: the chunk of an earlier run that they belong to.
    :ivar ends_chunk: whether they are that chunk's last.
    """

    outcomes: list[Outcome]
    chunk: Chunk | None = None
    ends_chunk: bool = False


@attrs.frozen
class Plan:
    """What an earlier run has left to do.

    :ivar open_chunks: chunks that are not done, in the order of their rows.
    :ivar done_until: the last row that any chunk held; rows up to it in no open chunk are done.
    """

    open_chunks: tuple[Chunk, ...] = ()
    done_until: int = 0

    @property
    def after_row(self) -> int:
        """The row after which to start reading."""
        return self.open_chunks[0].first_row - 1 if self.open_chunks else self.done_until


def cut(outcomes: Iterable[Outcome], plan: Plan, at_most: int) -> Iterator[Slice]:
    """Cut what a source gives after ``plan.after_row`` into slices of ``at_most`` rows.

    Rows that are done are left out. Reads as it goes.

    :raises SyncRefused: rows don't come in order, or an open chunk's rows are gone.
    """
    rows = chain.from_iterable(_in_order(outcomes, plan.after_row, at_most))
    for chunk in plan.open_chunks:
        # Row by row, until the chunk has ended.
        taken: list[Outcome] = []
        for outcome in rows:
            if outcome.row > chunk.last_row or (taken and outcome.row < chunk.first_row):
                raise chunk.changed()
            if outcome.row < chunk.first_row:
                continue
            taken.append(outcome)
            if outcome.row == chunk.last_row:
                break
            if len(taken) >= at_most:
                yield Slice(taken, chunk)
                taken = []
        else:
            raise chunk.changed()
        yield Slice(taken, chunk, ends_chunk=True)
    while new := list(islice(rows, at_most)):
        if new[0].row <= plan.done_until:
            new = [outcome for outcome in new if outcome.row > plan.done_until]
        if new:
            yield Slice(new)


def _in_order(outcomes: Iterable[Outcome], row: int, at_once: int) -> Iterator[list[Outcome]]:
    """Read some rows at a time, the first of which follow ``row``."""
    reading = iter(outcomes)
    while some := list(islice(reading, at_once)):
        numbers = [row, *(outcome.row for outcome in some)]
        if not all(map(lt, numbers, islice(numbers, 1, None))):
            before, after = next(pair for pair in pairwise(numbers) if pair[0] >= pair[1])
            raise SyncRefused(f"the source gave row {after} after row {before}")
        row = numbers[-1]
        yield some


def reader_of(source: Records, thread: OneThread) -> Reader:
    """Return the reader for a source.

    :raises SyncRefused: it is none.
    """
    # Not isinstance: that would look for the fingerprint, and hash the whole file here on the loop.
    if callable(getattr(source, "outcomes", None)):
        return Reader(source, thread)  # type: ignore[arg-type]
    if isinstance(source, AsyncIterable):
        return AsyncReader(source, thread)
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping):
        return Reader(IterableSource(source), thread)
    raise SyncRefused(
        "source: expected a Source, or an iterable or async iterable of updates, got "
        + type(source).__name__
    )


class Reader:
    """Reads a blocking source on a thread, in slices, some of which may have been peeked at."""

    def __init__(self, source: Source, thread: OneThread) -> None:
        self._source = source
        self._thread = thread
        self._slices: Iterator[Slice] = iter(())
        self._ahead: deque[Slice] = deque()

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    async def fingerprint(self) -> str | None:
        """Return the source's fingerprint."""
        return await self._thread.run(lambda: self._source.fingerprint)

    async def size_hint(self) -> int | None:
        """Return the number of rows, roughly."""
        return await self._thread.run(lambda: self._source.size_hint)

    def start(self, plan: Plan, rows: int) -> None:
        """Start reading what the plan leaves to do, in slices of at most ``rows``."""
        self._slices = self._cut(plan, rows)

    def _cut(self, plan: Plan, rows: int) -> Iterator[Slice]:
        outcomes = self._source.outcomes(after_row=plan.after_row)
        try:
            yield from cut(outcomes, plan, rows)
        finally:
            # Here and not in close(): a generator's file is to be closed where it was opened.
            if hasattr(outcomes, "close"):
                outcomes.close()

    async def peek(self, rows: int) -> tuple[list[Outcome], bool]:
        """Return about so many of the next rows, and whether these are all that is left."""
        seen: list[Outcome] = []
        while len(seen) < rows:
            found = await self._read()
            if found is None:
                return seen, True
            self._ahead.append(found)
            seen += found.outcomes
        return seen, False

    async def next(self) -> Slice | None:
        """Return the next slice; None at the end."""
        return self._ahead.popleft() if self._ahead else await self._read()

    async def _read(self) -> Slice | None:
        return await self._thread.run(lambda: next(self._slices, None))

    async def close(self) -> None:
        """Close the source, as soon as a read in progress ends."""
        self._thread.close(getattr(self._slices, "close", None))


class AsyncReader(Reader):
    """Reads an async iterable on the event loop, and checks what it gives on a thread.

    A slice is what has come while the one before was worked off: a slow source makes short
    slices and nobody waits for a full one. It has no fingerprint and can't be resumed.
    """

    def __init__(self, items: AsyncIterable[Item], thread: OneThread) -> None:
        super().__init__(IterableSource(iter(())), thread)
        self._items: AsyncIterator[Item] = aiter(items)
        self._waiting: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None
        self._row = 0

    def start(self, plan: Plan, rows: int) -> None:
        """Start reading in slices of at most ``rows``."""
        self._row = plan.done_until
        self._fetching = asyncio.create_task(self._fetch(rows))

    async def _fetch(self, most: int) -> None:
        try:
            async for item in self._items:
                self._waiting.append(item)
                self._changed.set()
                while len(self._waiting) >= most:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._changed.set()

    async def _read(self) -> Slice | None:
        while not self._waiting and self._fetching is not None and not self._fetching.done():
            self._changed.clear()
            await self._changed.wait()
        if not self._waiting:
            if self._fetching is not None:
                await self._fetching
            return None
        items = list(self._waiting)
        self._waiting.clear()
        self._room.set()
        outcomes = IterableSource(items).outcomes(before=self._row)
        slices = cut(outcomes, Plan((), self._row), len(items))
        found = await self._thread.run(lambda: next(slices, None))
        if found is not None:
            self._row = found.outcomes[-1].row
        return found

    async def close(self) -> None:
        """Close the source."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        if hasattr(self._items, "aclose"):
            await self._items.aclose()
        self._thread.close()
