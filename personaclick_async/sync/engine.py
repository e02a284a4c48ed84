"""A sync from its source to its report: read, journal, send, settle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeAlias

import attrs

from personaclick_async.config import CallOptions
from personaclick_async.scope import Core
from personaclick_async.sync.admission import BULK_FROM, admitted, choose_route
from personaclick_async.sync.batch import Batch, Chunk, encode
from personaclick_async.sync.bulk_sender import BulkSender
from personaclick_async.sync.delivery import Delivery, Halted
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.journal import Journal, Run
from personaclick_async.sync.options import ResumableSink, Route, SyncOptions, Unfinished
from personaclick_async.sync.profile_sender import ProfileSender
from personaclick_async.sync.reading import OneThread, Plan, Reader, Records, reader_of
from personaclick_async.sync.records import Record, Rejected
from personaclick_async.sync.report import Checked, Report, Result, Tally, Unchanged
from personaclick_async.sync.settling import Results, Settlement, Settling

Sender: TypeAlias = BulkSender | ProfileSender
"""Has one method: it gets a batch, sends its records and settles each."""

log: Final = logging.getLogger("personaclick_async")

_SOON: Final = timedelta(minutes=10)
_GRACE_SECONDS: Final = 5.0


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
        self._reading = OneThread("personaclick-sync-read")
        self._reader: Reader = reader_of(source, self._reading)
        # One attempt per call: the sync waits and repeats by itself, see Delivery.
        self._call_options = attrs.evolve(call_options, retries=0)
        self._results = Results()
        self._task: asyncio.Task[None] | None = None
        self._delivery: Delivery | None = None

    async def __aiter__(self) -> AsyncIterator[Result]:
        if self._task is not None:
            raise SyncRefused("this sync was iterated before: make another one")
        self._delivery = Delivery(
            self.report,
            self._core,
            patience=self._options.patience,
            max_refused_in_a_row=self._options.max_refused_in_a_row,
            limit=self._options.limit,
        )
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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Sync of {self.report.source or 'a source'}>"

    # The work itself, in a task of its own

    async def _work(self, delivery: Delivery) -> None:
        report, source = self.report, self._reader.slices
        report.started_at = self._core.now()
        settling = Settling(
            report=report,
            results=self._results,
            thread=OneThread("personaclick-sync-write"),
            rejects=self._options.rejects,
            wording=str(self._options.segment_id or "").encode(),
        )
        try:
            report.source = source.name
            report.total = await source.size_hint()
            if self._options.dry_run:
                await self._check(delivery)
            else:
                await self._deliver(settling, delivery)
        finally:
            report.waiting = None
            report.ended_at = self._core.now()
            await source.close()
            if settling.journal is not None:
                await settling.thread.run(settling.journal.close)
            settling.thread.close()
            await self._results.end()

    async def _check(self, delivery: Delivery) -> None:
        """Read and admit everything, as a dry run does."""
        self._reader.slices.start(Plan(), self._options.chunk_rows)
        route = self.report.route = await self._route()
        largest = self._options.max_chunk_bytes
        while not delivery.is_halted and (rows := await self._reader.next()) is not None:
            outcomes = [admitted(outcome, route, largest)[0] for outcome in rows.outcomes]
            rejected = sum(isinstance(one, Rejected) for one in outcomes)
            incomplete = sum(isinstance(one, Record) and bool(one.omitted) for one in outcomes)
            self.report.read += len(outcomes)
            self.report.add(Tally(rejected=rejected, incomplete=incomplete))
            self.report.checked += len(outcomes) - rejected
            await self._results.put(
                [one if isinstance(one, Rejected) else Checked(one.row) for one in outcomes]
            )

    async def _deliver(self, settling: Settling, delivery: Delivery) -> None:
        report, options = self.report, self._options
        self._core.shop.require_secret("sync profiles")
        await self._open(settling)
        if options.skip_unchanged:
            settling.scope = f"{self._core.config.api_url} {self._core.shop.shop_id}"
        kind = BulkSender if report.route is Route.BULK else ProfileSender
        settling.enough = 1 if kind is BulkSender else options.concurrency
        sender = kind(self._core, self._call_options, options, delivery, settling)
        writing = asyncio.create_task(settling.work())
        try:
            with suppress(Halted):
                await self._pump(settling, sender, delivery, writing)
                report.is_complete = True
                if settling.journal is not None and not report.failed:
                    journal, run, now = settling.journal, settling.run, self._core.now()
                    await settling.thread.run(lambda: journal.end(run, "finished", now))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _open(self, settling: Settling) -> None:
        """Open the journal, and resume what it has not finished or begin a new run."""
        options, report, source = self._options, self.report, self._reader.slices
        fingerprint, earlier = None, None
        if options.journal is not None:
            path, restarts = options.journal, options.unfinished is Unfinished.RESTART
            settling.journal = await settling.thread.run(lambda: Journal(path, sets_aside=restarts))
            fingerprint = await source.fingerprint()
            earlier = await self._unfinished(settling, settling.journal, fingerprint)
        source.start(Plan() if earlier is None else earlier.plan, options.chunk_rows)
        if earlier is not None:
            report.route, settling.run = earlier.route, earlier.id
            report.add(earlier.tally)
            report.read = report.earlier = earlier.tally.settled
            if isinstance(options.rejects, ResumableSink):
                await settling.thread.run(partial(options.rejects.resume, earlier.rejects_at))
            return
        route = report.route = await self._route()
        journal = settling.journal
        held = options.rejects.position if isinstance(options.rejects, ResumableSink) else 0
        if journal is not None:
            settings, now = self._settings(), self._core.now()
            settling.run = await settling.thread.run(
                lambda: journal.start(
                    report.source, fingerprint, route, settings, now, rejects_at=held
                )
            )

    async def _unfinished(
        self, settling: Settling, journal: Journal, fingerprint: str | None
    ) -> Run | None:
        """Return the run that is to be resumed; end one that is to be forgotten."""
        earlier = await settling.thread.run(lambda: journal.unfinished(self.report.source))
        if earlier is None:
            ended = await settling.thread.run(
                lambda: journal.finished_at(self.report.source, fingerprint)
            )
            is_soon = ended is not None and abs(self._core.now() - ended) < _SOON
            if ended and is_soon and not self._options.skip_unchanged:
                when = ended.isoformat(" ", "seconds")
                log.warning("the same source was synced to its end at %s: it is sent again", when)
            return None
        changes = _changes(earlier, fingerprint, self._options.route, self._settings())
        if self._options.unfinished is Unfinished.RESTART or (changes and not earlier.tally.sent):
            # Nothing of it was sent, or all is to be sent again.
            number, now = earlier.id, self._core.now()
            await settling.thread.run(lambda: journal.end(number, "abandoned", now))
            return None
        if changes:
            raise SyncRefused(
                f"an earlier sync of this source has not finished, and can't be resumed: {changes}."
                " Restore what it was to resume, or send everything again with --restart"
            )
        return earlier

    def _settings(self) -> Mapping[str, str]:
        """Return the options that must not change while a sync is unfinished, but for the route."""
        return {
            "api_url": self._core.config.api_url,
            "shop_id": self._core.shop.shop_id,
            "segment_id": str(self._options.segment_id),
        }

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
                await self._set_aside(settling, batch)
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
        halted = asyncio.create_task(delivery.wait_for_halt())
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
        if delivery.is_halted:
            raise Halted

    async def _batches(
        self, settling: Settling, sender: Sender, room: asyncio.Semaphore
    ) -> AsyncIterator[Batch]:
        """Read and pack; a batch ends with its chunk, when it is full, or with its slice."""
        route = Route.BULK if isinstance(sender, BulkSender) else Route.PER_PROFILE
        batch: Batch | None = None
        while (rows := await self._reader.next()) is not None:
            left = await self._reading.run(
                partial(encode, rows.outcomes, route, sender.largest_record)
            )
            while len(left):
                if batch is None:
                    await room.acquire()
                    chunk: Chunk = rows.chunk or await settling.begin(left.outcomes[0].row)
                    batch = Batch(chunk, settling.salt, sender.envelope)
                fits = len(left)
                if rows.chunk is None:
                    # At least one, even if the service takes less than the options say.
                    fits = batch.fitting(left.contents, sender.most_bytes) or not batch.total
                if fits:
                    now = left[:fits]
                    unchanged = await settling.unchanged(batch, now)
                    self.report.read += await self._reading.run(partial(batch.add, now, unchanged))
                left = left[fits:]
                is_whole = rows.ends_chunk if rows.chunk else route is Route.PER_PROFILE
                if len(left) or is_whole:
                    await self._reading.run(batch.seal)
                    yield batch
                    batch = None
        if batch is not None:
            await self._reading.run(batch.seal)
            yield batch

    async def _set_aside(self, settling: Settling, batch: Batch) -> None:
        """Settle what needs no sending. Makes the chunk durable before it is sent."""
        rejected, unchanged = batch.rejected, batch.unchanged
        await settling.settle(
            Settlement(
                chunk=batch.chunk,
                positions=batch.aside,
                results=[*rejected, *map(Unchanged, unchanged)],
                tally=Tally(
                    rejected=len(rejected),
                    unchanged=len(unchanged),
                    incomplete=len(batch.incomplete),
                ),
                rejected=rejected,
                incomplete=batch.incomplete,
            )
        )


def _changes(
    earlier: Run, fingerprint: str | None, route: Route, settings: Mapping[str, str]
) -> str:
    """Say why an unfinished sync can't go on; empty if it can."""
    if earlier.fingerprint is None or fingerprint is None:
        return "its source has no fingerprint, so it is not known whether it has changed"
    changed = [name for name, value in settings.items() if earlier.settings.get(name) != value]
    if route not in (Route.AUTO, earlier.route):
        changed.append("route")
    if fingerprint != earlier.fingerprint:
        changed.insert(0, "the source, or how it is read")
    return f"since then, changed: {', '.join(changed)}" if changed else ""
