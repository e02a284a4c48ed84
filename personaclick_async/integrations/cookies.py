"""What a web request says, and the two cookies in which a browser keeps device and session."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final, Literal, TypeAlias

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.models.identity import Session

SameSite: TypeAlias = Literal["Lax", "Strict", "None"]

DEVICE_SECONDS: Final = 400 * 24 * 60 * 60
"""How long the device cookie lasts, from its last renewal: the longest that browsers grant."""

# Characters that mean the same in a cookie, a query and a header; the service's own ids are ten
# letters and digits (protocol, 6.1).
_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_DOMAIN: Final = r"\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_PATH: Final = r"/[!-:<-~]*"
_UNENCRYPTED: Final = frozenset({"http", "ws"})
_OF_PROXIES: Final = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip"})


def acceptable_id(value: str | None) -> str | None:
    """Return a device or session id that a visitor sent, or None if it can't be one."""
    return value if value is not None and _ID.fullmatch(value) else None


def matches(pattern: str, expected: str) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    """Return an attrs validator of a text or None; the error says what was ``expected``."""

    def check(_: object, at: attrs.Attribute[Any], value: object) -> None:
        if value is not None and not (isinstance(value, str) and re.fullmatch(pattern, value)):
            raise ConfigurationError(f"{at.name}: expected {expected}")

    return check


@attrs.define(kw_only=True, eq=False, repr=False)
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

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies as they came; of several with one name the first."""
        return dict(reversed(self._cookies))

    def cookie_values(self, name: str) -> Sequence[str]:
        """Return every value that came under a name.

        A browser sends several where cookies differ in their path or domain, and anyone who
        controls a sibling domain can add one.
        """
        return [value for key, value in self._cookies if key == name]

    @property
    def _cookies(self) -> list[tuple[str, str]]:
        fields = (value for name, value in self.header_fields if name == "cookie")
        pairs = (pair.partition("=") for field in fields for pair in field.split(";"))
        return [(name.strip(), value.strip()) for name, equals, value in pairs if equals]

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
        host = self.header("host") or ""
        name = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def __repr__(self) -> str:
        return "<IncomingRequest>"


@attrs.frozen(kw_only=True, repr=False)
class SetCookie:
    """A cookie to set; ``max_age`` in seconds, 0 deletes it."""

    name: str
    value: str
    max_age: int
    path: str
    domain: str | None
    secure: bool
    http_only: bool
    same_site: SameSite

    def header(self) -> str:
        """Return the value of the ``Set-Cookie`` header."""
        parts = (
            f"{self.name}={self.value}",
            f"Max-Age={self.max_age}",
            f"Path={self.path}",
            self.domain and f"Domain={self.domain}",
            self.secure and "Secure",
            self.http_only and "HttpOnly",
            f"SameSite={self.same_site}",
        )
        return "; ".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"<SetCookie {self.name}>"


@attrs.frozen(kw_only=True)
class CookiePolicy:
    """The cookies' names and attributes.

    :ivar device: the name of the cookie with the device id; lasts 400 days from the last visit.
    :ivar session: the name of the one with the session id; lasts as long as the session, two
        hours from the last call (protocol, section 6.2).
    :ivar domain: for a shop on several hosts of one domain; else the cookies stay on their host.
    :ivar path: where they are sent.
    :ivar secure: only over https, and on ``http://localhost`` in browsers that take it for secure
        (all but Safari).
    :ivar plain_on_localhost: leave ``Secure`` out on plain http to ``localhost`` and loopback
        addresses, for Safari and clients that are no browsers; never where a proxy's header is.
    :ivar http_only: hidden from the page's scripts.
    :ivar same_site: whether requests from other sites carry them.
    :raises ConfigurationError: browsers would refuse such cookies.
    """

    device: str = attrs.field(
        default="personaclick_did", validator=matches(_NAME, "a cookie's name")
    )
    session: str = attrs.field(
        default="personaclick_sid", validator=matches(_NAME, "a cookie's name")
    )
    domain: str | None = attrs.field(default=None, validator=matches(_DOMAIN, "a host's name"))
    path: str = attrs.field(default="/", validator=matches(_PATH, "a path that begins with /"))
    secure: bool = True
    plain_on_localhost: bool = False
    http_only: bool = True
    same_site: SameSite = attrs.field(
        default="Lax", validator=matches("Lax|Strict|None", "Lax, Strict or None")
    )

    def __attrs_post_init__(self) -> None:
        if self.device == self.session:
            raise ConfigurationError("device and session: expected two names")
        if self.same_site == "None" and not self.secure:
            raise ConfigurationError("secure: expected True, for same_site is None")
        for name in (self.device, self.session):
            host_only = self.secure and self.domain is None and self.path == "/"
            if name.startswith("__Host-") and not host_only:
                raise ConfigurationError(f"{name}: expected secure, path / and no domain")
            if name.startswith("__Secure-") and not self.secure:
                raise ConfigurationError(f"{name}: expected secure")

    @classmethod
    def shared_with_browser_sdk(
        cls, *, domain: str | None = None, secure: bool = True, same_site: SameSite = "Lax"
    ) -> CookiePolicy:
        """Use the browser SDK's own cookies, so that page and backend use the same device.

        The page's scripts have to read and write them: they are not HttpOnly. The names are those
        that shops' pages were observed to set; no public document states them.
        """
        return cls(
            device="personaclick_device_id",
            session="personaclick_session_code",
            domain=domain,
            secure=secure,
            http_only=False,
            same_site=same_site,
        )

    def device_of(self, request: IncomingRequest) -> str | None:
        """Return the request's device id; a value that can't be one is ignored."""
        return next(filter(acceptable_id, request.cookie_values(self.device)), None)

    def session_of(self, request: IncomingRequest) -> str | None:
        """Return the request's session id; a value that can't be one is ignored."""
        return next(filter(acceptable_id, request.cookie_values(self.session)), None)

    def keep(
        self, session: Session, now: datetime, *, request: IncomingRequest
    ) -> Iterator[SetCookie]:
        """Return the cookies that keep a session that is not over."""
        if acceptable_id(session.did):
            yield self._cookie(self.device, session.did, DEVICE_SECONDS, request)
        if session.seance is not None and session.expires_at is not None:
            left = math.ceil((session.expires_at - now).total_seconds())
            if acceptable_id(session.seance) and left > 0:
                yield self._cookie(self.session, session.seance, left, request)

    def delete(self, request: IncomingRequest) -> Iterator[SetCookie]:
        """Return cookies that delete those of the request."""
        for name in (self.device, self.session):
            if request.cookie_values(name):
                yield self._cookie(name, "", 0, request)

    def _cookie(self, name: str, value: str, max_age: int, request: IncomingRequest) -> SetCookie:
        must_be_secure = name.startswith("__") or self.same_site == "None"
        plain = self.plain_on_localhost and request.is_to_localhost and not request.is_forwarded
        return SetCookie(
            name=name,
            value=value,
            max_age=max_age,
            path=self.path,
            domain=self.domain,
            secure=self.secure and (must_be_secure or not (plain and request.is_unencrypted)),
            http_only=self.http_only,
            same_site=self.same_site,
        )
