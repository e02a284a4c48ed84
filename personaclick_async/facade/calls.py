"""The calls of a facade: what each returns at once, how it runs, and how it ends."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import math
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future, wait
from contextlib import nullcontext, suppress
from typing import Any, Final, TypeAlias

import attrs
from attrs.validators import optional

from personaclick_async import names
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import Seconds, number, of_kind, to_seconds
from personaclick_async.errors import ConfigurationError, NoCurrentUser, PersonaClickError
from personaclick_async.facade.background import background, join_threads
from personaclick_async.facade.commands import Command, Verb, make_client, result_of
from personaclick_async.user import User

log: Final = logging.getLogger("personaclick_async.facade")

# An event loop that is closed tells nobody: who waits for one of its calls looks now and then.
_LOOK_SECONDS: Final = 1.0

OnCallbackError: TypeAlias = Callable[[BaseException, str], object]
"""Gets what a callback raised, and the name of the call."""


@attrs.frozen
class CallError:
    """What the error callback gets."""

    status: int | None  # the HTTP status, or None if no answer came
    message: str  # what went wrong; holds no secret and nothing personal
    endpoint: str  # the call's name, such as ``profile/set``
    error: BaseException = attrs.field(repr=False)  # what an awaited call would have raised

    @classmethod
    def of(cls, error: BaseException, endpoint: str) -> CallError:
        """Return what the error callback gets for an exception."""
        if isinstance(error, asyncio.CancelledError):
            error = Cancelled(f"{endpoint}: cancelled before an answer came")
        ours = isinstance(error, PersonaClickError)
        message = str(error) if ours else f"{endpoint}: failed with {type(error).__name__}"
        return cls(getattr(error, "status", None), message, endpoint, error)


class Cancelled(PersonaClickError):
    """A facade call was cancelled before its answer came."""


@attrs.define(eq=False, repr=False)
class Handle:
    """A call that was made: ``await`` it on an event loop, or ``.result(timeout)`` in a thread.

    Both return what the success callback got, once the callback has been called, or raise the
    error. Doing neither is fine.
    """

    endpoint: str  # the call's name, such as ``profile/set``
    command: Command
    _key: Hashable
    _calls: Calls
    _user: User | NoCurrentUser | None
    # The facade's own device, and the user's call before this one, which is answered first.
    _own: Future[User]
    _before: Handle | None
    _loop: asyncio.AbstractEventLoop
    is_answered: bool = False  # there is an answer or a failure; the callback is called next
    _outcome: Json | CallError = None
    _is_over: bool = False
    _is_watched: bool = False
    _task: asyncio.Task[None] | None = None
    # Made for those who wait, and only then: they cost a tenth of a call.
    _answered: Future[None] | None = None
    _over: Future[Json | CallError] | None = None

    def done(self) -> bool:
        """Whether the call is over and its callback has been called."""
        return self._is_over

    def result(self, timeout: float | None = None) -> Json:
        """Block until the call is over, and return its answer.

        :param timeout: seconds to wait at most; None to wait without end.
        :raises TimeoutError: the call is not over yet; it goes on.
        :raises PersonaClickError: the call failed.
        :raises RuntimeError: asked on the event loop that the call needs in order to end.
        """
        if not self.done() and self._loop is running_loop():
            raise RuntimeError("result() would block the event loop of this call: await it")
        self._is_watched = True
        left = math.inf if timeout is None else timeout
        while left > _LOOK_SECONDS and not wait([self.over()], _LOOK_SECONDS).done:
            left -= _LOOK_SECONDS
        return _returned(self.over().result(left))

    def cancel(self) -> None:
        """End the call, if it is not over; its error callback is called. Any thread may do it."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    def __await__(self) -> Generator[Any, None, Json]:
        self._is_watched = True
        # Shielded: to stop waiting is not to stop the call, for that there is cancel().
        return _returned((yield from asyncio.shield(asyncio.wrap_future(self.over()))))

    def __repr__(self) -> str:
        return f"<Handle of {self.endpoint}, {'over' if self.done() else 'in flight'}>"

    def over(self) -> Future[Json | CallError]:
        """Return the future of the outcome, which is done once the callback has been called."""
        with self._calls.lock:
            if self._over is None:
                self._over = Future()
                if self._is_over:
                    self._over.set_result(self._outcome)
            if self.is_stranded and not self._over.done():
                lost = Cancelled(f"{self.endpoint}: its event loop was closed before it was over")
                self._over.set_result(CallError.of(lost, self.endpoint))
            return self._over

    def answered(self) -> Future[None]:
        """Return the future of the answer, for the next in line; first asked with the lock held."""
        self._answered = self._answered or Future()
        return self._answered

    @property
    def is_stranded(self) -> bool:
        """Whether the call can't end any more, because its event loop was closed."""
        return not self.done() and self._loop.is_closed()

    def begin(self) -> None:
        """Begin the call, on its loop."""
        self._task = self._loop.create_task(self._run(), name=f"personaclick {self.endpoint}")
        self._task.add_done_callback(self._end_without_answer)

    async def _run(self) -> None:
        user = self._user
        try:
            if self._task is None:  # an eager task, which runs up to its first wait in the call
                await asyncio.sleep(0)
            if self.command.verb is Verb.INIT:
                value = await self._init()
            else:
                if self._before is not None or not isinstance(user, User):
                    user = await self._turn()
                value = await result_of(self.command, user, self._calls.client)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the error callback's
            value = CallError.of(error, self.endpoint)
        await self._end(value)

    async def _turn(self) -> User:
        """Wait for the turn of this call; return its user, or the facade's own device."""
        user, own, calls = self._user, self._own, self._calls
        if isinstance(user, NoCurrentUser):
            # Not the facade's own device: this visitor has not agreed, or has no session.
            raise type(user)(*user.args)
        before, self._before = self._before, None
        while before is not None and not (before.is_answered or before.is_stranded):
            answered = asyncio.wrap_future(before.answered())
            await asyncio.wait([answered], timeout=_LOOK_SECONDS)
        if user is not None:
            return user
        with calls.lock:
            # With a client of its own the facade needs no init: its session begins by itself.
            if calls.client is not None and not calls.own_has_begun:
                calls.own_has_begun = True
                own.set_result(calls.client.new_visitor())
        if not own.done():
            await asyncio.shield(asyncio.wrap_future(own))
        return own.result()

    async def _init(self) -> Json:
        """Begin the session of the facade's own device; return the shop's settings."""
        command, calls = self.command, self._calls
        options: Any = command.params or {}
        client = calls.client = calls.client or make_client(command)
        if command.shop_id not in (None, client.config.shop_id):
            raise ConfigurationError("shop_id: this facade's client is for another shop")
        if command.stream is not None:
            client = client.with_options(stream=command.stream)
        user = await client.init(did=options.get(names.DID))
        self._own.set_result(user)
        return user.settings and user.settings.raw

    def _end_without_answer(self, task: asyncio.Task[None]) -> None:
        """See to a call whose task ended without an answer: before it began, or by Ctrl-C."""
        failure = None if task.cancelled() else task.exception()
        failed = CallError.of(failure or asyncio.CancelledError(), self.endpoint)
        self._task = self._loop.create_task(self._end(failed))

    async def _end(self, value: Json | CallError) -> None:
        """Let the user's next call begin, and call the one callback that is due."""
        calls, failed = self._calls, value if isinstance(value, CallError) else None
        callback = self.command.success if failed is None else self.command.error
        with calls.lock:
            self.is_answered = True
            if calls.latest.get(self._key) is self:
                del calls.latest[self._key]
        if self._task is not None:
            self._task.remove_done_callback(self._end_without_answer)
        if self._answered is not None:
            self._answered.set_result(None)
        if failed is not None and self.command.verb is Verb.INIT:
            self._own.set_exception(failed.error)
        try:
            if callback is not None:
                made = callback(value)
                if made is not None and inspect.isawaitable(made):
                    await made
            elif failed is not None and not self._is_watched:
                calls.log_failure(self, failed)
        except Exception as error:  # noqa: BLE001 - passed on to the one who handles these
            (calls.on_callback_error or _to_event_loop)(error, self.endpoint)
        finally:
            with calls.lock:
                calls.in_flight.discard(self)
                self._outcome, self._is_over = value, True
                over = self._over
            if over is not None and not over.done():
                over.set_result(value)


