"""Calls over aiohttp: attempt after attempt, within the limits, until there is an outcome."""

from __future__ import annotations

import asyncio
import logging
import platform
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp
import attrs
from yarl import URL

from personaclick_async._version import __version__
from personaclick_async.config import CallOptions, Config, Seconds
from personaclick_async.deadlines import Deadline
from personaclick_async.errors import (
    AnswerTooLarge,
    ConnectionFailed,
    PersonaClickError,
    RateLimited,
    TimedOut,
)
from personaclick_async.hooks import Attempt, Hooks, tell
from personaclick_async.limiter import Limiter
from personaclick_async.names import Endpoint, Family
from personaclick_async.plain_request import JsonBody
from personaclick_async.pools import Pool, Pools, closed_error, timeout_of
from personaclick_async.protocol.answers import Answer, refusal
from personaclick_async.protocol.requests import Call
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
class _Way:
    """Where an endpoint's requests go, and what holds them back."""

    url: URL
    limiter: Limiter


@attrs.define(eq=False, repr=False)
class _Failed:
    """An attempt that failed, and as what the hooks have seen it."""

    error: PersonaClickError
    failure: Failure
    seen: Attempt | None = None


class Transport:
    """Sends calls and gives answers; every failure is an error of this package."""

    def __init__(
        self,
        config: Config,
        *,
        session: aiohttp.ClientSession | None = None,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = False,
        hooks: Sequence[Hooks] = (),
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self._config = config
        self._hooks = tuple(hooks)
        self._has_own_sessions = session is None
        self._ssl = ssl_context or True
        self._clock = clock
        self._base = URL(config.api_url)
        self._ways: dict[str, _Way] = {}
        self._timeout = timeout_of(config.timeouts)
        self._pools = Pools(config, headers=_HEADERS, session=session, trust_env=trust_env)
        self._limiters = {
            family: Limiter(config.limits.get(family), self._clock) for family in Family
        }
        self._budget = RetryBudget(config.retry.budget)
        self.stats = TransportStats()

    async def send(self, call: Call[T], options: CallOptions, then: Callable[[Answer[T]], R]) -> R:
        """Send a call until it is answered with success, or until there is no point in trying.

        :param then: makes of the answer what is given; a coroutine around this one to do it would
            cost more.
        :raises PersonaClickError: see the errors module; the last attempt's failure is raised.
        """
        pool = self._pools.by_loop.get(asyncio.get_running_loop())
        if pool is None or self._pools.is_closed:
            pool = await self._pools.open()
        way = self._ways.get(call.endpoint.path) or self._open_way(call.endpoint)
        limiter = way.limiter
        started = self._clock()
        attempt = 0
        pool.under_way += 1
        self.stats.calls += 1
        try:
            while True:
                is_held = not limiter.is_open
                if is_held:
                    patience = self._config.retry.total - (self._clock() - started)
                    await self._enter(limiter, patience, call, attempt)
                attempt += 1
                try:
                    attempting = self._watched_attempt if self._hooks else self._attempt
                    outcome = await attempting(pool, call, options, attempt, started)
                finally:
                    if is_held:
                        limiter.give_back()
                if isinstance(outcome, Answer):
                    return then(outcome)
                await self._before_next(
                    limiter, call, options, outcome, attempts=attempt, started=started
                )
        finally:
            pool.under_way -= 1
            if self._pools.is_closed and not pool.under_way:
                pool.idle.set()

    async def close(self, *, patience: Seconds = 30.0) -> None:
        """Refuse new calls, wait for those under way on this event loop, then close.

        :param patience: seconds to wait; calls that take longer fail as their connection closes.
        """
        await self._pools.close(patience=patience)

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, without closing what is the parent's."""
        self._pools.start_over_after_fork()
        for limiter in self._limiters.values():
            limiter.start_over_after_fork()

    async def _enter(
        self, limiter: Limiter, patience: Seconds, call: Call[Any], attempts: int
    ) -> None:
        if not limiter.wait_needed():
            return
        began = self._clock()
        too_long = await limiter.enter(patience)
        waited = self._clock() - began
        self.stats.waits += 1
        self.stats.waited += waited
        log.debug(
            "%s: held back for %.2f s by a limit",
            call.endpoint.name,
            waited,
            extra={"endpoint": call.endpoint.name, "attempt": attempts + 1, "wait": waited},
        )
        if too_long is not None:
            raise RateLimited(
                "held back by the client's own limit, not sent",
                status=RateLimited.usual_status,
                endpoint=call.endpoint.name,
                attempts=attempts,
                retry_after=too_long,
            )

    async def _before_next(
        self,
        limiter: Limiter,
        call: Call[Any],
        options: CallOptions,
        failed: _Failed,
        *,
        attempts: int,
        started: Seconds,
    ) -> None:
        """Wait for the time of the next attempt, or raise what the last one failed with."""
        policy = self._config.retry
        if options.retries is not None:
            policy = attrs.evolve(policy, attempts=options.retries + 1)
        failure = failed.failure
        wait = wait_before_next(
            policy,
            failure,
            attempt=attempts,
            elapsed=self._clock() - started,
            chance=random.random(),  # noqa: S311 - spreads load, guards nothing
        )
        if failure.status == RateLimited.usual_status and failure.retry_after is not None:
            limiter.pause(failure.retry_after)
        if wait is None or not may_repeat(failure, call.endpoint.repeat):
            raise failed.error
        if not self._budget.spend(calls=self.stats.calls):
            raise failed.error
        self.stats.retries += 1
        log.info(
            "%s: attempt %d failed (%s), next in %.2f s",
            call.endpoint.name,
            attempts,
            type(failed.error).__name__,
            wait,
            extra={"endpoint": call.endpoint.name, "attempt": attempts, "wait": wait},
        )
        if failed.seen is not None:
            failed.seen.wait = wait
            tell((hooks.on_retry for hooks in self._hooks), failed.seen)
        await asyncio.sleep(wait)

    async def _watched_attempt(
        self, pool: Pool, call: Call[T], options: CallOptions, number: int, started: Seconds
    ) -> Answer[T] | _Failed:
        """Make an attempt with the hooks around it."""
        endpoint = call.endpoint
        seen = Attempt(
            endpoint=endpoint.name,
            method=endpoint.method,
            url=str(self._ways[endpoint.path].url),
            number=number,
            headers={**_HEADERS, **call.headers},
        )
        began = self._clock()
        tell((hooks.on_request for hooks in self._hooks), seen)
        try:
            outcome = await self._attempt(
                pool, call, options, number, started, headers=seen.headers
            )
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
        call: Call[T],
        options: CallOptions,
        number: int,
        started: Seconds,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer[T] | _Failed:
        self.stats.requests += 1
        endpoint, body = call.endpoint, call.body
        if headers is None:
            # A session of ours sends the client's headers by itself.
            headers = {} if self._has_own_sessions else _HEADERS
        if not pool.places.take():
            await pool.places.wait()
        try:
            with Deadline(
                pool.deadlines,
                options.timeout or self._config.timeouts.total,
                self._config.timeouts.read,
            ) as deadline:
                sent: JsonBody | AsyncIterator[memoryview] | None = None
                if body is not None:
                    if len(body) > _PIECE_BYTES:
                        headers = {**headers, **call.headers, "Content-Length": str(len(body))}
                        sent = _pieces(body, deadline)
                    else:
                        sent = JsonBody(body)
                response = await pool.session.request(
                    endpoint.method,
                    self._ways[endpoint.path].url,
                    params=call.query or None,
                    data=sent,
                    headers=headers,
                    allow_redirects=False,
                    timeout=self._timeout,
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
            pool.places.give_back()
        # Past the handler on purpose: aiohttp's texts hold the URL, whose query holds the secret
        # and the user, and a chained exception would carry them into every traceback.
        if cause is not None:
            return _Failed(*_failure(cause, endpoint.name, number))
        if read is None:
            too_large = AnswerTooLarge(
                f"the answer is larger than {limit} bytes",
                endpoint=endpoint.name,
                attempts=number,
            )
            return _Failed(too_large, Failure(hopeless=True))
        answer = Answer(
            call=call,
            status=response.status,
            headers=response.headers,
            body=read,
            attempts=number,
            elapsed=self._clock() - started,
        )
        error = refusal(answer)
        if error is None:
            return answer
        return _Failed(error, Failure(error.status, getattr(error, "retry_after", None)))

    def _open_way(self, endpoint: Endpoint) -> _Way:
        url = self._base.join(URL(endpoint.path.lstrip("/")))
        way = self._ways[endpoint.path] = _Way(url, self._limiters[endpoint.family])
        return way


async def _pieces(body: bytes, deadline: Deadline) -> AsyncIterator[memoryview]:
    """Cut a large body: aiohttp would copy it whole, and write it without letting others run."""
    view = memoryview(body)
    for start in range(0, len(body), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
        deadline.sent_bytes = start


def _failure(cause: Exception, endpoint: str, attempts: int) -> tuple[PersonaClickError, Failure]:
    kind = type(cause).__name__
    match cause:
        case TimeoutError():
            unsent = isinstance(cause, aiohttp.ConnectionTimeoutError)
            what = "no connection" if unsent else "no answer"
            error: PersonaClickError = TimedOut(
                f"{what} within the timeout", endpoint=endpoint, attempts=attempts
            )
            return error, Failure(unsent=unsent)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            reason, failure = "the server's certificate is not accepted", Failure(hopeless=True)
        case aiohttp.ClientConnectorDNSError():
            reason, failure = "the host name is not known", Failure(unsent=True)
        case aiohttp.ClientConnectorError():
            reason, failure = "no connection", Failure(unsent=True)
        case _:
            reason, failure = f"the connection broke ({kind})", Failure()
    return ConnectionFailed(reason, endpoint=endpoint, attempts=attempts), failure


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
