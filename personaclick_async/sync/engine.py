"""A sync from its source to its report: read, journal, send, settle."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import chain
from typing import Any, Final, TypeAlias, TypeVar

from personaclick_async.config import CallOptions
from personaclick_async.sync.batch import Batch, Chunk, Compared, Settlement
from personaclick_async.sync.delivery import Delivery
from personaclick_async.sync.journal import Journal, Run
from personaclick_async.sync.options import SyncOptions, SyncRefused, Unfinished
from personaclick_async.sync.reading import (
    AsyncSource,
    OneThread,
    Records,
    Slice,
    slices,
    source_of,
)
from personaclick_async.sync.records import (
    BULK_FROM,
    Outcome,
    Rejected,
    Route,
    admitted,
    choose_route,
)
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.report import Checked, Report, Result
from personaclick_async.sync.senders import BulkSender, ProfileSender
from personaclick_async.user import Core

T = TypeVar("T")

Sender: TypeAlias = BulkSender | ProfileSender

_GRACE_SECONDS: Final = 5.0
_GATHER_SECONDS: Final = 0.005
_RESULTS_AT_ONCE: Final = 1000


class Sync(AbstractAsyncContextManager["Sync"]):
    """A running sync: iterate over it for each record's result as soon as it is known.

    ::

        async with client.sync(source, options=SyncOptions(journal="sync.db")) as sync:
            async for result in sync:
                …
        print(sync.report)

    It begins with the iteration and can be iterated once. Leaving the iteration or the block
    early, by ``break``, an exception or cancellation (Ctrl-C), sends nothing more, waits at most
    five seconds for requests in flight, and journals what they brought.

    :ivar report: what was done so far.
    """

    _delivery: Delivery  # made when the iteration begins, for it belongs to its event loop

    def __init__(
        self, core: Core, call_options: CallOptions, source: Records, options: SyncOptions
    ) -> None:
        self.report = Report()
        self._core = core
        self._call_options = call_options
        self._options = options
        self._source = source_of(source)
        self._reading = OneThread("personaclick-sync-read")
        self._slices = slices(self._source, [], 0, options.chunk_rows)
        self._read_ahead: deque[Slice] = deque()
        self._journal: Journal | None = None
        self._writing = OneThread("personaclick-sync-write")
        self._group_size = 1
        self._unwritten: list[Settlement] = []
        self._written = asyncio.Event()
        self._is_write_due = asyncio.Event()
        # Bounded: a slow reader slows the sync down, nothing piles up.
        self._results: asyncio.Queue[Iterable[Result] | None] = asyncio.Queue(maxsize=8)
        self._has_reader = True
        self._task: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[Result]:
        if self._task is not None:
            raise SyncRefused("this sync was iterated before: make another one")
        loop = asyncio.get_running_loop()
        self._delivery = Delivery(self._core, self._call_options, self._options, self.report)
        self._task = loop.create_task(self._work())
        try:
            while (results := await self._results.get()) is not None:
                for count, result in enumerate(results, 1):
                    yield result
                    if count % _RESULTS_AT_ONCE == 0:
                        await asyncio.sleep(0)  # an import has 100,000: let others run
            # Cancelling this wait must not cancel the work: stop() ends it gently.
            await asyncio.wait([self._task])
            await self._task
        finally:
            await self.stop()

    async def run(self) -> Report:
        """Run to the end and return the report.

        :raises SyncRefused: it can't begin as asked.
        :raises SyncStopped: it gave up before the end of the source.
        :raises JournalFailed: the journal can't be written.
        """
        if self._task is None:
            # Nothing iterates yet, so no result has to be kept.
            self._drop_results()
        async for _ in self:
            pass
        return self.report

    async def stop(self) -> None:
        """End early: send nothing more, wait briefly for requests in flight, journal them."""
        if self._task is None:
            return
        self._drop_results()
        self._delivery.halt()
        try:
            await asyncio.wait([self._task], timeout=_GRACE_SECONDS)
        finally:
            # Its errors come out of the iteration; here it only has to end.
            await _cancelled(self._task)

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Sync of {self.report.source or 'a source'}>"

    # The work itself, in a task of its own

    async def _work(self) -> None:
        report, source, now = self.report, self._source, self._core.config.now
        report.started_at = now()
        if isinstance(source, AsyncSource):
            source.start(self._options.chunk_rows)
        try:
            report.source = source.name
            report.total = await self._reading.run(lambda: source.size_hint)
            await (self._check() if self._options.dry_run else self._deliver())
        finally:
            report.waiting = None
            report.ended_at = now()
            self._reading.close(self._slices.close)
            try:
                if self._journal is not None:
                    # It is closed even if this task is cancelled meanwhile.
                    await asyncio.wait([self._writing.run(self._journal.close)])
            finally:
                self._writing.close()
                await self._hand_on(None)
                # Last, for it is the caller's, and may fail.
                if isinstance(source, AsyncSource):
                    await source.stop()

    async def _check(self) -> None:
        """Read and admit everything, as a dry run does."""
        route = self.report.route = await self._reading.run(self._route)
        largest = self._sender().largest_record
        found = ([admitted(one, route, largest)[0] for one in rows] for rows, *_ in self._found())
        while (outcomes := await self._next(found)) is not None:
            fit = [one for one in outcomes if not isinstance(one, Rejected)]
            self.report.read += len(outcomes)
            self.report.checked += len(fit)
            self.report.rejected += len(outcomes) - len(fit)
            self.report.incomplete += sum(one.omitted is not None for one in fit)
            told = [one if isinstance(one, Rejected) else Checked(one.row) for one in outcomes]
            await self._hand_on(told)

    def _sender(self) -> Sender:
        kind = BulkSender if self.report.route is Route.BULK else ProfileSender
        return kind(self._delivery, self._settle)

    async def _deliver(self) -> None:
        self._core.shop.require_secret("sync profiles")
        await self._reading.run(self._begin)
        if self._journal is not None and self.report.route is Route.PER_PROFILE:
            self._group_size = self._options.concurrency
        writing = asyncio.create_task(self._write_groups())
        try:
            await self._pump(self._sender())
            if self._delivery.halted.done():
                return
            self.report.is_complete = True
            if self._journal is not None and not self.report.failed:
                await self._writing.run(self._journal.finish, self._core.config.now())
        finally:
            await _cancelled(writing)

    # What the reading thread does

    def _begin(self) -> None:
        """Open the journal, and resume what it has not finished or begin a new run."""
        core, options, report = self._core, self._options, self.report
        rejects = options.rejects if isinstance(options.rejects, RejectFile) else None
        settings = {
            "api_url": core.config.api_url,
            "shop_id": core.shop.shop_id,
            "segment_id": str(options.segment_id),
        }
        run = Run(report.source, options.route, settings)
        if options.journal is not None:
            restarts = options.unfinished is Unfinished.RESTART
            journal = self._journal = Journal(options.journal, sets_aside=restarts)
            if report.ended_at is not None:
                journal.close()  # nobody else will: it took too long to open
            run.fingerprint = self._source.fingerprint
            run.rejects_at = 0 if rejects is None else rejects.position
            left = journal.resume(
                run, core.config.now(), restarts=restarts, skips_unchanged=options.skip_unchanged
            )
            run = journal.run
            self._slices = slices(self._source, left, run.last_row, options.chunk_rows)
            if rejects is not None:
                # Rows written there after the journal was last saved come again.
                rejects.resume(run.rejects_at)
        if run.route is Route.AUTO:
            run.route = self._route()
        report.route = run.route
        report.add(run.tally)
        report.read = report.earlier = report.settled

    def _route(self) -> Route:
        if self._options.route is not Route.AUTO:
            return self._options.route
        if self._options.segment_id is not None:
            return Route.BULK
        if self.report.total is not None and self.report.total < BULK_FROM:
            return Route.PER_PROFILE
        first: list[Outcome] = []
        while len(first) < BULK_FROM and (some := next(self._slices, None)) is not None:
            self._read_ahead.append(some)
            first += some.outcomes
        return choose_route(first)

    def _batches(self, sender: Sender) -> Iterator[Batch]:
        """Read and pack; a batch ends with an earlier run's chunk, when full, or with its slice."""
        journal, route = self._journal, self.report.route or Route.AUTO
        salt = journal.salt if journal else None
        batch: Batch | None = None
        try:
            for outcomes, chunk, ends_chunk in self._found():
                if self._delivery.halted.done():
                    return
                left = [admitted(one, route, sender.largest_record) for one in outcomes]
                while left:
                    if batch is None:
                        row = left[0][0].row
                        new = chunk or (journal.begin(row) if journal else Chunk(0, row))
                        batch = Batch(new, salt, sender.envelope)
                    fits = len(left) if chunk else batch.fitting(left, sender.most_bytes)
                    if fits:
                        rows: Sequence[Compared] = left[:fits]
                        if journal and journal.compares:
                            rows = journal.compared(batch.chunk, left[:fits], len(batch.rows))
                        batch.add(rows)
                        left = left[fits:]
                    if left or (ends_chunk if chunk else route is Route.PER_PROFILE):
                        yield batch.sealed()
                        batch = None
        except Exception:
            # The rows before the error are sent; those of an earlier run's chunk only together.
            if batch is not None and batch.rows and not batch.chunk.digest:
                yield batch.sealed()
            raise
        if batch is not None:
            yield batch.sealed()

    def _found(self) -> Iterator[Slice]:
        """Return all slices, those first that the choice of a route has read."""
        while self._read_ahead:
            yield self._read_ahead.popleft()
        yield from self._slices

    # Send and settle

    async def _next(self, found: Iterator[T]) -> T | None:
        """Return the next item, found on the reading thread; None at the end, or if halted."""
        reading, halted = self._reading.run(next, found, None), self._delivery.halted
        either: list[asyncio.Future[Any]] = [reading, halted]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()  # unless it is done; it may be stuck: don't wait for it
        if reading.cancelled():
            return None
        item = reading.result()  # raises what the source has raised, halted or not
        return None if halted.done() else item

    async def _pump(self, sender: Sender) -> None:
        """Send all batches, a few at once; return when all are settled."""
        batches = self._batches(sender)

        async def send() -> None:
            while (batch := await self._next(batches)) is not None:
                self.report.read += len(batch) + len(batch.unsent)
                with self._delivery.halting():
                    await self._settle(batch.settle_unsent()).wait()
                    if len(batch):
                        await sender.send(batch, tasks)
                del batch  # or it would stay alive beside the next one

        lanes = [send() for _ in range(sender.most_batches)]
        # After an error in reading, too, the rows before it are sent.
        async with asyncio.TaskGroup() as tasks:
            errors = await asyncio.gather(*lanes, return_exceptions=True)
        for error in errors:
            if error is not None:
                raise error
        if self._delivery.error is not None:
            raise self._delivery.error

    def _settle(self, settlement: Settlement) -> asyncio.Event:
        """Queue a settlement; the event is set when it is durable and counted, or can't be."""
        self._unwritten.append(settlement)
        if len(self._unwritten) >= self._group_size:
            self._is_write_due.set()
        elif len(self._unwritten) == 1:
            # Wait for others to share its commit: one for each row would halve the speed.
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._is_write_due.set)
        return self._written

    async def _write_groups(self) -> None:
        """Write settlements, a group at a time, until cancelled or a write fails."""
        while True:
            await self._is_write_due.wait()
            self._is_write_due.clear()
            if not (settled := self._unwritten):
                continue
            self._unwritten = []
            written, self._written = self._written, asyncio.Event()
            try:
                if self._journal is not None or any(one.faulty for one in settled):
                    await self._writing.run(self._write, settled)
                for one in settled:
                    self.report.add(one.tally)
                await self._hand_on(chain.from_iterable([one.results for one in settled]))
            except Exception as error:  # noqa: BLE001 - the sync raises it in the end
                self._delivery.halt(error)
                self._written.set()  # for what is settled meanwhile or later
                return
            finally:
                written.set()

    def _write(self, settled: Sequence[Settlement]) -> None:
        faulty, rejects = [row for one in settled for row in one.faulty], self._options.rejects
        if faulty and rejects is not None:
            rejects.append(faulty)
            rejects.flush()
        if self._journal is not None:
            rejects_at = rejects.resumes_at if isinstance(rejects, RejectFile) else 0
            self._journal.save(settled, rejects_at=rejects_at)

    async def _hand_on(self, results: Iterable[Result] | None) -> None:
        if self._has_reader:
            await self._results.put(results)

    def _drop_results(self) -> None:
        """Discard results from now on; end a blocked producer's wait, and the iteration."""
        self._has_reader = False
        while not self._results.empty():
            self._results.get_nowait()
        self._results.put_nowait(None)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
