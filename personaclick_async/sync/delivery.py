"""Sending until the service has decided: judging failures, waiting, giving up in the end."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from enum import Enum
from typing import Final

import attrs

from personaclick_async import errors
from personaclick_async.config import CallOptions, RetryPolicy, Seconds
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.models.identity import Identity
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.protocol.requests import Call
from personaclick_async.retry import backoff
from personaclick_async.sync.options import SyncOptions
from personaclick_async.sync.report import Cause, Report, SyncStopped, Waiting
from personaclick_async.user import Core

log: Final = logging.getLogger("personaclick_async")

# After so many failures without an answer in between, requests go out one at a time: hundreds at
# once would hinder a service that recovers.
_FAILURES_IN_A_ROW: Final = 3
# How long other requests wait for the first answer: wrong credentials should cost one request.
_FIRST_ANSWER_SECONDS: Final = 1.0
# A record that fails this often while others succeed is reported as failed. With three requests in
# ten failing at random, that happens to one record in 10^10.
_TRIES_AMONG_OTHERS: Final = 20
_MOST_FAILED: Final = 1000
_SAME_WARNING_SECONDS: Final = 300.0
_REDIRECTS: Final = range(300, 400)
_OUT_OF_FILES: Final = [os.strerror(number).lower() for number in (errno.EMFILE, errno.ENFILE)]


class Halted(Exception):
    """A wait was cut short because the sync ends; the record was not delivered."""


class Verdict(Enum):
    """What follows from a failure."""

    WAIT = "the service is down, overloaded or unreachable: try again later"
    RECORD = "the record is at fault: reject it"
    PROBE = "the credentials or the record: asking for something else tells which"
    STOP = "nothing will get through, as with a wrong address"


def judge(error: PersonaClickError) -> tuple[Verdict, Cause]:
    """Return what follows from a failure, and the cause to report if the sync ends by it."""
    match error:
        case errors.AuthenticationFailed(status=401) | errors.Forbidden():
            return Verdict.PROBE, Cause.CREDENTIALS
        case errors.AuthenticationFailed():
            return Verdict.STOP, Cause.CREDENTIALS
        case errors.NotFound() | errors.ServiceError(status=200 | 400 | 413 | 422):
            return Verdict.RECORD, Cause.FAILED
        case errors.ConnectionFailed() if any(reason in str(error) for reason in _OUT_OF_FILES):
            return Verdict.WAIT, Cause.RESOURCES
        case errors.RateLimited() | errors.ServerError() | errors.TransportError():
            return Verdict.WAIT, Cause.UNREACHABLE
        case errors.ServiceError() if error.status in _REDIRECTS:
            return Verdict.STOP, Cause.REDIRECTED
        case ConfigurationError():
            return Verdict.STOP, Cause.LIMIT
        case errors.ServiceError() | errors.ClientClosed():
            return Verdict.STOP, Cause.FAILED
        case _:  # the shared limit can't be asked just now
            return Verdict.WAIT, Cause.UNREACHABLE


def describe(error: PersonaClickError) -> str:
    """Say what went wrong without the service's message, which may quote a record."""
    match error:
        case errors.RateLimited(attempts=0):
            return f"{error.endpoint} is held back by the limit of requests"
        case errors.ServiceError(status=status) if status in _REDIRECTS:
            return f"{error.endpoint} answered {status}, a redirect: correct the service's address"
        case errors.ServiceError():
            return f"{error.endpoint} answered {error.status}"
        case _:
            return str(error)


def in_full(error: PersonaClickError) -> str:
    """Say what went wrong with the service's message, from which a quoted value was withheld."""
    message = getattr(error, "message", "")
    return describe(error) + (message and f": {message}")


