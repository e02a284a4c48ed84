"""Connections that are clean when they are used again, and what a failure on one means."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import aiohttp

from personaclick_async.deadlines import Deadline
from personaclick_async.errors import ConnectionFailed, MalformedAnswer, PersonaClickError, TimedOut
from personaclick_async.retry import Failure

if TYPE_CHECKING:
    import asyncio

    from aiohttp.tracing import Trace

_ENCODING: Final = re.compile(r"content-encoding: \w+ \((\w+)\)\. Please install `([\w.]+)`")
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


current_attempt: Final[ContextVar[Deadline | None]] = ContextVar("current_attempt", default=None)
"""The attempt that the running task makes."""

# What asks the system about each connection that carried a request. By weak reference: aiohttp
# alone keeps a connection alive.
_used: Final[WeakKeyDictionary[asyncio.BaseProtocol, Callable[[], object]]] = WeakKeyDictionary()


class CleanConnector(aiohttp.TCPConnector):
    """A connector that closes a pooled connection with anything unread, and takes another.

    A server or proxy may write a second answer, or ``408 Request Timeout``, on an idle
    connection. aiohttp would take it for the answer to the next request, and so give one user
    the profile of another. Use it for a session of your own::

        session = aiohttp.ClientSession(connector=CleanConnector())
    """

    is_parents = False
    """Whether it belongs to the process that this one was forked from."""

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
        if attempt is not None and attempt.is_connected:
            # aiohttp sends some requests twice by itself; here retries are the transport's matter.
            raise aiohttp.ServerDisconnectedError
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None:  # never of a connection that was just opened
                raise aiohttp.ServerDisconnectedError
            is_readable = _used.get(protocol)
            if is_readable is None:
                _used[protocol] = _asking(connection)
            # Readable means a stray answer that the event loop has not seen yet, or the end.
            elif (
                protocol.should_close
                or (attempt is not None and attempt.wants_new_connection)
                or is_readable()
            ):
                connection.close()
                continue
            if attempt is not None:
                attempt.is_connected, attempt.is_reused = True, is_readable is not None
            return connection


def _asking(connection: aiohttp.connector.Connection) -> Callable[[], object]:
    """Return what asks whether anything can be read from a connection's socket."""
    socket = None if connection.transport is None else connection.transport.get_extra_info("socket")
    if socket is None:
        return lambda: True
    descriptor = socket.fileno()
    if not hasattr(select, "poll"):
        return lambda: select.select([descriptor], [], [], 0)[0]
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return partial(poller.poll, 0)


def failure_of(
    cause: Exception, attempt: Deadline, *, endpoint: str, attempts: int, patience: str
) -> tuple[PersonaClickError, Failure]:
    """Return the error that an exception of aiohttp's means, and what to do about it.

    Its texts are not passed on: they hold the URL, whose query holds the secret and the user.

    :param patience: for how long the answer was waited for, in words.
    """
    failure = Failure()
    match cause:
        case aiohttp.ConnectionTimeoutError():
            late = TimedOut(
                "no connection within the timeout", endpoint=endpoint, attempts=attempts
            )
            return late, Failure(unsent=True)
        case TimeoutError():
            late = TimedOut(f"no answer within {patience}", endpoint=endpoint, attempts=attempts)
            return late, Failure()
        case aiohttp.ClientResponseError() if found := _ENCODING.search(cause.message):
            reason = (
                f"the answer is encoded as {found[1]}, which takes the package {found[2]} to read"
            )
            error = MalformedAnswer(reason, endpoint=endpoint, attempts=attempts, answer=None)
            return error, Failure(hopeless=True)
        case aiohttp.ClientConnectorCertificateError():
            failure = Failure(hopeless=True)
            why = getattr(cause.certificate_error, "verify_message", "") or "no reason given"
            reason = f"the certificate of {cause.host}:{cause.port} is not accepted ({why})"
        case aiohttp.ClientConnectorSSLError():
            failure = Failure(hopeless=True)
            reason = f"no TLS connection to {cause.host}:{cause.port}"
        case aiohttp.ClientConnectorDNSError():
            failure = Failure(unsent=True)
            reason = f"could not find the host {cause.host} ({_system_says(cause.os_error)})"
        case aiohttp.ClientConnectorError():
            failure = Failure(unsent=True)
            reason = f"could not connect to {cause.host}:{cause.port}"
            reason = f"{reason} ({_system_says(cause.os_error)})"
        case (
            aiohttp.ServerDisconnectedError()
            | aiohttp.ClientOSError()
            | aiohttp.ClientConnectionResetError()
        ):
            failure = Failure(stale=attempt.is_reused)
            reason = f"the connection broke ({type(cause).__name__})"
        case _:
            reason = f"the connection broke ({type(cause).__name__})"
    return ConnectionFailed(reason, endpoint=endpoint, attempts=attempts), failure


def _system_says(error: OSError) -> str:
    """Return the operating system's reason in its own words, without aiohttp's."""
    number = error.errno
    if number is None:
        # Several addresses were tried; the text lists what each of them failed with.
        found = _ERRNO.search(str(error))
        number = None if found is None else int(found[1])
    if number is None or number < 0:
        return (error.strerror or "no reason given").lower()
    return os.strerror(number).lower()
