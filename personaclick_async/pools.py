"""One pool of connections per event loop, opened when it is needed and closed with its loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

import aiohttp
import attrs
from aiohttp.abc import AbstractResolver, ResolveResult

from personaclick_async.config import Config, Seconds, Timeouts
from personaclick_async.deadlines import Deadlines
from personaclick_async.errors import ClientClosed
from personaclick_async.places import Places
from personaclick_async.plain_request import ACCEPT_ENCODING, NoCookies, PlainRequest


@attrs.define(eq=False, repr=False)
class Pool:
    """What belongs to one event loop: its connections, and the calls under way on it."""

    session: aiohttp.ClientSession
    places: Places
    deadlines: Deadlines
    lifetime: AsyncGenerator[None, None] | None = None
    under_way: int = 0
    idle: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def close(self, patience: Seconds) -> None:
        """Wait for the calls under way, so many seconds at most, and close the connections."""
        if self.under_way:
            self.idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.idle.wait()
        if self.lifetime is not None:
            await self.lifetime.aclose()


class Pools:
    """The pools of a client.

    :ivar by_loop: those that are open.
    :ivar is_closed: whether no other will be opened.
    """

    def __init__(
        self,
        config: Config,
        *,
        headers: Mapping[str, str],
        session: aiohttp.ClientSession | None,
        trust_env: bool,
    ) -> None:
        self._config = config
        self._headers = headers
        self._given_session = session
        self._trust_env = trust_env
        self._lock = threading.Lock()
        self._abandoned: list[Pool] = []
        self.by_loop: dict[asyncio.AbstractEventLoop, Pool] = {}
        self.is_closed = False

    async def open(self) -> Pool:
        """Open the pool of the running event loop, and forget those of loops that have ended.

        :raises ClientClosed: there are to be no more.
        """
        if self.is_closed:
            raise closed_error()
        loop = asyncio.get_running_loop()
        pool = self._new(loop)
        with self._lock:
            for gone in [other for other in self.by_loop if other.is_closed()]:
                del self.by_loop[gone]
            self.by_loop[loop] = pool
        if pool.lifetime is not None:
            await anext(pool.lifetime)
        return pool

    async def close(self, *, patience: Seconds) -> None:
        """Open no more, wait for the calls under way, then close; see :meth:`Pool.close`."""
        self.is_closed = True
        here = asyncio.get_running_loop()
        with self._lock:
            pools = list(self.by_loop.items())
            self.by_loop.clear()
        for loop, pool in pools:
            if loop is here:
                await pool.close(patience)
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(pool.close(patience), loop)
                await asyncio.wrap_future(closing)

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, without closing what is the parent's."""
        self._lock = threading.Lock()
        self._abandoned.extend(self.by_loop.values())
        self.by_loop.clear()

    def _new(self, loop: asyncio.AbstractEventLoop) -> Pool:
        places, deadlines = Places(self._config.max_concurrency), Deadlines(loop)
        if self._given_session is not None:
            return Pool(self._given_session, places, deadlines)
        resolver = _TimedResolver(self._config.timeouts.connect)
        session = new_session(
            self._config.timeouts, resolver, headers=self._headers, trust_env=self._trust_env
        )
        return Pool(session, places, deadlines, _close_with_loop(session, resolver))


def timeout_of(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """Give what aiohttp is to watch; the rest of what may take long is for the deadlines."""
    return aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect)


def new_session(
    timeouts: Timeouts,
    resolver: AbstractResolver,
    *,
    headers: Mapping[str, str],
    trust_env: bool = False,
) -> aiohttp.ClientSession:
    """Make a session of the client's own."""
    return aiohttp.ClientSession(
        # The places are the limit: time spent waiting for one is not an attempt's time.
        connector=aiohttp.TCPConnector(limit=0, resolver=resolver),
        # The service sets a did cookie on init; with a jar two users would become one.
        cookie_jar=NoCookies(),
        headers={**headers, "Accept-Encoding": ACCEPT_ENCODING},
        request_class=aiohttp.ClientRequest if trust_env else PlainRequest,
        timeout=timeout_of(timeouts),
        trust_env=trust_env,
    )


def closed_error() -> ClientClosed:
    """Make the error of a call that comes too late."""
    return ClientClosed("this client was closed; make a new one")


class _TimedResolver(AbstractResolver):
    """Looks host names up, but not for ever."""

    def __init__(self, patience: Seconds) -> None:
        self._resolver = aiohttp.DefaultResolver()
        self._patience = patience

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look a name up.

        :raises TimeoutError: it takes too long.
        """
        async with asyncio.timeout(self._patience):
            return await self._resolver.resolve(host, port, family)

    async def close(self) -> None:
        """Let go of what it holds."""
        await self._resolver.close()


async def _close_with_loop(
    session: aiohttp.ClientSession, resolver: _TimedResolver
) -> AsyncGenerator[None, None]:
    """Close the session when its event loop shuts down, if nobody did before.

    asyncio.run, uvloop and the test runners all close a loop's async generators while it can
    still run, which is the one moment to close connections of a loop that ends.
    """
    try:
        yield
    finally:
        await session.close()
        await resolver.close()
