"""Litestar: a plugin that adds the middleware, the dependencies and the client's end."""

from __future__ import annotations

from typing import Any, cast

import attrs

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.integrations import extra
from personaclick_async.integrations.asgi import PATIENCE, VisitorMiddleware, lifespan, visitor_of
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, VisitorPolicy
from personaclick_async.user import User

with extra("litestar", "Litestar 2.23 or later"):
    from litestar.config.app import AppConfig
    from litestar.di import NamedDependency, Provide
    from litestar.middleware import DefineMiddleware
    from litestar.plugins import InitPlugin
    from litestar.types import Scope

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["Client", "CurrentUser", "CurrentUserOrNone", "PersonaClickPlugin", "VisitorMiddleware"]

Client = NamedDependency[PersonaClick]
"""The shop's client, as the type of a handler's parameter ``personaclick``; so are the two below,
of ``current_user`` and ``current_user_or_none``."""

CurrentUser = NamedDependency[User]
CurrentUserOrNone = NamedDependency[User | None]


@attrs.define(eq=False, repr=False)
class PersonaClickPlugin(InitPlugin):
    """Makes each request's visitor the client's current user, and closes the client at the end.

    ::

        app = Litestar(route_handlers=[page], plugins=[PersonaClickPlugin(PersonaClick())])

    Handlers may ask, by these names, for ``personaclick: Client``, ``current_user: CurrentUser``
    and ``current_user_or_none: CurrentUserOrNone``.
    """

    client: PersonaClick
    policy: VisitorPolicy | None = attrs.field(default=None, kw_only=True)  # how to find visitors
    patience: Seconds = attrs.field(default=PATIENCE, kw_only=True)  # see lifespan()

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware, the dependencies and the lifespan to an application's settings."""
        # Litestar's types of ASGI are narrower than the specification's.
        kind = cast("Any", VisitorMiddleware)
        middleware = DefineMiddleware(kind, client=self.client, policy=self.policy)
        app_config.middleware.append(middleware)
        app_config.lifespan.append(lifespan(self.client, patience=self.patience))
        app_config.dependencies |= {
            "personaclick": Provide(lambda: self.client, sync_to_thread=False),
            "current_user": Provide(_current_user, sync_to_thread=False),
            "current_user_or_none": Provide(_current_user_or_none, sync_to_thread=False),
        }
        return app_config


def _current_user(scope: Scope) -> User:
    return visitor_of(scope).require_user()


def _current_user_or_none(scope: Scope) -> User | None:
    return visitor_of(scope).user
