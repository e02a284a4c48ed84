"""A sync from its source to its report: read, journal, send, settle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

from personaclick_async.config import CallOptions
from personaclick_async.scope import Core
from personaclick_async.sync.batch import Batch, Chunk, Group, Settlement
from personaclick_async.sync.bulk_sender import BulkSender
from personaclick_async.sync.delivery import Delivery, Halted, raise_first, wait_at_most
from personaclick_async.sync.journal import Journal, Run
from personaclick_async.sync.options import SyncOptions, SyncRefused, Unfinished
from personaclick_async.sync.profile_sender import ProfileSender
from personaclick_async.sync.reading import OneThread, Plan, Reader, Records, reader_of
from personaclick_async.sync.records import (
    BULK_FROM,
    Admitted,
    Outcome,
    Record,
    Refused,
    Rejected,
    Route,
    admitted,
    choose_route,
    identifiers_of,
)
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.report import Checked, Report, Result, Unchanged

Sender: TypeAlias = BulkSender | ProfileSender
"""Has one method: it gets a batch, sends its records and settles each."""

_GRACE_SECONDS: Final = 5.0
_GATHER_SECONDS: Final = 0.005
_BATCHES_OF_RESULTS: Final = 8


class Results:
    """A bounded queue of results: a slow reader slows the sync down, nothing piles up."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[Iterable[Result] | None] = asyncio.Queue(_BATCHES_OF_RESULTS)
        self._is_closed = False

    async def put(self, batch: Iterable[Result] | None) -> None:
        """Hand results on, or None at their end; once nobody reads any more, they are dropped."""
        if not self._is_closed:
            await self._batches.put(batch)

    def close(self) -> None:
        """Let whoever waits to put something go on, and let the reader come to the end."""
        self._is_closed = True
        while not self._batches.empty():
            self._batches.get_nowait()
        self._batches.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Result]:
        while (batch := await self._batches.get()) is not None:
            for result in batch:
                yield result


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

    :ivar report: the account, true at any moment, to be read by a progress line.
    """

    def __init__(
        self, core: Core, call_options: CallOptions, source: Records, options: SyncOptions
    ) -> None:
        self.report = Report()
        self._core = core
        self._options = options
        self._thread = OneThread("personaclick-sync-read")
        self._reader: Reader = reader_of(source, self._thread)
        self._results = Results()
        self._delivery = Delivery(self.report, core, call_options, options)
        self._settling = Settling(self._delivery, self._results)
        self._task: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[Result]:
        if self._task is not None:
            raise SyncRefused("this sync was iterated before: make another one")
        self._task = asyncio.create_task(self._work())
        try:
            async for result in self._results:
                yield result
            # Whoever is cancelled here does not cancel the work: it is stopped in its own way.
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
            # Nobody will look at the results; those of an iteration in progress are someone's.
            self._results.close()
        async for _ in self:
            pass
        return self.report

    async def stop(self) -> None:
        """End early: send nothing more, wait briefly for requests in flight, journal them."""
        if self._task is None:
            return
        self._results.close()
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
        report, reader = self.report, self._reader
        report.started_at = self._core.config.now()
        try:
            report.source = reader.name
            report.total = await reader.size_hint()
            await (self._check() if self._options.dry_run else self._deliver())
        finally:
            report.waiting = None
            report.ended_at = self._core.config.now()
            await reader.close()
            await self._settling.close()
            await self._results.put(None)

    async def _check(self) -> None:
        """Read and admit everything, as a dry run does."""
        self._reader.start(Plan(), self._options.chunk_rows)
        route = self.report.route = await self._route()
        largest = self._options.max_chunk_bytes
        halted = self._delivery.halted
        while not halted.is_set() and (rows := await self._reader.next()) is not None:
            outcomes = [outcome for outcome, _ in _admit(rows.outcomes, route, largest)]
            fit = [one for one in outcomes if isinstance(one, Record)]
            tally = {
                "read": len(outcomes),
                "rejected": len(outcomes) - len(fit),
                "incomplete": sum(one.omitted is not None for one in fit),
                "checked": len(fit),
            }
            self.report.add(tally)
            await self._results.put(
                [one if isinstance(one, Rejected) else Checked(one.row) for one in outcomes]
            )

    async def _deliver(self) -> None:
        self._core.shop.require_secret("sync profiles")
        await self._begin()
        settling, is_bulk = self._settling, self.report.route is Route.BULK
        settling.enough = 1 if is_bulk else self._options.concurrency
        sender = (BulkSender if is_bulk else ProfileSender)(self._delivery, settling.put)
        writing = asyncio.create_task(settling.work())
        try:
            with suppress(Halted):
                await self._pump(sender)
                self.report.is_complete = True
                if settling.journal is not None and not self.report.failed:
                    end = partial(settling.journal.end, settling.run, is_finished=True)
                    await settling.thread.run(partial(end, self._core.config.now()))
        finally:
            await _cancelled(writing)

    async def _begin(self) -> None:
        """Open the journal, and resume what it has not finished or begin a new run."""
        options, report, settling = self._options, self.report, self._settling
        in_thread, now = settling.thread.run, self._core.config.now()
        settings = {
            "api_url": self._core.config.api_url,
            "shop_id": self._core.shop.shop_id,
            "segment_id": str(options.segment_id),
        }
        run, plan = Run(report.source, options.route, settings), Plan()
        if options.journal is not None:
            restarts = options.unfinished is Unfinished.RESTART
            opened = partial(Journal, options.journal, sets_aside=restarts)
            journal = settling.journal = await in_thread(opened)
            run.fingerprint = await self._reader.fingerprint()
            run, plan = await in_thread(partial(journal.resume, run, now, restarts=restarts))
            if not run.id and not options.skip_unchanged:
                await in_thread(partial(journal.warn_of_repetition, run, now))
        settling.run = run
        self._reader.start(plan, options.chunk_rows)
        if not run.id:
            run.route = await self._route()
        report.route = run.route
        report.add(run.tally)
        report.read = report.earlier = report.settled
        if settling.journal is not None:
            await in_thread(partial(settling.begin_run, settling.journal))

    async def _route(self) -> Route:
        if self._options.route is not Route.AUTO:
            return self._options.route
        if self._options.segment_id is not None:
            return Route.BULK
        if self.report.total is not None and self.report.total < BULK_FROM:
            return Route.PER_PROFILE
        first, whole = await self._reader.peek(BULK_FROM)
        return choose_route(first, whole=whole)

    async def _pump(self, sender: Sender) -> None:
        """Send batch after batch, some at once; end when all are settled."""
        room = asyncio.Semaphore(sender.alive)
        sending: set[asyncio.Task[None]] = set()
        is_halted = self._delivery.halted

        async def read() -> None:
            async for batch in self._batches(sender, room):
                await self._thread.run(batch.seal)
                sending.add(asyncio.create_task(send(batch)))
                del batch  # or it would stay alive beside the next two

        async def send(batch: Batch) -> None:
            try:
                await self._settling.set_aside(batch)
                if len(batch):
                    await sender.send(batch)
            except BaseException:
                self._delivery.halt()
                raise
            finally:
                room.release()

        reading, halted = asyncio.create_task(read()), asyncio.create_task(is_halted.wait())
        try:
            # Until all is read, or something is wrong, or the sync is told to end.
            await asyncio.wait([reading, halted], return_when=asyncio.FIRST_COMPLETED)
            if is_halted.is_set():
                reading.cancel()
            ends = [
                *await asyncio.gather(reading, return_exceptions=True),
                *await asyncio.gather(*sending, return_exceptions=True),
            ]
        finally:
            await _cancelled(reading, halted, *sending)
        raise_first(ends)
        if is_halted.is_set():
            raise Halted

    async def _batches(self, sender: Sender, room: asyncio.Semaphore) -> AsyncIterator[Batch]:
        """Read and pack; a batch ends with its chunk, when it is full, or with its slice."""
        settling, is_bulk = self._settling, isinstance(sender, BulkSender)
        route = Route.BULK if is_bulk else Route.PER_PROFILE
        batch: Batch | None = None
        while (rows := await self._reader.next()) is not None:
            admitting = partial(_admit, rows.outcomes, route, sender.largest_record)
            left = await self._thread.run(admitting)
            while left:
                if batch is None:
                    await room.acquire()
                    chunk: Chunk = rows.chunk or await settling.begin(left[0][0].row)
                    salt = None if settling.journal is None else settling.journal.salt
                    batch = Batch(chunk, salt, sender.envelope)
                fits = len(left)
                if rows.chunk is None:
                    # At least one, even if the service takes less than the options say.
                    fits = batch.fitting(left, sender.most_bytes) or not batch.total
                if fits:
                    now = left[:fits]
                    unchanged = await settling.unchanged(batch, now)
                    self.report.read += await self._thread.run(partial(batch.add, now, unchanged))
                    left = left[fits:]
                if left or (rows.ends_chunk if rows.chunk else not is_bulk):
                    yield batch
                    batch = None
        if batch is not None:
            yield batch


def _admit(outcomes: Iterable[Outcome], route: Route, largest: int) -> list[Admitted]:
    return [admitted(outcome, route, largest) for outcome in outcomes]


async def _cancelled(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Settling:
    """Rejected rows are durable before the journal counts them, the journal before the report.

    Settlements are written in groups: while one commit is made durable, the next group gathers.

    :ivar journal: None remembers nothing.
    :ivar enough: how many settlements a group need not wait beyond.
    """

    run: Run

    def __init__(self, delivery: Delivery, results: Results) -> None:
        self._delivery = delivery
        self._options = delivery.options
        self._results = results
        self.thread = OneThread("personaclick-sync-write")
        self.journal: Journal | None = None
        self.enough = 1
        self._group = Group()
        self._news = asyncio.Event()
        self._full = asyncio.Event()

    def begin_run(self, journal: Journal) -> None:
        """Write down a new run; have the reject file expect again what an earlier one had."""
        rejects = self._options.rejects if isinstance(self._options.rejects, RejectFile) else None
        if not self.run.id:
            self.run.rejects_at = 0 if rejects is None else rejects.position
            journal.start(self.run)
        elif rejects is not None:
            rejects.resume(self.run.rejects_at)

    async def begin(self, first_row: int) -> Chunk:
        """Open a chunk that begins at a row."""
        if self.journal is None:
            return Chunk(0, first_row)
        return await self.thread.run(partial(self.journal.begin, self.run, first_row))

    async def unchanged(self, batch: Batch, rows: Sequence[Admitted]) -> frozenset[int]:
        """Return the positions of the next records that need not be sent."""
        if self.journal is None or not self._options.skip_unchanged:
            return frozenset()
        asking = partial(self.journal.unchanged, self.run, batch.chunk, rows, batch.total)
        return await self.thread.run(asking)

    async def set_aside(self, batch: Batch) -> None:
        """Settle what needs no sending. Makes the chunk durable before it is sent."""
        rejected, unchanged, incomplete = batch.rejected, batch.unchanged, batch.incomplete
        settlement = Settlement(
            chunk=batch.chunk,
            positions=batch.aside,
            results=[*rejected, *map(Unchanged, unchanged)],
            tally={
                "rejected": len(rejected),
                "unchanged": len(unchanged),
                "incomplete": len(incomplete),
            },
            faulty=[*rejected, *incomplete],
        )
        await self.put(settlement).settled()

    def put(self, settlement: Settlement) -> Group:
        """Have a settlement written; return the group with which it becomes durable."""
        group = self._group
        group.settlements.append(settlement)
        self._news.set()
        if len(group.settlements) >= self.enough:
            self._full.set()
        return group

    async def work(self) -> None:
        """Write groups down until cancelled, or until that fails."""
        while True:
            await self._news.wait()
            self._full.clear()
            if self.journal is not None and len(self._group.settlements) < self.enough:
                # Not for long: a commit for each row would cost half the speed.
                await wait_at_most(_GATHER_SECONDS, self._full)
            self._news.clear()
            group, self._group = self._group, Group()
            settled = group.settlements
            try:
                if self.journal is not None or any(one.faulty for one in settled):
                    await self.thread.run(partial(self._write, settled))
                for one in settled:
                    self._delivery.report.add(one.tally)
                await self._results.put(chain.from_iterable(one.results for one in settled))
            except BaseException as error:
                # Also for what came meanwhile, and for what is still to come.
                group.error = self._group.error = error
                self._group.done.set()
                self._delivery.halt()
                raise
            finally:
                group.done.set()

    def _write(self, settled: Sequence[Settlement]) -> None:
        faulty, rejects = [row for one in settled for row in one.faulty], self._options.rejects
        if faulty and rejects is not None:
            rejects.append(faulty)
            rejects.flush()
            if isinstance(rejects, RejectFile):
                self.run.rejects_at = rejects.position
        if self.journal is None:
            return
        for one in settled:
            one.chunk.settled.add(one.positions)
            for name, count in one.tally.items():
                self.run.tally[name] = self.run.tally.get(name, 0) + count
        refused = [identifiers_of(row.source_row) for row in faulty if isinstance(row, Refused)]
        chunks = {one.chunk.id: one.chunk for one in settled}
        self.journal.save(self.run, chunks.values(), chain.from_iterable(refused))

    async def close(self) -> None:
        """Close the journal, after what was given to the thread."""
        if self.journal is not None:
            await self.thread.run(self.journal.close)
        self.thread.close()
