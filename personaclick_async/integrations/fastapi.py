"""FastAPI: the client and the visitor as dependencies, beside the ASGI middleware."""

from __future__ import annotations

from typing import Annotated

from personaclick_async.client import PersonaClick
from personaclick_async.integrations.asgi import (
    CookiePolicy,
    IncomingRequest,
    NoConsent,
    VisitorMiddleware,
    VisitorPolicy,
    lifespan,
    visitor_of,
)
from personaclick_async.user import User

try:
    from fastapi import Depends
    from starlette.requests import HTTPConnection
except ImportError as missing:
    raise ImportError(
        "FastAPI is not installed: pip install 'personaclick-async[fastapi]'"
    ) from missing

__all__ = [
    "Client",
    "CookiePolicy",
    "CurrentUser",
    "CurrentUserOrNone",
    "IncomingRequest",
    "NoConsent",
    "VisitorMiddleware",
    "VisitorPolicy",
    "client",
    "current_user",
    "current_user_or_none",
    "lifespan",
]


async def client(connection: HTTPConnection) -> PersonaClick:
    """Return the client that the middleware was made with.

    :raises ConfigurationError: the middleware is missing.
    """
    return visitor_of(connection.scope).client


async def current_user(connection: HTTPConnection) -> User:
    """Return the request's visitor. No I/O.

    :raises NoCurrentUser: they have no session, or have not agreed to one (:class:`NoConsent`).
    :raises ConfigurationError: the middleware is missing.
    """
    return visitor_of(connection.scope).require_user()


async def current_user_or_none(connection: HTTPConnection) -> User | None:
    """Return the same, or None if they can't be known."""
    return visitor_of(connection.scope).user


Client = Annotated[PersonaClick, Depends(client)]
"""The shop's client, as the type of an endpoint's parameter."""

CurrentUser = Annotated[User, Depends(current_user)]
"""The request's visitor, as the type of an endpoint's parameter; required."""

CurrentUserOrNone = Annotated[User | None, Depends(current_user_or_none)]
"""The request's visitor if they can be known, as the type of an endpoint's parameter."""
