"""A user and the calls about them.

From the top: the users; the calls of ``user.profile`` and ``user.orders``; and what each call is
made with: a :class:`Scope`, which is one :class:`Visit`, the client's :class:`Core` and options.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from functools import partial
from typing import Final, Protocol, Self, TypeAlias, TypeVar, Unpack

import attrs

from personaclick_async.cache import ProfileCache
from personaclick_async.config import CallOptions, Config, Seconds
from personaclick_async.errors import PersonaClickError, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.identity import Identity, InitAnswer, Session
from personaclick_async.models.order import Order, Product
from personaclick_async.models.profile import FullProfile, Profile
from personaclick_async.models.update import ProfileFields, ProfileUpdate, names_fields
from personaclick_async.names import DATE_FROM, DID, IDENTIFIERS, INIT, SESSION_LIFETIME, Segment
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.protocol.requests import Call, RequestContext, Shop
from personaclick_async.transport import Transport

T = TypeVar("T")
R = TypeVar("R")
Start: TypeAlias = Callable[[], Awaitable[Session]]

NO_DEVICE: Final = Identity(DID, "")  # of a visit that has not begun; never sent

_SEANCE_CHARACTERS: Final = string.ascii_letters + string.digits


@attrs.define(eq=False, repr=False, slots=False)
class User:
    """One user of the shop: a device, or a customer known to the back office.

    Made by ``client.user(…)`` and ``client.init(…)``. Cheap: make one per request.
    """

    scope: Scope  # what its calls are made with, for the package's own modules
    settings: InitAnswer | None = None  # the shop's, as ``init`` answered them; else None

    @property
    def profile(self) -> ProfileCalls:
        """Reads and writes the profile."""
        return ProfileCalls(self)

    @property
    def orders(self) -> OrderCalls:
        """Reads the orders."""
        return OrderCalls(self)

    @property
    def identity(self) -> Identity:
        """The device or identifier that names the user."""
        return self.scope.visit.identity

    @property
    def session(self) -> Session | None:
        """The current session, to be kept in cookies; None for a user without a device.

        It changes: a new session id when the old session was over, a later end after each call.
        A new visitor has one from their first call on.
        """
        return self.scope.visit.session

    async def begin(self) -> None:
        """Start the session of a new visitor now, and not with their first call."""
        await self.scope.begun()

    async def init(self) -> InitAnswer:
        """Start a session on this device, or continue it; return the shop's settings."""
        return await self._start(renew=False)

    async def new_session(self) -> InitAnswer:
        """Start a new session on this device, whether or not the old one is over."""
        return await self._start(renew=True)

    async def _start(self, *, renew: bool) -> InitAnswer:
        scope, visit = self.scope, self.scope.visit
        if not visit.identity.is_device:
            raise ValidationError("user", "a device, for a session", f"one by {self.identity.kind}")
        answers: list[InitAnswer] = []

        async def start() -> Session:
            session = visit.session
            if session is not None and renew:
                session = attrs.evolve(session, seance=None)
            session, answer = await start_session(scope.core, scope.options, session)
            answers.append(answer)
            return session

        if visit.start is not None:
            await scope.begun(start)
        if not answers:
            visit.go_on_with(await start())
        self.settings = answers[0]
        return answers[0]

    def with_options(
        self,
        *,
        timeout: Seconds | None = None,
        retries: int | None = None,
        stream: str | None = None,
    ) -> Self:
        """Return the same user, whose calls use other options; see :class:`CallOptions`."""
        options = self.scope.options.changed(timeout=timeout, retries=retries, stream=stream)
        return attrs.evolve(self, scope=attrs.evolve(self.scope, options=options))

    def __repr__(self) -> str:
        return f"<User by {self.identity.kind}>"


def checked_user(value: User) -> User:
    """Return a user that the application passed, or raise ValidationError."""
    if not isinstance(value, User):
        rule = "a User, as client.user(…) and client.init(…) return it"
        raise ValidationError("user", rule, type(value).__name__)
    return value


