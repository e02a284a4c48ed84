"""A web request in every framework's terms, and the cookies for device and session."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import attrs
from attrs.validators import optional

from personaclick_async import config
from personaclick_async.errors import ConfigurationError
from personaclick_async.models.identity import Session

SameSite: TypeAlias = Literal["Lax", "Strict", "None"]

_DEVICE_SECONDS: Final = 400 * 24 * 60 * 60
"""How long the device cookie lasts, from its last renewal: the longest that browsers grant."""

# Characters that mean the same in a cookie, a query and a header; the service's own ids are ten
# letters and digits (protocol, 6.1).
_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_NAME: Final = config.text(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "a cookie's name")
_HOST: Final = optional(config.text(r"\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", "a host's name"))
_PATH: Final = config.text(r"/[A-Za-z0-9._~!$&'()*+,=:@%/-]*", "a URL's path, which begins with /")
_SAME_SITE: Final = config.text("Lax|Strict|None", "Lax, Strict or None")
_LOCALHOST: Final = re.compile(r"(?i)((.*\.)?localhost|127(\.\d{1,3}){3})(:\d+)?|\[::1(\](:\d+)?)?")
_OF_PROXIES: Final = re.compile("x-forwarded-.*|forwarded|via|x-real-ip|x-client-ip")
_LONG_OVER: Final = datetime.fromtimestamp(0, UTC)


def acceptable_id(value: str | None) -> str | None:
    """Return a device or session id that a visitor sent, or None if it can't be one."""
    return value if value is not None and _ID.fullmatch(value) else None


@attrs.define(eq=False, repr=False)
class IncomingRequest:
    """The request that the functions of a :class:`VisitorPolicy` get, in every framework."""

    method: str  # ``GET`` for a websocket
    path: str  # decoded
    scheme: str  # ``http``, ``https``, ``ws`` or ``wss``, as the server sees it
    header_fields: Sequence[tuple[str, str]]  # the headers in their order, names in lower case
    native: Any  # the ASGI scope, the WSGI environment, aiohttp's or Django's request

    def header(self, name: str) -> str | None:
        """Return the first header of that name, or None."""
        return next((value for key, value in self.header_fields if key == name.lower()), None)

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies as they came; of several with one name the first."""
        return dict(reversed(self.cookie_pairs))

    @property
    def cookie_pairs(self) -> Sequence[tuple[str, str]]:
        """The names and values of all cookies.

        A browser sends several of one name where they differ in their path or domain, and anyone
        who controls a sibling domain can add one.
        """
        fields = (value for name, value in self.header_fields if name == "cookie")
        pairs = (pair.partition("=") for field in fields for pair in field.split(";"))
        return [(name.strip(), value.strip()) for name, equals, value in pairs if equals]

    @property
    def is_unencrypted(self) -> bool:
        """Whether it came over plain http, as far as the server and the proxies before it say."""
        proto = (self.header("x-forwarded-proto") or "") if self.is_forwarded else self.scheme
        return proto.partition(",")[0].strip().lower() in ("http", "ws")

    @property
    def is_forwarded(self) -> bool:
        """Whether it came through a proxy that says so."""
        return any(_OF_PROXIES.fullmatch(name) for name, _ in self.header_fields)

    @property
    def is_to_localhost(self) -> bool:
        """Whether it names a loopback address as its host."""
        return bool(_LOCALHOST.fullmatch(self.header("host") or ""))


@attrs.frozen(kw_only=True)
class CookiePolicy:
    """The cookies' names and attributes.

    :ivar device: the name of the cookie with the device id; lasts 400 days from the last visit.
    :ivar session: the name of the one with the session id; lasts as long as the session, two
        hours from the last call (protocol, section 6.2).
    :ivar domain: for a shop on several hosts of one domain; else the cookies stay on their host.
    :ivar path: where they are sent.
    :ivar secure: only over https, and to ``http://localhost`` by all browsers but Safari.
    :ivar plain_on_localhost: leave ``Secure`` out on plain http to ``localhost`` and loopback
        addresses, for Safari and clients that are no browsers; never where a proxy's header is.
    :ivar http_only: hidden from the page's scripts.
    :ivar same_site: whether requests from other sites carry them.
    :raises ConfigurationError: browsers would refuse such cookies.
    """

    device: str = attrs.field(default="personaclick_did", validator=_NAME)
    session: str = attrs.field(default="personaclick_sid", validator=_NAME)
    domain: str | None = attrs.field(default=None, validator=_HOST)
    path: str = attrs.field(default="/", validator=_PATH)
    secure: bool = True
    plain_on_localhost: bool = False
    http_only: bool = True
    same_site: SameSite = attrs.field(default="Lax", validator=_SAME_SITE)

    def __attrs_post_init__(self) -> None:
        if self.device == self.session:
            raise ConfigurationError("device and session: expected two names")
        if self.same_site == "None" and not self.secure:
            raise ConfigurationError("secure: expected True, for same_site is None")
        is_host_only = self.secure and self.domain is None and self.path == "/"
        for name in (self.device, self.session):
            if name.startswith("__Host-") and not is_host_only:
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

    def session_of(self, request: IncomingRequest) -> Session | None:
        """Return the session that a request's cookies name; values that can't be ids are ignored.

        The session's cookie expires with the session: the next call then continues under a new id,
        at no extra cost (protocol, section 12).
        """
        pairs = reversed(request.cookie_pairs)
        ids = {name: value for name, value in pairs if acceptable_id(value)}
        if self.device not in ids:
            return None
        seance = ids.get(self.session)
        ended = None if seance else _LONG_OVER
        return Session(did=ids[self.device], seance=seance, expires_at=ended)

    def keep(self, session: Session, now: datetime, request: IncomingRequest) -> Iterator[str]:
        """Yield the ``Set-Cookie`` headers that keep a session, while it lasts."""
        # Without an end, the service has not answered yet: nothing is kept.
        left = math.ceil(((session.expires_at or _LONG_OVER) - now).total_seconds())
        kept = ((self.device, session.did, _DEVICE_SECONDS), (self.session, session.seance, left))
        for name, value, max_age in kept:
            if left > 0 and (good := acceptable_id(value)):
                yield self._header(name, good, max_age, request)

    def delete(self, request: IncomingRequest) -> Iterator[str]:
        """Yield the ``Set-Cookie`` headers that delete those of the request."""
        for name in (self.device, self.session):
            if name in request.cookies:
                yield self._header(name, "", 0, request)

    def _header(self, name: str, value: str, max_age: int, request: IncomingRequest) -> str:
        is_local = request.is_to_localhost and request.is_unencrypted and not request.is_forwarded
        may_be_plain = not (name.startswith("__") or self.same_site == "None")
        is_plain = self.plain_on_localhost and is_local and may_be_plain
        parts = (
            f"{name}={value}; Max-Age={max_age}; Path={self.path}",
            self.domain and f"Domain={self.domain}",
            "Secure" if self.secure and not is_plain else None,
            "HttpOnly" if self.http_only else None,
            f"SameSite={self.same_site}",
        )
        return "; ".join(filter(None, parts))
