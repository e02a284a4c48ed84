"""The bulk route: a batch is an import, and one that is refused is bisected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from personaclick_async.calls.audience import import_audience
from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions
from personaclick_async.errors import PayloadTooLarge, PersonaClickError
from personaclick_async.protocol.requests import audience_envelope
from personaclick_async.sync.admission import refusal
from personaclick_async.sync.batch import Batch
from personaclick_async.sync.bisection import Bisection
from personaclick_async.sync.delivery import Delivery
from personaclick_async.sync.errors import SyncStopped
from personaclick_async.sync.options import SyncOptions
from personaclick_async.sync.report import Queued, Tally
from personaclick_async.sync.settling import Settlement

Settle = Callable[[Settlement], Awaitable[None]]


class BulkSender:
    """Sends batches as imports, one after the other.

    The service applies imports in the order in which they come, and two requests at once may
    arrive in either: sending one at a time keeps the records of one person in order. One sender
    fills the documented 40 requests a minute all the same.

    :ivar alive: how many batches exist at once: one is sent while the next is read and packed.
    """

    alive: Final = 2

    def __init__(
        self,
        core: Core,
        call_options: CallOptions,
        options: SyncOptions,
        delivery: Delivery,
        settle: Settle,
    ) -> None:
        self._core = core
        self._call_options = call_options
        self._delivery = delivery
        self._settle = settle
        self._turn = asyncio.Lock()
        self.envelope = audience_envelope(core.shop, segment_id=options.segment_id)
        self.most_bytes = options.max_chunk_bytes
        self.largest_record = options.max_chunk_bytes - sum(map(len, self.envelope))

    async def send(self, batch: Batch) -> None:
        """Send the batch's records and settle each.

        :raises SyncStopped: the rest can't be delivered.
        :raises Halted: the sync ends.
        """
        async with self._turn:
            bisection = Bisection(
                batch.ends,
                start=len(self.envelope[0]),
                most=self.most_bytes - sum(map(len, self.envelope)),
            )
            while (part := bisection.next()) is not None:
                body = batch.body_of(part.first, part.end)
                error = await self._sent(body)
                if error is None:
                    bisection.accepted()
                    await self._queued(batch, slice(part.first, part.end))
                    self._delivery.accepted()
                    continue
                if isinstance(error, PayloadTooLarge):
                    alone = bisection.too_large()
                    # Later batches are made no larger.
                    limit = bisection.most + sum(map(len, self.envelope))
                    self.most_bytes = min(self.most_bytes, limit)
                else:
                    alone = bisection.refused()
                if alone is not None:
                    await self._refused(batch, alone, error)
                    self._delivery.refused()

    async def _sent(self, body: bytes) -> PersonaClickError | None:
        request = partial(import_audience, self._core, self._call_options, body)
        try:
            await self._delivery.send(request, len(body))
        except SyncStopped:
            raise
        except PersonaClickError as error:
            return error
        return None

    async def _queued(self, batch: Batch, where: slice) -> None:
        rows = batch.rows[where]
        await self._settle(
            Settlement(
                chunk=batch.chunk,
                positions=batch.positions[where],
                results=map(Queued, rows),
                tally=Tally(sent=len(rows), queued=len(rows)),
            )
        )

    async def _refused(self, batch: Batch, index: int, error: PersonaClickError) -> None:
        rejected = [refusal(batch.rows[index], batch.record(index), error)]
        await self._settle(
            Settlement(
                chunk=batch.chunk,
                positions=batch.positions[index : index + 1],
                results=rejected,
                tally=Tally(rejected=1),
                rejected=rejected,
                refused=rejected,
            )
        )
