"""What a call is made with (client, visit, options), and starting a session."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol, TypeAlias, TypeVar

import attrs

from personaclick_async.cache import ProfileCache
from personaclick_async.config import CallOptions, Config
from personaclick_async.errors import PersonaClickError
from personaclick_async.models.identity import SESSION_LIFETIME, Identity, InitAnswer, Session
from personaclick_async.names import DID, INIT, Segment
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.protocol.requests import Call, RequestContext, Shop
from personaclick_async.transport import Transport

T = TypeVar("T")
R = TypeVar("R")
Start: TypeAlias = Callable[[], Awaitable[Session]]

NO_DEVICE: Final = Identity(DID, "")
"""Stands where the device of a visit that has not begun will be; never sent."""

_SEANCE: Final = string.ascii_letters + string.digits


@attrs.frozen(repr=False)
class Core:
    """The parts of a client that all its users share."""

    config: Config
    shop: Shop
    transport: Transport
    profiles: ProfileCache


@attrs.define(eq=False, repr=False)
class Visit:
    """A user and their current session.

    A session that is over is replaced by a new one the next time the user does something, as the
    official mobile SDKs do it; every success puts its end off by two hours (protocol, 6.2).

    :ivar start: starts the session of a visitor without a device; None once the visit has begun.
    """

    identity: Identity
    segment: Segment | None = None
    seance: str | None = None
    expires_at: datetime | None = None
    start: Start | None = None
    _turn: asyncio.Lock | None = None

    @property
    def session(self) -> Session | None:
        """The session to keep, or None for a user without a device."""
        if self.start is not None or not self.identity.is_device:
            return None
        return Session(did=self.identity.value, seance=self.seance, expires_at=self.expires_at)

    async def begin(self, start: Start | None = None) -> None:
        """Begin a visit that has not begun: once, however many calls wait for it.

        :param start: gives the session in place of the visit's own start.
        """
        turn = self._turn = self._turn or asyncio.Lock()
        async with turn:
            if self.start is not None:
                self.go_on_with(await (start or self.start)())

    def go_on_with(self, session: Session) -> None:
        """Take over a session, and with it the device."""
        self.identity = Identity.device(session.did)
        self.seance, self.expires_at, self.start = session.seance, session.expires_at, None


@attrs.define(eq=False, repr=False)
class Scope:
    """One user with one set of options; every call of theirs goes through here."""

    core: Core
    visit: Visit
    options: CallOptions

    def ask(self, make: Callable[[Shop, RequestContext], Call[T]]) -> Awaitable[Answer[T]]:
        """Make a call for this user and send it, which keeps their session alive.

        The session of a new visitor begins with it.
        """
        if self.visit.start is not None:
            return self._begin_and(lambda scope: scope.ask(make))
        call = make(self.core.shop, self._context())
        return self.core.transport.send(call, self.options, self._answered)

    def read_profile(self, parse: Callable[[bytes], T], *, force: bool = False) -> Awaitable[T]:
        """Read the profile by a request that concurrent readers share.

        :param parse: makes the result of the answer's body.
        :param force: share none that began before.
        """
        if self.visit.start is not None or (self.options.timeout and self.options.ends is None):
            return self._begin_and(lambda scope: scope.read_profile(parse, force=force))
        return self.core.profiles.read(
            self.visit.identity, self._load_profile, parse, options=self.options, force=force
        )

    async def begun(self, start: Start | None = None) -> Scope:
        """Return the scope of a call that begins now, with a device; its timeout counts from here.

        :param start: gives a new visitor's session in place of the visit's own start.
        :raises TimedOut: the timeout is over.
        """
        visit, options = self.visit, self.options.begun()
        if visit.start is not None:
            try:
                async with asyncio.timeout(options.left):
                    await visit.begin(start)
            except PersonaClickError:
                raise
            except TimeoutError:
                raise options.late("the session to start", endpoint=INIT.name) from None
        return Scope(self.core, visit, options)

    def _context(self) -> RequestContext:
        """Return the context of the next request, with a new session if the old one is over."""
        visit, config = self.visit, self.core.config
        if visit.expires_at is not None and visit.expires_at <= config.now():
            # As the official SDKs make it: ten letters and digits (protocol, 6.2).
            visit.seance = "".join(secrets.choice(_SEANCE) for _ in range(10))
            visit.expires_at = None
        stream = self.options.stream or config.stream
        # Not RequestContext(…), for which a NamedTuple has a slow function of its own.
        return tuple.__new__(RequestContext, (visit.identity, visit.seance, stream, visit.segment))

    def _answered(self, answer: Answer[T]) -> Answer[T]:
        """Note that the service answered: the session, if there is one, lasts two more hours."""
        if self.visit.seance is not None:
            self.visit.expires_at = self.core.config.now() + SESSION_LIFETIME
        return answer

    def _load_profile(self, parse: Callable[[bytes], T]) -> Awaitable[tuple[bytes, T]]:
        call = requests.read_profile_as(parse, self.core.shop, self._context())
        return self.core.transport.send(call, self.options, self._loaded)

    def _loaded(self, answer: Answer[T]) -> tuple[bytes, T]:
        return self._answered(answer).body, answer.parse()

    async def _begin_and(self, call: Callable[[Scope], Awaitable[R]]) -> R:
        return await call(await self.begun())


class HasScope(Protocol):
    """A user, or the client, whose scope is that of the current user."""

    @property
    def scope(self) -> Scope:
        """What a call that is made now is made with."""
        ...


async def start_session(
    core: Core, options: CallOptions, session: Session | None, *, tz: float | None = None
) -> tuple[Session, InitAnswer]:
    """Ask the service for a session, on the device that there is or on a new one.

    A session that is over is not mentioned, so that the service makes a new one; a device id that
    is known always is (protocol, sections 2.1 and 6). The ids of the answer are adopted, also a
    device id other than the one sent (6.1).
    """
    now, did, seance = core.config.now, None, None
    if session is not None:
        did = session.did
        seance = None if session.is_over(now()) else session.seance
    call = requests.init(
        core.shop, did=did, seance=seance, stream=options.stream or core.config.stream, tz=tz
    )
    answer = await core.transport.send(call, options, Answer.parse)
    ends = now() + SESSION_LIFETIME
    return Session(did=answer.did, seance=answer.seance or answer.sid, expires_at=ends), answer
