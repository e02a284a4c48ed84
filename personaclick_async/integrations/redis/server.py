"""Exchanges with a Redis server that may be away: bounded in time, and not repeated at once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import attrs
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from personaclick_async.cache import CacheStats
from personaclick_async.config import Seconds
from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations.redis.scripts import KEEP, READ

T = TypeVar("T")

log: Final = logging.getLogger("personaclick_async")

_CONNECTIONS: Final = 32


class Away(Exception):
    """The server can't be asked now."""


@attrs.define(eq=False)
class Here:
    """What belongs to one event loop: its connections, and the scripts bound to them."""

    pool: ConnectionPool
    redis: Redis
    read: AsyncScript
    keep: AsyncScript
    places: asyncio.Semaphore
    lifetime: AsyncGenerator[None, None]


class Server:
    """A Redis server, asked from any number of event loops.

    Each exchange has ``timeout`` seconds. After one that failed, the server counts as away: it is
    not asked again until somebody has tried ``while_away`` with success.
    """

    def __init__(self, url: str, *, timeout: Seconds) -> None:
        self._timeout = timeout
        self._settings = _settings(url, timeout)
        self._heres: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Here] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()
        self._abandoned: list[Here] = []
        self._away_since: Seconds | None = None
        self._closed = False
        self.stats = CacheStats()

    @property
    def is_away(self) -> bool:
        """Whether the last exchange failed."""
        return self._away_since is not None

    def away_for(self) -> Seconds:
        """Give for how many seconds the server has not been asked by a reader."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    def connection(self) -> AbstractConnection:
        """Make a connection of its own, not yet connected."""
        return _connection(self._settings)

    async def ask(self, exchange: Callable[[Here], Awaitable[T]], *, while_away: bool = False) -> T:
        """Have an exchange with the server.

        :raises Away: it failed, or took too long, or the server was away before.
        """
        self._require(while_away=while_away)
        here = await self._here()
        # The wait for a place is the fault of those before, and is not the server's time.
        async with here.places:
            self._require(while_away=while_away)
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await exchange(here)
            except Exception as error:  # noqa: BLE001 - whatever it is, a read goes on without
                self._failed(error, while_away=while_away)
            else:
                self._succeeded()
                return answer
        raise Away

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and lock, without closing what is the parent's."""
        self._lock = threading.Lock()
        self._abandoned.extend(self._heres.values())
        self._heres.clear()

    async def close(self) -> None:
        """Refuse more exchanges, wait for those under way on this event loop, and disconnect."""
        self._closed = True
        current = asyncio.get_running_loop()
        with self._lock:
            heres = list(self._heres.items())
            self._heres.clear()
        for loop, here in heres:
            if loop is current:
                await self._close(here)
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(self._close(here), loop)
                await asyncio.wrap_future(closing)

    def _require(self, *, while_away: bool) -> None:
        if self._closed or (self._away_since is not None and not while_away):
            raise Away

    def _failed(self, error: Exception, *, while_away: bool) -> None:
        if not while_away:
            self.stats.store_failures += 1
        if self._away_since is None:
            # Its text may hold the server's address and what was sent.
            log.warning("the shared profile cache is away (%s)", type(error).__name__)
        self._away_since = time.monotonic()

    def _succeeded(self) -> None:
        if self._away_since is not None:
            log.info("the shared profile cache is back")
            self._away_since = None

    async def _here(self) -> Here:
        loop = asyncio.get_running_loop()
        here = self._heres.get(loop)
        if here is None:
            pool = ConnectionPool(**self._settings)
            redis = Redis(connection_pool=pool)
            here = Here(
                pool=pool,
                redis=redis,
                read=redis.register_script(READ),
                keep=redis.register_script(KEEP),
                places=asyncio.Semaphore(_CONNECTIONS),
                lifetime=_close_with_loop(pool),
            )
            with self._lock:
                self._heres[loop] = here
            await anext(here.lifetime)
        return here

    async def _close(self, here: Here) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._timeout):
                for _ in range(_CONNECTIONS):
                    await here.places.acquire()
        await here.lifetime.aclose()


async def _close_with_loop(pool: ConnectionPool) -> AsyncGenerator[None, None]:
    """Close the connections when their event loop shuts down, if nobody did before."""
    try:
        yield
    finally:
        await pool.aclose()


def _connection(settings: dict[str, Any]) -> AbstractConnection:
    pool = ConnectionPool(**settings)
    made: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return made


def _settings(url: str, timeout: Seconds) -> dict[str, Any]:
    with suppress(ValueError, TypeError, AttributeError):
        settings = {
            **parse_url(url),
            # One form of messages and answers, whatever the address asks for.
            "protocol": 2,
            "decode_responses": False,
            "health_check_interval": 0,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": timeout,
            # Each exchange is timed as a whole. With a timeout of its own redis-py sends by
            # asyncio.wait_for, which swallows a cancellation now and then before Python 3.12.
            "socket_timeout": None,
            "max_connections": _CONNECTIONS,
        }
        _connection(settings)
        return settings
    # Not chained: the address may hold a password.
    raise ConfigurationError(
        "url: expected redis://, rediss:// or unix://, with options that redis-py knows"
    )
