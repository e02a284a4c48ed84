"""Connections that are clean when they are used again, and what a failure on one means."""

from __future__ import annotations

import os
import re
import select
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

import aiohttp
import attrs

from personaclick_async.errors import ConnectionFailed, MalformedAnswer, PersonaClickError, TimedOut
from personaclick_async.retry import Failure

if TYPE_CHECKING:
    import asyncio

    from aiohttp.tracing import Trace

_ENCODING: Final = re.compile(r"content-encoding: \w+ \((\w+)\)\. Please install `([\w.]+)`")
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


@attrs.define(eq=False, repr=False)
class Connecting:
    """What an attempt wants of the connector, and what it has been given.

    :ivar fresh: whether the connection must be a new one.
    :ivar is_connected: whether it has been given a connection.
    :ivar is_reused: whether that one had carried other requests before.
    """

    fresh: bool = False
    is_connected: bool = False
    is_reused: bool = False


connecting: Final[ContextVar[Connecting | None]] = ContextVar("connecting", default=None)
"""The attempt that the running task makes."""

# Every connection that carried a request. By weak reference: aiohttp alone keeps it alive.
_used: Final[WeakSet[asyncio.BaseProtocol]] = WeakSet()


class CleanConnector(aiohttp.TCPConnector):
    """A connector that closes a pooled connection with anything unread, and takes another.

    A server or proxy may write a second answer, or ``408 Request Timeout``, on an idle
    connection. aiohttp would take it for the answer to the next request, and so give one user
    the profile of another. Use it for a session of your own::

        session = aiohttp.ClientSession(connector=CleanConnector())
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's word
    ) -> aiohttp.connector.Connection:
        """Return a connection on which the next bytes can only be the answer."""
        attempt = connecting.get()
        if attempt is not None and attempt.is_connected:
            # aiohttp sends some requests twice by itself; here retries are the transport's matter.
            raise aiohttp.ServerDisconnectedError
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            is_reused = protocol in _used
            if is_reused and ((attempt is not None and attempt.fresh) or not _is_clean(connection)):
                connection.close()
                continue
            if protocol is not None and not is_reused:
                _used.add(protocol)
            if attempt is not None:
                attempt.is_connected, attempt.is_reused = True, is_reused
            return connection


def _is_clean(connection: aiohttp.connector.Connection) -> bool:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return False
    # Readable means a stray answer that the event loop has not seen yet, or the connection's end.
    if not hasattr(select, "poll"):
        return not select.select([socket.fileno()], [], [], 0)[0]
    poller = select.poll()
    poller.register(socket.fileno(), select.POLLIN)
    return not poller.poll(0)


def failure_of(
    cause: Exception, attempt: Connecting, *, endpoint: str, attempts: int, patience: str
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
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
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
