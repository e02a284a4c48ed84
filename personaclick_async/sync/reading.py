"""Reading any source in slices, without holding the event loop up."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice, pairwise
from operator import attrgetter, lt
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, TypeVarTuple

from personaclick_async.sync.batch import Chunk
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.records import Item, Outcome, Source
from personaclick_async.sync.sources.objects import IterableSource

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Records: TypeAlias = Source | Iterable[Item] | AsyncIterable[Item]
"""What can be synced."""

_END: Final = object()
_row: Final = attrgetter("row")


class OneThread:
    """Runs functions one at a time, always on the same thread, as cursors and generators need it.

    It is a daemon, unlike the threads of an executor: a source that is stuck in a read (standard
    input, say) must not keep the process from ending. Nothing is ever delivered by it.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def run(self, work: Callable[[*Ts], T], *arguments: *Ts) -> asyncio.Future[T]:
        """Run a function on the thread, after those before it.

        Once it has begun, a caller that is cancelled leaves it running.
        """
        if self._thread.ident is None:
            self._thread.start()
        result: Future[T] = Future()
        self._jobs.put((result, partial(work, *arguments)))
        return asyncio.wrap_future(result)

    def close(self, last: Callable[[], object] = bool) -> None:
        """Let the thread end after what was given to it, and after ``last``. Does not wait."""
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


class Slice(NamedTuple):
    """Some rows in order, all of one chunk of an earlier run or all new.

    :ivar chunk: the chunk of an earlier run that they belong to.
    :ivar ends_chunk: whether they are that chunk's last.
    """

    outcomes: list[Outcome]
    chunk: Chunk | None = None
    ends_chunk: bool = False


class Plan(NamedTuple):
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


def slices(source: Source, plan: Plan, most: int) -> Generator[Slice, None, None]:
    """Read what the plan leaves to do, in slices of at most ``most`` rows."""
    outcomes = source.outcomes(after_row=plan.after_row)
    has_come = source.has_come if isinstance(source, AsyncSource) else lambda: most
    try:
        yield from cut(iter(lambda: list(islice(outcomes, min(most, has_come()))), []), plan)
    finally:
        # Here, for a generator's file is to be closed where it was opened.
        if hasattr(outcomes, "close"):
            outcomes.close()


def cut(read: Iterable[list[Outcome]], plan: Plan) -> Iterator[Slice]:
    """Cut what a source gives after ``plan.after_row`` into slices; leave out what is done.

    :raises SyncRefused: rows don't come in order, or an open chunk's rows are gone.
    """
    left = list(plan.open_chunks)
    row = plan.after_row
    for found in read:
        some = found
        numbers = [row, *map(_row, some)]
        if not all(map(lt, numbers, islice(numbers, 1, None))):
            before, after = next(pair for pair in pairwise(numbers) if pair[0] >= pair[1])
            raise SyncRefused(f"the source gave row {after} after row {before}")
        row = numbers[-1]
        while left:
            chunk = left[0]
            end = bisect_right(some, chunk.last_row, key=_row)
            mine = some[bisect_left(some, chunk.first_row, key=_row) : end]
            ends = row >= chunk.last_row
            if ends and not (mine and mine[-1].row == chunk.last_row):
                raise chunk.changed()
            if mine:
                yield Slice(mine, chunk, ends)
            some = some[end:]
            if not ends:
                break
            left.pop(0)
        new = some[bisect_right(some, plan.done_until, key=_row) :]
        if new:
            yield Slice(new)
    if left:
        raise left[0].changed()


def peek(read: Iterator[Slice], rows: int) -> tuple[list[Slice], bool]:
    """Return slices with about so many rows, and whether these are all that is left."""
    ahead: list[Slice] = []
    for found in read:
        ahead.append(found)
        rows -= len(found.outcomes)
        if rows <= 0:
            return ahead, False
    return ahead, True


def source_of(records: Records) -> Source:
    """Return what can be synced as a source.

    :raises SyncRefused: it is none.
    """
    # Not isinstance: that would look for the fingerprint, and hash the whole file here on the loop.
    if callable(getattr(records, "outcomes", None)):
        return records  # type: ignore[return-value]
    if isinstance(records, AsyncIterable):
        return AsyncSource(records)
    if isinstance(records, Iterable) and not isinstance(records, str | bytes | Mapping):
        return IterableSource(records)
    raise SyncRefused(
        "source: expected a Source, or an iterable or async iterable of updates, got "
        + type(records).__name__
    )


class AsyncSource(IterableSource):
    """An async iterable, which a task of the event loop reads ahead of the reading thread.

    A slice is what has come while the one before was worked off: a slow source makes short
    slices and nobody waits for a full one. It has no fingerprint and can't be resumed.
    """

    def __init__(self, items: AsyncIterable[Item]) -> None:
        super().__init__(self._arriving())
        self._fetched = aiter(items)
        self._come: SimpleQueue[Any] = SimpleQueue()
        self._room = asyncio.Event()

    def start(self, most: int) -> None:
        """Begin to fetch, at most so many items ahead of the thread."""
        self._loop = asyncio.get_running_loop()
        self._fetching = self._loop.create_task(self._fetch(most))
        self._fetching.add_done_callback(lambda _: self._come.put(_END))

    async def _fetch(self, most: int) -> None:
        async for item in self._fetched:
            self._come.put(item)
            while self._come.qsize() >= most:
                self._room.clear()
                await self._room.wait()

    def has_come(self) -> int:
        """Return how many items the thread need not wait for; at least one."""
        return max(1, self._come.qsize())

    def _arriving(self) -> Iterator[Item]:
        while (item := self._come.get()) is not _END:
            if self._come.empty():
                self._loop.call_soon_threadsafe(self._room.set)
            yield item
        self._fetching.result()

    async def stop(self) -> None:
        """End fetching, and close the iterable."""
        self._fetching.cancel()
        await asyncio.gather(self._fetching, return_exceptions=True)
        if hasattr(self._fetched, "aclose"):
            await self._fetched.aclose()
