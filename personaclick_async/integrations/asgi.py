"""The middleware for ASGI applications: Starlette, FastAPI, Litestar, Django and all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.integrations.cookies import CookiePolicy
from personaclick_async.integrations.incoming import IncomingRequest
from personaclick_async.integrations.lifespan import (
    PATIENCE,
    ASGIApp,
    ASGIScope,
    LifespanMiddleware,
    Message,
    Receive,
    Send,
    lifespan,
)
from personaclick_async.integrations.visitors import (
    NoConsent,
    Visitor,
    VisitorPolicy,
    Visitors,
    require_visitor,
)

__all__ = [
    "CookiePolicy",
    "IncomingRequest",
    "LifespanMiddleware",
    "NoConsent",
    "Visitor",
    "VisitorMiddleware",
    "VisitorPolicy",
    "lifespan",
    "visitor_of",
]

_KEY: Final = "personaclick.visitor"
_VISITS: Final = frozenset({"http", "websocket"})
_BEGINS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


class VisitorMiddleware:
    """Makes each request's visitor the client's current user, known by cookies.

    ::

        client = PersonaClick()
        app = FastAPI(lifespan=lifespan(client))
        app.add_middleware(VisitorMiddleware, client=client)

    The endpoint, what it calls, the tasks it starts, a streamed body and the background tasks of
    its response all see the visitor. Responses go through unbuffered.

    :param app: the application to wrap.
    :param client: the shop's client.
    :param policy: how visitors are found; see :class:`VisitorPolicy`.
    :param close_client: close the client when the server says that the application ends, for
        applications without a ``lifespan=``.
    :param patience: seconds for which that waits for calls in flight.
    """

    def __init__(
        self,
        app: ASGIApp,
        client: PersonaClick,
        *,
        policy: VisitorPolicy | None = None,
        close_client: bool = False,
        patience: Seconds = PATIENCE,
    ) -> None:
        self._app = app
        self._visitors = Visitors(client, policy)
        self._rest = LifespanMiddleware(app, client, patience=patience) if close_client else app

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve a request, a websocket, or the events of the application's life."""
        if scope["type"] not in _VISITS:
            await self._rest(scope, receive, send)
            return
        visitor = await self._visitors.arrive(_incoming(scope))
        scope[_KEY] = visitor

        async def send_with_cookies(message: Message) -> None:
            if message["type"] in _BEGINS:
                message = _with_cookies(message, visitor)
            await send(message)

        with visitor.current():
            await self._app(scope, receive, send_with_cookies)


def visitor_of(scope: Mapping[str, object]) -> Visitor:
    """Return the visitor of a request that came through the middleware.

    :raises ConfigurationError: it did not.
    """
    return require_visitor(scope.get(_KEY))


def _incoming(scope: ASGIScope) -> IncomingRequest:
    return IncomingRequest(
        method=scope.get("method", "GET"),
        path=scope["path"],
        scheme=scope.get("scheme", "http"),
        header_fields=[
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ],
        native=scope,
    )


def _with_cookies(message: Message, visitor: Visitor) -> Message:
    headers = list(message.get("headers", ()))
    said = [value for name, value in headers if name.lower() == b"cache-control"]
    cache_control = b",".join(said).decode("latin-1") if said else None
    added = visitor.response_headers(cache_control)
    if not added:
        return message
    headers += [(name.lower().encode(), value.encode()) for name, value in added]
    return {**message, "headers": headers}
