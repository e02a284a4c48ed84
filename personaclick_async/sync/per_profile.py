"""The per-profile route: one ``profile/set`` per record, many at once.

A fixed number of workers take records from lanes, so that the records of one person go one after
the other. Answers are written down in groups: while one commit is being made durable, the next
gathers. A record that was sent counts as under way until its commit, and at most twice as many
records as there are workers are under way: no more than those are sent again after a crash.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

import attrs

from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions
from personaclick_async.errors import PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.names import IDENTIFIERS
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.sync.chunks import Chunk, seal
from personaclick_async.sync.delivery import Delivery, Halted
from personaclick_async.sync.errors import SyncStopped
from personaclick_async.sync.intake import Intake
from personaclick_async.sync.journal import Tally
from personaclick_async.sync.ledger import Ledger, Settlement
from personaclick_async.sync.options import Route, SyncOptions
from personaclick_async.sync.order import Lanes, Work
from personaclick_async.sync.outbox import Outbox
from personaclick_async.sync.packing import Encoded, encode
from personaclick_async.sync.records import Record, Rejected, identifier_keys
from personaclick_async.sync.report import Delivered, Failed, Result, Unchanged
from personaclick_async.sync.routes import Verdict, describe, judge, refusal
from personaclick_async.sync.threads import OneThread

_UNDER_WAY_PER_WORKER: Final = 2
_CHUNKS_ALIVE: Final = 4
_GATHER_SECONDS: Final = 0.005
_MOST_FAILED: Final = 1000


@attrs.define(eq=False)
class _Job(Work):
    """A record to send, where it stands in its chunk, and what kept it from being delivered."""

    record: Record
    chunk: Chunk
    position: int
    problem: Rejected | Failed | None = None


class PerProfileRoute:
    """Delivers what an intake gives, one profile at a time."""

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
        self._stream = call_options.stream or core.config.stream
        self._concurrency = options.concurrency
        self._most_alive = _CHUNKS_ALIVE * max(options.chunk_rows, options.concurrency)
        self._intake = intake
        self._ledger = ledger
        self._delivery = delivery
        self._outbox = outbox
        self._thread = thread
        self._lanes: Lanes[_Job] = Lanes()
        self._begin: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._under_way = asyncio.Semaphore(_UNDER_WAY_PER_WORKER * options.concurrency)
        self._answered: list[_Job] = []
        self._news = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()
        self._alive = 0
        self._is_ending = False
        self._failed_persons: set[Hashable] = set()

    async def run(self) -> None:
        """Deliver everything.

        :raises SyncStopped: the rest can't be delivered.
        :raises Halted: the sync was told to end.
        """
        feeder = asyncio.create_task(self._feed())
        committer = asyncio.create_task(self._commit())
        workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        everyone = [feeder, committer, *workers]
        self._delivery.on_halt(self._dismiss)
        try:
            # The feeder ends when all is delivered; anybody else, when something is wrong.
            await asyncio.wait(everyone, return_when=asyncio.FIRST_COMPLETED)
            is_complete = feeder.done()
            self._delivery.halt()
            feeder.cancel()
            await asyncio.wait(workers)
            self._is_ending = True
            self._news.set()
            self._enough.set()
            await asyncio.wait([committer])
        finally:
            for task in everyone:
                task.cancel()
            ends = await asyncio.gather(*everyone, return_exceptions=True)
        errors = [end for end in ends if isinstance(end, Exception)]
        for error in sorted(errors, key=lambda error: isinstance(error, Halted)):
            raise error
        if not is_complete:
            raise Halted

    def _dismiss(self) -> None:
        """Let the workers go who wait for something."""
        for _ in range(self._concurrency):
            self._begin.put_nowait(None)
            self._under_way.release()

    # Reading

    async def _feed(self) -> None:
        read: list[Encoded] = []
        while (rows := await self._intake.next()) is not None:
            outcomes = rows.outcomes
            read.append(
                await self._thread.run(partial(encode, outcomes, Route.PER_PROFILE, sys.maxsize))
            )
            if rows.chunk is None or rows.ends_chunk:
                await self._open(rows.chunk, Encoded.joined(read))
                read = []
        while self._alive:
            self._room.clear()
            await self._room.wait()

    async def _open(self, chunk: Chunk | None, rows: Encoded) -> None:
        """Write a chunk down, settle what needs no sending, and put the rest into the lanes."""
        while self._alive and self._alive + len(rows) > self._most_alive:
            self._room.clear()
            await self._room.wait()
        if chunk is None:
            chunk = await self._ledger.begin(rows.outcomes[0].row)
        numbers = [outcome.row for outcome in rows.outcomes]
        await self._thread.run(partial(seal, chunk, numbers, rows.contents, self._ledger.salt))
        unchanged = await self._ledger.unchanged(chunk, 0, rows.outcomes, rows.contents)
        jobs: list[_Job] = []
        aside: list[int] = []
        results: list[Result] = []
        rejected: list[Rejected] = []
        for position, outcome in enumerate(rows.outcomes):
            if chunk.settled.count and position in chunk.settled:
                continue
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
                results.append(outcome)
                aside.append(position)
            elif position in unchanged:
                results.append(Unchanged(outcome.row))
                aside.append(position)
            else:
                jobs.append(_Job(identifier_keys(outcome.wire), outcome, chunk, position))
        self._ledger.report.read += len(jobs) + len(aside)
        tally = Tally(rejected=len(rejected), unchanged=len(aside) - len(rejected))
        await self._ledger.settle(
            [Settlement(chunk=chunk, positions=aside, tally=tally, rejected=rejected)]
        )
        await self._outbox.put(results)
        self._alive += len(jobs)
        for job in jobs:
            if self._lanes.add(job):
                self._begin.put_nowait(job)

    # Sending

    async def _work(self) -> None:
        jobs = self._begin
        while (job := jobs.get_nowait() if jobs.qsize() else await jobs.get()) is not None:
            await self._under_way.acquire()
            job.problem = self._held_back(job)
            if job.problem is None:
                call = requests.set_named_profile(
                    self._core.shop, job.record.wire, stream=self._stream
                )
                try:
                    await self._delivery.send(
                        partial(self._core.transport.send, call, self._call_options, _attempts_of),
                        len(call.body or b""),
                        after_failure=partial(self._forget, (job.record,)),
                    )
                except SyncStopped:
                    raise
                except PersonaClickError as error:
                    job.problem = self._problem(job, error)
            for later in self._lanes.done(job):
                self._begin.put_nowait(later)
            self._answered.append(job)
            self._news.set()
            if len(self._answered) >= self._concurrency:
                self._enough.set()
            if job.problem is None:
                self._delivery.accepted()
            else:
                self._delivery.refused()
            del job  # or it would stay alive while this worker waits

    def _held_back(self, job: _Job) -> Failed | None:
        if self._failed_persons and not self._failed_persons.isdisjoint(job.persons):
            # Were it sent now, the next run would put the older record on top of it.
            return Failed(job.record.row, "an earlier record of the same person has failed")
        return None

    def _problem(self, job: _Job, error: PersonaClickError) -> Rejected | Failed:
        if judge(error) is Verdict.RECORD:
            return refusal(job.record.row, job.record.wire, error)
        self._failed_persons.update(job.persons)
        return Failed(job.record.row, describe(error))

    async def _forget(self, records: Iterable[Record]) -> None:
        """Drop what is cached of these users."""
        await self._core.profiles.forget(
            *(identity for record in records for identity in _identities(record))
        )

    # Writing down

    async def _commit(self) -> None:
        while self._answered or not self._is_ending:
            if not self._answered:
                self._news.clear()
                await self._news.wait()
                await self._gather()
                continue
            answered, self._answered = self._answered, []
            # Before anybody is told: who reads a profile after that shall not get the old one.
            await self._forget(job.record for job in answered)
            await self._ledger.settle(_settlements(answered))
            self._ledger.report.failed += sum(isinstance(job.problem, Failed) for job in answered)
            await self._outbox.put(job.problem or Delivered(job.record.row) for job in answered)
            self._alive -= len(answered)
            self._room.set()
            for _ in answered:
                self._under_way.release()
            if self._ledger.report.failed > _MOST_FAILED:
                raise SyncStopped(
                    f"more than {_MOST_FAILED} records have failed", report=self._ledger.report
                )

    async def _gather(self) -> None:
        """Wait for one answer per worker, but not long: a commit each would cost half the speed."""
        self._enough.clear()
        if len(self._answered) < self._concurrency and not self._is_ending:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_SECONDS):
                    await self._enough.wait()


def _identities(record: Record) -> Iterator[Identity]:
    """Give the names by which the user's profile may be cached."""
    for kind in IDENTIFIERS:
        value = record.wire.get(kind)
        if value is not None:
            yield Identity.checked(kind, str(value))


def _attempts_of(answer: Answer[None]) -> int:
    answer.parse()
    return answer.attempts


def _settlements(answered: list[_Job]) -> list[Settlement]:
    """Group answers by chunk; what has failed is left open."""
    by_chunk: dict[int, Settlement] = {}
    for job in answered:
        problem = job.problem
        if isinstance(problem, Failed):
            continue
        one = by_chunk.get(job.chunk.id)
        if one is None:
            one = Settlement(chunk=job.chunk, positions=[], tally=Tally())
            by_chunk[job.chunk.id] = one
        one.positions.append(job.position)
        if problem is None:
            one.tally.sent += 1
        else:
            one.rejected.append(problem)
            one.refused.append(problem)
            one.tally.rejected += 1
    return list(by_chunk.values())
