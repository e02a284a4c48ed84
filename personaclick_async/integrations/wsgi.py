"""The middleware for WSGI applications: Flask and other synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

import attrs

from personaclick_async.client import PersonaClick
from personaclick_async.errors import ConfigurationError
from personaclick_async.facade.background import background
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest
from personaclick_async.integrations.visitors import NoConsent, Visitor, VisitorPolicy, Visitors
from personaclick_async.user import User

__all__ = ["CookiePolicy", "IncomingRequest", "NoConsent", "VisitorPolicy"]
__all__ += ["VisitorMiddleware", "current_user", "current_user_or_none"]

Environ: TypeAlias = MutableMapping[str, Any]
WSGIApp: TypeAlias = Callable[[Any, Any], Iterable[bytes]]


class VisitorMiddleware:
    """Makes each request's visitor the client's current user, known by cookies.

    ::

        app.wsgi_app = VisitorMiddleware(app.wsgi_app, client)
        personaclick = create_personaclick(client)

    Calls are made through a facade over the same client (``create_personaclick(client)``), whose
    event loop has a thread of its own. The view, what it calls and a streamed body all have the
    visitor; the worker's thread has none when the response has ended.

    :param policy: how visitors are found; its functions run in the worker's thread and can't wait
        for anything asynchronous.
    """

    def __init__(
        self, app: WSGIApp, client: PersonaClick, *, policy: VisitorPolicy | None = None
    ) -> None:
        self._app = app
        self._visitors = Visitors(client, policy or VisitorPolicy())

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        path = path.encode("latin-1").decode(errors="replace")
        scheme = environ.get("wsgi.url_scheme", "http")
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-").lower(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        ]
        request = IncomingRequest(environ["REQUEST_METHOD"], path, scheme, headers, environ)
        environ[Visitor.KEY] = visitor = _at_once(self._visitors.find(request))
        if self._visitors.policy.start == "on arrival":
            beginning = self._visitors.begin(visitor)
            with background.loop() as loop:
                begun = asyncio.run_coroutine_threadsafe(beginning, loop)
            begun.result()

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:  # noqa: ANN401 - as the specification has it
            added = visitor.response_headers(headers)
            return start_response(status, [*headers, *added], *exc_info)

        with visitor.current():
            body = self._app(environ, start)
            return _Body(iter(body), getattr(body, "close", None), visitor)


@attrs.frozen(eq=False, repr=False)
class _Body:
    """A response's body; its visitor is current while a piece of it is made, and only then."""

    pieces: Iterator[bytes]
    closing: Callable[[], object] | None
    visitor: Visitor

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self.visitor.current():
            return next(self.pieces)

    def close(self) -> None:
        if self.closing is not None:
            with self.visitor.current():
                self.closing()


def current_user(environ: Mapping[str, Any]) -> User:
    """Return the visitor of ``request.environ``, or raise as :meth:`Visitor.require_user` does."""
    return Visitor.required(environ.get(Visitor.KEY)).require_user()


def current_user_or_none(environ: Mapping[str, Any]) -> User | None:
    """Return the same, or None if they can't be known."""
    return Visitor.required(environ.get(Visitor.KEY)).user


def _at_once(finding: Coroutine[Any, Any, Visitor]) -> Visitor:
    """Run a coroutine that has nothing to wait for."""
    try:
        finding.send(None)
    except StopIteration as done:
        visitor: Visitor = done.value
        return visitor
    finding.close()
    raise ConfigurationError("VisitorPolicy: expected plain functions, WSGI has no event loop")
