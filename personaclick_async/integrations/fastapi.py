"""FastAPI: the client and the visitor as dependencies, beside the ASGI middleware."""

from __future__ import annotations

from typing import Annotated

from personaclick_async.client import PersonaClick
from personaclick_async.integrations import extra
from personaclick_async.integrations.asgi import VisitorMiddleware, lifespan, visitor_of
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, VisitorPolicy
from personaclick_async.user import User

with extra("fastapi", "FastAPI"):
    from fastapi import Depends
    from starlette.requests import HTTPConnection

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["Client", "CurrentUser", "CurrentUserOrNone", "VisitorMiddleware"]
__all__ += ["client", "current_user", "current_user_or_none", "lifespan"]


async def client(connection: HTTPConnection) -> PersonaClick:
    """Return the client that the middleware was made with."""
    return visitor_of(connection.scope).client


async def current_user(connection: HTTPConnection) -> User:
    """Return the request's visitor, or raise as :meth:`Visitor.require_user` does."""
    return visitor_of(connection.scope).require_user()


async def current_user_or_none(connection: HTTPConnection) -> User | None:
    """Return the same, or None if they can't be known."""
    return visitor_of(connection.scope).user


Client = Annotated[PersonaClick, Depends(client)]
"""The shop's client, as the type of an endpoint's parameter; so are the two below."""

CurrentUser = Annotated[User, Depends(current_user)]
CurrentUserOrNone = Annotated[User | None, Depends(current_user_or_none)]