@attrs.define
class Outage:
    """Measures how long the service has given no usable answer. The caller passes the time."""

    policy: RetryPolicy
    patience: Seconds
    answers: int = 0
    failures: int = 0
    _since: Seconds | None = None

    def end(self) -> None:
        """Note a usable answer; a refusal is one."""
        self.answers += 1
        self.failures, self._since = 0, None

    def wait(
        self, retry_after: Seconds | None, *, attempt: int, now: Seconds, chance: float
    ) -> Seconds | None:
        """Return the seconds to wait before trying again, or None to give up."""
        self._since = now if self._since is None else self._since
        self.failures += 1
        left = self.patience - (now - self._since)
        wait = backoff(self.policy, failed=attempt, chance=chance, retry_after=retry_after)
        if left <= 0 or (retry_after is not None and wait > left):
            return None
        # The last attempt is made when patience ends, and not before.
        return min(wait, left)


class Delivery:
    """Sends the requests of a sync.

    The transport's own retries end after some seconds and share a budget, too soon for a job that
    must lose nothing: here it makes one attempt per call, and this class retries.
    """

    def __init__(
        self, core: Core, call_options: CallOptions, options: SyncOptions, report: Report
    ) -> None:
        loop = asyncio.get_running_loop()
        self.core, self.options, self.report = core, options, report
        self.stream = call_options.stream or core.config.stream
        self.halted: asyncio.Future[None] = loop.create_future()  # done to send nothing more
        self.error: Exception | None = None  # why it was halted; None if the caller ended it
        self.lacks_files = False  # whether a connection failed as too many files were open
        self._call_options = attrs.evolve(call_options, retries=0)
        patience = math.inf if options.patience is None else options.patience
        self._outage = Outage(core.config.retry, patience)
        self._has_begun = False
        self._answered: asyncio.Future[None] = loop.create_future()
        self._one_by_one = asyncio.Lock()
        self._probing = asyncio.Lock()
        self._probes = 0
        self._probe_error: PersonaClickError | None = None
        self._is_unauthorized = False
        self._refusals = 0
        self._warned: dict[str, Seconds] = {}
        self._is_outage_logged = False

    # How it ends

    def halt(self, error: Exception | None = None) -> None:
        """Send nothing more: end all waits, let requests in flight finish. Keep the first error."""
        self.error = self.error or error
        for future in (self.halted, self._answered):
            if not future.done():
                future.set_result(None)

    @contextmanager
    def halting(self) -> Iterator[None]:
        """Halt the sync on an error instead of raising it."""
        try:
            yield
        except Halted:
            pass
        except Exception as error:  # noqa: BLE001 - the sync raises it in the end
            self.halt(error)

    def give_up(self, reason: str, cause: Cause, error: PersonaClickError | None = None) -> Halted:
        """Halt the sync; return what a sender raises to stop."""
        status = getattr(error, "status", None)
        self.halt(SyncStopped(reason, report=self.report, cause=cause, status=status))
        return Halted()

    def count(self, error: PersonaClickError | None) -> None:
        """End the sync if a record was one refusal too many in a row, or one failure in all."""
        self._refusals = 0 if error is None else self._refusals + 1
        if self._refusals == self.options.max_refused_in_a_row:
            self.give_up(
                f"the last {self._refusals} records were all refused, with none accepted in "
                "between: look at the reasons of the rejected ones before running it again",
                Cause.CREDENTIALS if self._is_unauthorized else Cause.REFUSED_IN_A_ROW,
            )
        if self.report.failed > _MOST_FAILED:
            self.give_up(f"more than {_MOST_FAILED} records have failed", Cause.FAILED)

    # Sending

    async def send(
        self, call: Call[None], names: Sequence[Identity] | None = None
    ) -> PersonaClickError | None:
        """Make a request until the service has decided; return its refusal, if it is one.

        Also return the last failure, if this request fails repeatedly while others succeed.

        :param names: whose cached profiles to drop; None for all.
        :raises Halted: the sync ends.
        """
        if self._has_begun and not self._answered.done():
            await asyncio.wait([self._answered], timeout=_FIRST_ANSWER_SECONDS)
        self._has_begun = True
        failures = among_others = 0
        answers = self._outage.answers
        while True:
            if self._outage.failures < _FAILURES_IN_A_ROW:
                error = await self._attempt(call, names, is_retry=failures > 0)
            else:
                async with self._one_by_one:
                    # The request before may have been answered: then all continue at once.
                    if self._outage.failures < _FAILURES_IN_A_ROW:
                        continue
                    error = await self._attempt(call, names, is_retry=failures > 0)
            if error is None or judge(error)[0] is not Verdict.WAIT:
                return error
            failures += 1
            among_others += self._outage.answers != answers
            answers = self._outage.answers
            if among_others >= _TRIES_AMONG_OTHERS:
                return error
            await self._wait(error, failures)

    async def _attempt(
        self, call: Call[None], names: Sequence[Identity] | None, *, is_retry: bool
    ) -> PersonaClickError | None:
        """Make a request once; return what went wrong, unless nothing will ever get through."""
        limit, probes = self.options.limit, self._probes
        error, sent = None, 0
        try:
            if limit is not None:
                while not self.halted.done() and (wait := await limit.wait_needed()):
                    await asyncio.wait([self.halted], timeout=wait)
            if self.halted.done():
                raise Halted
            try:
                sent = await self.core.transport.send(call, self._call_options, _attempts_of)
            finally:
                # Also after a failure: a request without an answer may have been carried out.
                if names is None:
                    self.core.profiles.clear()
                else:
                    await self.core.profiles.forget(*names)
        except PersonaClickError as caught:
            # As a value: raised from here, it would drag the chain of handlers along.
            error = caught.with_traceback(None)
            sent = getattr(error, "attempts", 0)
        self.report.requests += sent
        self.report.bytes_sent += len(call.body or b"") * sent
        if is_retry:
            self.report.retries += sent
        if error is not None:
            verdict, cause = judge(error)
            self.lacks_files |= cause is Cause.RESOURCES
            problem = await self._probed(probes) if verdict is Verdict.PROBE else None
            if verdict is Verdict.WAIT or (problem and judge(problem)[0] is Verdict.WAIT):
                return problem or error
            if verdict is Verdict.STOP or problem is not None:
                raise self.give_up(f"nothing can be delivered: {in_full(error)}", cause, error)
            self._is_unauthorized = verdict is Verdict.PROBE
        self._outage.end()
        self.report.waiting = None
        if not self._answered.done():
            self._answered.set_result(None)
        if self._is_outage_logged:
            self._is_outage_logged = False
            log.info("the service takes records again")
        return error

    async def _probed(self, probes: int) -> PersonaClickError | None:
        """Import nothing, once for all who saw ``probes`` probes; return what is wrong with it."""
        async with self._probing:
            if self._probes == probes:
                nothing = b"".join(requests.audience_envelope(self.core.shop))
                call = requests.import_audience(nothing)
                self._probe_error = None
                try:
                    await self.core.transport.send(call, CallOptions(retries=0), Answer.parse)
                except PersonaClickError as caught:
                    if judge(caught)[0] is not Verdict.RECORD:
                        self._probe_error = caught.with_traceback(None)
                self._probes += 1
            return self._probe_error

    async def _wait(self, error: PersonaClickError, failures: int) -> None:
        """Wait before the next attempt; log once per outage and reason."""
        reason = describe(error)
        retry_after = getattr(error, "retry_after", None)
        clock = asyncio.get_running_loop().time()
        chance = random.random()  # noqa: S311 - spreads load, guards nothing
        wait = self._outage.wait(retry_after, attempt=failures, now=clock, chance=chance)
        if wait is None:
            text = f"the service stays out of reach: {reason}"
            raise self.give_up(text, judge(error)[1], error)
        now, waiting = self.core.config.now(), self.report.waiting
        since = waiting.since if waiting else now
        self.report.waiting = Waiting(reason, since, now + timedelta(seconds=wait))
        if waiting is None and self._warned.get(reason, -math.inf) < clock:
            log.warning("a sync waits for the service: %s", reason)
            self._warned[reason] = clock + _SAME_WARNING_SECONDS
            self._is_outage_logged = True
        await asyncio.wait([self.halted], timeout=wait)


def _attempts_of(answer: Answer[None]) -> int:
    answer.parse()
    return answer.attempts
