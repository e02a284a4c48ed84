"""Senders: a batch goes out as one import, or as one ``profile/set`` per record."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import attrs

from personaclick_async.errors import PayloadTooLarge, PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.protocol import requests
from personaclick_async.sync.batch import Batch, Settlement
from personaclick_async.sync.delivery import Delivery, Verdict, describe, in_full, judge
from personaclick_async.sync.records import Fault, Refused, identifiers_of
from personaclick_async.sync.report import Delivered, Failed, Queued

# The slowest upload that is waited for, 1 Mbit/s: 32 MB take 268 s, far beyond the usual timeout.
_SLOWEST_BYTES_PER_SECOND: Final = 125_000
_USUAL_SECRET: Final = "0" * 32

Settle: TypeAlias = Callable[[Settlement], asyncio.Event]
"""Queues a settlement for writing; the event is set when it is durable."""


def _rejection(batch: Batch, index: int, error: PersonaClickError) -> Settlement:
    """Settle a record that the service has refused when it stood alone."""
    position = batch.positions[index]
    fault = Fault("record", f"what the service takes ({in_full(error)})", "what it refused")
    refused = (Refused(batch.rows[position], (fault,), batch.record(index)),)
    return Settlement(batch.chunk, (position,), refused, {"rejected": 1}, refused)


class BulkSender:
    """Sends batches as imports, one at a time: two at once may arrive in either order."""

    most_batches: Final = 2  # one is sent while the next is read and packed

    def __init__(self, delivery: Delivery, settle: Settle) -> None:
        core, options = delivery.core, delivery.options
        self._usual_timeout = core.config.timeouts.total
        self._delivery = delivery
        self._settle = settle
        self._turn = asyncio.Lock()
        # A dry run, which sends nothing, needs no secret.
        shop = attrs.evolve(core.shop, secret=core.shop.secret or _USUAL_SECRET)
        self.envelope = requests.audience_envelope(shop, segment_id=options.segment_id)
        self._envelope_bytes = sum(map(len, self.envelope))
        self.most_bytes = options.max_chunk_bytes  # less once the service finds a body too large
        self.largest_record = self.most_bytes - self._envelope_bytes

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each."""
        async with self._turn:
            await self._bisect(batch, 0, len(batch))

    async def _bisect(self, batch: Batch, first: int, end: int, *, is_bad: bool = False) -> bool:
        """Send records in one request, or halves of them; return whether all were accepted at once.

        :param is_bad: whether they are known to be refused: the half of a refused whole whose
            other half was accepted.
        """
        is_single = end - first == 1
        if is_single or (not is_bad and batch.size(first, end) <= self.most_bytes):
            error = await self._import(batch, first, end)
            if error is None or is_single:
                return error is None
            is_bad = not isinstance(error, PayloadTooLarge)
        middle = (first + end) // 2
        is_good = await self._bisect(batch, first, middle)
        await self._bisect(batch, middle, end, is_bad=is_bad and is_good)
        return False

    async def _import(self, batch: Batch, first: int, end: int) -> PersonaClickError | None:
        """Send records in one request; settle them unless one among several may be at fault."""
        body, positions = batch.body_of(first, end), batch.positions[first:end]
        timeout = self._usual_timeout + len(body) / _SLOWEST_BYTES_PER_SECOND
        # Drops all cached profiles: naming up to 100,000 takes longer than reading a few again.
        error = await self._delivery.send(requests.import_audience(body, attempt_timeout=timeout))
        if error is None:
            results = map(Queued, map(batch.rows.__getitem__, positions))
            tally = {"sent": len(positions), "queued": len(positions)}
            await self._settle(Settlement(batch.chunk, positions, results, tally)).wait()
        elif len(positions) == 1:
            await self._settle(_rejection(batch, first, error)).wait()
        elif isinstance(error, PayloadTooLarge):
            # No later body, of this batch or another, is as large.
            self.most_bytes = (len(body) + self._envelope_bytes) // 2
        return error


class ProfileSender:
    """Sends each record of a batch as a request of its own.

    Records that share an identifier are about the same person: they keep their order, across
    batches, and are never in flight at once. After a crash, at most twice ``concurrency`` records
    are sent again.
    """

    most_batches: Final = 4
    envelope = (b"", b"")
    most_bytes = largest_record = sys.maxsize

    def __init__(self, delivery: Delivery, settle: Settle) -> None:
        self._delivery = delivery
        self._settle = settle
        self._slots = asyncio.Semaphore(delivery.options.concurrency)
        self._spare = delivery.options.concurrency - 1
        self._new_future = asyncio.get_running_loop().create_future
        self._latest: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._failed: set[tuple[str, str]] = set()

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each."""
        indexes = iter(range(len(batch)))
        workers = min(self._delivery.options.concurrency, len(batch))
        await asyncio.gather(*[self._work(batch, indexes) for _ in range(workers)])

    async def _work(self, batch: Batch, indexes: Iterator[int]) -> None:
        """Send record after record; each is settled while the next is in flight."""
        await self._slots.acquire()
        before = asyncio.Event()
        before.set()
        try:
            # Halts at once: no newer record of the same person may be sent after an error.
            with self._delivery.halting():
                for index in indexes:
                    settled = self._settle(await self._deliver(batch, index))
                    await before.wait()
                    before = settled
        finally:
            await before.wait()
        if self._delivery.lacks_files and self._spare:
            # Too few open files for so many requests: keep the slot, so that one less runs.
            self._delivery.lacks_files = False
            self._spare -= 1
        else:
            self._slots.release()

    async def _deliver(self, batch: Batch, index: int) -> Settlement:
        """Deliver a record after earlier ones of the same person."""
        chunk, position, fields = batch.chunk, batch.positions[index], batch.record(index)
        row = batch.rows[position]
        identifiers = identifiers_of(fields)
        # Workers take the records in order, so that one only waits for what another has begun.
        earlier, is_done = [], self._new_future()
        for one in identifiers:
            if one in self._latest:
                earlier.append(self._latest[one])
            self._latest[one] = is_done
        try:
            if earlier:
                await asyncio.wait(earlier)
            if not self._failed.isdisjoint(identifiers):
                # If it were sent now, the next run would overwrite it with the older record.
                self._failed.update(identifiers)
                failed = Failed(row, "an earlier record of the same person has failed")
                return Settlement(chunk, (), (failed,), {"failed": 1})
            names = [Identity(kind, str(fields[kind])) for kind, _ in identifiers]
            shop, stream = self._delivery.core.shop, self._delivery.stream
            call = requests.set_named_profile(shop, fields, stream=stream)
            error = await self._delivery.send(call, names)
            if error is None:
                return Settlement(chunk, (position,), (Delivered(row),), {"sent": 1})
            if judge(error)[0] is Verdict.WAIT:
                self._failed.update(identifiers)
                return Settlement(chunk, (), (Failed(row, describe(error)),), {"failed": 1})
            return _rejection(batch, index, error)
        finally:
            is_done.set_result(None)
            for one in identifiers:
                if self._latest.get(one) is is_done:
                    del self._latest[one]
