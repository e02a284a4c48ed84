"""What a facade call gives back at once: to await, to wait for, or to forget."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import PersonaClickError


@attrs.frozen(repr=False)
class CallError:
    """What the error callback gets.

    :ivar status: the HTTP status, or None if no answer came.
    :ivar message: what went wrong; holds no secret and nothing personal.
    :ivar endpoint: the call's name, such as ``profile/set``.
    :ivar error: the exception that an awaited call would have raised.
    """

    status: int | None
    message: str
    endpoint: str
    error: BaseException

    def __repr__(self) -> str:
        return f"CallError(status={self.status}, message={self.message!r})"


class Cancelled(PersonaClickError):
    """A facade call was cancelled before its answer came."""


def call_error(error: BaseException, endpoint: str) -> CallError:
    """Make what the error callback gets of what was raised."""
    if isinstance(error, asyncio.CancelledError):
        error = Cancelled(f"{endpoint}: cancelled before an answer came")
    ours = isinstance(error, PersonaClickError)
    message = str(error) if ours else f"{endpoint}: failed with {type(error).__name__}"
    return CallError(getattr(error, "status", None), message, endpoint, error)


class Handle:
    """A call under way: ``await`` it on an event loop, or ``.result(timeout)`` in a thread.

    Both give what the success callback got, once the callback has been called, or raise the
    error. Doing neither is fine.
    """

    watched: bool = False
    # A concurrent future costs half of what the call does, and hardly a call needs one.
    _finished: Future[Json] | None = None
    _answered: Future[None] | None = None
    _outcome: Json | CallError = None
    _is_over: bool = False
    _has_answer: bool = False
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[Any] | None = None
    _cancel_asked: bool = False

    def __init__(self, endpoint: str, lock: threading.Lock) -> None:
        self.endpoint = endpoint
        self._lock = lock

    def done(self) -> bool:
        """Whether the call is over and its callback has been called."""
        return self._is_over

    @property
    def finished(self) -> Future[Json]:
        """What the call ends with, once its callback has been called."""
        with self._lock:
            if self._finished is None:
                self._finished = Future()
                if self._is_over:
                    _settle(self._finished, self._outcome)
            return self._finished

    @property
    def answered(self) -> Future[None]:
        """Done once there is an answer or a failure, before the callback is called."""
        with self._lock:
            if self._answered is None:
                self._answered = Future()
                if self._has_answer:
                    self._answered.set_result(None)
            return self._answered

    def answer(self) -> None:
        """Say that there is an answer or a failure."""
        with self._lock:
            self._has_answer = True
            waiting = self._answered
        if waiting is not None:
            waiting.set_result(None)

    def finish(self, outcome: Json | CallError) -> None:
        """Say that the callback has been called, and with what."""
        with self._lock:
            self._outcome, self._is_over = outcome, True
            waiting = self._finished
        if waiting is not None:
            _settle(waiting, outcome)

    def result(self, timeout: float | None = None) -> Json:
        """Block until the call is over, and give its answer.

        :param timeout: seconds to wait at most; None waits without end.
        :raises TimeoutError: the call is not over yet; it goes on.
        :raises PersonaClickError: the call failed.
        :raises RuntimeError: asked on the event loop that the call needs in order to end.
        """
        if not self.done() and self._loop is _running_loop() is not None:
            raise RuntimeError("result() would block the event loop of this call: await it")
        self.watched = True
        return self.finished.result(timeout)

    def cancel(self) -> None:
        """End the call, if it is not over; its error callback is called. Any thread may ask."""
        self._cancel_asked = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    def __await__(self) -> Generator[Any, None, Json]:
        self.watched = True
        # Shielded: who stops waiting does not stop the call, for that there is cancel().
        return asyncio.shield(asyncio.wrap_future(self.finished)).__await__()

    def follow(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Say which task does the work; a cancellation asked for before is passed on."""
        self._loop, self._task = loop, task
        if self._cancel_asked:
            task.cancel()

    @property
    def is_stranded(self) -> bool:
        """Whether the call can't end any more, because its event loop was closed."""
        return not self.done() and self._loop is not None and self._loop.is_closed()

    def __repr__(self) -> str:
        return f"<Handle of {self.endpoint}, {'over' if self.done() else 'under way'}>"


def _settle(waiting: Future[Json], outcome: Json | CallError) -> None:
    if isinstance(outcome, CallError):
        waiting.set_exception(outcome.error)
    else:
        waiting.set_result(outcome)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
