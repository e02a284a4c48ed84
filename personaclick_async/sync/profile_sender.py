"""The per-profile route: one ``profile/set`` per record, many at once, each person's in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.names import IDENTIFIERS
from personaclick_async.protocol import requests
from personaclick_async.sync.batch import Batch, Group, Settlement
from personaclick_async.sync.delivery import (
    Delivery,
    Verdict,
    describe,
    judge,
    raise_first,
    refusal,
)
from personaclick_async.sync.records import Refused, identifiers_of
from personaclick_async.sync.report import Delivered, Failed, Tally

_MOST_FAILED: Final = 1000
_COUNTED: Final[Mapping[type, Tally]] = {
    Delivered: {"sent": 1},
    Refused: {"rejected": 1},
    Failed: {"failed": 1},
}


@attrs.define(eq=False)
class _Job:
    """A record to send, once the earlier ones of the same person are done."""

    row: int
    position: int
    fields: dict[str, Json]
    identifiers: tuple[tuple[str, str], ...]
    earlier: list[asyncio.Event] = attrs.field(factory=list)
    is_done: asyncio.Event | None = None


class ProfileSender:
    """Sends each record of a batch as a request of its own.

    Records that share an identifier are about the same person: they keep their order, across
    batches, and are never in flight at once. At most twice as many as there are requests at once
    are sent and not yet committed: no more than those are sent again after a crash.

    :ivar alive: how many batches exist at once.
    """

    alive: Final = 4
    envelope = (b"", b"")
    most_bytes = largest_record = sys.maxsize

    def __init__(self, delivery: Delivery, settle: Callable[[Settlement], Group]) -> None:
        self._delivery = delivery
        self._settle = settle
        self._concurrency = delivery.options.concurrency
        self._slots = asyncio.Semaphore(self._concurrency)
        self._spare = self._concurrency - 1
        self._latest: dict[tuple[str, str], _Job] = {}
        self._failed_identifiers: set[tuple[str, str]] = set()
        self._failed = 0

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each."""
        jobs = iter([self._job(batch, index) for index in range(len(batch))])
        # In order, so that a worker only waits for a record that another one has begun.
        workers = [self._work(batch, jobs) for _ in range(min(self._concurrency, len(batch)))]
        # Whatever happens to one, requests in flight end and are settled.
        ends = await asyncio.gather(*workers, return_exceptions=True)
        for job in jobs:
            self._end(job)
        raise_first(ends)

    def _job(self, batch: Batch, index: int) -> _Job:
        fields = batch.record(index)
        job = _Job(batch.rows[index], batch.positions[index], fields, identifiers_of(fields))
        for identifier in job.identifiers:
            earlier = self._latest.get(identifier)
            if earlier is not None:
                earlier.is_done = earlier.is_done or asyncio.Event()
                job.earlier.append(earlier.is_done)
            self._latest[identifier] = job
        return job

    def _end(self, job: _Job) -> None:
        """Let later records of the same person go on."""
        for identifier in job.identifiers:
            if self._latest.get(identifier) is job:
                del self._latest[identifier]
        if job.is_done is not None:
            job.is_done.set()

    async def _work(self, batch: Batch, jobs: Iterator[_Job]) -> None:
        """Send records one after the other; each is settled while the next is in flight."""
        before: Group | None = None
        await self._slots.acquire()
        try:
            for job in jobs:
                settlement = await self._deliver(batch, job)
                group = self._settle(settlement)
                if before is not None:
                    await before.settled()
                before = group
                if "sent" in settlement.tally:
                    self._delivery.accepted()
                    continue
                self._delivery.refused()
                if self._failed > _MOST_FAILED:
                    raise self._delivery.stopped(f"more than {_MOST_FAILED} records have failed")
        finally:
            try:
                if before is not None:
                    await before.settled()
            finally:
                if self._delivery.lacks_files and self._spare:
                    # There are no files for so many requests: later batches have one worker less.
                    self._delivery.lacks_files = False
                    self._spare -= 1
                else:
                    self._slots.release()

    async def _deliver(self, batch: Batch, job: _Job) -> Settlement:
        """Deliver a record, after the earlier ones of the same person."""
        result: Delivered | Refused | Failed = Delivered(job.row)
        try:
            for is_done in job.earlier:
                await is_done.wait()
            if not self._failed_identifiers.isdisjoint(job.identifiers):
                # Were it sent now, the next run would put the older record on top of it.
                result = Failed(job.row, "an earlier record of the same person has failed")
            elif (error := await self._send(job)) is not None:
                if judge(error)[0] is Verdict.WAIT:
                    result = Failed(job.row, describe(error))
                    self._failed_identifiers.update(job.identifiers)
                    self._failed += 1
                else:
                    result = refusal(job.row, job.fields, error)
        finally:
            self._end(job)
        return Settlement(
            chunk=batch.chunk,
            positions=() if isinstance(result, Failed) else (job.position,),
            results=(result,),
            tally=_COUNTED[type(result)],
            faulty=(result,) if isinstance(result, Refused) else (),
        )

    async def _send(self, job: _Job) -> PersonaClickError | None:
        shop, stream = self._delivery.core.shop, self._delivery.stream
        call = requests.set_named_profile(shop, job.fields, stream=stream)
        names = [
            Identity(kind, str(value))
            for kind in IDENTIFIERS
            if (value := job.fields.get(kind)) is not None
        ]
        return await self._delivery.send(call, names)
