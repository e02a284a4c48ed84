"""aiohttp.web: the visitor of each request, and the client's life with the application's."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.integrations.asgi import PATIENCE, lifespan
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, Visitor, VisitorPolicy, Visitors
from personaclick_async.user import User

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["CLIENT", "current_user", "current_user_or_none", "lifespan", "setup"]

CLIENT: Final = web.AppKey("personaclick", PersonaClick)
"""Where the application keeps its client: ``request.app[CLIENT]``, and below a sub-application
``request.config_dict[CLIENT]``."""

_VISITOR: Final = web.RequestKey(Visitor.KEY, Visitor)


def setup(
    app: web.Application,
    client: PersonaClick,
    *,
    policy: VisitorPolicy | None = None,
    patience: Seconds = PATIENCE,
) -> None:
    """Make each request's visitor the client's current user, and close the client at the end.

    Adds a middleware, so call it where that shall stand in the order; a signal that sets cookies,
    also of streams and websockets; and a :func:`lifespan`. Serves sub-applications too.

    :param policy: how visitors are found.
    :param patience: seconds for which the end waits for calls in flight.
    """
    visitors = Visitors(client, policy or VisitorPolicy())
    # A sub-application may be set up for itself: each call's signal sets its own cookies.
    own_visitor = web.RequestKey(Visitor.KEY, Visitor)

    @web.middleware
    async def find_visitor(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = [(name.lower(), value) for name, value in request.headers.items()]
        incoming = IncomingRequest(request.method, request.path, request.scheme, headers, request)
        visitor = request[_VISITOR] = request[own_visitor] = await visitors.arrive(incoming)
        # A block, for aiohttp serves all requests of one connection in one task.
        with visitor.current():
            return await handler(request)

    async def set_cookies(request: web.Request, response: web.StreamResponse) -> None:
        if own_visitor in request:
            for name, value in request[own_visitor].response_headers(response.headers.items()):
                response.headers.add(name, value)

    app[CLIENT] = client
    app.middlewares.append(find_visitor)
    app.on_response_prepare.append(set_cookies)
    app.cleanup_ctx.append(lifespan(client, patience=patience))


def current_user(request: web.Request) -> User:
    """Return the request's visitor, or raise as :meth:`Visitor.require_user` does."""
    return Visitor.required(request.get(_VISITOR)).require_user()


def current_user_or_none(request: web.Request) -> User | None:
    """Return the same, or None if they can't be known."""
    return Visitor.required(request.get(_VISITOR)).user
