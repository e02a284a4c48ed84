"""Calls over aiohttp: attempt after attempt, within the limits, until there is an outcome."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import aiohttp
import attrs
from yarl import URL

from personaclick_async.config import CallOptions, Config, Seconds
from personaclick_async.deadlines import Deadline
from personaclick_async.errors import AnswerTooLarge, PersonaClickError, RateLimited, TimedOut
from personaclick_async.hooks import Attempt, Hooks, checked, tell
from personaclick_async.limiter import Limiter
from personaclick_async.names import Endpoint, Family
from personaclick_async.pools import HEADERS, Pool, Pools, closed_error
from personaclick_async.protocol.answers import Answer, nothing_sent, refusal
from personaclick_async.protocol.requests import JSON, JSON_BODY, Call
from personaclick_async.retry import Fate, RetryBudget, failure_of, may_repeat, wait_before_next

T = TypeVar("T")
R = TypeVar("R")

Failed: TypeAlias = tuple[PersonaClickError, Fate]
"""What an attempt failed with, and what that means for the next one."""

log: Final = logging.getLogger("personaclick_async")

_PIECE_BYTES: Final = 128 * 1024
_MOST_ROUTES: Final = 100


@attrs.define
class TransportStats:
    """What was sent since the client was made."""

    calls: int = 0  # calls made, however they ended
    requests: int = 0  # requests sent, every attempt counted
    retries: int = 0  # attempts after the first
    waits: int = 0  # requests that a limit or the service's Retry-After held back
    waited: Seconds = 0.0  # seconds for which it did, added up


class _Sending:
    # Defaults of the class: most calls change the first only.
    attempts: int = 0
    stale: int = 0  # of them, those that met a connection which the server was about to close
    seen: Attempt | None = None  # the last attempt as the hooks saw it, if there are any

    def __init__(self, call: Call[Any], options: CallOptions, url: URL, started: Seconds) -> None:
        self.call = call
        self.options = options
        self.url = url
        self.started = started

    def late(self, waiting_for: str) -> TimedOut:
        """Return the error of a call whose own timeout is over, or would be."""
        name, attempts = self.call.endpoint.name, self.attempts
        return self.options.late(waiting_for, endpoint=name, attempts=attempts)


class Transport:
    """Sends calls and returns answers; every failure is an error of this package."""

    def __init__(self, config: Config, hooks: Hooks | Sequence[Hooks] = ()) -> None:
        self.stats = TransportStats()
        self._config = config
        self._clock = config.clock
        self._hooks = checked(hooks)
        self._ssl = config.ssl_context or True
        self._total = config.timeouts.total
        self._max_answer_bytes = config.max_answer_bytes
        self._routes: dict[str, tuple[URL, Limiter]] = {}
        self.pools = Pools(config)
        self._limiters = {one: Limiter(config.limits.get(one), config.clock) for one in Family}
        self._budget = RetryBudget(config.retry.budget)

    async def send(self, call: Call[T], options: CallOptions, then: Callable[[Answer[T]], R]) -> R:
        """Send a call until it is answered with success, or raise what it failed with.

        :param then: makes the result of the answer; saves the caller a coroutine around this one.
        """
        if self._config.disabled and not self.pools.is_closed:
            self.stats.calls += 1
            return then(nothing_sent(call))
        pool = self.pools.here() or await self.pools.open()
        url, limiter = self._routes.get(call.endpoint.path) or self._open_route(call.endpoint)
        sending = _Sending(call, options.begun(), url, self._clock())
        attempt = self._watched_attempt if self._hooks else self._attempt
        pool.in_progress += 1
        self.stats.calls += 1
        try:
            while True:
                if limiter.is_open:
                    outcome = await attempt(pool, sending)
                else:
                    await self._enter(limiter, sending)
                    try:
                        outcome = await attempt(pool, sending)
                    finally:
                        limiter.leave()
                if isinstance(outcome, Answer):
                    return then(outcome)
                await self._before_next(limiter, sending, *outcome)
        finally:
            pool.in_progress -= 1
            if self.pools.is_closed and not pool.in_progress:
                pool.idle.set()

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, without closing what is the parent's."""
        self.pools.start_over_after_fork()
        for limiter in self._limiters.values():
            limiter.start_over_after_fork()

    def _open_route(self, endpoint: Endpoint) -> tuple[URL, Limiter]:
        if len(self._routes) >= _MOST_ROUTES:  # paths of client.request may hold ids
            self._routes.clear()
        url = URL(self._config.api_url).join(URL(endpoint.path.lstrip("/")))
        route = self._routes[endpoint.path] = url, self._limiters[endpoint.family]
        return route

    async def _enter(self, limiter: Limiter, sending: _Sending) -> None:
        """Wait until the limiter lets the request pass, or raise that this would take too long."""
        if limiter.try_enter() is None:
            return
        began, reason, name = self._clock(), limiter.reason, sending.call.endpoint.name
        patience = self._config.retry.total - (began - sending.started)
        too_long = await limiter.enter(min(patience, sending.options.left))
        waited = self._clock() - began
        self.stats.waits += 1
        self.stats.waited += waited
        known = {"endpoint": name, "attempt": sending.attempts + 1, "wait": waited}
        log.debug("%s: waited %.2f s (%s)", name, waited, reason, extra=known)
        if too_long is None:
            return
        if too_long > sending.options.left:
            raise sending.late(f"its turn ({limiter.reason})")
        raise RateLimited(
            f"held back, {limiter.reason}",
            status=RateLimited.usual_status,
            endpoint=name,
            attempts=sending.attempts,
            retry_after=too_long,
        )

    async def _before_next(
        self, limiter: Limiter, sending: _Sending, error: PersonaClickError, fate: Fate
    ) -> None:
        """Wait for the time of the next attempt, or raise what the last one failed with."""
        policy, endpoint = self._config.retry, sending.call.endpoint
        status, retry_after = getattr(error, "status", None), getattr(error, "retry_after", None)
        if status == RateLimited.usual_status and retry_after is not None:
            limiter.pause(retry_after)
        wait: Seconds | None = 0.0
        # An import, which may have 32 MB, is the sync's to repeat.
        if fate is Fate.STALE and endpoint.is_idempotent and endpoint.family is not Family.IMPORT:
            sending.stale += 1  # the next one gets a new connection, so this happens once
        else:
            if sending.options.retries is not None:
                policy = attrs.evolve(policy, attempts=sending.options.retries + 1)
            wait = wait_before_next(
                policy,
                failed=sending.attempts - sending.stale,
                elapsed=self._clock() - sending.started,
                chance=random.random(),  # noqa: S311 - spreads load, guards nothing
                retry_after=retry_after,
            )
            if wait is None or not may_repeat(policy, endpoint, status, fate):
                raise error
            if wait > sending.options.left:
                raise sending.late(f"the next attempt, after {type(error).__name__}")
            if not self._budget.spend(calls_so_far=self.stats.calls):
                raise error
        self.stats.retries += 1
        known = {"endpoint": endpoint.name, "attempt": sending.attempts, "wait": wait}
        said = "%s: attempt %d failed (%s), next in %.2f s"
        log.info(said, endpoint.name, sending.attempts, type(error).__name__, wait, extra=known)
        if sending.seen is not None:
            sending.seen.wait = wait
            tell((hooks.on_retry for hooks in self._hooks), sending.seen)
        if wait:
            await asyncio.sleep(wait)

    async def _watched_attempt(self, pool: Pool, sending: _Sending) -> Answer[Any] | Failed:
        """Make an attempt with the hooks around it."""
        endpoint = sending.call.endpoint
        seen = sending.seen = Attempt(
            endpoint=endpoint.name,
            method=endpoint.method,
            url=str(sending.url),
            number=sending.attempts + 1,
            headers={**HEADERS, **sending.call.headers},
        )
        began = self._clock()
        tell((hooks.on_request for hooks in self._hooks), seen)
        try:
            outcome = await self._attempt(pool, sending, seen.headers)
            if isinstance(outcome, Answer):
                seen.status = outcome.status
            else:
                seen.error = outcome[0]
                seen.status = getattr(seen.error, "status", None)
            return outcome
        finally:
            seen.elapsed = self._clock() - began
            tell((hooks.on_response for hooks in self._hooks), seen)

    async def _attempt(
        self, pool: Pool, sending: _Sending, headers: Mapping[str, str] | None = None
    ) -> Answer[Any] | Failed:
        call, most = sending.call, self._max_answer_bytes
        usual = seconds = call.attempt_timeout or self._total
        if sending.options.ends is None:
            await pool.room.acquire()
        else:
            await self._wait_for_room(pool, sending)
            seconds = min(usual, sending.options.left)
        self.stats.requests += 1
        sending.attempts += 1
        deadline = Deadline(pool.deadlines, seconds)
        if sending.stale:
            deadline.wants_new_connection = True
        content: object = None
        cause: Exception | None = None
        try:
            if call.body is not None:
                content, headers = _outgoing(call.body, headers, deadline)
            with deadline:
                response = await pool.session.request(
                    call.endpoint.method,
                    sending.url,
                    params=call.query,
                    data=content,
                    headers=headers,
                    allow_redirects=False,
                    ssl=self._ssl,
                )
                try:
                    incoming = deadline.incoming = response.content
                    if incoming.is_eof() and incoming.total_bytes <= most:
                        # All of it came with the headers, as a small answer does.
                        body: bytes | None = incoming.read_nowait()
                    else:
                        body = await _read(response, most)
                finally:
                    if not response.closed:  # as it is once its body was read whole
                        response.release()
        except (TimeoutError, aiohttp.ClientError, OSError) as caught:
            cause = caught
        except RuntimeError:
            if not pool.session.closed:
                raise
            raise closed_error() from None
        finally:
            pool.room.release()
        # Past the handler on purpose: aiohttp's texts hold the URL, whose query holds the secret
        # and the user, and a chained exception would carry them into every traceback.
        if cause is not None:
            if deadline.has_passed and not deadline.was_silent and seconds < usual:
                waiting_for = "a connection" if deadline.is_reused is None else "an answer"
                return sending.late(waiting_for), Fate.HOPELESS
            return failure_of(
                cause,
                call.endpoint.name,
                sending.attempts,
                is_reused=deadline.is_reused,
                patience=self._config.timeouts.read if deadline.was_silent else usual,
            )
        if body is None:
            reason, name = f"the answer is larger than {most} bytes", call.endpoint.name
            return AnswerTooLarge(reason, endpoint=name, attempts=sending.attempts), Fate.HOPELESS
        elapsed = self._clock() - sending.started
        answer = Answer(call, response.status, response.headers, body, sending.attempts, elapsed)
        error = refusal(answer)
        return answer if error is None else (error, Fate.OPEN)

    async def _wait_for_room(self, pool: Pool, sending: _Sending) -> None:
        try:
            async with asyncio.timeout(sending.options.left):
                await pool.room.acquire()
        except TimeoutError:
            most = self._config.max_concurrency
            late = sending.late(f"one of {most} other requests to end (max_concurrency)")
            raise late from None


def _outgoing(
    body: bytes | memoryview, headers: Mapping[str, str] | None, deadline: Deadline
) -> tuple[object, Mapping[str, str] | None]:
    if len(body) <= _PIECE_BYTES:
        return aiohttp.BytesPayload(body, content_type=JSON), headers
    return _pieces(body, deadline), {**(headers or JSON_BODY), "Content-Length": str(len(body))}


async def _pieces(body: bytes | memoryview, deadline: Deadline) -> AsyncIterator[memoryview]:
    """Cut a large body: aiohttp would copy it whole, and write it without letting others run."""
    view = memoryview(body)
    for start in range(0, len(body), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
        deadline.sent_bytes = start


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | None:
    """Read a body of at most ``max_bytes``, counted after decompression; None if it is larger."""
    length = response.content_length
    if length is not None and length > max_bytes:
        response.close()
        return None
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > max_bytes:
            response.close()
            return None
    return bytes(body)