class DeviceUser(User):
    """A user known by their device, whose session has started; what ``client.init`` returns."""

    @property
    def did(self) -> str:
        """The device id, to be kept in a cookie."""
        return self.identity.value

    @property
    def session(self) -> Session:
        """The session as it stands, to be kept in cookies; it changes with each call."""
        return super().session or Session(did=self.did)


class HasScope(Protocol):
    """A user; or the client, whose scope is the current user's."""

    @property
    def scope(self) -> Scope:
        """The scope of a call that is made now."""


class _Calls:
    """Calls for a user, or for the client's current user."""

    def __init__(self, whose: HasScope) -> None:
        self._whose = whose


class ProfileCalls(_Calls):
    """The profile of one user: read, written, purged.

    Every call raises :class:`ServiceError` for an answer that is an error, and
    :class:`TransportError` where no usable answer came; see their subclasses. As
    ``client.profile`` it raises :class:`NoCurrentUser` where no current user is set.
    """

    @property
    def raw(self) -> RawProfileCalls:
        """The same calls, each returning the answer as it came."""
        return RawProfileCalls(self._whose)

    async def get(self, *, force: bool = False) -> Profile:
        """Read the profile, from the cache where it is fresh.

        A cached profile is at most ``CachePolicy.ttl`` old (300 s unless set) and costs no I/O,
        or one exchange with the client's ``store`` if another process has read it. Concurrent
        reads of one user share one request. For a user named by an identifier in place
        of a device, the secret is needed and a :class:`FullProfile` is returned.

        :param force: ask the service even if the cache is fresh, and refresh the cache (the
            fourth argument of ``personaclick("profile", "get", …)``; protocol, section 7).
        :raises NotFound: no profile belongs to this user.
        """
        scope = self._whose.scope
        identity = scope.visit.identity
        parse = requests.profile_reader(identity)
        body = None if force else scope.core.profiles.get(identity)
        return await scope.read_profile(parse, force=force) if body is None else parse(body)

    async def full(self) -> FullProfile:
        """Read the full profile with the shop's secret; always from the service.

        :raises ConfigurationError: the client has no secret.
        :raises NotFound: no profile belongs to this user.
        """
        return (await self.raw.full()).parse()

    @names_fields
    async def set(
        self, update: ProfileUpdate | None = None, /, **fields: Unpack[ProfileFields]
    ) -> None:
        """Update the profile, or create it; what is not mentioned stays as it is.

        Takes the fields by keyword, or a :class:`ProfileUpdate` made before. ``kids`` and
        ``auto`` replace what was there. An identifier (email, phone, …) sent for a device moves
        the device to the profile of that identifier (protocol, section 6.4). The user's cached
        profile is dropped, in every process that shares the client's ``store``.

        :raises ValidationError: a value breaks its field's rule; nothing was sent.
        :raises TransportError: no usable answer came; the update may have been carried out.
        """
        # Not by way of raw: editors follow the keywords to ProfileUpdate, and show the fields.
        made = ProfileUpdate(**fields) if update is None else _alone(update, fields)
        (await send_update(self._whose.scope, made)).parse()

    async def purge(self) -> None:
        """Remove names, identifiers and custom properties from the profile (protocol, 2.4).

        Needs the secret, and a user named by an identifier in place of a device.

        :raises NotFound: no profile belongs to this user.
        """
        (await self.raw.purge()).parse()


class RawProfileCalls(_Calls):
    """The calls of :class:`ProfileCalls`, each returning the answer as it came, past the cache.

    ``answer.parse()`` returns what the plain call does.
    """

    async def get(self) -> Answer[Profile]:
        """Ask for the profile; see :meth:`ProfileCalls.get`."""
        return await self._whose.scope.ask(requests.read_profile)

    async def full(self) -> Answer[FullProfile]:
        """Ask for the full profile; see :meth:`ProfileCalls.full`."""
        return await self._whose.scope.ask(requests.read_full_profile)

    @names_fields
    async def set(
        self, update: ProfileUpdate | None = None, /, **fields: Unpack[ProfileFields]
    ) -> Answer[None]:
        """Send an update; see :meth:`ProfileCalls.set`."""
        made = ProfileUpdate(**fields) if update is None else _alone(update, fields)
        return await send_update(self._whose.scope, made)

    async def purge(self) -> Answer[None]:
        """Purge the profile; see :meth:`ProfileCalls.purge`."""
        scope = self._whose.scope
        try:
            return await scope.ask(requests.purge_profile)
        finally:
            await scope.core.profiles.forget(scope.visit.identity)


