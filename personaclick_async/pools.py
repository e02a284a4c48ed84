"""One pool of clean connections per event loop, opened when needed and closed with its loop."""

from __future__ import annotations

import asyncio
import platform
import select
import threading
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Final
from weakref import ref

import aiohttp
import attrs
from multidict import CIMultiDict

from personaclick_async._version import __version__
from personaclick_async.config import Config, Seconds
from personaclick_async.deadlines import Deadlines, current_attempt
from personaclick_async.errors import ClientClosed, ConfigurationError, NoEventLoop

if TYPE_CHECKING:
    from aiohttp.tracing import Trace

HEADERS: Final = {
    "User-Agent": f"personaclick-async/{__version__} "
    f"python/{platform.python_version()} aiohttp/{aiohttp.__version__}",
    "Accept": "application/json",
}
"""The headers of every request."""

_A_DAY: Final = 86_400.0

# For each connection that carried a request, what asks whether anything can be read from it. By
# weak reference, for aiohttp alone keeps a connection alive; a WeakKeyDictionary is slower.
_used: Final[dict[ref[asyncio.BaseProtocol], Callable[[], object]]] = {}


class CleanConnector(aiohttp.TCPConnector):
    """A connector that closes a pooled connection with anything unread, and takes another.

    A server or proxy may write a second answer, or ``408 Request Timeout``, on an idle
    connection. aiohttp would take it for the answer to the next request, and so give one user
    the profile of another. Use it for a session of your own::

        session = aiohttp.ClientSession(connector=CleanConnector())
    """

    is_parents = False
    """Whether its connections belong to the process that this one was forked from."""

    def __del__(self, *defaults: ModuleType) -> None:
        # In a forked child aiohttp would close the parent's connections, and complain.
        if not self.is_parents:
            super().__del__(*defaults)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's word
    ) -> aiohttp.connector.Connection:
        """Return a connection on which the next bytes can only be the answer."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.is_reused is not None:
            # aiohttp sends some requests twice by itself; here retries are the transport's matter.
            raise aiohttp.ServerDisconnectedError
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None:  # never of a connection that was just opened
                raise aiohttp.ServerDisconnectedError
            is_readable = _used.get(ref(protocol))
            if is_readable is None:
                _used[ref(protocol, _used.pop)] = _readable_check(connection)
            # Readable means a stray answer that the event loop has not seen yet, or the end.
            elif (
                protocol.should_close
                or (attempt is not None and attempt.wants_new_connection)
                or is_readable()
            ):
                connection.close()
                continue
            if attempt is not None:
                attempt.is_reused = is_readable is not None
            return connection


def _readable_check(connection: aiohttp.connector.Connection) -> Callable[[], object]:
    """Return a function that asks the system whether a connection's socket can be read."""
    socket = None if connection.transport is None else connection.transport.get_extra_info("socket")
    if socket is None:
        return lambda: True
    if not hasattr(select, "poll"):
        return lambda: select.select([socket], [], [], 0)[0]
    poller = select.poll()
    poller.register(socket, select.POLLIN)
    return partial(poller.poll, 0)


