"""Calls over aiohttp: attempt after attempt, within the limits, until there is an outcome."""

from __future__ import annotations

import asyncio
import logging
import math
import platform
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import aiohttp
import attrs
from yarl import URL

from personaclick_async._version import __version__
from personaclick_async.config import CallOptions, Config, Seconds
from personaclick_async.connections import current_attempt, failure_of
from personaclick_async.deadlines import Deadline
from personaclick_async.errors import (
    AnswerTooLarge,
    ConfigurationError,
    PersonaClickError,
    RateLimited,
    TimedOut,
)
from personaclick_async.hooks import Attempt, Hooks, tell
from personaclick_async.limiter import Limiter
from personaclick_async.names import Endpoint, Family, Repeat
from personaclick_async.pools import Pool, Pools, closed_error
from personaclick_async.protocol.answers import Answer, nothing_sent, refusal
from personaclick_async.protocol.requests import JSON, Call
from personaclick_async.retry import Failure, RetryBudget, may_repeat, wait_before_next

T = TypeVar("T")
R = TypeVar("R")

log: Final = logging.getLogger("personaclick_async")

USER_AGENT: Final = (
    f"personaclick-async/{__version__} "
    f"python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
)
_HEADERS: Final = {"User-Agent": USER_AGENT, "Accept": "application/json"}
_PIECE_BYTES: Final = 128 * 1024


@attrs.define
class TransportStats:
    """What was sent since the client was made.

    :ivar calls: calls made, however they ended.
    :ivar requests: requests sent, every attempt counted.
    :ivar retries: attempts after the first.
    :ivar waits: requests that a limit or the service's Retry-After held back.
    :ivar waited: seconds for which it did, added up.
    """

    calls: int = 0
    requests: int = 0
    retries: int = 0
    waits: int = 0
    waited: Seconds = 0.0


@attrs.frozen(eq=False, repr=False)
class _Route:
    """Where an endpoint's requests go, and what holds them back."""

    url: URL
    limiter: Limiter


@attrs.define(eq=False, repr=False)
class _Failed:
    """An attempt that failed, and as what the hooks have seen it."""

    error: PersonaClickError
    failure: Failure
    seen: Attempt | None = None


@attrs.define(eq=False, repr=False)
class _Sending(Generic[T]):
    """A call on its way.

    :ivar started: when it began, by the client's clock.
    :ivar attempts: how many times the request was sent.
    :ivar stale: how many of those met a connection that the server was about to close.
    """

    call: Call[T]
    options: CallOptions
    started: Seconds
    attempts: int = 0
    stale: int = 0

    @property
    def left(self) -> Seconds:
        """Seconds until the call's own timeout."""
        left = self.options.left
        return math.inf if left is None else left

    def late(self, waiting_for: str) -> TimedOut:
        """Return the error of a call whose own timeout is over, or would be."""
        name = self.call.endpoint.name
        return late(self.options, waiting_for, endpoint=name, attempts=self.attempts)


