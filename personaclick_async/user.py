"""A user to make calls for, and the current user of a task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Self

import attrs

from personaclick_async.calls import OrderCalls, ProfileCalls
from personaclick_async.config import NO_OPTIONS, CallOptions, Seconds
from personaclick_async.errors import ConfigurationError, NoCurrentUser, ValidationError
from personaclick_async.models.identity import Identity, InitAnswer, Session
from personaclick_async.scope import Core, Scope, Visit, session_of, start_session


@attrs.frozen(eq=False, repr=False)
class _Current:
    """The current user, or why there is none.

    :ivar loop: the event loop of the task that set it without a block. It holds only while that
        loop runs: a WSGI worker's thread keeps its context from one request to the next.
    """

    user: User | NoCurrentUser
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def holds(self) -> bool:
        return self.loop is None or self.loop.is_running()


_NOBODY: Final[dict[int, _Current]] = {}

# One variable for all clients, for a context keeps each variable it ever met; by client, because
# an application may serve several shops in one request.
_current: ContextVar[dict[int, _Current]] = ContextVar("personaclick_current_user", default=_NOBODY)


class User:
    """One user of the shop: a device, or a customer known to the back office.

    Made by ``client.user(…)`` and ``client.init(…)``. Cheap: make one per request.

    :ivar settings: the shop's settings as ``init`` answered them; None for a user made without.
    :ivar scope: what its calls are made with, for the package's own modules.
    """

    def __init__(
        self,
        core: Core,
        visit: Visit,
        options: CallOptions = NO_OPTIONS,
        settings: InitAnswer | None = None,
    ) -> None:
        self.scope = Scope(core, visit, options)
        self.settings = settings

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
        """Start the session of a new visitor now, and not with their first call.

        :raises PersonaClickError: what starting it failed with.
        """
        await self.scope.begun()

    async def init(self) -> InitAnswer:
        """Start a session on this device, or continue it; returns the shop's settings.

        :raises ValidationError: the user is not a device.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
        return await self._start(renew=False)

    async def new_session(self) -> InitAnswer:
        """Start a new session on this device, whether or not the old one is over.

        :raises ValidationError: the user is not a device.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
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
            answers.append(await start_session(scope.core, scope.options, session))
            return session_of(scope.core, answers[0])

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
        options = changed(self.scope.options, timeout=timeout, retries=retries, stream=stream)
        return type(self)(self.scope.core, self.scope.visit, options, self.settings)

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


def changed(
    options: CallOptions, *, timeout: Seconds | None, retries: int | None, stream: str | None
) -> CallOptions:
    """Return options with those changed that are not None."""
    return CallOptions(
        timeout=options.timeout if timeout is None else timeout,
        retries=options.retries if retries is None else retries,
        stream=options.stream if stream is None else stream,
    )


def set_current(core: Core, user: User | None) -> None:
    """Make ``user`` the current one in this task and in those that it starts from now on.

    :raises ConfigurationError: no task is running, so that nothing would end it.
    """
    if user is None:
        _put(core, None)
        return
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        raise ConfigurationError(
            "set_current_user: expected a running task; elsewhere the user would still be current "
            "in the thread's next request: use a block, `with client.as_user(user):`"
        )
    _put(core, _Current(user, task.get_loop()))


@contextmanager
def current(core: Core, user: User | NoCurrentUser) -> Iterator[None]:
    """Make ``user`` the current one for a ``with`` block; an error says why there is none."""
    before = _current.get().get(id(core))
    _put(core, _Current(user))
    try:
        yield
    finally:
        _put(core, before)


def get_current(core: Core) -> User | None:
    """Return the current user of a client, if there is one."""
    user = current_or_reason(core)
    return user if isinstance(user, User) else None


def current_or_reason(core: Core) -> User | NoCurrentUser | None:
    """Return the current user of a client, the reason given for having none, or None."""
    found = _current.get().get(id(core))
    return found.user if found is not None and found.holds else None


def require_current(core: Core) -> User:
    """Return the current user of a client.

    :raises NoCurrentUser: there is none; says how to set one.
    """
    user = current_or_reason(core)
    if isinstance(user, NoCurrentUser):
        raise type(user)(*user.args)
    if user is None:
        raise NoCurrentUser(
            "no current user: set one with client.set_current_user(…) or client.as_user(…), "
            "or make the call for a user: client.user(did=…).profile.get()"
        )
    return user


def _put(core: Core, current: _Current | None) -> None:
    others = {key: value for key, value in _current.get().items() if key != id(core)}
    _current.set(others if current is None else {**others, id(core): current})
