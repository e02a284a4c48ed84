"""The callable that ported JavaScript calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, TypeAlias, overload

from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import Seconds
from personaclick_async.facade.background import background
from personaclick_async.facade.calls import CallError, Calls, Handle, OnCallbackError, running_loop
from personaclick_async.facade.commands import Params, parse
from personaclick_async.models.update import ProfileUpdate
from personaclick_async.user import User, checked_user

OnObject: TypeAlias = Callable[[dict[str, Json]], object] | None
OnProducts: TypeAlias = Callable[[list[dict[str, Json]]], object] | None
OnText: TypeAlias = Callable[[str], object] | None
OnError: TypeAlias = Callable[[CallError], object] | None


def create_personaclick(
    client: PersonaClick | None = None,
    *,
    on_callback_error: OnCallbackError | None = None,
    exit_timeout: Seconds = 10.0,
) -> Personaclick:
    """Make the function of the JavaScript SDK: ``personaclick("profile", "set", …)``.

    :param client: the client to call through. Without one, ``personaclick("init", shop_id)``
        makes it, and calls made before wait for that, as in the browser.
    :param on_callback_error: gets what a callback raises, and the call's name, in place of the
        event loop's exception handler.
    :param exit_timeout: seconds that the end of the process waits for calls in flight.
    :raises ConfigurationError: an argument is of another type, or ``exit_timeout`` is negative or
        not finite.
    """
    return Personaclick(Calls(client, on_callback_error, exit_timeout))


class Personaclick:
    """The callable that :func:`create_personaclick` makes.

    Called on a running event loop, a call is a task of that loop. Called anywhere else (a script,
    a thread, a REPL), it runs on one background loop, started on first use and shared by all
    threads. Exactly one of the two callbacks is called there, once, never before the call returns.
    Success gets plain dicts and lists as the service sent them. Error gets a :class:`CallError`,
    for any HTTP status other than 200, for an answer that says ``"status": "error"``, and for
    whatever never reached the service. A callback that raises reaches the loop's exception
    handler, and nothing else changes.

    Calls of one user are answered in the order in which they were made: a get sees the set before
    it. Users do not wait for each other. The end of the process waits for calls in flight, and
    logs how many are not known to be delivered; a call that comes later still, in an ``atexit``
    function or a ``__del__``, raises :class:`ClientClosed`.
    """

    def __init__(self, calls: Calls, user: User | None = None) -> None:
        self._calls = calls
        self._user = user

    @overload
    def __call__(
        self,
        command: Literal["init"],
        shop_id: str | None = None,
        stream: str | None = None,
        success: OnObject = None,
        error: OnError = None,
        options: Params | None = None,
        is_spa: bool = False,  # noqa: FBT001, FBT002 - the forms of the JavaScript SDK
        /,
    ) -> Handle: ...
    @overload
    def __call__(
        self,
        command: Literal["profile"],
        verb: Literal["set"],
        /,
        params: Params | ProfileUpdate,
        success: OnObject = None,
        error: OnError = None,
    ) -> Handle: ...
    @overload
    def __call__(
        self,
        command: Literal["profile"],
        verb: Literal["get"],
        /,
        success: OnObject = None,
        force: bool = False,  # noqa: FBT001, FBT002
        *,
        error: OnError = None,
    ) -> Handle: ...
    @overload
    def __call__(
        self,
        command: Literal["profile"],
        verb: Literal["get"],
        success: OnObject,
        error: OnError,
        force: bool = False,  # noqa: FBT001, FBT002
        /,
    ) -> Handle: ...
    @overload
    def __call__(
        self,
        command: Literal["profile"],
        verb: Literal["get"],
        /,
        params: Params,
        success: OnObject = None,
        error: OnError = None,
        force: bool = False,  # noqa: FBT001, FBT002
    ) -> Handle: ...
    @overload
    def __call__(
        self,
        command: Literal["orders"],
        verb: Literal["last_for_user"],
        /,
        success: OnProducts = None,
        error: OnError = None,
    ) -> Handle: ...
    @overload
    def __call__(
        self,
        command: Literal["orders"],
        verb: Literal["last_for_user"],
        /,
        params: Params,
        success: OnProducts = None,
        error: OnError = None,
    ) -> Handle: ...
    @overload
    def __call__(
        self, command: Literal["did", "sid"], /, success: OnText = None, error: OnError = None
    ) -> Handle: ...
    @overload
    def __call__(
        self, command: Literal["reset_session"], /, success: OnObject = None, error: OnError = None
    ) -> Handle: ...
    def __call__(self, *arguments: Any, **named: Any) -> Handle:
        """Make a call; return at once a handle that may be awaited, waited for or ignored.

        :raises WrongCall: there is no such command or form; shows the right one.
        :raises ClientClosed: the process is ending, or a callback called ``sys.exit``.
        """
        return self._calls.make(parse(arguments, named), self._user)

    def for_user(self, user: User) -> Personaclick:
        """Return the same function for another user: a server has many, a browser one.

        Without this a call is about the client's current user, or else about a device that the
        facade has for itself.
        """
        return Personaclick(self._calls, checked_user(user))

    def flush(self, timeout: Seconds | None = None) -> bool:
        """Block until no call is in flight; False if ``timeout`` seconds were not enough.

        :raises RuntimeError: on a running event loop, which it would block: use ``aflush``.
        """
        if running_loop() is not None:
            raise RuntimeError("flush() would block the event loop: await aflush()")
        try:
            return background.run(self._calls.flush(timeout), timeout)
        except TimeoutError:
            return not self._calls.in_flight

    async def aflush(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109 - as flush
        """Wait until no call is in flight; False if ``timeout`` seconds were not enough."""
        return await self._calls.flush(timeout)

    def close(self, timeout: Seconds | None = None) -> bool:
        """Flush, then close the connections; returns what ``flush`` returns. For threads.

        Calls that ``timeout`` seconds were not enough for fail. Not needed where the process just
        ends, and possible until the very end.
        """
        flushed = self.flush(timeout)
        with suppress(TimeoutError):  # a callback may block the loop: it is closed after that
            background.run(self._calls.close(waits=timeout is None), timeout and timeout + 1)
        return flushed

    async def aclose(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109 - as close
        """Flush, then close the connections; returns what ``aflush`` returns. For event loops."""
        flushed = await self.aflush(timeout)
        await self._calls.close(waits=timeout is None)
        return flushed
