"""The bulk route: packing chunks and delivering them, one after the other.

One chunk is under way at a time. The service applies imports in the order in which they come,
and two requests at once may arrive in either; so this is what keeps the records of one person in
order. It costs nothing: one sender fills the documented 40 requests a minute. While a chunk is
under way the next is read, checked and packed on a thread; never more than two are alive.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import attrs

from personaclick_async.calls.audience import import_audience
from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions
from personaclick_async.errors import PayloadTooLarge, PersonaClickError
from personaclick_async.protocol.requests import audience_envelope
from personaclick_async.sync.bisection import Bisection, Part
from personaclick_async.sync.chunks import Chunk, Slice
from personaclick_async.sync.delivery import Delivery, Halted
from personaclick_async.sync.errors import SyncStopped
from personaclick_async.sync.intake import Intake
from personaclick_async.sync.journal import Tally
from personaclick_async.sync.ledger import Ledger, Settlement
from personaclick_async.sync.options import Route, SyncOptions
from personaclick_async.sync.outbox import Outbox
from personaclick_async.sync.packing import Encoded, Envelope, Filling, Packed, encode
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.report import Queued, Unchanged
from personaclick_async.sync.routes import refusal
from personaclick_async.sync.threads import OneThread

_ALIVE: Final = 2


@attrs.frozen
class Ready:
    """A chunk on its way from the packing to the delivery."""

    chunk: Chunk
    packed: Packed


class BulkRoute:
    """Delivers what an intake gives, as imports."""

    def __init__(
        self,
        core: Core,
        call_options: CallOptions,
        options: SyncOptions,
        *,
        intake: Intake,
        ledger: Ledger,
        delivery: Delivery,
        outbox: Outbox,
        thread: OneThread,
    ) -> None:
        self._core = core
        self._call_options = call_options
        self._intake = intake
        self._ledger = ledger
        self._delivery = delivery
        self._outbox = outbox
        self._thread = thread
        self._envelope = Envelope(*audience_envelope(core.shop, segment_id=options.segment_id))
        self._largest = options.max_chunk_bytes - self._envelope.size
        self._most = options.max_chunk_bytes
        self._room = asyncio.Semaphore(_ALIVE)
        self._ready: asyncio.Queue[Ready | None] = asyncio.Queue()

    async def run(self) -> None:
        """Deliver everything.

        :raises SyncStopped: the rest can't be delivered.
        :raises Halted: the sync was told to end.
        """
        packing = asyncio.create_task(self._pack())
        self._delivery.on_halt(partial(self._ready.put_nowait, None))
        try:
            while (ready := await self._ready.get()) is not None:
                await self._deliver(ready)
                del ready  # or it would stay alive beside the next two
                self._room.release()
            if self._delivery.is_halted:
                raise Halted
            await packing
        finally:
            packing.cancel()
            await asyncio.gather(packing, return_exceptions=True)

    # Packing

    async def _pack(self) -> None:
        try:
            filling: Filling | None = None
            while (rows := await self._intake.next()) is not None:
                filling = await self._take(rows, filling)
            if filling is not None:
                await self._seal(filling)
        finally:
            self._ready.put_nowait(None)

    async def _take(self, rows: Slice, filling: Filling | None) -> Filling | None:
        """Put rows into chunks; gives the one that is left open."""
        left = await self._thread.run(lambda: encode(rows.outcomes, Route.BULK, self._largest))
        while len(left):
            filling = filling or await self._begin(rows.chunk, left.outcomes[0].row)
            fitting = len(left)
            if rows.chunk is None:
                # At least one, even if the service turned out to take less than the options say.
                fitting = filling.fitting(left.contents, self._most) or not filling.rows
            await self._add(filling, left[:fitting])
            left = left[fitting:]
            if len(left):
                await self._seal(filling)
                filling = None
        if filling is not None and rows.ends_chunk:
            await self._seal(filling)
            filling = None
        return filling

    async def _begin(self, chunk: Chunk | None, first_row: int) -> Filling:
        await self._room.acquire()
        chunk = chunk or await self._ledger.begin(first_row)
        return Filling(chunk, self._envelope, self._ledger.salt)

    async def _add(self, filling: Filling, encoded: Encoded) -> None:
        if not len(encoded):
            return
        unchanged = await self._ledger.unchanged(
            filling.chunk, filling.rows, encoded.outcomes, encoded.contents
        )
        self._ledger.report.read += await self._thread.run(lambda: filling.add(encoded, unchanged))

    async def _seal(self, filling: Filling) -> None:
        packed = await self._thread.run(filling.seal)
        rejected = filling.rejected
        await self._ledger.settle(
            [
                Settlement(
                    chunk=filling.chunk,
                    positions=filling.aside,
                    tally=Tally(rejected=len(rejected), unchanged=len(filling.unchanged)),
                    rejected=rejected,
                )
            ]
        )
        await self._outbox.put(rejected)
        await self._outbox.put(map(Unchanged, filling.unchanged))
        if len(packed):
            self._ready.put_nowait(Ready(filling.chunk, packed))
        else:
            self._room.release()

    # Delivering

    async def _deliver(self, ready: Ready) -> None:
        packed = ready.packed
        bisection = Bisection(
            packed.ends,
            start=len(self._envelope.head),
            most=self._most - self._envelope.size,
        )
        while (part := bisection.next()) is not None:
            begin, end = bisection.begin(part), bisection.end(part)
            body = packed.part(part, begin, end)
            error = await self._sent(body)
            if error is None:
                bisection.accepted()
                await self._queued(ready, part)
                continue
            if isinstance(error, PayloadTooLarge):
                alone = bisection.too_large()
                self._most = min(self._most, bisection.most + self._envelope.size)
            else:
                alone = bisection.refused()
            if alone is not None:
                refused = refusal(
                    packed.rows[alone],
                    packed.record(begin, end),
                    error,
                )
                await self._refused(ready, part, refused)

    async def _sent(self, body: bytes) -> PersonaClickError | None:
        try:
            await self._delivery.send(
                lambda: import_audience(self._core, self._call_options, body), len(body)
            )
        except SyncStopped:
            raise
        except PersonaClickError as error:
            return error
        return None

    async def _queued(self, ready: Ready, part: Part) -> None:
        where = slice(part.first, part.end)
        count = len(part)
        await self._ledger.settle(
            [
                Settlement(
                    chunk=ready.chunk,
                    positions=ready.packed.positions[where],
                    tally=Tally(sent=count, queued=count),
                )
            ]
        )
        self._delivery.accepted()
        await self._outbox.put(map(Queued, ready.packed.rows[where]))

    async def _refused(self, ready: Ready, part: Part, rejected: Rejected) -> None:
        await self._ledger.settle(
            [
                Settlement(
                    chunk=ready.chunk,
                    positions=ready.packed.positions[part.first : part.end],
                    tally=Tally(rejected=1),
                    rejected=[rejected],
                    refused=[rejected],
                )
            ]
        )
        await self._outbox.put([rejected])
        self._delivery.refused()
