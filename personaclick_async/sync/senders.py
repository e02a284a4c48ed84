"""Senders: a batch goes out as one import, or as one ``profile/set`` per record."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import PayloadTooLarge, PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.protocol import requests
from personaclick_async.sync.batch import Batch, Chunk, Settlement
from personaclick_async.sync.delivery import Delivery, Verdict, describe, in_full, judge
from personaclick_async.sync.records import Fault, Refused, identifiers_of
from personaclick_async.sync.report import Delivered, Failed, Queued

# The slowest upload that is waited for, 1 Mbit/s: 32 MB take 268 s, far beyond the usual timeout.
_SLOWEST_BYTES_PER_SECOND: Final = 125_000
_USUAL_SECRET: Final = "0" * 32
# When more records wait for earlier ones of their person, no more are read until some are sent.
_MOST_WAITING: Final = 1000

Settle: TypeAlias = Callable[[Settlement], asyncio.Event]
"""Queues a settlement for writing; the event is set when it is durable."""


def _rejection(
    chunk: Chunk, position: int, row: int, fields: dict[str, Json], error: PersonaClickError
) -> Settlement:
    """Settle a record that the service has refused when it stood alone."""
    fault = Fault("record", f"what the service takes ({in_full(error)})", "what it refused")
    refused = (Refused(row, (fault,), fields),)
    return Settlement(chunk, (position,), refused, {"rejected": 1}, refused)


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

    async def send(self, batch: Batch, _: asyncio.TaskGroup) -> None:
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
        if error is None or len(positions) == 1:
            self._delivery.count(error)
        if error is None:
            results = map(Queued, map(batch.rows.__getitem__, positions))
            tally = {"sent": len(positions), "queued": len(positions)}
            await self._settle(Settlement(batch.chunk, positions, results, tally)).wait()
        elif len(positions) == 1:
            [position] = positions
            row, fields = batch.rows[position], batch.record(first)
            await self._settle(_rejection(batch.chunk, position, row, fields, error)).wait()
        elif isinstance(error, PayloadTooLarge):
            # No later body, of this batch or another, is as large.
            self.most_bytes = (len(body) + self._envelope_bytes) // 2
        return error


@attrs.frozen(eq=False)
class _Turn:
    """A record's turn, which comes when the earlier ones of its person are over."""

    earlier: list[asyncio.Future[None]]
    is_over: asyncio.Future[None]
    chunk: Chunk
    position: int
    row: int
    fields: dict[str, Json]
    identifiers: tuple[tuple[str, str], ...]


class ProfileSender:
    """Sends each record of a batch as a request of its own.

    Records that share an identifier are about the same person: they keep their order, across
    batches, and are never in flight at once. A record that waits for another one holds up no
    other person's. After a crash, at most twice ``concurrency`` records are sent again.
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
        self._waiting = 0
        self._failed: set[tuple[str, str]] = set()

    async def send(self, batch: Batch, tasks: asyncio.TaskGroup) -> None:
        """Send the batch's records and settle each; leave those that wait for others to tasks."""
        indexes = iter(range(len(batch)))
        workers = min(self._delivery.options.concurrency, len(batch))
        later: list[asyncio.Task[None]] = []

        def postpone(turn: _Turn) -> None:
            later.append(tasks.create_task(self._deliver_after_earlier(turn)))

        await asyncio.gather(*[self._work(batch, indexes, postpone) for _ in range(workers)])
        if later and self._waiting > _MOST_WAITING:
            await asyncio.wait(later)

    async def _work(
        self, batch: Batch, indexes: Iterator[int], postpone: Callable[[_Turn], None]
    ) -> None:
        """Send record after record; each is settled while the next is in flight."""
        before = asyncio.Event()
        before.set()
        async with self._slot():
            try:
                # Halts at once: no newer record of the same person may be sent after an error.
                with self._delivery.halting():
                    for index in indexes:
                        turn = self._turn(batch, index)
                        if turn.earlier:
                            postpone(turn)
                        else:
                            settled = self._settle(await self._deliver(turn))
                            await before.wait()
                            before = settled
            finally:
                await before.wait()

    async def _deliver_after_earlier(self, turn: _Turn) -> None:
        self._waiting += 1
        with self._delivery.halting():
            await asyncio.wait(turn.earlier)
            async with self._slot():
                await self._settle(await self._deliver(turn)).wait()
        self._waiting -= 1

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        await self._slots.acquire()
        try:
            yield
        finally:
            if self._delivery.lacks_files and self._spare:
                # Too few open files for so many requests: keep the slot, so that one less runs.
                self._delivery.lacks_files = False
                self._spare -= 1
            else:
                self._slots.release()

    def _turn(self, batch: Batch, index: int) -> _Turn:
        """Return a record's turn, and from now on the last one of its person."""
        position, fields = batch.positions[index], batch.record(index)
        identifiers, is_over = identifiers_of(fields), self._new_future()
        earlier = [self._latest[one] for one in identifiers if one in self._latest]
        for one in identifiers:
            self._latest[one] = is_over
        row = batch.rows[position]
        return _Turn(earlier, is_over, batch.chunk, position, row, fields, identifiers)

    async def _deliver(self, turn: _Turn) -> Settlement:
        """Deliver a record, unless an earlier one of the same person has failed."""
        chunk, position, row = turn.chunk, turn.position, turn.row
        try:
            if not self._failed.isdisjoint(turn.identifiers):
                # If it were sent now, the next run would overwrite it with the older record.
                self._failed.update(turn.identifiers)
                failed = Failed(row, "an earlier record of the same person has failed")
                return Settlement(chunk, (), (failed,), {"failed": 1})
            names = [Identity(kind, str(turn.fields[kind])) for kind, _ in turn.identifiers]
            shop, stream = self._delivery.core.shop, self._delivery.stream
            call = requests.set_named_profile(shop, turn.fields, stream=stream)
            error = await self._delivery.send(call, names)
            self._delivery.count(error)
            if error is None:
                return Settlement(chunk, (position,), (Delivered(row),), {"sent": 1})
            if judge(error)[0] is Verdict.WAIT:
                self._failed.update(turn.identifiers)
                return Settlement(chunk, (), (Failed(row, describe(error)),), {"failed": 1})
            return _rejection(chunk, position, row, turn.fields, error)
        finally:
            turn.is_over.set_result(None)
            for one in turn.identifiers:
                if self._latest.get(one) is turn.is_over:
                    del self._latest[one]
