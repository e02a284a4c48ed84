"""Reading any source in slices, without blocking the event loop."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice
from operator import attrgetter
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
        """Run a function after those before it; cancelling does not end one that has begun."""
        if self._thread.ident is None:
            self._thread.start()
        result: Future[T] = Future()
        self._jobs.put((result, partial(work, *arguments)))
        return asyncio.wrap_future(result)

    def close(self, last: Callable[[], object] = lambda: None) -> None:
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
    """Some rows in order, all new, or all of one chunk of an earlier run, which they may end."""

    outcomes: list[Outcome]
    chunk: Chunk | None = None
    ends_chunk: bool = False


def slices(
    source: Source, unfinished: list[Chunk], done_until: int, most: int
) -> Generator[Slice, None, None]:
    """Read what an earlier run has left to do, in slices of at most ``most`` rows.

    :param unfinished: its chunks that are not done, in the order of their rows.
    :param done_until: its last row; up to there, rows outside those chunks are done.
    """
    after_row = unfinished[0].first_row - 1 if unfinished else done_until
    outcomes = source.outcomes(after_row=after_row)
    available = source.available if isinstance(source, AsyncSource) else lambda: most
    try:
        read = in_lists(outcomes, lambda: min(most, available()))
        yield from cut(in_order(read, after_row), unfinished, done_until)
    finally:
        # On the thread that opened the generator's file.
        if hasattr(outcomes, "close"):
            outcomes.close()


def in_lists(outcomes: Iterator[Outcome], most: Callable[[], int]) -> Iterator[list[Outcome]]:
    """Yield lists of at most ``most()`` outcomes; those before an error are yielded first."""
    while True:
        some: list[Outcome] = []
        try:
            some.extend(islice(outcomes, most()))
        except Exception:
            yield some
            raise
        if not some:
            return
        yield some


def in_order(read: Iterable[list[Outcome]], row: int) -> Iterator[list[Outcome]]:
    """Check the order of rows, the first of which follow ``row``."""
    for some in read:
        for outcome in some:
            if outcome.row <= row:
                raise SyncRefused(f"the source gave row {outcome.row} after row {row}")
            row = outcome.row
        yield some


def cut(read: Iterable[list[Outcome]], unfinished: list[Chunk], done_until: int) -> Iterator[Slice]:
    """Leave out rows that are done; yield those of a chunk apart from all others."""
    chunks = deque(unfinished)
    for some in read:
        rest = some
        while rest and chunks:
            chunk = chunks[0]
            end = bisect_right(rest, chunk.last_row, key=_row)
            mine = rest[bisect_left(rest, chunk.first_row, key=_row) : end]
            ends_chunk = rest[-1].row >= chunk.last_row
            if ends_chunk and not (mine and mine[-1].row == chunk.last_row):
                raise chunk.changed()
            if mine:
                yield Slice(mine, chunk, ends_chunk)
            rest = rest[end:]
            if ends_chunk:
                chunks.popleft()
        if new := rest[bisect_right(rest, done_until, key=_row) :]:
            yield Slice(new)
    if chunks:
        raise chunks[0].changed()


def source_of(records: Records) -> Source:
    """Return what can be synced as a source; raise SyncRefused for what can't."""
    # Not isinstance: it would read the fingerprint, hashing the whole file on the event loop.
    if callable(getattr(records, "outcomes", None)):
        return records  # type: ignore[return-value]
    if isinstance(records, AsyncIterable):
        return AsyncSource(records)
    if isinstance(records, Iterable) and not isinstance(records, str | bytes | Mapping):
        return IterableSource(records)
    expected = "source: expected a Source, or an iterable or async iterable of updates, got "
    raise SyncRefused(expected + type(records).__name__)


class AsyncSource(IterableSource):
    """An async iterable, which a task of the event loop reads ahead of the reading thread.

    A slice holds what arrived while the one before was processed, so a slow source's records are
    not held back until a slice is full. It has no fingerprint and can't be resumed.
    """

    def __init__(self, items: AsyncIterable[Item]) -> None:
        super().__init__(self._arriving())
        self._fetched = aiter(items)
        self._arrived: SimpleQueue[Any] = SimpleQueue()
        self._room = asyncio.Event()

    def start(self, most: int) -> None:
        """Begin to fetch, at most ``most`` items ahead of the thread."""
        self._loop = asyncio.get_running_loop()
        self._fetching = self._loop.create_task(self._fetch(most))
        self._fetching.add_done_callback(lambda _: self._arrived.put(_END))

    async def _fetch(self, most: int) -> None:
        async for item in self._fetched:
            self._arrived.put(item)
            while self._arrived.qsize() >= most:
                self._room.clear()
                await self._room.wait()

    def available(self) -> int:
        """Return how many items can be read without waiting; at least one."""
        return max(1, self._arrived.qsize())

    def _arriving(self) -> Iterator[Item]:
        while (item := self._arrived.get()) is not _END:
            if self._arrived.empty():
                self._loop.call_soon_threadsafe(self._room.set)
            yield item
        self._fetching.result()

    async def stop(self) -> None:
        """End fetching, and close the iterable."""
        self._fetching.cancel()
        await asyncio.gather(self._fetching, return_exceptions=True)
        if hasattr(self._fetched, "aclose"):
            await self._fetched.aclose()
