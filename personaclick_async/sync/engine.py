"""A sync from its source to its report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self

import attrs

from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions
from personaclick_async.sync.bulk import BulkRoute
from personaclick_async.sync.chunks import Plan
from personaclick_async.sync.delivery import Delivery, Halted
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.intake import Intake, Records, reader_of
from personaclick_async.sync.journal import Journal, Run, Tally
from personaclick_async.sync.ledger import Ledger, add
from personaclick_async.sync.options import Route, SyncOptions, Unfinished
from personaclick_async.sync.outbox import Outbox
from personaclick_async.sync.per_profile import PerProfileRoute
from personaclick_async.sync.ready import ReadyReader
from personaclick_async.sync.ready_route import ReadyRoute
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.report import Checked, Report, Result
from personaclick_async.sync.routes import BULK_FROM, admit, choose_route
from personaclick_async.sync.threads import OneThread

_GRACE_SECONDS: Final = 5.0


class Sync:
    """A sync that is under way: iterate over it for the fate of each record as it is known.

    ::

        async with client.sync(source, options=SyncOptions(journal="sync.db")) as sync:
            async for result in sync:
                …
        print(sync.report)

    It begins with the iteration and can be iterated once. Leaving the iteration or the block
    early, by ``break``, an exception or cancellation (Ctrl-C), sends nothing more, waits for the
    requests under way for five seconds at most, and writes down what they brought.

    :ivar report: the account, true at any moment, to be read by a progress line.
    """

    def __init__(
        self, core: Core, call_options: CallOptions, source: Records, options: SyncOptions
    ) -> None:
        self.report = Report()
        self._core = core
        self._options = options
        self._reading = OneThread("personaclick-sync-read")
        self._reader = reader_of(source, self._reading)
        # One attempt per call: the sync waits and repeats by itself, see Delivery.
        self._call_options = attrs.evolve(call_options, retries=0)
        self._outbox = Outbox()
        self._task: asyncio.Task[None] | None = None
        self._delivery: Delivery | None = None

    async def __aiter__(self) -> AsyncIterator[Result]:
        if self._task is not None:
            raise SyncRefused("this sync was iterated before: make another one")
        self._delivery = Delivery(
            self.report,
            self._core.config.retry,
            patience=self._options.patience,
            max_refused_in_a_row=self._options.max_refused_in_a_row,
            limit=self._options.limit,
            now=self._core.now,
        )
        self._task = asyncio.create_task(self._work(self._delivery))
        try:
            async for result in self._outbox:
                yield result
            # Whoever is cancelled here does not cancel the work: it is stopped in its own way.
            await asyncio.wait([self._task])
            await self._task
        finally:
            await self.stop()

    async def run(self) -> Report:
        """Run to the end and give the report.

        :raises SyncRefused: it can't begin as asked.
        :raises SyncStopped: it gave up before the end of the source.
        :raises JournalFailed: the journal can't be written.
        """
        if self._task is None:
            # Nobody will look at the results; those of an iteration under way are someone's.
            self._outbox.close()
        async for _ in self:
            pass
        return self.report

    async def stop(self) -> None:
        """End early: send nothing more, wait a little for what is under way, write it down."""
        if self._task is None or self._delivery is None:
            return
        self._outbox.close()
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
        report, options = self.report, self._options
        report.started_at = self._core.now()
        writing = OneThread("personaclick-sync-write")
        ledger = Ledger(
            report=report,
            journal=None,
            thread=writing,
            rejects=options.rejects,
            wording=str(options.segment_id or "").encode(),
        )
        try:
            report.source = self._reader.name
            report.total = await self._reader.size_hint()
            if options.dry_run:
                await self._check(delivery)
            else:
                await self._deliver(ledger, delivery)
        finally:
            report.waiting = None
            report.ended_at = self._core.now()
            await self._reader.close()
            if ledger.journal is not None:
                await writing.run(ledger.journal.close)
            writing.close()
            await self._outbox.end()

    async def _deliver(self, ledger: Ledger, delivery: Delivery) -> None:
        reader, options, report = self._reader, self._options, self.report
        self._core.shop.require_secret("sync profiles")
        fingerprint = None
        if options.journal is not None:
            path = options.journal
            ledger.journal = await ledger.thread.run(lambda: Journal(path))
            fingerprint = await reader.fingerprint()
        earlier = await self._earlier(ledger, fingerprint)
        intake = Intake(reader)
        reader.start(Plan() if earlier is None else earlier.plan, options.chunk_rows)
        if earlier is None:
            report.route = await self._route(intake)
            await self._begin(ledger, fingerprint, report.route)
        else:
            report.route, ledger.run = earlier.route, earlier.id
            add(report, earlier.tally)
            report.read = report.earlier = earlier.tally.settled
        if options.skip_unchanged:
            ledger.scope = f"{self._core.config.api_url} {self._core.shop.shop_id}"
        route = self._kind(report.route)(
            self._core,
            self._call_options,
            options,
            intake=intake,
            ledger=ledger,
            delivery=delivery,
            outbox=self._outbox,
            thread=self._reading,
        )
        with suppress(Halted):
            await route.run()
            await self._finish(ledger)

    async def _earlier(self, ledger: Ledger, fingerprint: str | None) -> Run | None:
        """Find what is to be resumed, and forget what is to be restarted."""
        journal = ledger.journal
        if journal is None:
            return None
        earlier = await ledger.thread.run(lambda: journal.unfinished(self._reader.name))
        if earlier is None:
            return None
        if self._options.unfinished is Unfinished.RESTART:
            number, now = earlier.id, self._core.now()
            await ledger.thread.run(lambda: journal.end(number, "abandoned", now))
            return None
        check_resumable(earlier, fingerprint, self._options.route, self._settings())
        return earlier

    def _settings(self) -> Mapping[str, str]:
        """Give the options that must not change while a sync is unfinished, but for the route."""
        return {
            "api_url": self._core.config.api_url,
            "shop_id": self._core.shop.shop_id,
            "segment_id": str(self._options.segment_id),
        }

    async def _begin(self, ledger: Ledger, fingerprint: str | None, route: Route) -> None:
        journal = ledger.journal
        if journal is not None:
            settings, now = self._settings(), self._core.now()
            ledger.run = await ledger.thread.run(
                lambda: journal.start(self._reader.name, fingerprint, route, settings, now)
            )

    async def _finish(self, ledger: Ledger) -> None:
        journal = ledger.journal
        if journal is not None and not self.report.failed:
            now = self._core.now()
            await ledger.thread.run(lambda: journal.end(ledger.run, "finished", now))

    def _kind(self, route: Route) -> Callable[..., BulkRoute | PerProfileRoute]:
        if isinstance(self._reader, ReadyReader):
            return partial(ReadyRoute, reader=self._reader)
        return BulkRoute if route is Route.BULK else PerProfileRoute

    async def _route(self, intake: Intake) -> Route:
        if isinstance(self._reader, ReadyReader):
            if self._options.route is Route.PER_PROFILE:
                raise SyncRefused("route: partitions are prepared for the bulk route only")
            return Route.BULK
        if self._options.route is not Route.AUTO:
            return self._options.route
        if self._options.segment_id is not None:
            return Route.BULK
        if self.report.total is not None and self.report.total < BULK_FROM:
            return Route.PER_PROFILE
        first, whole = await intake.peek(BULK_FROM)
        return choose_route(first, whole=whole)

    async def _check(self, delivery: Delivery) -> None:
        """Read and admit everything, as a dry run does."""
        intake = Intake(self._reader)
        self._reader.start(Plan(), self._options.chunk_rows)
        route = self.report.route = await self._route(intake)
        while not delivery.is_halted and (rows := await intake.next()) is not None:
            admitted = [admit(outcome, route) for outcome in rows.outcomes]
            rejected = sum(isinstance(one, Rejected) for one in admitted)
            self.report.read += len(admitted)
            add(self.report, Tally(rejected=rejected))
            self.report.checked += len(admitted) - rejected
            await self._outbox.put(
                [one if isinstance(one, Rejected) else Checked(one.row) for one in admitted]
            )


def check_resumable(
    earlier: Run, fingerprint: str | None, route: Route, settings: Mapping[str, str]
) -> None:
    """Check that an unfinished sync can go on.

    :raises SyncRefused: it can't; names what has changed.
    """
    if earlier.fingerprint is None or fingerprint is None:
        raise _not_resumable("its source has no fingerprint, so nobody can tell whether it changed")
    changed = [name for name, value in settings.items() if earlier.settings.get(name) != value]
    if route not in (Route.AUTO, earlier.route):
        changed.append("route")
    if fingerprint != earlier.fingerprint:
        changed.insert(0, "the source, or how it is read")
    if changed:
        raise _not_resumable(f"since then has changed: {', '.join(changed)}")


def _not_resumable(reason: str) -> SyncRefused:
    return SyncRefused(
        f"an earlier sync of this source has not ended, and can't be resumed: {reason}. Bring "
        "back what it was to resume, or restart it (unfinished='restart'), which sends all again"
    )
