"""Closing the client when an ASGI application ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from personaclick_async.client import PersonaClick
from personaclick_async.integrations.asgi_types import (
    ASGIApp,
    ASGIScope,
    Message,
    Receive,
    Send,
)


def lifespan(
    client: PersonaClick,
    wraps: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[Any]]:
    """Give the ``lifespan=`` of a Starlette or FastAPI application, which closes the client.

    :param wraps: the application's own lifespan, if it has one: it begins after the client is
        there and ends before it is closed.
    """

    @asynccontextmanager
    async def run(app: object) -> AsyncIterator[Any]:
        async with client:
            if wraps is None:
                yield
            else:
                async with wraps(app) as state:
                    yield state

    return run


class LifespanMiddleware:
    """Closes the client when the server says that the application ends.

    For applications without a ``lifespan=`` of their own. Those that know no lifespan at all, as
    Django's, are spared the server's events.

    :param app: the application to wrap.
    :param client: the client to close.
    """

    def __init__(self, app: ASGIApp, client: PersonaClick) -> None:
        self._app = app
        self._client = client

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve a request, or the events of the application's life."""
        if scope["type"] == "lifespan":
            await _live(self._app, self._client, scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _live(
    app: ASGIApp, client: PersonaClick, scope: ASGIScope, receive: Receive, send: Send
) -> None:
    listened = False

    async def listen() -> Message:
        nonlocal listened
        listened = True
        return await receive()

    async def close_and_send(message: Message) -> None:
        # Before the server hears of the end: it may stop the event loop at once.
        if message["type"].startswith("lifespan.shutdown."):
            await client.close()
        await send(message)

    async with client:
        try:
            await app(scope, listen, close_and_send)
        except Exception:
            # ASGI's sign of an application without a lifespan: it raises before it listens.
            if listened:
                raise
        if not listened:
            await _live_alone(receive, close_and_send)


async def _live_alone(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
