"""The per-profile route: one ``profile/set`` per record, many at once, each person's in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.errors import PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.names import IDENTIFIERS
from personaclick_async.protocol import requests
from personaclick_async.sync.batch import Batch, Settlement
from personaclick_async.sync.delivery import Delivery, Verdict, describe, judge, refusal
from personaclick_async.sync.records import identifiers_of
from personaclick_async.sync.report import Delivered, Failed

_SENT: Final = {"sent": 1}
_REFUSED: Final = {"rejected": 1}
_FAILED: Final = {"failed": 1}


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

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._concurrency = delivery.options.concurrency
        self._slots = asyncio.Semaphore(self._concurrency)
        self._spare = self._concurrency - 1
        self._new_future = asyncio.get_running_loop().create_future
        self._latest: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._failed: set[tuple[str, str]] = set()

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each."""
        indexes = iter(range(len(batch)))
        count = min(self._concurrency, len(batch))
        await asyncio.gather(*[self._work(batch, indexes) for _ in range(count)])

    async def _work(self, batch: Batch, indexes: Iterator[int]) -> None:
        """Send record after record; each is settled while the next is in flight."""
        await self._slots.acquire()
        before = None
        with self._delivery.halting():
            try:
                for index in indexes:
                    settled = self._delivery.settle(await self._deliver(batch, index))
                    if before is not None:
                        await before
                    before = settled
            finally:
                if before is not None:
                    await before
        if self._delivery.lacks_files and self._spare:
            # There are no files for so many requests: later batches have one worker less.
            self._delivery.lacks_files = False
            self._spare -= 1
        else:
            self._slots.release()

    async def _deliver(self, batch: Batch, index: int) -> Settlement:
        """Deliver a record, after the earlier ones of the same person."""
        chunk, position, fields = batch.chunk, batch.going[index], batch.record(index)
        row = batch.rows[position]
        identifiers = identifiers_of(fields)
        # Workers take the records in order, so that one only waits for what another has begun.
        earlier = [self._latest[one] for one in identifiers if one in self._latest]
        is_done = self._new_future()
        self._latest.update(dict.fromkeys(identifiers, is_done))
        try:
            if earlier:
                await asyncio.wait(earlier)
            if not self._failed.isdisjoint(identifiers):
                # Were it sent now, the next run would put the older record on top of it.
                failed = Failed(row, "an earlier record of the same person has failed")
                return Settlement(chunk, (), (failed,), _FAILED)
            error = await self._send(fields)
            if error is None:
                return Settlement(chunk, (position,), (Delivered(row),), _SENT)
            if judge(error)[0] is Verdict.WAIT:
                self._failed.update(identifiers)
                return Settlement(chunk, (), (Failed(row, describe(error)),), _FAILED)
            refused = (refusal(row, fields, error),)
            return Settlement(chunk, (position,), refused, _REFUSED, refused)
        finally:
            is_done.set_result(None)
            for one in identifiers:
                if self._latest.get(one) is is_done:
                    del self._latest[one]

    async def _send(self, fields: dict[str, Json]) -> PersonaClickError | None:
        delivery = self._delivery
        call = requests.set_named_profile(delivery.core.shop, fields, stream=delivery.stream)
        names = [
            Identity(kind, str(value))
            for kind in IDENTIFIERS
            if (value := fields.get(kind)) is not None
        ]
        return await delivery.send(call, names)
