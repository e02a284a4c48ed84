"""The two cookies in which a browser keeps its device and its session."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal, TypeAlias

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations.incoming import IncomingRequest
from personaclick_async.models.identity import Session

SameSite: TypeAlias = Literal["Lax", "Strict", "None"]

DEVICE_SECONDS: Final = 400 * 24 * 60 * 60
"""How long the device cookie lasts, from its last renewal: the longest that browsers grant."""

# Characters that mean the same in a cookie, a query and a header; the service's own ids are ten
# letters and digits (protocol, 6.1).
_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DOMAIN: Final = re.compile(r"\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_PATH: Final = re.compile(r"/[!-:<-~]*")


def acceptable_id(value: str | None) -> str | None:
    """Return a device or session id that a visitor sent, or None if it can't be one."""
    return value if value is not None and _ID.fullmatch(value) else None


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
        parts = [f"{self.name}={self.value}", f"Max-Age={self.max_age}", f"Path={self.path}"]
        if self.domain is not None:
            parts.append(f"Domain={self.domain}")
        if self.secure:
            parts.append("Secure")
        if self.http_only:
            parts.append("HttpOnly")
        parts.append(f"SameSite={self.same_site}")
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<SetCookie {self.name}>"


def _check_name(_: object, at: attrs.Attribute[str], value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ConfigurationError(f"{at.name}: expected a cookie's name")


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

    device: str = attrs.field(default="personaclick_did", validator=_check_name)
    session: str = attrs.field(default="personaclick_sid", validator=_check_name)
    domain: str | None = attrs.field(default=None)
    path: str = attrs.field(default="/")
    secure: bool = True
    plain_on_localhost: bool = False
    http_only: bool = True
    same_site: SameSite = attrs.field(default="Lax")

    @domain.validator
    def _check_domain(self, _: object, value: str | None) -> None:
        if value is not None and not _DOMAIN.fullmatch(value):
            raise ConfigurationError("domain: expected a host's name")

    @path.validator
    def _check_path(self, _: object, value: str) -> None:
        if not _PATH.fullmatch(value):
            raise ConfigurationError("path: expected a path that begins with /")

    @same_site.validator
    def _check_same_site(self, _: object, value: str) -> None:
        if value not in {"Lax", "Strict", "None"}:
            raise ConfigurationError("same_site: expected Lax, Strict or None")

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
        return _first_acceptable(request.cookie_values(self.device))

    def session_of(self, request: IncomingRequest) -> str | None:
        """Return the request's session id; a value that can't be one is ignored."""
        return _first_acceptable(request.cookie_values(self.session))

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


def _first_acceptable(values: Iterable[str]) -> str | None:
    return next((value for value in values if acceptable_id(value)), None)
