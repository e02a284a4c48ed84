"""Django: an asynchronous middleware in Django's own style."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Final, TypeVar, cast

from personaclick_async.client import PersonaClick
from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations import extra
from personaclick_async.integrations.asgi import LifespanMiddleware
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, Visitor, VisitorPolicy, Visitors
from personaclick_async.user import User

with extra("django", "Django"):
    from asgiref.sync import markcoroutinefunction
    from django.conf import settings
    from django.http import HttpRequest, StreamingHttpResponse
    from django.http.response import HttpResponseBase
    from django.utils.cache import patch_cache_control, patch_vary_headers
    from django.utils.module_loading import import_string

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["LifespanMiddleware", "VisitorMiddleware", "get_client"]
__all__ += ["current_user", "current_user_or_none"]

T = TypeVar("T")
GetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

_VISITOR: Final = "_personaclick_visitor"

_client_of_environment: Final = cache(PersonaClick)


def get_client() -> PersonaClick:
    """Return the client that the settings name, else the one of the environment; for WSGI, too.

    :raises ConfigurationError: the setting names something else.
    """
    return _setting("PERSONACLICK_CLIENT", PersonaClick, _client_of_environment)


class VisitorMiddleware:
    """Makes each request's visitor the client's current user, and keeps them in cookies.

    ::

        MIDDLEWARE = [..., "personaclick_async.integrations.django.VisitorMiddleware"]
        PERSONACLICK_CLIENT = "shop.personaclick.client"  # else one is made of the environment
        PERSONACLICK_POLICY = "shop.personaclick.policy"  # else the defaults

    For asynchronous views, at their best under ASGI; under WSGI Django adapts it. Put it after
    the middlewares whose work the policy's functions use (sessions, authentication).
    """

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        policy = _setting("PERSONACLICK_POLICY", VisitorPolicy, VisitorPolicy)
        self._visitors = Visitors(get_client(), policy)
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Serve a request."""
        method, scheme = request.method or "GET", request.scheme or "http"
        headers = [(name.lower(), value) for name, value in request.headers.items()]
        incoming = IncomingRequest(method, request.path, scheme, headers, request)
        visitor = await self._visitors.arrive(incoming)
        setattr(request, _VISITOR, visitor)
        with visitor.current():
            response = await self._get_response(request)
        if isinstance(response, StreamingHttpResponse) and response.is_async:
            # Django reads the stream when the middlewares have ended.
            body = cast("AsyncIterator[bytes]", response.streaming_content)
            response.streaming_content = _streamed(body, visitor)
        for name, value in visitor.response_headers(response.headers.items()):
            if name == "Set-Cookie":
                response.cookies.load(value)
            elif name == "Vary":
                patch_vary_headers(response, [value])
            else:
                patch_cache_control(response, private=True)
        return response


def current_user(request: HttpRequest) -> User:
    """Return the request's visitor, or raise as :meth:`Visitor.require_user` does."""
    return Visitor.required(getattr(request, _VISITOR, None)).require_user()


def current_user_or_none(request: HttpRequest) -> User | None:
    """Return the same, or None if they can't be known."""
    return Visitor.required(getattr(request, _VISITOR, None)).user


async def _streamed(body: AsyncIterator[bytes], visitor: Visitor) -> AsyncIterator[bytes]:
    """Pass on a stream; its visitor is current while it is at work, and only then."""
    pieces = aiter(body)
    while True:
        with visitor.current():
            piece = await anext(pieces, None)
        if piece is None:
            return
        yield piece


def _setting(name: str, kind: type[T], default: Callable[[], T]) -> T:
    value = getattr(settings, name, None)
    if isinstance(value, str):
        value = import_string(value)
    if value is None:
        return default()
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name}: expected a {kind.__name__}, or the path to one")
    return value
