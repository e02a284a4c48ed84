"""The per-profile route: one ``profile/set`` per record, many at once, each person's in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from personaclick_async.codec import Json
from personaclick_async.config import CallOptions
from personaclick_async.errors import PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.names import IDENTIFIERS
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.scope import Core
from personaclick_async.sync.admission import (
    Verdict,
    describe,
    is_out_of_files,
    judge,
    refusal,
)
from personaclick_async.sync.batch import Batch
from personaclick_async.sync.delivery import Delivery, Halted
from personaclick_async.sync.errors import SyncStopped
from personaclick_async.sync.options import SyncOptions
from personaclick_async.sync.records import Rejected, identifier_keys
from personaclick_async.sync.report import Delivered, Failed, Tally
from personaclick_async.sync.settling import Group, Settlement, Settling

_MOST_FAILED: Final = 1000


@attrs.define(eq=False)
class _Job:
    """A record to send, and the earlier records of the same person, which go first."""

    row: int
    position: int
    fields: dict[str, Json]
    identifiers: tuple[str, ...]
    earlier: list[_Job] = attrs.field(factory=list)
    is_done: asyncio.Event | None = None
    found_no_file: bool = False


class ProfileSender:
    """Sends each record of a batch as a request of its own.

    Records that share an identifier are about the same person: they keep their order, across
    batches, and are never in flight at once. A sent record counts as unsettled until its commit,
    and at most twice as many as there are requests at once are unsettled: no more than those are
    sent again after a crash.

    :ivar alive: how many batches exist at once.
    """

    alive: Final = 4
    envelope = (b"", b"")
    most_bytes = largest_record = sys.maxsize

    def __init__(
        self,
        core: Core,
        call_options: CallOptions,
        options: SyncOptions,
        delivery: Delivery,
        settling: Settling,
    ) -> None:
        self._core = core
        self._call_options = call_options
        self._stream = call_options.stream or core.config.stream
        self._delivery = delivery
        self._put = settling.put
        self._requests = asyncio.Semaphore(options.concurrency)
        self._concurrency = options.concurrency
        self._latest: dict[str, _Job] = {}
        self._failed_identifiers: set[str] = set()
        self._failed = 0
        self._spare = options.concurrency - 1

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each.

        :raises SyncStopped: the rest can't be delivered.
        :raises Halted: the sync ends.
        """
        jobs = iter([self._job(batch, index) for index in range(len(batch))])
        # In order, so that a worker only waits for a record that another one has begun.
        count = min(self._concurrency, len(batch))
        workers = [asyncio.create_task(self._work(batch, jobs)) for _ in range(count)]
        # Whatever happens to one, requests in flight end and are settled.
        ends = await asyncio.gather(*workers, return_exceptions=True)
        for job in jobs:
            self._end(job)
        errors = [end for end in ends if isinstance(end, BaseException)]
        for error in sorted(errors, key=lambda error: isinstance(error, Halted)):
            raise error

    def _job(self, batch: Batch, index: int) -> _Job:
        fields = batch.record(index)
        identifiers = identifier_keys(fields)
        job = _Job(batch.rows[index], batch.positions[index], fields, identifiers)
        for identifier in identifiers:
            earlier = self._latest.get(identifier)
            if earlier is not None and earlier is not job:
                earlier.is_done = earlier.is_done or asyncio.Event()
                job.earlier.append(earlier)
            self._latest[identifier] = job
        return job

    async def _work(self, batch: Batch, jobs: Iterator[_Job]) -> None:
        """Send records one after the other; each is settled while the next is in flight."""
        group: Group | None = None
        keeps_slot = False
        await self._requests.acquire()
        try:
            for job in jobs:
                before, group = group, await self._carry_out(batch, job)
                if before is not None:
                    await before.settled()
                if job.found_no_file and self._spare:
                    # There are no files for so many requests. What this worker was to send, it
                    # still sends; later batches have one worker less.
                    keeps_slot = True
        except BaseException:
            # One is enough: nothing more is sent.
            self._delivery.halt()
            raise
        finally:
            try:
                if group is not None:
                    await group.settled()
            except BaseException:
                self._delivery.halt()
                raise
            finally:
                if keeps_slot and self._spare:
                    self._spare -= 1
                else:
                    self._requests.release()

    async def _carry_out(self, batch: Batch, job: _Job) -> Group:
        try:
            for earlier in job.earlier:
                if earlier.is_done is not None:
                    await earlier.is_done.wait()
            problem = await self._problem(job)
            group = self._put(self._settlement(batch, job, problem))
            try:
                self._count(problem)
            except BaseException:
                await group.settled()
                raise
        finally:
            self._end(job)
        return group

    def _count(self, problem: Rejected | Failed | None) -> None:
        if problem is None:
            self._delivery.accepted()
            return
        self._delivery.refused()
        if self._failed > _MOST_FAILED:
            raise self._delivery.stopped(f"more than {_MOST_FAILED} records have failed")

    def _end(self, job: _Job) -> None:
        """Let later records of the same person go on."""
        for identifier in job.identifiers:
            if self._latest.get(identifier) is job:
                del self._latest[identifier]
        if job.is_done is not None:
            job.is_done.set()
        job.earlier.clear()

    async def _problem(self, job: _Job) -> Rejected | Failed | None:
        """Deliver a record; return what kept it from being delivered."""
        if not self._failed_identifiers.isdisjoint(job.identifiers):
            # Were it sent now, the next run would put the older record on top of it.
            return Failed(job.row, "an earlier record of the same person has failed")
        call = requests.set_named_profile(self._core.shop, job.fields, stream=self._stream)

        async def request() -> int:
            try:
                return await self._core.transport.send(call, self._call_options, _attempts_of)
            except PersonaClickError as error:
                job.found_no_file |= is_out_of_files(error)
                raise
            finally:
                # Also after a failure: a request without an answer may have been carried out.
                await self._core.profiles.forget(*_identities(job.fields))

        try:
            await self._delivery.send(request, len(call.body or b""))
        except SyncStopped:
            raise
        except PersonaClickError as error:
            if judge(error) is not Verdict.WAIT:
                return refusal(job.row, job.fields, error)
            self._failed_identifiers.update(job.identifiers)
            self._failed += 1
            return Failed(job.row, describe(error))
        return None

    def _settlement(self, batch: Batch, job: _Job, problem: Rejected | Failed | None) -> Settlement:
        if isinstance(problem, Failed):
            return Settlement(
                chunk=batch.chunk, positions=(), results=[problem], tally=Tally(), failed=1
            )
        rejected = () if problem is None else (problem,)
        return Settlement(
            chunk=batch.chunk,
            positions=(job.position,),
            results=[problem or Delivered(job.row)],
            tally=Tally(sent=1 - len(rejected), rejected=len(rejected)),
            rejected=rejected,
            refused=rejected,
        )


def _attempts_of(answer: Answer[None]) -> int:
    answer.parse()
    return answer.attempts


def _identities(fields: dict[str, Json]) -> Iterable[Identity]:
    """Return the names by which the user's profile may be cached."""
    return [
        Identity.checked(kind, str(value))
        for kind in IDENTIFIERS
        if (value := fields.get(kind)) is not None
    ]
