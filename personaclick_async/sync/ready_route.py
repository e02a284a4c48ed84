"""The bulk route for chunks that are packed already: the sender of a sync on many machines.

All that makes the bulk route safe is the same: one chunk under way at a time, halves for a
service that takes less, the search for records at fault, waits, and the journal. Only the
packing was done before, elsewhere. A chunk's file is deleted when the journal has it as done.
"""

from __future__ import annotations

from contextlib import aclosing

import attrs

from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.bulk import BulkRoute, Ready
from personaclick_async.sync.chunks import Chunk, check_same
from personaclick_async.sync.delivery import Delivery
from personaclick_async.sync.intake import Intake
from personaclick_async.sync.journal import Tally
from personaclick_async.sync.ledger import Ledger, Settlement
from personaclick_async.sync.options import SyncOptions
from personaclick_async.sync.outbox import Outbox
from personaclick_async.sync.partitions import ENVELOPE_BYTES
from personaclick_async.sync.ready import ReadyFile, ReadyReader
from personaclick_async.sync.ready_chunk import ReadyChunk
from personaclick_async.sync.report import Unchanged
from personaclick_async.sync.threads import OneThread


@attrs.frozen
class _ReadyFromFile(Ready):
    file: ReadyFile


class ReadyRoute(BulkRoute):
    """Delivers the chunks that a reader finds ready."""

    def __init__(
        self,
        core: Core,
        call_options: CallOptions,
        options: SyncOptions,
        *,
        reader: ReadyReader,
        intake: Intake,
        ledger: Ledger,
        delivery: Delivery,
        outbox: Outbox,
        thread: OneThread,
    ) -> None:
        super().__init__(
            core,
            call_options,
            options,
            intake=intake,
            ledger=ledger,
            delivery=delivery,
            outbox=outbox,
            thread=thread,
        )
        self._reader = reader
        if self._envelope.size > ENVELOPE_BYTES:
            raise ConfigurationError(
                f"shop_secret: expected at most {ENVELOPE_BYTES} bytes around the records"
            )

    async def run(self) -> None:
        """Deliver everything; see :meth:`.BulkRoute.run`."""
        await super().run()
        self._reader.is_complete = True

    async def _pack(self) -> None:
        try:
            async with aclosing(self._reader.files()) as files:
                async for file in files:
                    await self._take_file(file)
        finally:
            self._ready.put_nowait(None)

    async def _take_file(self, file: ReadyFile) -> None:
        await self._room.acquire()
        found = await self._thread.run(file.read)
        chunk = file.chunk or await self._ledger.begin(file.first_row)
        digest = file.digest(self._ledger.salt)
        if chunk.digest:
            check_same(chunk, file.name.rows, digest)
        chunk.last_row, chunk.rows, chunk.digest = file.last_row, file.name.rows, digest
        unchanged = await self._unchanged(chunk, found)
        settled = chunk.settled
        done = frozenset(position for position in range(chunk.rows) if position in settled)
        packed = await self._thread.run(lambda: found.packed(self._envelope, done | unchanged))
        rejected = [(position, one) for position, one in found.rejected if position not in done]
        rows = [
            row
            for row, position in zip(found.numbers, found.positions, strict=True)
            if position in unchanged
        ]
        self._ledger.report.read += len(packed) + len(rejected) + len(rows)
        await self._ledger.settle(
            [
                Settlement(
                    chunk=chunk,
                    positions=[*(position for position, _ in rejected), *unchanged],
                    tally=Tally(rejected=len(rejected), unchanged=len(rows)),
                    rejected=[one for _, one in rejected],
                )
            ]
        )
        await self._outbox.put([one for _, one in rejected])
        await self._outbox.put(map(Unchanged, rows))
        if len(packed):
            self._ready.put_nowait(_ReadyFromFile(chunk, packed, file))
        else:
            await self._thread.run(file.remove)
            self._room.release()

    async def _unchanged(self, chunk: Chunk, found: ReadyChunk) -> frozenset[int]:
        if self._ledger.scope is None:
            return frozenset()
        outcomes, contents = await self._thread.run(found.outcomes_and_contents)
        return await self._ledger.unchanged(chunk, 0, outcomes, contents)

    async def _deliver(self, ready: Ready) -> None:
        await super()._deliver(ready)
        if isinstance(ready, _ReadyFromFile):
            await self._thread.run(ready.file.remove)
