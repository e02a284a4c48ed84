"""A request as a web application receives it, whatever the framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Final

import attrs

_UNENCRYPTED: Final = frozenset({"http", "ws"})
_OF_PROXIES: Final = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip"})


@attrs.define(kw_only=True, eq=False, repr=False, slots=False)
class IncomingRequest:
    """What the functions of a :class:`VisitorPolicy` are asked about.

    The same for every framework, so that one function serves all of them.

    :ivar method: the HTTP method; ``GET`` for a websocket.
    :ivar path: the path, decoded.
    :ivar scheme: ``http``, ``https``, ``ws`` or ``wss``, as the server sees it.
    :ivar header_fields: the headers in their order, names in lower case.
    :ivar native: the framework's own: the ASGI scope, the WSGI environment, aiohttp's
        ``web.Request`` or Django's ``HttpRequest``.
    """

    method: str
    path: str
    scheme: str
    header_fields: Sequence[tuple[str, str]]
    native: Any

    def header(self, name: str) -> str | None:
        """Return the first header of that name, or None."""
        wanted = name.lower()
        return next((value for key, value in self.header_fields if key == wanted), None)

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies as they came; of several with one name the first."""
        return {name: values[0] for name, values in self._cookies.items()}

    def cookie_values(self, name: str) -> Sequence[str]:
        """Return every value that came under a name.

        A browser sends several where cookies differ in their path or domain, and anyone who
        controls a sibling domain can add one.
        """
        return self._cookies.get(name, ())

    @cached_property
    def _cookies(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, value in self.header_fields:
            if key == "cookie":
                for pair in value.split(";"):
                    name, equals, content = pair.partition("=")
                    if equals:
                        found.setdefault(name.strip(), []).append(content.strip())
        return found

    @property
    def is_unencrypted(self) -> bool:
        """Whether it came over plain http, as far as the server and the proxies before it say."""
        if not self.is_forwarded:
            return self.scheme in _UNENCRYPTED
        proto = self.header("x-forwarded-proto") or ""
        return proto.partition(",")[0].strip().lower() in _UNENCRYPTED

    @property
    def is_forwarded(self) -> bool:
        """Whether it came through a proxy that says so."""
        return any(
            name.startswith("x-forwarded-") or name in _OF_PROXIES for name, _ in self.header_fields
        )

    @property
    def is_to_localhost(self) -> bool:
        """Whether it names a loopback address as its host."""
        return _is_loopback(self.header("host") or "")

    def __repr__(self) -> str:
        return "<IncomingRequest>"


def _is_loopback(host: str) -> bool:
    name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
