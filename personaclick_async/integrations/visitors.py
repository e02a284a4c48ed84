"""Finding the visitor of a web request, and the cookies for their browser."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar

import attrs
from attrs.validators import optional

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds, number, of_kind, text, to_seconds
from personaclick_async.errors import (
    ConfigurationError,
    ConnectionFailed,
    NoCurrentUser,
    PersonaClickError,
)
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest, acceptable_id
from personaclick_async.models.identity import Session
from personaclick_async.names import INIT
from personaclick_async.user import User

T = TypeVar("T")
Named: TypeAlias = User | Session | None

log: Final = logging.getLogger("personaclick_async")

_FUNCTION: Final = optional(of_kind(Callable, "a function"))
_HEADER: Final = optional(text(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "a header's name"))


class NoConsent(NoCurrentUser):
    """``client.profile`` or ``client.orders`` was used for a visitor who has not agreed."""


@attrs.frozen(kw_only=True)
class VisitorPolicy:
    """How a request's visitor is found, and when a session is started for a new one.

    The first of these that yields a user is used: ``identify``, ``device_header``, the cookies.

    :ivar consent: a function, plain or async: whether a request's visitor has agreed to be known.
        If not, nothing is sent to the service and nothing stored, earlier cookies are deleted, and
        ``client.profile`` raises :class:`NoConsent`.
    :ivar identify: a function, plain or async: whom the application knows a request's visitor as,
        a :class:`User` (``client.user(external_id=…)``), a :class:`Session` that it keeps, or
        None. No cookies are set for them.
    :ivar device_header: the header with a device id, for apps without cookies.
    :ivar session_header: the header with the session id that goes with it.
    :ivar cookies: the cookies' names and attributes; None for no cookies.
    :ivar start: when a new visitor gets a device. ``on first use``: with the first call made for
        them. ``on arrival``: before the application gets the request, so that cookies can also be
        set where calls follow the response's beginning (streams, background tasks, websockets).
    :ivar start_timeout: seconds that starting a session may take, retries included.
    :ivar pause_after_failure: seconds for which no session is started after one failed to, so
        that pages don't wait for a service that is down.
    """

    consent: Callable[[IncomingRequest], bool | Awaitable[bool]] | None = attrs.field(
        default=None, validator=_FUNCTION
    )
    identify: Callable[[IncomingRequest], Named | Awaitable[Named]] | None = attrs.field(
        default=None, validator=_FUNCTION
    )
    device_header: str | None = attrs.field(default=None, validator=_HEADER)
    session_header: str | None = attrs.field(default=None, validator=_HEADER)
    cookies: CookiePolicy | None = attrs.field(
        factory=CookiePolicy, validator=optional(of_kind(CookiePolicy, "a CookiePolicy"))
    )
    start: Literal["on first use", "on arrival"] = attrs.field(
        default="on first use",
        validator=text("on first use|on arrival", "'on first use' or 'on arrival'"),
    )
    start_timeout: Seconds = attrs.field(
        default=2.0, converter=to_seconds, validator=number(finite=True)
    )
    pause_after_failure: Seconds = attrs.field(
        default=10.0, converter=to_seconds, validator=number(at_least=0)
    )

    def __attrs_post_init__(self) -> None:
        if self.session_header is not None and self.device_header is None:
            raise ConfigurationError("session_header: expected a device_header beside it")


@attrs.define(kw_only=True, eq=False, repr=False)
class Visitor:
    """The visitor of one request."""

    KEY: ClassVar[str] = "personaclick.visitor"
    """The key under which the middleware stores a request's visitor."""

    who: User | NoCurrentUser  # the visitor as a user, or the reason why there is none
    _visitors: Visitors
    _request: IncomingRequest
    _cookies: CookiePolicy | None

    @staticmethod
    def required(found: object) -> Visitor:
        """Return the visitor that a middleware stored, or raise ConfigurationError."""
        if isinstance(found, Visitor):
            return found
        raise ConfigurationError(
            "this request has no visitor: add VisitorMiddleware, or call setup (aiohttp.web)"
        )

    @property
    def client(self) -> PersonaClick:
        """The client of the shop."""
        return self._visitors.client

    @property
    def user(self) -> User | None:
        """The visitor as a user, or None if they can't be known."""
        return self.who if isinstance(self.who, User) else None

    def current(self) -> AbstractContextManager[User | None]:
        """Make the visitor the client's current user for a ``with`` block."""
        who, client = self.who, self.client
        return client.as_user(who) if isinstance(who, User) else client.as_nobody(who)

    def require_user(self) -> User:
        """Return the visitor as a user.

        :raises NoCurrentUser: they have no session, or have not agreed to one (:class:`NoConsent`).
        """
        if isinstance(self.who, User):
            return self.who
        raise type(self.who)(*self.who.args)

    def response_headers(self, begun: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
        """Return what to add to a response's headers: cookies, and what keeps them out of caches.

        There are some if a call was made for a visitor who is known by cookies. A response that
        shared caches may keep gets none, or everybody would be given the same device.

        :param begun: the headers that the response has.
        """
        directives = (value for name, value in begun if name.lower() == "cache-control")
        caching = ",".join(directives).lower()
        is_shared = "public" in caching or "s-maxage" in caching
        who, request, policy = self.who, self._request, self._cookies
        cookies: list[str] = []
        if policy and isinstance(who, NoConsent):
            cookies += policy.delete(request)
        elif policy and isinstance(who, User) and who.session and not is_shared:
            cookies += policy.keep(who.session, who.scope.core.config.now(), request)
        if not cookies:
            return []
        self._visitors.warn_if_dropped(cookies[0], request)
        is_private = any(word in caching for word in ("private", "no-store", "no-cache"))
        private = [] if is_private else [("Cache-Control", "private")]
        return [*(("Set-Cookie", cookie) for cookie in cookies), ("Vary", "Cookie"), *private]


@attrs.define(eq=False, repr=False)
class Visitors:
    """The visitors of an application."""

    client: PersonaClick = attrs.field(validator=of_kind(PersonaClick, "a PersonaClick"))
    policy: VisitorPolicy = attrs.field(
        factory=VisitorPolicy, validator=of_kind(VisitorPolicy, "a VisitorPolicy")
    )
    _paused_until: Seconds = attrs.field(default=-math.inf, init=False)
    _has_warned: bool = attrs.field(default=False, init=False)

    async def arrive(self, request: IncomingRequest) -> Visitor:
        """Return the visitor of a request, with a session if the policy says ``on arrival``."""
        visitor = await self.find(request)
        if self.policy.start == "on arrival":
            await self.begin(visitor)
        return visitor

    async def find(self, request: IncomingRequest) -> Visitor:
        """Return the visitor of a request. Waits only for the application's own functions."""
        cookies = self.policy.cookies
        who: User | NoCurrentUser
        if not await self._has_agreed(request):
            who = NoConsent("this visitor has not agreed to be known")
        elif named := await self._named(request):
            who, cookies = named, None
        elif session := cookies and cookies.session_of(request):
            who = self.client.user(session)
        else:
            who = self.client.new_visitor(self._start)
        return Visitor(who=who, visitors=self, request=request, cookies=cookies)

    async def begin(self, visitor: Visitor) -> None:
        """Start the session of a new visitor; if that fails, they go without."""
        try:
            if visitor.user is not None:
                await visitor.user.begin()
        except PersonaClickError as error:
            name = type(error).__name__
            log.warning("a visitor has no session: %s", name)
            visitor.who = NoCurrentUser(f"the service gave this visitor no session ({name})")

    async def _has_agreed(self, request: IncomingRequest) -> bool:
        consent = self.policy.consent
        agreed: object = consent is None or await _awaited(consent(request))
        if not isinstance(agreed, bool):
            # Such as a cookie's text, which may well be "no".
            raise ConfigurationError(f"consent: expected a bool, got {type(agreed).__name__}")
        return agreed

    async def _named(self, request: IncomingRequest) -> User | None:
        policy = self.policy
        named = await _awaited(policy.identify(request)) if policy.identify is not None else None
        if named is None and policy.device_header is not None:
            did = acceptable_id(request.header(policy.device_header))
            seance = policy.session_header and request.header(policy.session_header)
            named = Session(did=did, seance=acceptable_id(seance)) if did else None
        if not isinstance(named, Named):
            given = type(named).__name__
            raise ConfigurationError(f"identify: expected a User, a Session or None, got {given}")
        return self.client.user(named) if isinstance(named, Session) else named

    async def _start(self) -> Session:
        """Start a session on a new device, within a time; after a failure, none for a while."""
        if self.client.config.clock() < self._paused_until:
            reason = "not tried, because a session could not be started a moment ago"
            raise ConnectionFailed(reason, endpoint=INIT.name, attempts=0)
        try:
            client = self.client.with_options(timeout=self.policy.start_timeout)
            return (await client.init()).session
        except PersonaClickError:
            self._paused_until = self.client.config.clock() + self.policy.pause_after_failure
            raise

    def warn_if_dropped(self, cookie: str, request: IncomingRequest) -> None:
        """Warn, once, where browsers drop ``Secure`` cookies."""
        is_dropped = "; Secure" in cookie and request.is_unencrypted and not request.is_to_localhost
        if is_dropped and not self._has_warned:
            self._has_warned = True
            log.warning(
                "Secure cookies are set over plain http, where browsers drop them: each request "
                "will be a new visitor. Serve https; behind a proxy that ends TLS, have it send "
                "X-Forwarded-Proto; in tests use base_url='https://testserver'"
            )


async def _awaited(value: T | Awaitable[T]) -> T:
    return await value if inspect.isawaitable(value) else value
