"""A sync from its source to its report: read, journal, send, settle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Final, Self, TypeAlias

import attrs

from personaclick_async.config import CallOptions
from personaclick_async.scope import Core
from personaclick_async.sync.batch import Batch, Chunk, Group, Settlement
from personaclick_async.sync.bulk_sender import BulkSender
from personaclick_async.sync.delivery import Delivery, Halted
from personaclick_async.sync.journal import Journal
from personaclick_async.sync.options import (
    ResumableSink,
    SyncOptions,
    SyncRefused,
    Unfinished,
)
from personaclick_async.sync.profile_sender import ProfileSender
from personaclick_async.sync.reading import OneThread, Plan, Reader, Records, reader_of
from personaclick_async.sync.records import (
    BULK_FROM,
    Admitted,
    Record,
    Refused,
    Rejected,
    Route,
    admitted,
    choose_route,
    identifiers_of,
)
from personaclick_async.sync.report import Checked, Report, Result, Tally, Unchanged

Sender: TypeAlias = BulkSender | ProfileSender
"""Has one method: it gets a batch, sends its records and settles each."""

log: Final = logging.getLogger("personaclick_async")

_SOON: Final = timedelta(minutes=10)
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


class Sync:
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
        # One attempt per call: the sync waits and repeats by itself, see Delivery.
        self._call_options = attrs.evolve(call_options, retries=0)
        self._results = Results()
        self._task: asyncio.Task[None] | None = None
        self._delivery: Delivery | None = None

    async def __aiter__(self) -> AsyncIterator[Result]:
        if self._task is not None:
            raise SyncRefused("this sync was iterated before: make another one")
        self._delivery = Delivery(self.report, self._core, self._options)
        self._task = asyncio.create_task(self._work(self._delivery))
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
        if self._task is None or self._delivery is None:
            return
        self._results.close()
        self._delivery.halt()
        try:
            await asyncio.wait([self._task], timeout=_GRACE_SECONDS)
        finally:
            self._task.cancel()
            # Its errors come out of the iteration; here it only has to end.
            await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Sync of {self.report.source or 'a source'}>"

    # The work itself, in a task of its own

    async def _work(self, delivery: Delivery) -> None:
        report, reader = self.report, self._reader
        report.started_at = self._core.now()
        settling = Settling(report, self._results, self._options, delivery)
        try:
            report.source = reader.name
            report.total = await reader.size_hint()
            if self._options.dry_run:
                await self._check(delivery)
            else:
                await self._deliver(settling, delivery)
        finally:
            report.waiting = None
            report.ended_at = self._core.now()
            await reader.close()
            await settling.close()
            await self._results.put(None)

    async def _check(self, delivery: Delivery) -> None:
        """Read and admit everything, as a dry run does."""
        self._reader.start(Plan(), self._options.chunk_rows)
        route = self.report.route = await self._route()
        largest = self._options.max_chunk_bytes
        while not delivery.halted.is_set() and (rows := await self._reader.next()) is not None:
            outcomes = [admitted(outcome, route, largest)[0] for outcome in rows.outcomes]
            fit = [one for one in outcomes if isinstance(one, Record)]
            incomplete = sum(one.omitted is not None for one in fit)
            self.report.read += len(outcomes)
            rejected = len(outcomes) - len(fit)
            self.report.add(Tally(rejected=rejected, incomplete=incomplete, checked=len(fit)))
            await self._results.put(
                [one if isinstance(one, Rejected) else Checked(one.row) for one in outcomes]
            )

    async def _deliver(self, settling: Settling, delivery: Delivery) -> None:
        self._core.shop.require_secret("sync profiles")
        await self._begin(settling)
        is_bulk = self.report.route is Route.BULK
        settling.enough = 1 if is_bulk else self._options.concurrency
        sender = (BulkSender if is_bulk else ProfileSender)(
            self._core, self._call_options, self._options, delivery, settling.put
        )
        writing = asyncio.create_task(settling.work())
        try:
            with suppress(Halted):
                await self._pump(settling, sender, delivery, writing)
                self.report.is_complete = True
                if settling.journal is not None and not self.report.failed:
                    end = partial(settling.journal.end, settling.run, "finished", self._core.now())
                    await settling.thread.run(end)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _begin(self, settling: Settling) -> None:
        """Open the journal, and resume what it has not finished or begin a new run."""
        options, report, now = self._options, self.report, self._core.now()
        resumable = options.rejects if isinstance(options.rejects, ResumableSink) else None
        restarts = options.unfinished is Unfinished.RESTART
        settings = {
            "api_url": self._core.config.api_url,
            "shop_id": self._core.shop.shop_id,
            "segment_id": str(options.segment_id),
        }
        journal = fingerprint = earlier = None
        if options.journal is not None:
            opened = partial(Journal, options.journal, sets_aside=restarts)
            journal = settling.journal = await settling.thread.run(opened)
            fingerprint = await self._reader.fingerprint()
            earlier = await settling.thread.run(
                lambda: journal.resume(
                    report.source, fingerprint, options.route, settings, now, restarts=restarts
                )
            )
            if earlier is None and not options.skip_unchanged:
                ended = await settling.thread.run(
                    lambda: journal.finished_at(report.source, fingerprint)
                )
                if ended is not None and abs(now - ended) < _SOON:
                    when = ended.isoformat(" ", "seconds")
                    log.warning(
                        "the same source was synced to its end at %s: it is sent again", when
                    )
            if options.skip_unchanged:
                settling.scope = f"{settings['api_url']} {settings['shop_id']}"
        self._reader.start(Plan() if earlier is None else earlier.plan, options.chunk_rows)
        if earlier is not None:
            report.route, settling.run = earlier.route, earlier.id
            report.add(earlier.tally)
            report.read = report.earlier = earlier.tally.settled
            if resumable is not None:
                await settling.thread.run(partial(resumable.resume, earlier.rejects_at))
            return
        route = report.route = await self._route()
        if journal is not None:
            held = 0 if resumable is None else resumable.position
            settling.run = await settling.thread.run(
                lambda: journal.start(
                    report.source, fingerprint, route, settings, now, rejects_at=held
                )
            )

    async def _route(self) -> Route:
        if self._options.route is not Route.AUTO:
            return self._options.route
        if self._options.segment_id is not None:
            return Route.BULK
        if self.report.total is not None and self.report.total < BULK_FROM:
            return Route.PER_PROFILE
        first, whole = await self._reader.peek(BULK_FROM)
        return choose_route(first, whole=whole)

    async def _pump(
        self, settling: Settling, sender: Sender, delivery: Delivery, writing: asyncio.Task[None]
    ) -> None:
        """Send batch after batch, some at once; end when all are settled.

        :raises SyncStopped: the rest can't be delivered.
        :raises Halted: the sync was told to end.
        """
        room = asyncio.Semaphore(sender.alive)
        sending: set[asyncio.Task[None]] = set()

        async def send(batch: Batch) -> None:
            try:
                await settling.set_aside(batch)
                if len(batch):
                    await sender.send(batch)
            except BaseException:
                delivery.halt()
                raise
            finally:
                room.release()

        async def read() -> None:
            async for batch in self._batches(settling, sender, room):
                sending.add(asyncio.create_task(send(batch)))
                del batch  # or it would stay alive beside the next two

        reading = asyncio.create_task(read())
        halted = asyncio.create_task(delivery.halted.wait())
        try:
            # Until all is read, or something is wrong, or the sync is told to end.
            await asyncio.wait([reading, halted, writing], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
            ends = [
                *await asyncio.gather(reading, return_exceptions=True),
                *await asyncio.gather(*sending, return_exceptions=True),
            ]
        finally:
            for task in (reading, halted, *sending):
                task.cancel()
            await asyncio.gather(reading, halted, *sending, return_exceptions=True)
        errors = [end for end in ends if isinstance(end, Exception)]
        for error in sorted(errors, key=lambda error: isinstance(error, Halted)):
            raise error
        if writing.done():
            await writing
        if delivery.halted.is_set():
            raise Halted

    async def _batches(
        self, settling: Settling, sender: Sender, room: asyncio.Semaphore
    ) -> AsyncIterator[Batch]:
        """Read and pack; a batch ends with its chunk, when it is full, or with its slice."""
        route = Route.BULK if isinstance(sender, BulkSender) else Route.PER_PROFILE
        in_thread = self._thread.run
        batch: Batch | None = None
        while (rows := await self._reader.next()) is not None:
            left = await in_thread(partial(_admit, rows.outcomes, route, sender.largest_record))
            while left:
                if batch is None:
                    await room.acquire()
                    chunk: Chunk = rows.chunk or await settling.begin(left[0][0].row)
                    batch = Batch(chunk, settling.salt, sender.envelope)
                fits = len(left)
                if rows.chunk is None:
                    # At least one, even if the service takes less than the options say.
                    fits = batch.fitting(left, sender.most_bytes) or not batch.total
                if fits:
                    now = left[:fits]
                    unchanged = await settling.unchanged(batch, now)
                    self.report.read += await in_thread(partial(batch.add, now, unchanged))
                    left = left[fits:]
                is_whole = rows.ends_chunk if rows.chunk else route is Route.PER_PROFILE
                if left or is_whole:
                    await in_thread(batch.seal)
                    yield batch
                    batch = None
        if batch is not None:
            await in_thread(batch.seal)
            yield batch


def _admit(outcomes: Iterable[Record | Rejected], route: Route, largest: int) -> list[Admitted]:
    return [admitted(outcome, route, largest) for outcome in outcomes]


class Settling:
    """Rejected rows are durable before the journal counts them, the journal before the report.

    Settlements are written in groups: while one commit is made durable, the next group gathers.

    :ivar scope: whose profiles are written, for telling what is unchanged; None sends everything.
    :ivar enough: how many settlements a group need not wait beyond.
    """

    def __init__(
        self, report: Report, results: Results, options: SyncOptions, delivery: Delivery
    ) -> None:
        self._report = report
        self._delivery = delivery
        self._results = results
        self._rejects = options.rejects
        # What, besides its fields, makes the same record another one.
        self._wording = str(options.segment_id or "").encode()
        self.thread = OneThread("personaclick-sync-write")
        self.journal: Journal | None = None
        self.run = 0
        self.scope: str | None = None
        self.enough = 1
        self._number = 0
        self._group = Group()
        self._news = asyncio.Event()
        self._full = asyncio.Event()

    @property
    def salt(self) -> bytes | None:
        """The key of all hashes; None without a journal, as then nothing is ever compared."""
        return None if self.journal is None else self.journal.salt

    async def begin(self, first_row: int) -> Chunk:
        """Open a chunk that begins at a row."""
        if self.journal is None:
            self._number += 1
        else:
            self._number = await self.thread.run(partial(self.journal.begin, self.run, first_row))
        return Chunk(id=self._number, first_row=first_row)

    async def unchanged(self, batch: Batch, rows: list[Admitted]) -> frozenset[int]:
        """Return the positions of the next records that need not be sent; note the others."""
        if self.journal is None or self.scope is None:
            return frozenset()
        asked = {
            position: (outcome.identifiers, self._wording + content)
            for position, (outcome, content) in enumerate(rows, batch.total)
            if isinstance(outcome, Record) and position not in batch.chunk.settled
        }
        sent = await self.thread.run(
            partial(self.journal.mark_changed, batch.chunk.id, self.scope, asked)
        )
        return frozenset(asked.keys() - sent)

    async def set_aside(self, batch: Batch) -> None:
        """Settle what needs no sending. Makes the chunk durable before it is sent."""
        rejected, unchanged, incomplete = batch.rejected, batch.unchanged, batch.incomplete
        settlement = Settlement(
            chunk=batch.chunk,
            positions=batch.aside,
            results=[*rejected, *map(Unchanged, unchanged)],
            tally=Tally(
                rejected=len(rejected), unchanged=len(unchanged), incomplete=len(incomplete)
            ),
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
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_SECONDS):
                        await self._full.wait()
            self._news.clear()
            group, self._group = self._group, Group()
            try:
                await self._settle(group.settlements)
            except BaseException as error:
                self._delivery.halt()
                # Also for what came meanwhile, and for what is still to come.
                group.error = self._group.error = error
                self._group.done.set()
                raise
            finally:
                group.done.set()

    async def _settle(self, settled: list[Settlement]) -> None:
        if self.journal is not None or any(one.faulty for one in settled):
            await self.thread.run(partial(self._write, settled))
        for one in settled:
            self._report.add(one.tally)
        await self._results.put(chain.from_iterable(one.results for one in settled))

    def _write(self, settled: list[Settlement]) -> None:
        position = None
        faulty = [row for one in settled for row in one.faulty]
        if faulty and self._rejects is not None:
            self._rejects.append(faulty)
            self._rejects.flush()
            position = self._rejects.position if isinstance(self._rejects, ResumableSink) else None
        if self.journal is None:
            return
        total = Tally()
        for one in settled:
            one.chunk.settled.add(one.positions)
            total.add(one.tally)
        if self.scope is not None:
            # The service never got their content, or never will in this form.
            refused = [row.source_row for row in faulty if isinstance(row, Refused)]
            self.journal.forget(self.scope, chain.from_iterable(map(identifiers_of, refused)))
        chunks = {one.chunk.id: one.chunk for one in settled}
        self.journal.save(self.run, chunks.values(), total, position)

    async def close(self) -> None:
        """Close the journal, after what was given to the thread."""
        if self.journal is not None:
            await self.thread.run(self.journal.close)
        self.thread.close()