class OrderCalls(_Calls):
    """The orders of one user; each call raises what :class:`ProfileCalls` does."""

    @property
    def raw(self) -> RawOrderCalls:
        """The same calls, each returning the answer as it came."""
        return RawOrderCalls(self._whose)

    async def last_for_user(self) -> list[Product]:
        """Read the products of the last order, with their catalogue data (protocol, 2.6 and 5).

        The list is empty if the user has bought nothing. The products carry no quantity, no order
        id and no price that was paid.
        """
        return (await self._whose.scope.ask(requests.last_order)).parse()

    async def by_user(self, *, date_from: date | str | None = None) -> list[Order]:
        """Read the orders with their items, oldest first; needs the secret (protocol, 2.7).

        :param date_from: the first day to list, as a date or ``YYYY-MM-DD``; all days if None.
        :raises ConfigurationError: the client has no secret.
        :raises ValidationError: ``date_from`` is not a day.
        """
        return (await self.raw.by_user(date_from=date_from)).parse()


class RawOrderCalls(_Calls):
    """The calls of :class:`OrderCalls`, each returning the answer as it came."""

    async def last_for_user(self) -> Answer[list[Product]]:
        """Ask for the last order's products; see :meth:`OrderCalls.last_for_user`."""
        return await self._whose.scope.ask(requests.last_order)

    async def by_user(self, *, date_from: date | str | None = None) -> Answer[list[Order]]:
        """Ask for the orders; see :meth:`OrderCalls.by_user`."""
        since = None if date_from is None else rules.day(DATE_FROM, date_from)
        return await self._whose.scope.ask(partial(requests.orders_by_user, date_from=since))


async def send_update(
    scope: Scope, update: ProfileUpdate, *, user_id_name: str | None = None
) -> Answer[None]:
    """Send an update, and drop the cached profiles that it makes stale."""
    if not update:
        raise ValidationError("profile update", "at least one field", "none")
    try:
        return await scope.ask(
            lambda shop, who: requests.set_profile(shop, who, update, user_id_name=user_id_name)
        )
    finally:
        # Also after a failure: a request without an answer may have been carried out.
        named = [
            Identity(kind, str(value))
            for kind in IDENTIFIERS
            if (value := update.mentioned.get(kind)) is not None
        ]
        await scope.core.profiles.forget(scope.visit.identity, *named)


def _alone(update: ProfileUpdate, fields: ProfileFields) -> ProfileUpdate:
    if fields or not isinstance(update, ProfileUpdate):
        got = "both" if fields else type(update).__name__
        raise ValidationError("profile update", "a ProfileUpdate, or fields by keyword", got)
    return update