class Transport:
    """Sends calls and returns answers; every failure is an error of this package."""

    def __init__(
        self,
        config: Config,
        *,
        session: aiohttp.ClientSession | None = None,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = False,
        hooks: Hooks | Sequence[Hooks] = (),
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self._config = config
        self._hooks = _checked_hooks(hooks)
        _check(session, aiohttp.ClientSession, "session", "an aiohttp.ClientSession")
        _check(ssl_context, ssl.SSLContext, "ssl_context", "an ssl.SSLContext")
        self._ssl = ssl_context or True
        self._clock = clock
        self._base = URL(config.api_url)
        self._routes: dict[str, _Route] = {}
        self._pools = Pools(config, headers=_HEADERS, session=session, trust_env=trust_env)
        self._limiters = {
            family: Limiter(config.limits.get(family), self._clock) for family in Family
        }
        self._budget = RetryBudget(config.retry.budget)
        self.stats = TransportStats()

    async def send(self, call: Call[T], options: CallOptions, then: Callable[[Answer[T]], R]) -> R:
        """Send a call until it is answered with success, or until there is no point in trying.

        :param then: makes the result of the answer; a coroutine around this one to do it would
            cost more.
        :raises PersonaClickError: see the errors module; the last attempt's failure is raised.
        """
        if self._config.disabled:
            if self._pools.is_closed:
                raise closed_error()
            self.stats.calls += 1
            return then(nothing_sent(call))
        pool = self._pools.here() or await self._pools.open()
        route = self._routes.get(call.endpoint.path) or self._open_route(call.endpoint)
        limiter = route.limiter
        if options.timeout is not None:
            options = options.begun()
        sending = _Sending(call, options, self._clock())
        pool.in_progress += 1
        self.stats.calls += 1
        try:
            while True:
                is_held = not limiter.is_open
                if is_held:
                    await self._enter(limiter, sending)
                try:
                    attempting = self._watched_attempt if self._hooks else self._attempt
                    outcome = await attempting(pool, route, sending)
                finally:
                    if is_held:
                        limiter.give_back()
                if isinstance(outcome, Answer):
                    return then(outcome)
                await self._before_next(limiter, sending, outcome)
        finally:
            pool.in_progress -= 1
            if self._pools.is_closed and not pool.in_progress:
                pool.idle.set()

    async def close(self, *, patience: Seconds = 30.0) -> None:
        """Refuse new calls, wait for those in progress, then close.

        :param patience: seconds to wait; calls that take longer fail as their connection closes.
        """
        await self._pools.close(patience=patience)

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, without closing what is the parent's."""
        self._pools.start_over_after_fork()
        for limiter in self._limiters.values():
            limiter.start_over_after_fork()

    async def _enter(self, limiter: Limiter, sending: _Sending[Any]) -> None:
        if not limiter.wait_needed():
            return
        began = self._clock()
        patience = self._config.retry.total - (began - sending.started)
        reason = limiter.reason
        too_long = await limiter.enter(min(patience, sending.left))
        waited = self._clock() - began
        self.stats.waits += 1
        self.stats.waited += waited
        name = sending.call.endpoint.name
        log.debug(
            "%s: waited %.2f s (%s)",
            name,
            waited,
            reason,
            extra={"endpoint": name, "attempt": sending.attempts + 1, "wait": waited},
        )
        if too_long is None:
            return
        if too_long > sending.left:
            raise sending.late(f"its turn ({limiter.reason})")
        raise RateLimited(
            f"held back, {limiter.reason}",
            status=RateLimited.usual_status,
            endpoint=name,
            attempts=sending.attempts,
            retry_after=too_long,
        )

    async def _before_next(self, limiter: Limiter, sending: _Sending[Any], failed: _Failed) -> None:
        """Wait for the time of the next attempt, or raise what the last one failed with."""
        policy, call, failure = self._config.retry, sending.call, failed.failure
        if failure.status == RateLimited.usual_status and failure.retry_after is not None:
            limiter.pause(failure.retry_after)
        is_cheap = call.endpoint.family is not Family.IMPORT
        if failure.stale and is_cheap and call.endpoint.repeat is Repeat.ALWAYS:
            # The next one gets a new connection, so this happens once.
            sending.stale += 1
            wait: Seconds | None = 0.0
        else:
            if sending.options.retries is not None:
                policy = attrs.evolve(policy, attempts=sending.options.retries + 1)
            wait = wait_before_next(
                policy,
                failure,
                attempt=sending.attempts - sending.stale,
                elapsed=self._clock() - sending.started,
                chance=random.random(),  # noqa: S311 - spreads load, guards nothing
            )
            if wait is None or not may_repeat(policy, failure, call.endpoint.repeat):
                raise failed.error
            if wait > sending.left:
                raise sending.late(f"the next attempt, after {type(failed.error).__name__}")
            if not self._budget.spend(calls=self.stats.calls):
                raise failed.error
        self.stats.retries += 1
        name = call.endpoint.name
        log.info(
            "%s: attempt %d failed (%s), next in %.2f s",
            name,
            sending.attempts,
            type(failed.error).__name__,
            wait,
            extra={"endpoint": name, "attempt": sending.attempts, "wait": wait},
        )
        if failed.seen is not None:
            failed.seen.wait = wait
            tell((hooks.on_retry for hooks in self._hooks), failed.seen)
        if wait:
            await asyncio.sleep(wait)

    async def _watched_attempt(
        self, pool: Pool, route: _Route, sending: _Sending[T]
    ) -> Answer[T] | _Failed:
        """Make an attempt with the hooks around it."""
        endpoint = sending.call.endpoint
        seen = Attempt(
            endpoint=endpoint.name,
            method=endpoint.method,
            url=str(route.url),
            number=sending.attempts + 1,
            headers={**_HEADERS, **sending.call.headers},
        )
        began = self._clock()
        tell((hooks.on_request for hooks in self._hooks), seen)
        try:
            outcome = await self._attempt(pool, route, sending, headers=seen.headers)
            if isinstance(outcome, Answer):
                seen.status = outcome.status
            else:
                seen.status, seen.error = outcome.failure.status, outcome.error
                outcome.seen = seen
            return outcome
        finally:
            seen.elapsed = self._clock() - began
            tell((hooks.on_response for hooks in self._hooks), seen)

    async def _attempt(
        self,
        pool: Pool,
        route: _Route,
        sending: _Sending[T],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer[T] | _Failed:
        call = sending.call
        endpoint, body = call.endpoint, call.body
        timeouts = self._config.timeouts
        if sending.options.ends is not None and pool.room.locked():
            await self._wait_for_room(pool, sending)
        else:
            await pool.room.acquire()
        self.stats.requests += 1
        sending.attempts += 1
        usual = call.attempt_timeout or timeouts.total
        seconds = usual if sending.options.ends is None else min(usual, sending.left)
        deadline = Deadline(pool.deadlines, seconds, timeouts.read)
        deadline.wants_new_connection = sending.stale > 0
        before = current_attempt.set(deadline)
        try:
            with deadline:
                if body is not None and len(body) > _PIECE_BYTES:
                    headers = {**(headers or call.headers), "Content-Length": str(len(body))}
                response = await pool.session.request(
                    endpoint.method,
                    route.url,
                    params=call.query or None,
                    data=_outgoing(body, deadline),
                    headers=headers,
                    allow_redirects=False,
                    ssl=self._ssl,
                )
                try:
                    incoming = deadline.incoming = response.content
                    limit = self._config.max_answer_bytes
                    if incoming.is_eof() and incoming.total_bytes <= limit:
                        # All of it came with the headers, as a small answer does.
                        read: bytes | None = incoming.read_nowait()
                    else:
                        read = await _read(response, limit)
                finally:
                    if not response.closed:  # as it is once its body was read whole
                        response.release()
        except (TimeoutError, aiohttp.ClientError, OSError) as caught:
            cause: Exception | None = caught
        except RuntimeError:
            if not pool.session.closed:
                raise
            raise closed_error() from None
        else:
            cause = None
        finally:
            pool.room.release()
            with suppress(ValueError):  # collected with its event loop, in another context
                current_attempt.reset(before)
        # Past the handler on purpose: aiohttp's texts hold the URL, whose query holds the secret
        # and the user, and a chained exception would carry them into every traceback.
        if cause is not None or read is None:
            return self._lost(cause, sending, deadline, is_cut=seconds < usual)
        answer = Answer(
            call=call,
            status=response.status,
            headers=response.headers,
            body=read,
            attempts=sending.attempts,
            elapsed=self._clock() - sending.started,
        )
        error = refusal(answer)
        if error is None:
            return answer
        return _Failed(error, Failure(error.status, error.retry_after))

    def _lost(
        self,
        cause: Exception | None,
        sending: _Sending[Any],
        deadline: Deadline,
        *,
        is_cut: bool = False,
    ) -> _Failed:
        """Return what an attempt without a complete answer failed with.

        :param cause: None if the answer was too large.
        :param is_cut: whether the call's own timeout left less time than an attempt usually has.
        """
        endpoint, attempts = sending.call.endpoint.name, sending.attempts
        if cause is None:
            reason = f"the answer is larger than {self._config.max_answer_bytes} bytes"
            too_large = AnswerTooLarge(reason, endpoint=endpoint, attempts=attempts)
            return _Failed(too_large, Failure(hopeless=True))
        if deadline.has_passed and not deadline.was_silent and is_cut:
            what = "an answer" if deadline.is_connected else "a connection"
            return _Failed(sending.late(what), Failure(hopeless=True))
        timeouts = self._config.timeouts
        usual = sending.call.attempt_timeout or timeouts.total
        patience = f"{timeouts.read if deadline.was_silent else usual:g} s"
        error, failure = failure_of(
            cause, deadline, endpoint=endpoint, attempts=attempts, patience=patience
        )
        return _Failed(error, failure)

    async def _wait_for_room(self, pool: Pool, sending: _Sending[Any]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(sending.left):
                await pool.room.acquire()
                return
        most = self._config.max_concurrency
        raise sending.late(f"one of {most} other requests to end (max_concurrency)")

    def _open_route(self, endpoint: Endpoint) -> _Route:
        url = self._base.join(URL(endpoint.path.lstrip("/")))
        route = self._routes[endpoint.path] = _Route(url, self._limiters[endpoint.family])
        return route


def late(options: CallOptions, waiting_for: str, *, endpoint: str, attempts: int = 0) -> TimedOut:
    """Return the error of a call whose own timeout is over, or would be."""
    reason = f"not done within its {options.timeout:g} s, waited for {waiting_for}"
    return TimedOut(reason, endpoint=endpoint, attempts=attempts)


def _check(value: object, kind: type, name: str, noun: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name}: expected {noun}, got {type(value).__name__}")


def _checked_hooks(hooks: Hooks | Sequence[Hooks]) -> tuple[Hooks, ...]:
    given = (hooks,) if isinstance(hooks, Hooks) else hooks
    if not isinstance(given, list | tuple) or not all(isinstance(one, Hooks) for one in given):
        raise ConfigurationError(
            f"hooks: expected Hooks(on_request=…) or a sequence of them, got {type(hooks).__name__}"
        )
    return tuple(given)


def _outgoing(
    body: bytes | None, deadline: Deadline
) -> aiohttp.BytesPayload | AsyncIterator[memoryview] | None:
    if body is None:
        return None
    if len(body) > _PIECE_BYTES:
        return _pieces(body, deadline)
    return aiohttp.BytesPayload(body, content_type=JSON)


async def _pieces(body: bytes, deadline: Deadline) -> AsyncIterator[memoryview]:
    """Cut a large body: aiohttp would copy it whole, and write it without letting others run."""
    view = memoryview(body)
    for start in range(0, len(body), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
        deadline.sent_bytes = start


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Read a body of at most ``limit`` bytes, counted after decompression; None if it is larger."""
    length = response.content_length
    if length is not None and length > limit:
        response.close()
        return None
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limit:
            response.close()
            return None
    return bytes(body)
