"""Syncs on a Dask cluster whose workers send themselves, each the people of its share.

For what one sender can't do fast enough: profiles one by one, where each costs a round trip. On
the bulk route it takes a shared limit, or a service that has none. ``docs/distributed.md`` says
when it pays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, TypeVar

from personaclick_async import codec
from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.errors import PersonaClickError
from personaclick_async.integrations.dask import DaskPartitions
from personaclick_async.integrations.shares import (
    Orders,
    Share,
    ShareReport,
    add_up,
    begin_run,
    deliver_share,
    progress,
    rejected_rows,
)
from personaclick_async.names import Family
from personaclick_async.sync import Report, Route, SyncOptions, SyncRefused, SyncStopped, Unfinished
from personaclick_async.sync.engine import check_resumable
from personaclick_async.sync.exchange import find_ties, scatter, split, tie, write_ties
from personaclick_async.sync.journal import Journal
from personaclick_async.sync.spool import Spool
from personaclick_async.sync.threads import OneThread

T = TypeVar("T")

_TICK: Final[Seconds] = 0.5
_SHARES_OF_NAMES: Final = 16


class WorkersSync:
    """A data set that the workers of a cluster deliver themselves.

    ::

        partitions = DaskPartitions(cluster, "data/*.csv", mapping, spool="/shared/spool")
        report = await WorkersSync(client, partitions, shares=8).run()

    The people are divided into shares: all records in which a person is named, by whatever
    identifier and in whatever partition, go to one share and keep their order. A lost worker's
    share goes on elsewhere where it was; when this process is lost, run the same again.

    Workers have the shop's secret from ``PERSONACLICK_SHOP_SECRET`` in their own environment.

    :param client: says which shop, which service, and how patient to be.
    :param shares: how many shares, each of which one worker delivers at a time.
    :param options: as for a sync by one process; ``auto`` means per profile here, ``concurrency``
        is each worker's, and the journal only remembers that there is something unfinished (the
        workers' own are in the spool). ``skip_unchanged`` and ``dry_run`` are for one sender.
    :ivar report: the account of all workers, some tenths of a second old while they work.
    :raises SyncRefused: it can't be done as asked.
    """

    def __init__(
        self,
        client: PersonaClick,
        partitions: DaskPartitions,
        *,
        shares: int,
        options: SyncOptions | None = None,
    ) -> None:
        options = options or SyncOptions()
        if shares < 1:
            raise SyncRefused("shares: expected an int, 1 or more")
        if options.skip_unchanged or options.dry_run:
            raise SyncRefused("skip_unchanged, dry_run: only one sender can do that")
        has_limit = Family.IMPORT in client.config.limits
        if options.route is Route.BULK and has_limit and options.limit is None:
            raise SyncRefused(
                "limit: workers that send in bulk need a shared one, or together they exceed the "
                "shop's; for a service without limits, make the client with limits={}"
            )
        self.report = Report(source=partitions.name)
        self._partitions = partitions
        self._shares = shares
        self._options = options
        self._orders = Orders.of(client.config, options)
        self._settings = {
            "api_url": client.config.api_url,
            "shop_id": client.config.shop_id,
            "segment_id": str(options.segment_id),
            "shares": str(shares),
        }

    async def run(self) -> Report:
        """Run to the end and give the report.

        :raises SyncRefused: it can't begin, or not go on.
        :raises SyncStopped: a worker gave up; run it again to go on.
        :raises ClusterFailed: the cluster did not do its work.
        """
        report = self.report
        report.started_at = datetime.now(UTC)
        report.route = self._orders.route
        thread = OneThread("personaclick-workers")
        try:
            await self._run(thread)
        finally:
            report.ended_at = datetime.now(UTC)
            thread.close()
        return report

    async def _run(self, thread: OneThread) -> None:
        partitions, options = self._partitions, self._options
        surveys = await partitions.survey()
        known = [one.rows for one in surveys if one.rows is not None]
        self.report.total = sum(known) if len(known) == len(surveys) else None
        prints = [one.fingerprint for one in surveys]
        whole = [prints, self._orders.route, sorted(self._settings.items())]
        fingerprint = sha256(codec.encode(whole)).hexdigest()
        spool = Spool(partitions.spool, f"workers {fingerprint}")
        journal = None
        if options.journal is not None:
            path = options.journal
            journal = await thread.run(lambda: Journal(path))
        try:
            if journal is not None:
                run = await thread.run(lambda: self._begin(journal, fingerprint))
            if options.unfinished is Unfinished.RESTART:
                await thread.run(spool.remove)
            await thread.run(spool.make)
            await thread.run(lambda: begin_run(spool, partitions.work.id))
            parts = await self._exchange(prints, spool)
            ends = await self._deliver(parts, fingerprint, spool)
            await thread.run(lambda: self._take_rejects(spool))
            self._check(ends)
            if journal is not None and not self.report.failed:
                await thread.run(lambda: journal.end(run, "finished", datetime.now(UTC)))
        finally:
            if journal is not None:
                await thread.run(journal.close)
        if not self.report.failed:
            await thread.run(spool.remove)
        await partitions.close(is_complete=not self.report.failed)

    def _begin(self, journal: Journal, fingerprint: str) -> int:
        """Note that there is something unfinished; gives its number in the journal."""
        name, route, now = self.report.source, self._orders.route, datetime.now(UTC)
        earlier = journal.unfinished(name)
        if earlier is not None:
            if self._options.unfinished is not Unfinished.RESTART:
                check_resumable(earlier, fingerprint, route, self._settings)
                return earlier.id
            journal.end(earlier.id, "abandoned", now)
        return journal.start(name, fingerprint, route, self._settings, now)

    async def _exchange(self, prints: Sequence[str], spool: Spool) -> tuple[tuple[str, int], ...]:
        """Bring each person's records together; gives the parts with the rows before each."""
        each = enumerate(zip(self._partitions.partitions, prints, strict=True))
        arguments = [(partition, spool, index, one) for index, (partition, one) in each]
        scattered = await self._all("scatter", scatter, arguments)
        parts = [one.part for one in scattered]
        names = [(spool, parts, number, _SHARES_OF_NAMES) for number in range(_SHARES_OF_NAMES)]
        ties = [pair for found in await self._all("ties", find_ties, names) for pair in found]
        await asyncio.to_thread(lambda: write_ties(spool, tie(ties)))
        await self._all("split", split, [(spool, part, self._shares) for part in parts])
        before = [0]
        for one in scattered:
            before.append(before[-1] + one.last_row)
        return tuple(zip(parts, before, strict=False))

    async def _deliver(
        self, parts: tuple[tuple[str, int], ...], fingerprint: str, spool: Spool
    ) -> list[ShareReport]:
        arguments = [
            (
                Share(
                    run=self._partitions.work.id,
                    name=self.report.source,
                    number=number,
                    of=self._shares,
                    parts=parts,
                    fingerprint=fingerprint,
                ),
                spool,
                self._orders,
            )
            for number in range(self._shares)
        ]
        watching = asyncio.create_task(self._watch(spool))
        is_done = False
        try:
            ends = await self._all("share", deliver_share, arguments)
            is_done = True
        finally:
            watching.cancel()
            if not is_done:
                # Dask can't interrupt what a worker is at.
                await asyncio.to_thread(begin_run, spool, "")
        add_up(self.report, [end.counts for end in ends])
        return ends

    async def _all(
        self, name: str, work: Callable[..., T], arguments: Iterable[tuple[object, ...]]
    ) -> list[T]:
        async with aclosing(self._partitions.work.in_order(name, work, arguments)) as results:
            return [one async for one in results]

    async def _watch(self, spool: Spool) -> None:
        """Bring the report up to date while workers work."""
        while True:
            with suppress(PersonaClickError, ValueError):
                add_up(self.report, await asyncio.to_thread(progress, spool, self._shares))
            await asyncio.sleep(_TICK)

    def _take_rejects(self, spool: Spool) -> None:
        rejects = self._options.rejects
        if rejects is not None:
            rows = rejected_rows(spool, self._shares)
            rejects.append(sorted(rows, key=lambda one: one.row))
            rejects.flush()

    def _check(self, ends: Sequence[ShareReport]) -> None:
        stopped = next((end for end in ends if end.stopped is not None), None)
        if stopped is not None:
            raise SyncStopped(str(stopped.stopped), report=self.report, status=stopped.status)
