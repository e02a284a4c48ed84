"""Sending until the service has decided: waiting while it is down, giving up in the end."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import attrs

from personaclick_async.config import CallOptions, RetryPolicy, Seconds
from personaclick_async.errors import (
    ConfigurationError,
    PersonaClickError,
)
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.protocol.requests import audience_envelope
from personaclick_async.retry import Failure, wait_before_next
from personaclick_async.scope import Core
from personaclick_async.sync.admission import Verdict, cause_of, describe, judge
from personaclick_async.sync.options import Limit, SyncOptions
from personaclick_async.sync.report import Cause, Report, SyncStopped, Waiting

log: Final = logging.getLogger("personaclick_async")

_FAILURES_IN_A_ROW: Final = 3
"""After so many without an answer in between, one request at a time finds out whether the service
is back: hundreds would only be in its way."""

_SAME_WARNING_SECONDS: Final = 300.0
_ONE_ATTEMPT: Final = CallOptions(retries=0)
_FIRST_ANSWER_SECONDS: Final = 1.0
"""Others wait so long for the first answer: wrong credentials are to end a sync at once."""


_TRIES_AMONG_OTHERS: Final = 20
"""A record on which the service fails so often, while it takes others, is given up as failed.
With three requests in ten failing at random, that happens to one record in 10^10."""


class Halted(Exception):
    """A wait was cut short because the sync ends; the record was not delivered."""


@attrs.define
class Outage:
    """For how long the service has not answered anything usable. No I/O; time comes in."""

    policy: RetryPolicy
    patience: Seconds
    answers: int = 0
    failures: int = 0
    _since: Seconds | None = None

    def over(self) -> None:
        """Note a usable answer, also if it is a refusal."""
        self.answers += 1
        self.failures = 0
        self._since = None

    def is_open_question(self) -> bool:
        """Whether it is not known that the service answers: one request is to find out."""
        return self.failures >= _FAILURES_IN_A_ROW

    def wait(
        self, failure: Failure, *, attempt: int, now: Seconds, chance: float
    ) -> Seconds | None:
        """Return the seconds to wait before trying again, or None to give up.

        :param attempt: how often this request has failed.
        :param chance: a random number from 0 to 1.
        """
        if self._since is None:
            self._since = now
        self.failures += 1
        policy = attrs.evolve(self.policy, attempts=sys.maxsize, total=math.inf)
        left = self.patience - (now - self._since)
        wait = wait_before_next(policy, failure, attempt=attempt, elapsed=0, chance=chance)
        if wait is None or left <= 0 or (failure.retry_after is not None and wait > left):
            return None
        # The last attempt is made when patience ends, and not before.
        return min(wait, left)


class Delivery:
    """Sends for all workers of a sync.

    The transport makes one attempt per call here and this class repeats it: its retries end after
    some seconds and share a budget, which is right for a visitor who waits and wrong for a job
    that must lose nothing.

    :ivar halted: set when nothing more is to be sent.
    """

    def __init__(self, report: Report, core: Core, options: SyncOptions) -> None:
        self._report = report
        self._core = core
        self._limit = options.limit
        self._turn = asyncio.Lock()
        self._probing = asyncio.Lock()
        self._credentials: PersonaClickError | None = None
        self._probes = 0
        self._warned: dict[str, Seconds] = {}
        self._is_warned = False
        self._is_unauthorized = False
        patience = math.inf if options.patience is None else options.patience
        self._outage = Outage(core.config.retry, patience)
        self._max_refused = options.max_refused_in_a_row
        self._refused = 0
        self.halted = asyncio.Event()
        self._has_begun = False
        self._answered = asyncio.Event()

    def halt(self) -> None:
        """Send nothing more; requests in flight are not touched, waits end."""
        self.halted.set()
        self._answered.set()

    async def send(
        self, request: Callable[[], Awaitable[int | None]], size: int
    ) -> PersonaClickError | None:
        """Make a request until the service has decided; return its refusal, if it is one.

        A request on which the service fails again and again, while it takes others, counts as
        refused, with the last failure.

        :param request: returns how many times it was sent, None for once.
        :param size: of the request's body, in bytes, for the report.
        :raises SyncStopped: patience is at its end, or nothing will ever get through.
        :raises Halted: the sync ends.
        """
        attempt = 0
        among_others = 0
        error, is_decided = None, False
        if self._has_begun and not self._answered.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_ANSWER_SECONDS):
                    await self._answered.wait()
        self._has_begun = True
        answers = self._outage.answers
        while not self.halted.is_set():
            alone = self._outage.is_open_question()
            if alone:
                async with self._turn:
                    # The one before may have found out meanwhile: then all continue at once.
                    alone = self._outage.is_open_question()
                    if alone:
                        error, is_decided = await self._attempt(request, size, attempt)
            if not alone:
                error, is_decided = await self._attempt(request, size, attempt)
            if is_decided or error is None:
                return error
            attempt += 1
            among_others += self._outage.answers != answers
            answers = self._outage.answers
            if among_others >= _TRIES_AMONG_OTHERS:
                return error
            await self._wait(error, attempt)
        raise Halted

    async def _attempt(
        self, request: Callable[[], Awaitable[int | None]], size: int, attempt: int
    ) -> tuple[PersonaClickError | None, bool]:
        """Make a request once; return what went wrong, and whether that is final."""
        error = None if self._limit is None else await self._held_back(self._limit)
        if self.halted.is_set():
            raise Halted
        if error is not None:
            return error, False
        probes = self._probes
        try:
            sent = await request() or 1
        except PersonaClickError as caught:
            # As a value: raised from here, it would drag the chain of handlers along.
            error = caught.with_traceback(None)
            sent = getattr(error, "attempts", 0)
        self._report.requests += sent
        self._report.bytes_sent += size * sent
        self._report.retries += sent if attempt else 0
        verdict = None if error is None else judge(error)
        if verdict is Verdict.WAIT:
            return error, False
        if error is not None and verdict is Verdict.PROBE:
            problem = await self._probed(probes)
            if problem is not None and judge(problem) is Verdict.WAIT:
                return problem, False
            verdict = Verdict.RECORD
            if problem is not None:
                raise self._nothing_gets_through(error)
        self._outage.over()
        self._answered.set()
        if self._report.waiting is not None:
            self._report.waiting = None
            if self._is_warned:
                self._is_warned = False
                log.info("the service takes records again")
        if error is not None:
            self._is_unauthorized = judge(error) is Verdict.PROBE
            if verdict is not Verdict.RECORD:
                raise self._nothing_gets_through(error)
        return error, True

    def _nothing_gets_through(self, error: PersonaClickError) -> SyncStopped:
        said = getattr(error, "message", "")
        reason = f"{describe(error)}{said and f': {said}'}"
        return self.stopped(f"nothing can be delivered: {reason}", error)

    async def _probed(self, probes: int) -> PersonaClickError | None:
        """Import nothing, which needs the credentials; return what speaks against them.

        :param probes: how many there were when the request was sent: a later one is an answer.
        """
        async with self._probing:
            if self._probes == probes:
                call = requests.import_audience(b"".join(audience_envelope(self._core.shop)))
                self._credentials = None
                try:
                    await self._core.transport.send(call, _ONE_ATTEMPT, Answer.parse)
                except PersonaClickError as caught:
                    if judge(caught) is not Verdict.RECORD:
                        self._credentials = caught.with_traceback(None)
                self._probes += 1
            return self._credentials

    def accepted(self) -> None:
        """Note that the service took a record."""
        self._refused = 0

    def refused(self) -> None:
        """Note that the service refused a single record, or failed on it for good.

        :raises SyncStopped: too many in a row.
        """
        self._refused += 1
        if self._refused == self._max_refused:
            raise self.stopped(
                f"the last {self._refused} records were all refused, with none accepted in "
                "between: look at the reasons of the rejected ones before running it again",
                cause=Cause.CREDENTIALS if self._is_unauthorized else Cause.REFUSED_IN_A_ROW,
            )

    async def _held_back(self, limit: Limit) -> PersonaClickError | None:
        """Wait until the shared limit has a place for a request, or the sync ends.

        :returns: why it can't be asked, if it can't.
        :raises SyncStopped: it never can.
        """
        try:
            while not self.halted.is_set() and (wait := await limit.wait_needed()):
                await self._sleep(wait)
        except ConfigurationError as error:
            raise self.stopped(f"nothing can be delivered: {error}", error) from None
        except PersonaClickError as error:
            return error.with_traceback(None)
        return None

    async def _sleep(self, seconds: Seconds) -> None:
        """Wait, but not longer than the sync goes on."""
        try:
            async with asyncio.timeout(seconds):
                await self.halted.wait()
        except TimeoutError:
            return

    async def _wait(self, error: PersonaClickError, attempt: int) -> None:
        failure = Failure(getattr(error, "status", None), getattr(error, "retry_after", None))
        wait = self._outage.wait(
            failure,
            attempt=attempt,
            now=asyncio.get_running_loop().time(),
            chance=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        if wait is None:
            raise self.stopped(f"the service stays out of reach: {describe(error)}", error)
        now = self._core.now()
        since = self._report.waiting.since if self._report.waiting else now
        self._warn(describe(error))
        self._report.waiting = Waiting(describe(error), since, now + timedelta(seconds=wait))
        await self._sleep(wait)

    def _warn(self, reason: str) -> None:
        """Log that the sync waits: once for each outage and reason, and not every second."""
        now = asyncio.get_running_loop().time()
        if self._report.waiting is None and self._warned.get(reason, -math.inf) < now:
            log.warning("a sync waits for the service: %s", reason)
            self._warned[reason] = now + _SAME_WARNING_SECONDS
            self._is_warned = True

    def stopped(
        self, reason: str, error: PersonaClickError | None = None, cause: Cause = Cause.FAILED
    ) -> SyncStopped:
        """Send nothing more; return the error that says why."""
        self.halt()
        status = getattr(error, "status", None)
        cause = cause if error is None else cause_of(error)
        return SyncStopped(reason, report=self._report, cause=cause, status=status)