def _returned(value: Json | CallError) -> Json:
    if isinstance(value, CallError):
        raise value.error
    return value


@attrs.define(eq=False, repr=False)
class Calls:
    """What a facade and its views for other users share: client, session, calls in flight."""

    client: PersonaClick | None = attrs.field(
        validator=optional(of_kind(PersonaClick, "a PersonaClick"))
    )
    on_callback_error: OnCallbackError | None = attrs.field(
        validator=optional(of_kind(Callable, "a function"))
    )
    exit_timeout: Seconds = attrs.field(
        converter=to_seconds, validator=number(at_least=0, finite=True)
    )
    # Reentrant: the garbage collector may run a __del__ that makes a call.
    lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    # Event loops hold their tasks weakly: this also keeps a call from being collected.
    in_flight: set[Handle] = attrs.field(factory=set, init=False)
    # The latest call of each user who has one in flight: the next waits for its answer.
    latest: dict[Hashable, Handle] = attrs.field(factory=dict, init=False)
    # The facade's own device, for which calls wait until an init has begun its session.
    _own: Future[User] = attrs.field(factory=Future, init=False)
    own_has_begun: bool = attrs.field(default=False, init=False)
    _reported: set[Handle] = attrs.field(factory=set, init=False)
    _cancelled: Counter[str] = attrs.field(factory=Counter, init=False)

    def __attrs_post_init__(self) -> None:
        _all_calls.add(self)

    def make(self, command: Command, user: User | NoCurrentUser | None) -> Handle:
        """Make a call for a user: the one given, or the current one, or the facade's own device."""
        if user is None and self.client is not None:
            user = self.client.current_user_or_reason
        key: Hashable = None  # of the facade's own device
        visit = None
        if isinstance(user, User):
            # Visitors without a device all have one identity; their visit tells them apart.
            visit = user.scope.visit
            key = visit if visit.start is not None else user.identity
        here = running_loop()
        with background.loop() if here is None else nullcontext(here) as loop, self.lock:
            before = None
            if command.verb is Verb.INIT:  # goes before the calls that wait for it
                if self.own_has_begun:
                    self._own = Future()
                self.own_has_begun = True
            elif latest := self.latest.get(key) or self.latest.get(visit):
                before = latest
                before.answered()
            endpoint = command.verb.endpoint
            handle = Handle(endpoint, command, key, self, user, self._own, before, loop)
            self.in_flight.add(handle)
            if command.verb is not Verb.INIT:
                self.latest[key] = handle
            if here is None:
                loop.call_soon_threadsafe(handle.begin)
        if here is not None:
            handle.begin()
        return handle

    def log_failure(self, handle: Handle, failed: CallError) -> None:
        """Log a failure that nobody gets; those that an ending event loop cancels together."""
        if not isinstance(failed.error, Cancelled):
            # A call that waited for init fails with what init failed with.
            name = "" if failed.message.startswith(handle.endpoint) else f"{handle.endpoint}: "
            log.warning("%s%s", name, failed.message)
        elif handle not in self._reported:
            if not self._cancelled:
                asyncio.get_running_loop().call_soon(self._log_cancelled)
            self._cancelled[handle.endpoint] += 1

    def _log_cancelled(self) -> None:
        log.warning("cancelled before an answer came: %s", _counted(self._cancelled))
        self._cancelled.clear()

    async def flush(self, timeout: Seconds | None) -> bool:  # noqa: ASYNC109 - as users say it
        """Wait on any loop until nothing is in flight; returns whether that came true."""
        try:
            async with asyncio.timeout(timeout):
                # Callbacks may have made more calls by the time that these are over.
                while left := [one.over() for one in list(self.in_flight) if not one.is_stranded]:
                    await asyncio.wait(map(asyncio.wrap_future, left), timeout=_LOOK_SECONDS)
        except TimeoutError:
            return False
        return not self.in_flight

    async def close(self, *, waits: bool) -> None:
        """Close the client; calls still in flight fail, at once unless it ``waits``."""
        if self.client is not None:
            await (self.client.close() if waits else self.client.close(patience=0))

    def report(self) -> None:
        """Log the calls whose answers have not come, when the process ends."""
        lost = {one for one in list(self.in_flight) if not one.is_answered} - self._reported
        self._reported |= lost
        if lost:
            named = _counted(Counter(handle.endpoint for handle in lost))
            log.warning("not known to be delivered when the process ended: %s", named)

    def start_over_after_fork(self) -> None:
        """Forget the parent's calls in a forked child; a session that was there stays."""
        self.lock = threading.RLock()
        for begun in self.in_flight:
            # Without a client the child's calls would wait for an init that is the parent's.
            if self.client is None and begun.command.verb is Verb.INIT:
                with suppress(PersonaClickError):  # the parent is told
                    self.client = make_client(begun.command)
        self.in_flight.clear()
        self.latest.clear()
        own = self._own
        if not own.done() or (own.exception() is None and own.result().session is None):
            self._own, self.own_has_begun = Future(), False


def _to_event_loop(error: BaseException, endpoint: str) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"a callback of {endpoint} failed", "exception": error}
    )


def _counted(calls: Counter[str]) -> str:
    return ", ".join(f"{endpoint} {count}" for endpoint, count in sorted(calls.items()))


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running event loop, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_all_calls: Final[weakref.WeakSet[Calls]] = weakref.WeakSet()


def _leave() -> None:
    """Let the calls finish when the main thread has ended."""
    join_threads()
    for calls in list(_all_calls):
        with suppress(TimeoutError):
            background.run(calls.flush(calls.exit_timeout), calls.exit_timeout)
    _report()
    background.stop()


def _report() -> None:
    for calls in list(_all_calls):
        calls.report()


def _start_over_after_fork() -> None:
    background.start_over_after_fork()
    for calls in list(_all_calls):
        calls.start_over_after_fork()


# When the main thread has ended. atexit comes too late: by then the thread pool that looks up
# host names takes no more work, and a connection that is still to be made would fail. The hook
# that the pool itself uses runs those registered last first, so before the pool's.
getattr(threading, "_register_atexit", atexit.register)(_leave)
# Once more at the very end, for calls made since on event loops of other threads.
atexit.register(_report)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_after_fork)
