"""What a running sync writes down, and when it may say so."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence

import attrs

from personaclick_async.sync.chunks import Chunk
from personaclick_async.sync.journal import Journal, Tally
from personaclick_async.sync.options import RejectSink
from personaclick_async.sync.records import Outcome, Record, Rejected, identifiers_of
from personaclick_async.sync.report import Report
from personaclick_async.sync.threads import OneThread


@attrs.define(eq=False, kw_only=True)
class Settlement:
    """Rows of one chunk that have met their fate.

    :ivar refused: records that the service refused: nobody got what was in them.
    """

    chunk: Chunk
    positions: MutableSequence[int]
    tally: Tally
    rejected: list[Rejected] = attrs.field(factory=list)
    refused: list[Rejected] = attrs.field(factory=list)


@attrs.define(eq=False, kw_only=True)
class Ledger:
    """The journal, the reject sink and the report, kept in step.

    Rejected rows are durable before the journal counts them, the journal is before the report
    does, and whoever waits for :meth:`settle` may say that a record is delivered. Without a
    journal the rest is the same.

    :ivar scope: whose profiles are written, for telling what is unchanged; None sends everything.
    :ivar wording: what, besides its fields, makes the same record another one (the segment).
    """

    report: Report
    journal: Journal | None
    thread: OneThread
    run: int = 0
    rejects: RejectSink | None = None
    scope: str | None = None
    wording: bytes = b""
    _number: int = attrs.field(default=0, init=False)

    @property
    def salt(self) -> bytes | None:
        """The key of all hashes; None without a journal, as then nobody compares."""
        return None if self.journal is None else self.journal.salt

    async def begin(self, first_row: int) -> Chunk:
        """Open a chunk that begins at a row."""
        journal = self.journal
        if journal is None:
            self._number += 1
            return Chunk(id=self._number, first_row=first_row)
        number = await self.thread.run(lambda: journal.begin(self.run, first_row))
        return Chunk(id=number, first_row=first_row)

    async def unchanged(
        self, chunk: Chunk, first: int, outcomes: Sequence[Outcome], contents: Sequence[bytes]
    ) -> frozenset[int]:
        """Find the records that need not be sent; the others are noted as under way.

        :param first: the position in the chunk of the first of the outcomes.
        :returns: positions in the chunk.
        """
        journal, scope = self.journal, self.scope
        if journal is None or scope is None:
            return frozenset()
        asked = [
            (position, (outcome.identifiers, self.wording + content))
            for position, (outcome, content) in enumerate(
                zip(outcomes, contents, strict=True), first
            )
            if isinstance(outcome, Record) and position not in chunk.settled
        ]
        changed = await self.thread.run(
            lambda: journal.mark_changed(chunk.id, scope, [record for _, record in asked])
        )
        return frozenset(
            position for (position, _), sent in zip(asked, changed, strict=True) if not sent
        )

    async def settle(self, settlements: Iterable[Settlement]) -> None:
        """Write down what became of rows.

        :raises JournalFailed: that was not possible; none of it counts.
        """
        settled = list(settlements)
        if self.journal is not None or (self.rejects and any(one.rejected for one in settled)):
            await self.thread.run(lambda: self._write(settled))
        for one in settled:
            add(self.report, one.tally)

    def _write(self, settled: list[Settlement]) -> None:
        rejected = [row for one in settled for row in one.rejected]
        if rejected and self.rejects is not None:
            self.rejects.append(rejected)
            self.rejects.flush()
        if self.journal is None:
            return
        total = Tally()
        for one in settled:
            one.chunk.settled.add(one.positions)
            add(total, one.tally)
        if self.scope is not None:
            refused = [row.source_row for one in settled for row in one.refused]
            if refused:
                self.journal.forget(
                    self.scope, [one for row in refused for one in identifiers_of(row)]
                )
        chunks = {one.chunk.id: one.chunk for one in settled}
        self.journal.save(self.run, chunks.values(), total)


def add(to: Report | Tally, tally: Tally) -> None:
    """Add counts to an account."""
    to.sent += tally.sent
    to.queued += tally.queued
    to.unchanged += tally.unchanged
    to.rejected += tally.rejected
