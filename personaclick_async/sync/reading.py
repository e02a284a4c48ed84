"""Reading any source in slices, without holding the event loop up."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar

import attrs

from personaclick_async.sync.admission import Item
from personaclick_async.sync.batch import Chunk, changed
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.records import Outcome, Source
from personaclick_async.sync.sources.objects import IterableSource

T = TypeVar("T")

_Job: TypeAlias = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]


class OneThread:
    """Runs functions one at a time, always on the same thread, as cursors and generators need it.

    It is a daemon, unlike the threads of an executor: a source that is stuck in a read (standard
    input, say) must not keep the process from ending. Nothing is ever delivered by it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function on the thread, after those before it, and give its result.

        A caller that is cancelled leaves it running.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, result, work))
        return await result

    def close(self, last: Callable[[], object] | None = None) -> None:
        """Let the thread end after what was given to it, and after ``last``. Does not wait."""
        if self._thread is None:
            return
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not isinstance(job, tuple):
                with suppress(Exception):
                    job()
                continue
            loop, result, work = job
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                # A name in this frame would keep the error, and what it holds, alive.
                _answer(loop, result, None, error)
                del error
            else:
                _answer(loop, result, value, None)
                del value
            del job, loop, result, work


def _answer(
    loop: asyncio.AbstractEventLoop,
    result: asyncio.Future[Any],
    value: object,
    error: BaseException | None,
) -> None:
    def settle() -> None:
        if result.cancelled():
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)

    # The loop may have ended without waiting for this.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


Records: TypeAlias = Source | Iterable[Item] | AsyncIterable[Item]
"""What can be synced."""

_NAMELESS: Final = "records"


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
        if self.open_chunks:
            return self.open_chunks[0].first_row - 1
        return self.done_until


def cut(outcomes: Iterable[Outcome], plan: Plan, at_most: int) -> Iterator[Slice]:
    """Cut what a source gives after ``plan.after_row`` into slices of ``at_most`` rows.

    Rows that are done are left out. Reads as it goes.

    :raises SyncRefused: rows don't come in order, or an open chunk's rows are gone.
    """
    rows = iter(outcomes)
    row = plan.after_row
    left = list(reversed(plan.open_chunks))
    while left:
        # Row by row, until the last open chunk has ended.
        taken: list[Outcome] = []
        chunk = left[-1]
        for outcome in rows:
            row = _next_row(outcome, row)
            if row > chunk.last_row or (taken and row < chunk.first_row):
                raise changed(chunk)
            if row < chunk.first_row:
                continue
            taken.append(outcome)
            if row == chunk.last_row:
                break
            if len(taken) >= at_most:
                yield Slice(taken, chunk)
                taken = []
        else:
            raise changed(chunk)
        yield Slice(taken, chunk, ends_chunk=True)
        left.pop()
    while new := list(islice(rows, at_most)):
        for outcome in new:
            row = _next_row(outcome, row)
        if new[0].row <= plan.done_until:
            new = [outcome for outcome in new if outcome.row > plan.done_until]
        if new:
            yield Slice(new)


def _next_row(outcome: Outcome, before: int) -> int:
    if outcome.row <= before:
        raise SyncRefused(f"the source gave row {outcome.row} after row {before}")
    return outcome.row


def reader_of(source: Records, thread: OneThread) -> Reader:
    """Return the reader for a source.

    :raises SyncRefused: it is none.
    """
    if _is_source(source):
        return Reader(SourceSlices(source, thread))
    if isinstance(source, AsyncIterable):
        return Reader(AsyncSlices(source, thread))
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping):
        return Reader(SourceSlices(IterableSource(source), thread))
    raise SyncRefused(
        "source: expected a Source, or an iterable or async iterable of updates, got "
        + type(source).__name__
    )


def _is_source(source: Records) -> TypeGuard[Source]:
    # Not the fingerprint: to look for it is to hash the whole file, here on the event loop.
    return callable(getattr(source, "outcomes", None))


class SourceSlices:
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
        """Return the source's fingerprint."""
        return await self._thread.run(lambda: self._source.fingerprint)

    async def size_hint(self) -> int | None:
        """Return the number of rows, roughly."""
        return await self._thread.run(lambda: self._source.size_hint)

    def start(self, plan: Plan, rows: int) -> None:
        """Start reading what the plan leaves to do, in slices of at most ``rows``."""
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
        """Close the source, as soon as a read in progress ends."""
        self._thread.close(getattr(self._slices, "close", None))


class AsyncSlices:
    """Reads an async iterable on the event loop, and checks what it gives on a thread.

    A slice is what has come while the one before was worked off: a slow source makes short
    slices and nobody waits for a full one. It has no fingerprint and can't be resumed.
    """

    name: str = _NAMELESS

    def __init__(self, items: AsyncIterable[Item], thread: OneThread) -> None:
        self._items: AsyncIterator[Item] = aiter(items)
        self._thread = thread
        self._waiting: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._row = 0
        self._rows = 1

    async def fingerprint(self) -> str | None:
        """Return None."""
        return None

    async def size_hint(self) -> int | None:
        """Return None."""
        return None

    def start(self, plan: Plan, rows: int) -> None:
        """Start reading in slices of at most ``rows``."""
        self._row = plan.done_until
        self._rows = rows
        self._pump = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            async for item in self._items:
                self._waiting.append(item)
                self._changed.set()
                while len(self._waiting) >= self._rows:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._changed.set()

    async def next(self) -> Slice | None:
        """Read on."""
        while not self._waiting and self._pump is not None and not self._pump.done():
            self._changed.clear()
            await self._changed.wait()
        if not self._waiting:
            if self._pump is not None:
                await self._pump
            return None
        items = list(self._waiting)
        self._waiting.clear()
        self._room.set()
        plan = Plan((), self._row)
        outcomes = IterableSource(items).numbered(after_row=0, before=self._row)
        found = await self._thread.run(lambda: next(cut(outcomes, plan, len(items)), None))
        if found is not None:
            self._row = found.outcomes[-1].row
        return found

    async def close(self) -> None:
        """Close the source."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
        self._thread.close()


class Reader:
    """Yield slices, some of which may have been looked at before."""

    def __init__(self, slices: SourceSlices | AsyncSlices) -> None:
        self.slices = slices
        self._ahead: deque[Slice] = deque()

    async def peek(self, rows: int) -> tuple[list[Outcome], bool]:
        """Return about so many of the next rows, and whether these are all that is left."""
        seen: list[Outcome] = []
        while len(seen) < rows:
            found = await self.slices.next()
            if found is None:
                return seen, True
            self._ahead.append(found)
            seen += found.outcomes
        return seen, False

    async def next(self) -> Slice | None:
        """Return the next slice; None at the end."""
        return self._ahead.popleft() if self._ahead else await self.slices.next()
