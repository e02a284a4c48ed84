"""aiohttp.web: the visitor of each request, and the client's life with the application's."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.integrations.asgi import PATIENCE, lifespan
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, Visitor, VisitorPolicy, Visitors
from personaclick_async.user import User

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["CLIENT", "lifespan", "set_cookies", "setup", "visitor_middleware"]
__all__ += ["current_user", "current_user_or_none"]

CLIENT: Final = web.AppKey("personaclick", PersonaClick)
"""Where the application keeps its client: ``request.app[CLIENT]``."""

_VISITOR: Final = web.RequestKey(Visitor.KEY, Visitor)


def setup(
    app: web.Application,
    client: PersonaClick,
    *,
    policy: VisitorPolicy | None = None,
    patience: Seconds = PATIENCE,
) -> None:
    """Make each request's visitor the client's current user, and close the client at the end.

    Sub-applications are served too. Call it where the middleware shall stand in the order. What
    it adds are :func:`visitor_middleware`, :func:`set_cookies` and :func:`lifespan`.

    :param policy: how visitors are found.
    :param patience: seconds for which the end waits for calls in flight.
    """
    app[CLIENT] = client
    app.middlewares.append(visitor_middleware(client, policy=policy))
    app.on_response_prepare.append(set_cookies)
    app.cleanup_ctx.append(lifespan(client, patience=patience))


def visitor_middleware(client: PersonaClick, *, policy: VisitorPolicy | None = None) -> Middleware:
    """Return the middleware alone; :func:`set_cookies` has to be in ``on_response_prepare``."""
    visitors = Visitors(client, policy or VisitorPolicy())

    @web.middleware
    async def find_visitor(request: web.Request, handler: Handler) -> web.StreamResponse:
        incoming = IncomingRequest(
            method=request.method,
            path=request.path,
            scheme=request.scheme,
            header_fields=[(name.lower(), value) for name, value in request.headers.items()],
            native=request,
        )
        visitor = request[_VISITOR] = await visitors.arrive(incoming)
        # A block, for aiohttp serves all requests of one connection in one task.
        with visitor.current():
            return await handler(request)

    return find_visitor


async def set_cookies(request: web.Request, response: web.StreamResponse) -> None:
    """Set the visitor's cookies as a response begins, streams and websockets included."""
    if _VISITOR in request:
        for name, value in request[_VISITOR].response_headers(response.headers.items()):
            response.headers.add(name, value)


def current_user(request: web.Request) -> User:
    """Return the request's visitor, or raise as :meth:`Visitor.require_user` does."""
    return Visitor.required(request.get(_VISITOR)).require_user()


def current_user_or_none(request: web.Request) -> User | None:
    """Return the same, or None if they can't be known."""
    return Visitor.required(request.get(_VISITOR)).user
