"""Closing the client when an ASGI application ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeAlias

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds

ASGIScope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An application; every framework types its three arguments in its own way."""

PATIENCE: Final = 3.0
"""Seconds for which an ending application waits for calls in flight. The server has by then waited
for the requests, so these calls are of tasks that nobody awaits."""


def lifespan(
    client: PersonaClick,
    wraps: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    *,
    patience: Seconds = PATIENCE,
) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    """Return the ``lifespan=`` of a Starlette or FastAPI application, which closes the client.

    :param wraps: the application's own lifespan, if it has one: it begins after the client is
        there and ends before it is closed.
    :param patience: seconds to wait for calls in flight; keep it within the grace period of
        whatever stops the server.
    """

    @asynccontextmanager
    async def run(app: object) -> AsyncIterator[Any]:
        try:
            if wraps is None:
                yield
            else:
                async with wraps(app) as state:
                    yield state
        finally:
            await client.close(patience=patience)

    return run


class LifespanMiddleware:
    """Closes the client when the server says that the application ends.

    For applications without a ``lifespan=`` of their own. Those that know no lifespan at all, such
    as Django's, do not get the server's events.

    :param app: the application to wrap.
    :param client: the client to close.
    :param patience: seconds to wait for calls in flight; see :func:`lifespan`.
    """

    def __init__(self, app: ASGIApp, client: PersonaClick, *, patience: Seconds = PATIENCE) -> None:
        self._app = app
        self._client = client
        self._patience = patience

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve a request, or the events of the application's life."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        listened = False

        async def listen() -> Message:
            nonlocal listened
            listened = True
            return await receive()

        async def close_and_send(message: Message) -> None:
            # Before the server hears of the end: it may stop the event loop at once.
            if message["type"].startswith("lifespan.shutdown."):
                await self._client.close(patience=self._patience)
            await send(message)

        try:
            try:
                await self._app(scope, listen, close_and_send)
            except Exception:
                # ASGI's sign of an application without a lifespan: it raises before it listens.
                if listened:
                    raise
            if not listened:
                await _answer_events(receive, close_and_send)
        finally:
            await self._client.close(patience=self._patience)


async def _answer_events(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
