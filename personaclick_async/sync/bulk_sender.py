"""The bulk route: a batch is an import, and one that is refused is bisected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from personaclick_async.config import CallOptions
from personaclick_async.errors import PayloadTooLarge, PersonaClickError
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.scope import Core
from personaclick_async.sync.admission import refusal
from personaclick_async.sync.batch import Batch
from personaclick_async.sync.delivery import Delivery
from personaclick_async.sync.errors import SyncStopped
from personaclick_async.sync.options import SyncOptions
from personaclick_async.sync.report import Queued, Tally
from personaclick_async.sync.settling import Settlement, Settling

# The slowest upload that is waited for, 1 Mbit/s: 32 MB take 268 s, far beyond the usual timeout.
_SLOWEST_BYTES_PER_SECOND: Final = 125_000
_ONE: Final = 1


@attrs.define
class Part:
    """Some records of a chunk, one after the other: ``first`` included, ``end`` not.

    :ivar is_bad: whether it is known without asking that it will be refused.
    :ivar twin_decides: whether it is bad if the half before it turns out to be good.
    """

    first: int
    end: int
    is_bad: bool = False
    twin_decides: bool = False

    def __len__(self) -> int:
        return self.end - self.first


class Bisection:
    """Says what to send next, from the whole chunk down to single records, in order.

    ::

        while (part := bisection.next()) is not None:
            …send it, then say: accepted(), refused(), or too_large()

    A half that follows an accepted half of a refused whole is not sent: it must be bad.

    :param ends: where each record ends, in bytes; the size of a part follows from it.
    :param start: where the first record starts.
    :param most: the bytes that a part may have; larger ones are halved without being sent. A
        single record is sent whatever its size.
    """

    def __init__(self, ends: Sequence[int], *, start: int, most: int) -> None:
        self._ends = ends
        self._start = start
        self.most = most
        self._left = [Part(0, len(ends))] if len(ends) else []
        self._part = Part(0, 0)

    def size(self, part: Part) -> int:
        """Return the bytes of a part's records with the commas between them."""
        return self._ends[part.end - 1] - self.begin(part)

    def begin(self, part: Part) -> int:
        """Return where a part's first record starts."""
        return self._ends[part.first - 1] + 1 if part.first else self._start

    def end(self, part: Part) -> int:
        """Return where a part's last record ends."""
        return self._ends[part.end - 1]

    def next(self) -> Part | None:
        """Return the part to send now; None when there is none left."""
        while self._left:
            self._part = self._left.pop()
            if len(self._part) > _ONE and (self._part.is_bad or self.size(self._part) > self.most):
                self._halve(bad=self._part.is_bad)
                continue
            return self._part
        return None

    def accepted(self) -> None:
        """Say that the service took the part."""
        if self._left and self._left[-1].twin_decides:
            self._left[-1].is_bad = True
            self._left[-1].twin_decides = False

    def refused(self) -> int | None:
        """Say that the service found the part bad; gives the record at fault once it is alone."""
        self._forget_twin()
        if len(self._part) == _ONE:
            return self._part.first
        self._halve(bad=True)
        return None

    def too_large(self) -> int | None:
        """Say that the part is too large for the service; gives the record if it is alone.

        No later part will be as large.
        """
        self._forget_twin()
        if len(self._part) == _ONE:
            return self._part.first
        self.most = min(self.most, self.size(self._part) // 2)
        self._halve(bad=False)
        return None

    def _forget_twin(self) -> None:
        if self._left and self._left[-1].twin_decides:
            self._left[-1].twin_decides = False

    def _halve(self, *, bad: bool) -> None:
        """Split the part in two."""
        part = self._part
        self._forget_twin()
        middle = (part.first + part.end) // 2
        self._left.append(Part(middle, part.end, twin_decides=bad))
        self._left.append(Part(part.first, middle))


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
        settling: Settling,
    ) -> None:
        self._core = core
        self._call_options = call_options
        self._delivery = delivery
        self._settle = settling.settle
        self._turn = asyncio.Lock()
        self.envelope = requests.audience_envelope(core.shop, segment_id=options.segment_id)
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
        request = partial(self._import, body)
        try:
            await self._delivery.send(request, len(body))
        except SyncStopped:
            raise
        except PersonaClickError as error:
            return error
        return None

    async def _import(self, body: bytes) -> None:
        usual = self._core.config.timeouts.total
        call = requests.import_audience(
            body, attempt_timeout=usual + len(body) / _SLOWEST_BYTES_PER_SECOND
        )
        try:
            await self._core.transport.send(call, self._call_options, Answer.parse)
        finally:
            # All of them: to name each of some 100,000 would take longer than to read a few again.
            self._core.profiles.clear()

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
