"""Sending until the service has decided: waiting while it is down, giving up in the end."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import attrs

from personaclick_async.calls.scope import Now
from personaclick_async.config import RetryPolicy, Seconds
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.retry import Failure, wait_before_next
from personaclick_async.sync.admission import Verdict, cause_of, describe, judge
from personaclick_async.sync.errors import Cause, SyncStopped
from personaclick_async.sync.options import Limit
from personaclick_async.sync.report import Report, Waiting

log: Final = logging.getLogger("personaclick_async")

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
    _since: Seconds | None = None

    def over(self) -> None:
        """Note an answer that is one, also if it is a refusal."""
        self.answers += 1
        self._since = None

    def wait(
        self, failure: Failure, *, attempt: int, now: Seconds, chance: float
    ) -> Seconds | None:
        """Give the seconds to wait before trying again, or None to give up.

        :param attempt: how often this request has failed.
        :param chance: a random number from 0 to 1.
        """
        if self._since is None:
            self._since = now
        policy = attrs.evolve(self.policy, attempts=sys.maxsize, total=self.patience)
        return wait_before_next(
            policy, failure, attempt=attempt, elapsed=now - self._since, chance=chance
        )


class Delivery:
    """Sends for all workers of a sync.

    The transport makes one attempt per call here and this class repeats it: its retries end after
    some seconds and share a budget, which is right for a visitor who waits and wrong for a job
    that must lose nothing.

    :ivar is_halted: whether nothing more is to be sent.
    """

    def __init__(
        self,
        report: Report,
        policy: RetryPolicy,
        *,
        patience: Seconds | None,
        max_refused_in_a_row: int,
        limit: Limit | None = None,
        now: Now,
    ) -> None:
        self._report = report
        self._limit = limit
        self._now = now
        self._outage = Outage(policy, math.inf if patience is None else patience)
        self._max_refused = max_refused_in_a_row
        self._refused = 0
        self.is_halted = False
        self._halted = asyncio.Event()

    def halt(self) -> None:
        """Send nothing more; requests under way are not touched, waits end."""
        if not self.is_halted:
            self.is_halted = True
            self._halted.set()

    async def wait_for_halt(self) -> None:
        """Return when the sync is to end."""
        await self._halted.wait()

    async def send(self, request: Callable[[], Awaitable[int | None]], size: int) -> None:
        """Make a request until the service has taken it.

        :param request: returns how many times it was sent, None for once.
        :param size: of the request's body, in bytes, for the report.
        :raises PersonaClickError: the service has refused it, or failed on it again and again
            while it took others.
        :raises SyncStopped: patience is at its end, or nothing will ever get through.
        :raises Halted: the sync ends.
        """
        attempt = 0
        among_others = 0
        answers = self._outage.answers
        while not self.is_halted:
            error = None if self._limit is None else await self._held_back(self._limit)
            is_unsent = error is not None
            sent = 0
            if self.is_halted:
                break
            if error is None:
                try:
                    sent = await request() or 1
                except PersonaClickError as caught:
                    # As a value: raised from here, it would drag the chain of handlers along.
                    error = caught.with_traceback(None)
            if error is not None:
                sent = getattr(error, "attempts", 0)
            self._report.requests += sent
            self._report.bytes_sent += size * sent
            self._report.retries += sent if attempt else 0
            verdict = None if error is None else Verdict.WAIT if is_unsent else judge(error)
            if error is None or verdict is not Verdict.WAIT:
                self._outage.over()
                if self._report.waiting is not None:
                    log.info("the service takes records again")
                    self._report.waiting = None
            if error is None:
                return
            if verdict is Verdict.RECORD:
                raise error
            if verdict is Verdict.STOP:
                message = getattr(error, "message", "")
                said = f": {message}" if message else ""
                raise self.stopped(f"nothing can be delivered: {describe(error)}{said}", error)
            attempt += 1
            among_others += self._outage.answers != answers
            answers = self._outage.answers
            if among_others >= _TRIES_AMONG_OTHERS:
                raise error
            await self._wait(error, attempt)
        raise Halted

    def accepted(self) -> None:
        """Note that the service took a record."""
        self._refused = 0

    def refused(self) -> None:
        """Note that the service refused a single record, or failed on it for good.

        :raises SyncStopped: too many in a row.
        """
        self._refused += 1
        if self._refused >= self._max_refused:
            self.halt()
            raise SyncStopped(
                f"the last {self._refused} records were all refused, with none accepted in "
                "between: look at the reasons of the rejected ones before running it again",
                report=self._report,
                cause=Cause.REFUSED_IN_A_ROW,
            )

    async def _held_back(self, limit: Limit) -> PersonaClickError | None:
        """Wait until the shared limit has a place for a request, or the sync ends.

        :returns: why it can't be asked, if it can't.
        :raises SyncStopped: it never can.
        """
        try:
            while not self.is_halted and (wait := await limit.wait_needed()):
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
                await self._halted.wait()
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
        now = self._now()
        since = self._report.waiting.since if self._report.waiting else now
        if self._report.waiting is None:
            log.warning("a sync waits for the service: %s", describe(error))
        self._report.waiting = Waiting(describe(error), since, now + timedelta(seconds=wait))
        await self._sleep(wait)

    def stopped(self, reason: str, error: PersonaClickError | None = None) -> SyncStopped:
        """Return the error that ends the sync."""
        status = getattr(error, "status", None)
        return SyncStopped(reason, report=self._report, cause=cause_of(error), status=status)
