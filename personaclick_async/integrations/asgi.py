"""The middleware for ASGI applications: Starlette, FastAPI, Litestar, Django and all others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final, TypeAlias

import attrs

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, Visitor, VisitorPolicy, Visitors

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["LifespanMiddleware", "Visitor", "VisitorMiddleware", "lifespan", "visitor_of"]

ASGIScope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An application; every framework types its three arguments in its own way."""

# The requests have ended by then: only tasks that nobody awaits still make calls.
PATIENCE: Final = 3.0
"""Seconds for which an ending application waits for calls in flight."""

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]

_VISITS: Final = ("http", "websocket")
_BEGINS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class VisitorMiddleware:
    """Makes each request's visitor the client's current user, known by cookies.

    ::

        client = PersonaClick()
        app = FastAPI(lifespan=lifespan(client))
        app.add_middleware(VisitorMiddleware, client=client)

    The endpoint, what it calls, the tasks it starts, a streamed body and the background tasks of
    its response all see the visitor. Responses go through unbuffered.

    :param policy: how visitors are found.
    """

    def __init__(
        self, app: ASGIApp, client: PersonaClick, *, policy: VisitorPolicy | None = None
    ) -> None:
        self._app = app
        self._visitors = Visitors(client, policy or VisitorPolicy())

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket."""
        if scope["type"] not in _VISITS:
            await self._app(scope, receive, send)
            return
        method, scheme = scope.get("method", "GET"), scope.get("scheme", "http")
        request = IncomingRequest(method, scope["path"], scheme, _texts(scope["headers"]), scope)
        scope[Visitor.KEY] = visitor = await self._visitors.arrive(request)

        async def send_with_cookies(message: Message) -> None:
            if message["type"] in _BEGINS:
                headers = list(message.get("headers", ()))  # of any iterable, such as a generator
                added = visitor.response_headers(_texts(headers))
                headers += [(name.lower().encode(), value.encode()) for name, value in added]
                message = {**message, "headers": headers}
            await send(message)

        with visitor.current():
            await self._app(scope, receive, send_with_cookies)


def visitor_of(scope: Mapping[str, object]) -> Visitor:
    """Return the visitor of a request, or raise ConfigurationError if no middleware has seen it."""
    return Visitor.required(scope.get(Visitor.KEY))


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def lifespan(
    client: PersonaClick, wraps: Lifespan | None = None, *, patience: Seconds = PATIENCE
) -> Lifespan:
    """Return the ``lifespan=`` of a Starlette or FastAPI application, which closes the client.

    Also for the ``lifespan`` of Litestar and the ``cleanup_ctx`` of aiohttp.web.

    :param wraps: the application's own lifespan, if it has one: it begins after the client is
        there and ends before it is closed.
    :param patience: seconds to wait for calls in flight; keep it within the grace period of
        whatever stops the server.
    """

    @asynccontextmanager
    async def run(app: object) -> AsyncIterator[Any]:
        try:
            async with wraps(app) if wraps else nullcontext() as state:
                yield state
        finally:
            await client.close(patience=patience)

    return run


@attrs.define(eq=False, repr=False)
class LifespanMiddleware:
    """Closes the client when the server says that the application ends.

    For applications without a ``lifespan=`` of their own, also for those that know no lifespan at
    all, such as Django's: they do not get the server's events.
    """

    app: ASGIApp
    client: PersonaClick
    patience: Seconds = attrs.field(default=PATIENCE, kw_only=True)  # see :func:`lifespan`

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve a request, or the events of the application's life."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return
        listened = False

        async def listen() -> Message:
            nonlocal listened
            listened = True
            return await receive()

        async def close_and_send(message: Message) -> None:
            # Before the server hears of the end: it may stop the event loop at once.
            if message["type"].startswith("lifespan.shutdown."):
                await self.client.close(patience=self.patience)
            await send(message)

        async with lifespan(self.client, patience=self.patience)(self.app):
            try:
                await self.app(scope, listen, close_and_send)
            except Exception:
                # As ASGI specifies, an application without a lifespan raises before it listens.
                if listened:
                    raise
            if not listened:
                for _ in range(2):  # the startup and the shutdown
                    event = await receive()
                    await close_and_send({"type": f"{event['type']}.complete"})
