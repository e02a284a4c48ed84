"""What a running sync writes down: journal, reject sink, report and results, kept in step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

import attrs

from personaclick_async.sync.batch import Batch, Chunk, Encoded
from personaclick_async.sync.journal import Journal
from personaclick_async.sync.options import RejectSink, ResumableSink
from personaclick_async.sync.reading import OneThread
from personaclick_async.sync.records import FaultyRow, Omitted, Record, Rejected, identifiers_of
from personaclick_async.sync.report import Report, Result, Tally

_GATHER_SECONDS: Final = 0.005
_BATCHES_OF_RESULTS: Final = 8


@attrs.define(eq=False, kw_only=True)
class Settlement:
    """Rows of one chunk whose outcome is known.

    :ivar positions: theirs in the chunk; of failed ones none, so that the next run tries again.
    :ivar results: one for each row, for the caller who iterates; may be lazy.
    :ivar rejected: rows for the reject sink.
    :ivar refused: those of them that the service refused, so that it never got their content.
    :ivar incomplete: what records are sent without, for the reject sink.
    """

    chunk: Chunk
    positions: Sequence[int]
    results: Iterable[Result]
    tally: Tally
    rejected: Sequence[Rejected] = ()
    refused: Sequence[Rejected] = ()
    incomplete: Sequence[Omitted] = ()
    failed: int = 0


@attrs.define(eq=False)
class Group:
    """Settlements that become durable with one commit."""

    settlements: list[Settlement] = attrs.field(factory=list)
    done: asyncio.Event = attrs.field(factory=asyncio.Event)
    error: BaseException | None = None

    async def settled(self) -> None:
        """Return once the settlements are durable and counted.

        :raises JournalFailed: that was not possible; none of them counts.
        """
        await self.done.wait()
        if self.error is not None:
            raise self.error


class Results:
    """A bounded queue of results: a slow reader slows the sync down, nothing piles up."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[Iterable[Result] | None] = asyncio.Queue(_BATCHES_OF_RESULTS)
        self._is_closed = False

    async def put(self, batch: Iterable[Result]) -> None:
        """Hand results on; once nobody reads any more, they are dropped."""
        if not self._is_closed:
            await self._batches.put(batch)

    async def end(self) -> None:
        """Say that nothing more will come."""
        if not self._is_closed:
            await self._batches.put(None)

    def close(self) -> None:
        """Let whoever waits to put something go on, and let the reader come to the end."""
        self._is_closed = True
        while not self._batches.empty():
            self._batches.get_nowait()
        self._batches.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Result]:
        while (batch := await self._batches.get()) is not None:
            for result in batch:
                yield result


@attrs.define(eq=False, kw_only=True)
class Settling:
    """Rejected rows are durable before the journal counts them, the journal before the report.

    Settlements are written in groups: while one commit is made durable, the next group gathers.

    :ivar scope: whose profiles are written, for telling what is unchanged; None sends everything.
    :ivar wording: what, besides its fields, makes the same record another one (the segment).
    :ivar enough: how many settlements a group need not wait beyond.
    """

    report: Report
    results: Results
    thread: OneThread
    rejects: RejectSink | None
    wording: bytes
    journal: Journal | None = None
    run: int = 0
    scope: str | None = None
    enough: int = 1
    _number: int = attrs.field(default=0, init=False)
    _group: Group = attrs.field(factory=Group, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _full: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    @property
    def salt(self) -> bytes | None:
        """The key of all hashes; None without a journal, as then nothing is ever compared."""
        return None if self.journal is None else self.journal.salt

    async def begin(self, first_row: int) -> Chunk:
        """Open a chunk that begins at a row."""
        journal = self.journal
        if journal is None:
            self._number += 1
            return Chunk(id=self._number, first_row=first_row)
        number = await self.thread.run(lambda: journal.begin(self.run, first_row))
        return Chunk(id=number, first_row=first_row)

    async def unchanged(self, batch: Batch, rows: Encoded) -> frozenset[int]:
        """Return the positions of the next records that need not be sent; note the others."""
        journal, scope = self.journal, self.scope
        if journal is None or scope is None:
            return frozenset()
        asked = [
            (position, (outcome.identifiers, self.wording + content))
            for position, (outcome, content) in enumerate(
                zip(rows.outcomes, rows.contents, strict=True), batch.total
            )
            if isinstance(outcome, Record) and position not in batch.chunk.settled
        ]
        sent = await self.thread.run(
            lambda: journal.mark_changed(
                batch.chunk.id, scope, [one for _, one in asked], positions=[at for at, _ in asked]
            )
        )
        return frozenset(
            position for (position, _), is_sent in zip(asked, sent, strict=True) if not is_sent
        )

    async def settle(self, settlement: Settlement) -> None:
        """Return once the settlement is durable and counted.

        :raises JournalFailed: that was not possible; it does not count.
        """
        await self.put(settlement).settled()

    def put(self, settlement: Settlement) -> Group:
        """Have a settlement written; return the group with which it becomes durable."""
        group = self._group
        group.settlements.append(settlement)
        self._news.set()
        if len(group.settlements) >= self.enough:
            self._full.set()
        return group

    async def work(self) -> None:
        """Write groups down until cancelled, or until that fails."""
        while True:
            await self._news.wait()
            self._full.clear()
            if self.journal is not None and len(self._group.settlements) < self.enough:
                # Not for long: a commit for each row would cost half the speed.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_SECONDS):
                        await self._full.wait()
            self._news.clear()
            group, self._group = self._group, Group()
            try:
                await self._settle(group.settlements)
            except BaseException as error:
                # Also for what came meanwhile, and for what is still to come.
                group.error = self._group.error = error
                self._group.done.set()
                raise
            finally:
                group.done.set()

    async def _settle(self, settled: list[Settlement]) -> None:
        if self.journal is not None or (
            self.rejects is not None and any(one.rejected or one.incomplete for one in settled)
        ):
            await self.thread.run(lambda: self._write(settled))
        for one in settled:
            self.report.add(one.tally)
            self.report.failed += one.failed
        await self.results.put(chain.from_iterable(one.results for one in settled))

    def _write(self, settled: list[Settlement]) -> None:
        position = None
        aside: list[FaultyRow] = [
            row for one in settled for row in (*one.rejected, *one.incomplete)
        ]
        if aside and self.rejects is not None:
            self.rejects.append(aside)
            self.rejects.flush()
            position = self.rejects.position if isinstance(self.rejects, ResumableSink) else None
        if self.journal is None:
            return
        total = Tally()
        for one in settled:
            one.chunk.settled.add(one.positions)
            total.add(one.tally)
        refused = [row.source_row for one in settled for row in one.refused]
        if self.scope is not None and refused:
            identifiers = [one for row in refused for one in identifiers_of(row)]
            self.journal.forget(self.scope, identifiers)
        chunks = {one.chunk.id: one.chunk for one in settled}
        self.journal.save(self.run, chunks.values(), total, position)
