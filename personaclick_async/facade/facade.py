"""The callable that ported JavaScript calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from functools import partial
from typing import Any, Final, Literal, TypeAlias, overload

from personaclick_async import names
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import Seconds
from personaclick_async.errors import ConfigurationError, NoCurrentUser, PersonaClickError
from personaclick_async.facade.answers import answer, make_client
from personaclick_async.facade.background import background
from personaclick_async.facade.commands import Command, Verb, WrongCall, parse
from personaclick_async.facade.handle import CallError, Handle
from personaclick_async.facade.shared import CallbackFailed, Shared, Start, log
from personaclick_async.models.identity import Identity
from personaclick_async.models.update import ProfileUpdate
from personaclick_async.user import User

Params: TypeAlias = Mapping[str, object]
OnObject: TypeAlias = Callable[[dict[str, Json]], object] | None
OnProducts: TypeAlias = Callable[[list[dict[str, Json]]], object] | None
OnText: TypeAlias = Callable[[str], object] | None
OnError: TypeAlias = Callable[[CallError], object] | None

_OPTIONS: Final = frozenset(
    {"did", "api_host", "cookieless", "consent", "cdn_host", "pictures_host"}
)
_OWN: Final = "the facade's own device"


def create_personaclick(
    client: PersonaClick | None = None,
    *,
    on_callback_error: CallbackFailed | None = None,
    exit_timeout: Seconds = 10.0,
) -> Personaclick:
    """Make the function of the JavaScript SDK: ``personaclick("profile", "set", …)``.

    :param client: the client to call through. Without one, ``personaclick("init", shop_id)``
        makes it, and calls made before wait for that, as in the browser.
    :param on_callback_error: gets what a callback raises, and the call's name, in place of the
        event loop's exception handler.
    :param exit_timeout: seconds that the end of the process waits for calls in flight.
    """
    return Personaclick(client, on_callback_error=on_callback_error, exit_timeout=exit_timeout)


class Personaclick:
    """The callable that :func:`create_personaclick` makes.

    **Where it runs.** Called on a running event loop, a call is a task of that loop. Called
    anywhere else (a script, a thread, a REPL), it runs on one background loop that is started on
    first use and shared by all threads. Callbacks are called on the loop where the call runs.

    **Callbacks.** Exactly one of success and error is called, once, and never before the call
    returns. Success gets plain dicts and lists as the service sent them. Error gets a
    :class:`CallError`: for any HTTP status other than 200, for an answer that says ``"status":
    "error"``, and for whatever never reached the service. A callback that raises reaches the
    loop's exception handler, and nothing else changes.

    **Order.** Calls of one user are answered one after the other, in the order in which they were
    made: a get sees the set before it. Users do not wait for each other.

    **The end of the process** waits for calls in flight, and logs how many are not known to be
    delivered. A call that comes later still, in an ``atexit`` function or a ``__del__``, raises
    :class:`ClientClosed`.
    """

    def __init__(
        self,
        client: PersonaClick | None = None,
        *,
        on_callback_error: CallbackFailed | None = None,
        exit_timeout: Seconds = 10.0,
    ) -> None:
        self._shared = Shared(client, on_callback_error, exit_timeout)
        self._user: User | None = None

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
        """Make a call; returns at once a handle that may be awaited, waited for or ignored.

        :raises WrongCall: there is no such command or form; shows the right one.
        :raises ClientClosed: the process is ending.
        """
        command = parse(arguments, named)
        if command.verb is Verb.INIT:
            self._check_init(command)
        return self._schedule(command)

    def for_user(self, user: User) -> Personaclick:
        """Return the same function for another user: a server has many, a browser one.

        Without this a call is about the client's current user, or else about a device that the
        facade has for itself.
        """
        view = object.__new__(type(self))
        view._shared = self._shared
        view._user = user
        return view

    def flush(self, timeout: Seconds | None = None) -> bool:
        """Block until no call is in flight; False if ``timeout`` seconds were not enough.

        :raises RuntimeError: on a running event loop, which it would block: use ``aflush``.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._shared.flush(timeout)
        raise RuntimeError("flush() would block the event loop: await aflush()")

    async def aflush(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109 - as flush
        """Wait until no call is in flight; False if ``timeout`` seconds were not enough."""
        try:
            async with asyncio.timeout(timeout):
                while waiting := [h for h in list(self._shared.in_flight) if not h.is_stranded]:
                    futures = [asyncio.wrap_future(handle.finished) for handle in waiting]
                    await asyncio.gather(*map(asyncio.shield, futures), return_exceptions=True)
        except TimeoutError:
            return False
        return not self._shared.in_flight

    def close(self, timeout: Seconds | None = None) -> bool:
        """Flush, then close the connections; returns what ``flush`` returns. For threads.

        Calls that ``timeout`` seconds were not enough for fail. Not needed where the process just
        ends, and possible until the very end.
        """
        flushed = self.flush(timeout)
        background.run(self._shared.close(waits=timeout is None))
        return flushed

    async def aclose(self, timeout: Seconds | None = None) -> bool:  # noqa: ASYNC109 - as close
        """Flush, then close the connections; returns what ``aflush`` returns. For event loops."""
        flushed = await self.aflush(timeout)
        await self._shared.close(waits=timeout is None)
        return flushed

    def _schedule(self, command: Command) -> Handle:
        shared = self._shared
        user: User | NoCurrentUser | None = self._user
        if user is None and shared.client is not None:
            user = shared.client.current_user_or_reason
        key: Hashable = _OWN
        visit = None
        if isinstance(user, User):
            # A visitor who has no device yet has the place of one in common with all others.
            visit = user.scope.visit
            key = visit if visit.start is not None else user.identity
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = background.loop()
            elsewhere = True
        else:
            elsewhere = False
        handle = Handle(command.verb.endpoint)
        with shared.lock:
            shared.in_flight.add(handle)
            before = None
            start = shared.start
            if command.verb is Verb.INIT:  # goes before the calls that wait for it
                if start.begun:
                    start = shared.start = Start()
                start.begun = True
            else:
                before = shared.latest.get(key) or shared.latest.get(visit)
                shared.latest[key] = handle

        work = partial(self._work, command, user, before, start)
        settle = partial(self._settle, command, handle, key, loop)
        if elsewhere:
            loop.call_soon_threadsafe(_begin, loop, handle, work, settle)
        else:
            _begin(loop, handle, work, settle)
        return handle

    async def _work(
        self,
        command: Command,
        user: User | NoCurrentUser | None,
        before: Handle | None,
        start: Start,
    ) -> Json:
        if command.verb is Verb.INIT:
            return await self._init(command, start)
        if isinstance(user, NoCurrentUser):
            # Not the facade's own device: this visitor has not agreed, or has no session.
            raise type(user)(*user.args)
        if before is not None and not before.is_stranded:
            await asyncio.shield(asyncio.wrap_future(before.answered))
        if user is None:
            user = await self._own_user(start)
        if self._shared.client is None:
            raise ConfigurationError('call personaclick("init", shop_id) first')
        return await answer(command, user, self._shared.client)

    def _settle(
        self,
        command: Command,
        handle: Handle,
        key: Hashable,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Task[Json],
    ) -> None:
        """Call the one callback that is due, however the task ended; on the task's loop."""
        shared = self._shared
        with shared.lock:
            if shared.latest.get(key) is handle:
                del shared.latest[key]
        failure = asyncio.CancelledError() if done.cancelled() else done.exception()
        if failure is None:
            callback, value = command.success, done.result()
        else:
            callback, value = command.error, CallError.of(failure, handle.endpoint)
            if callback is None and not handle.watched:
                if done.cancelled():
                    shared.note_cancelled(handle, loop)
                else:
                    log.warning("%s", value.message)
        handle.answered.set_result(None)
        if callback is None:
            self._end(handle, value)
            return
        try:
            made = callback(value)
        except Exception as error:  # noqa: BLE001 - passed on to the one who handles these
            self._callback_failed(error, handle, loop)
            made = None
        if made is None or not inspect.isawaitable(made):
            self._end(handle, value)
            return
        waiting = loop.create_task(_wait_for(made))
        handle.follow(loop, waiting)
        waiting.add_done_callback(partial(self._callback_over, handle, loop, value))

    def _callback_over(
        self,
        handle: Handle,
        loop: asyncio.AbstractEventLoop,
        value: Json | CallError,
        over: asyncio.Task[None],
    ) -> None:
        error = None if over.cancelled() else over.exception()
        if error is not None:
            self._callback_failed(error, handle, loop)
        self._end(handle, value)

    def _end(self, handle: Handle, value: Json | CallError) -> None:
        with self._shared.lock:
            self._shared.in_flight.discard(handle)
        handle.finish(value)

    def _callback_failed(
        self, error: BaseException, handle: Handle, loop: asyncio.AbstractEventLoop
    ) -> None:
        handler = self._shared.on_callback_error
        if handler is not None:
            try:
                handler(error, handle.endpoint)
            except Exception as another:  # noqa: BLE001 - the last resort is the loop's
                error = another
            else:
                return
        loop.call_exception_handler(
            {"message": f"a callback of {handle.endpoint} failed", "exception": error}
        )

    def _check_init(self, command: Command) -> None:
        unknown = command.options.keys() - _OPTIONS
        if unknown:
            raise WrongCall(f"{command.verb.value}: options are {', '.join(sorted(_OPTIONS))}")
        client = self._shared.client
        if client is not None and command.shop_id not in (None, client.config.shop_id):
            raise WrongCall(f"{command.verb.value}: this facade's client is for another shop")

    async def _init(self, command: Command, start: Start) -> Json:
        try:
            did = command.options.get(names.DID)
            if did is not None:
                did = Identity.of(did=did).value
            if self._shared.client is None:
                self._shared.client = make_client(command)
            client = self._shared.client
            if command.stream is not None:
                client = client.with_options(stream=command.stream)
            user = await client.init(did=did)
        except BaseException as error:
            ours = isinstance(error, Exception)
            start.user.set_exception(error if ours else PersonaClickError("init was cancelled"))
            raise
        start.user.set_result(user)
        return user.settings and user.settings.raw

    async def _own_user(self, start: Start) -> User:
        shared = self._shared
        with shared.lock:
            # With a client of its own the facade needs no init: it starts its session itself.
            starts_here = shared.client is not None and not start.begun
            start.begun = start.begun or starts_here
        if starts_here:
            await self._init(Command(Verb.INIT), start)
        return await asyncio.shield(asyncio.wrap_future(start.user))


def _begin(
    loop: asyncio.AbstractEventLoop,
    handle: Handle,
    work: Callable[[], Coroutine[Any, Any, Json]],
    settle: Callable[[asyncio.Task[Json]], None],
) -> None:
    doing = work()
    if loop.get_task_factory() is not None:
        # Eager tasks would otherwise run up to the first wait inside the call.
        doing = _later(doing)
    task = loop.create_task(doing, name=f"personaclick {handle.endpoint}")
    handle.follow(loop, task)
    task.add_done_callback(settle)


async def _later(doing: Coroutine[Any, Any, Json]) -> Json:
    await asyncio.sleep(0)
    return await doing


async def _wait_for(made: Awaitable[object]) -> None:
    await made