@attrs.define(eq=False, repr=False)
class Pool:
    """What belongs to one event loop: its connections, and the calls in progress on it."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    lifetime: AsyncGenerator[None, None]
    room: asyncio.Semaphore
    deadlines: Deadlines
    in_progress: int = 0
    idle: asyncio.Event = attrs.field(factory=asyncio.Event)
    is_closed: bool = False
    _held: ref[asyncio.TimerHandle] | None = None

    def hold(self) -> None:
        """Live as long as the event loop does: only a timer of the loop refers to the pool.

        So a loop that is dropped without being closed takes its connections along.
        """
        self._held = ref(self.loop.call_later(_A_DAY, self.hold))

    async def close(self, patience: Seconds) -> None:
        """Wait for the calls in progress, ``patience`` seconds at most, and close."""
        try:
            if self.in_progress:
                self.idle.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self.idle.wait()
            self.let_go()
            await self.lifetime.aclose()
        except BaseException:  # a cancellation: nothing may be left open
            self.close_now()
            raise

    def let_go(self) -> None:
        """Drop the timer that keeps the pool, which may now be collected without a warning."""
        self.is_closed = True
        if self._held is not None and (timer := self._held()) is not None:
            timer.cancel()

    def close_now(self) -> None:
        """Close the connections as far as that is possible without the event loop."""
        self.let_go()
        closing = self.session.close()
        with suppress(StopIteration, RuntimeError):
            closing.send(None)
        closing.close()

    def __del__(self) -> None:
        if not (self.is_closed or self.session.closed):
            warnings.warn(
                "an event loop ended with open connections of a PersonaClick client: "
                "await client.close() on it before it ends, or run it with asyncio.run()",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
            self.close_now()


class Pools:
    """The pools of a client; none opens once it is closed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._abandoned: list[Pool] = []  # by a fork: to collect one would reach into the parent
        self._by_loop: dict[int, ref[Pool]] = {}
        self.is_closed = False

    def here(self) -> Pool | None:
        """Return the pool of the running event loop, if there is one that takes calls."""
        known = self._by_loop.get(id(running_loop()))
        return None if known is None else known()

    async def open(self) -> Pool:
        """Open the pool of the running event loop."""
        loop, config = running_loop(), self._config
        with self._lock:
            if self.is_closed:
                raise closed_error()
            session = new_session(config)
            pool = Pool(
                loop,
                session,
                _close_with_loop(session),
                room=asyncio.Semaphore(config.max_concurrency),
                deadlines=Deadlines(loop, config.timeouts.read),
            )
            alive = {key: known for key, known in self._by_loop.items() if known() is not None}
            self._by_loop = {**alive, id(loop): ref(pool)}
        pool.hold()
        await anext(pool.lifetime)
        return pool

    async def close(self, patience: Seconds) -> None:
        """Open no more, wait for the calls in progress, then close; see :meth:`Pool.close`."""
        self.is_closed = True
        here = asyncio.get_running_loop()
        own: Pool | None = None
        elsewhere: list[asyncio.Future[None]] = []
        for pool in self._take_all():
            if pool.loop is here:
                own = pool
            elif pool.loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(pool.close(patience), pool.loop)
                elsewhere.append(asyncio.wrap_future(closing))
            else:
                pool.close_now()
        if own is not None:
            await own.close(patience)
        if elsewhere:
            # A loop that stands still in its thread is not waited for.
            await asyncio.wait(elsewhere, timeout=patience + 1)

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, without closing what is the parent's."""
        self._lock = threading.Lock()
        for pool in self._take_all():
            pool.let_go()
            if isinstance(connector := pool.session.connector, CleanConnector):
                connector.is_parents = True
            pool.session.detach()
            self._abandoned.append(pool)

    def _take_all(self) -> list[Pool]:
        with self._lock:
            taken, self._by_loop = self._by_loop, {}
        return [pool for known in taken.values() if (pool := known()) is not None]


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's running event loop; if there is none, the error says what is missing."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NoEventLoop(
            "personaclick_async needs asyncio: make calls in a coroutine run by asyncio.run(…); "
            "trio, curio and plain gevent can't run them"
        ) from None


def new_session(config: Config) -> aiohttp.ClientSession:
    """Return a new session of the client's own, or one on the connector of the application's.

    Of the application's, headers and tracing are taken over; not its cookie jar, which sends one
    visitor's device for another, nor its ``raise_for_status`` and timeouts.
    """
    # The service sets a did cookie on init; with a jar two users would become one.
    cookie_jar = aiohttp.DummyCookieJar()
    # What else may take long is for the deadlines to watch.
    timeout = aiohttp.ClientTimeout(total=None, connect=config.timeouts.connect)
    like = config.session
    if like is None:
        return aiohttp.ClientSession(
            # The pool's room is the limit: time spent waiting for it is not an attempt's time.
            connector=CleanConnector(limit=0),
            cookie_jar=cookie_jar,
            headers=HEADERS,
            timeout=timeout,
            trust_env=config.trust_env,
        )
    if like.closed:
        raise ConfigurationError("session: expected one that is open, got one that is closed")
    if not isinstance(like.connector, CleanConnector):
        warnings.warn(
            "this session's connector does not notice a stray answer on an idle connection, which "
            "may give one user the answer of another: make the session with "
            "aiohttp.ClientSession(connector=personaclick_async.CleanConnector())",
            RuntimeWarning,
            stacklevel=2,
        )
    headers = CIMultiDict(like.headers)
    headers.update(HEADERS)
    with suppress(RuntimeError):
        return aiohttp.ClientSession(
            connector=like.connector,
            connector_owner=False,
            loop=asyncio.get_running_loop(),
            cookie_jar=cookie_jar,
            headers=headers,
            auth=like.auth,
            skip_auto_headers=like.skip_auto_headers,
            trace_configs=list(like.trace_configs),
            timeout=timeout,
            trust_env=like.trust_env,
        )
    raise ConfigurationError(
        "session: it belongs to another event loop; make one client per loop, or pass no session"
    )


def closed_error() -> ClientClosed:
    """Return the error of a call that comes too late."""
    return ClientClosed("this client was closed; make a new one")


async def _close_with_loop(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Close the session when its event loop shuts down, if that has not happened before.

    asyncio.run, uvloop and the test runners all close a loop's async generators while it can
    still run, which is the one moment to close connections of a loop that ends.
    """
    try:
        yield
    finally:
        await session.close()