@attrs.define(eq=False, repr=False)
class Scope:
    """One user with one set of options; every call of theirs goes through here."""

    core: Core
    visit: Visit
    options: CallOptions

    def ask(self, make: Callable[[Shop, RequestContext], Call[T]]) -> Awaitable[Answer[T]]:
        """Make a call and send it; this begins the user's session, or keeps it alive."""
        if self.visit.start is not None:
            return self._begin_and(lambda scope: scope.ask(make))
        core = self.core
        call = make(core.shop, self._context())
        return core.transport.send(call, self.options, self._answered)

    def read_profile(self, parse: Callable[[bytes], T], *, force: bool = False) -> Awaitable[T]:
        """Read the profile by a request that concurrent readers share, a new one if forced."""
        if self.visit.start is not None or (self.options.timeout and self.options.ends is None):
            return self._begin_and(lambda scope: scope.read_profile(parse, force=force))
        return self.core.profiles.read(
            self.visit.identity, self._load_profile, parse, options=self.options, force=force
        )

    async def begun(self, start: Start | None = None) -> Scope:
        """Return the scope of a call that begins now: with a device, its timeout counting."""
        visit, options = self.visit, self.options.begun()
        if visit.start is not None:
            try:
                async with asyncio.timeout(None if options.ends is None else options.left):
                    await visit.begin(start)
            except PersonaClickError:  # among them TimedOut, which is a TimeoutError too
                raise
            except TimeoutError:
                raise options.late("the session to start", endpoint=INIT.name) from None
        return Scope(self.core, visit, options)

    def _context(self) -> RequestContext:
        """Return the context of the next request, with a new session if the old one is over."""
        visit, config = self.visit, self.core.config
        if visit.expires_at is not None and visit.expires_at <= config.now():
            # As the official SDKs make it: ten letters and digits (protocol, 6.2).
            visit.seance = "".join(secrets.choice(_SEANCE_CHARACTERS) for _ in range(10))
            visit.expires_at = None
        stream = self.options.stream or config.stream
        # Not RequestContext(…), for which a NamedTuple has a slow function of its own.
        return tuple.__new__(RequestContext, (visit.identity, visit.seance, stream, visit.segment))

    def _answered(self, answer: Answer[T]) -> Answer[T]:
        """Put the end of the session, if there is one, off: the service has answered."""
        if self.visit.seance is not None:
            self.visit.expires_at = self.core.config.now() + SESSION_LIFETIME
        return answer

    def _load_profile(self, parse: Callable[[bytes], T]) -> Awaitable[tuple[bytes, T]]:
        core = self.core
        call = requests.read_profile_as(parse, core.shop, self._context())
        return core.transport.send(call, self.options, self._loaded)

    def _loaded(self, answer: Answer[T]) -> tuple[bytes, T]:
        return self._answered(answer).body, answer.parse()

    async def _begin_and(self, call: Callable[[Scope], Awaitable[R]]) -> R:
        return await call(await self.begun())


@attrs.define(eq=False, repr=False)
class Visit:
    """A user and their current session.

    A session that is over is replaced by a new one the next time the user does something, as the
    official mobile SDKs do it; every success puts its end off by two hours (protocol, 6.2).
    """

    identity: Identity
    segment: Segment | None = None
    seance: str | None = None
    expires_at: datetime | None = None
    start: Start | None = None  # of a visitor without a device; None once the visit has begun
    _beginning: asyncio.Lock | None = None

    @classmethod
    def of(cls, session: Session, segment: Segment | None) -> Visit:
        """Return the visit of a session that the application kept."""
        device = Identity.device(session.did)
        return cls(device, segment, session.seance, session.expires_at)

    @property
    def session(self) -> Session | None:
        """The session to keep, or None for a user without a device."""
        if self.start is not None or not self.identity.is_device:
            return None
        return Session(did=self.identity.value, seance=self.seance, expires_at=self.expires_at)

    async def begin(self, start: Start | None = None) -> None:
        """Begin the visit by ``start``, or by its own: once, however many calls wait for it."""
        self._beginning = self._beginning or asyncio.Lock()
        async with self._beginning:
            if self.start is not None:
                self.go_on_with(await (start or self.start)())

    def go_on_with(self, session: Session) -> None:
        """Continue the visit with a session, and with its device."""
        self.identity = Identity.device(session.did)
        self.seance, self.expires_at, self.start = session.seance, session.expires_at, None


@attrs.frozen(repr=False)
class Core:
    """The parts of a client that all its users share."""

    config: Config
    shop: Shop
    transport: Transport
    profiles: ProfileCache


async def start_session(
    core: Core, options: CallOptions, session: Session | None, *, tz: float | None = None
) -> tuple[Session, InitAnswer]:
    """Ask the service for a session, on the device that there is or on a new one.

    A known device id is always sent; a session that is over is not, so that the service makes a
    new one (protocol, sections 2.1 and 6). The ids of the answer are adopted, also a device id
    other than the one sent (6.1).
    """
    now, did, seance = core.config.now, None, None
    if session is not None:
        did = session.did
        seance = None if session.is_over(now()) else session.seance
    stream = options.stream or core.config.stream
    call = requests.init(core.shop, did=did, seance=seance, stream=stream, tz=tz)
    answer = await core.transport.send(call, options, Answer.parse)
    ends = now() + SESSION_LIFETIME
    return Session(did=answer.did, seance=answer.seance or answer.sid, expires_at=ends), answer
