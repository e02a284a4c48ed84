"""A user to make calls for."""

from __future__ import annotations

from typing import Self

import attrs

from personaclick_async.calls import OrderCalls, ProfileCalls, Scope, start_session
from personaclick_async.config import Seconds
from personaclick_async.errors import ValidationError
from personaclick_async.models.identity import Identity, InitAnswer, Session


@attrs.define(eq=False, repr=False, slots=False)
class User:
    """One user of the shop: a device, or a customer known to the back office.

    Made by ``client.user(…)`` and ``client.init(…)``. Cheap: make one per request. Its calls
    raise :class:`ServiceError` for an answer that is an error, and :class:`TransportError` where
    no usable answer came; see their subclasses.

    :ivar scope: what its calls are made with, for the package's own modules.
    :ivar settings: the shop's settings as ``init`` answered them; None for a user made without.
    """

    scope: Scope
    settings: InitAnswer | None = None

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
        """By what the user is known."""
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
            raise ValidationError("user", "a device, for a session", f"a user by {self.identity}")
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


class DeviceUser(User):
    """A user known by their device, whose session has started; what ``client.init`` returns."""

    @property
    def did(self) -> str:
        """The device id, to be kept in a cookie."""
        return self.identity.value

    @property
    def session(self) -> Session:
        """The session as it stands, to be kept in cookies; it changes with each call."""
        session = super().session
        return Session(did=self.did) if session is None else session
