"""What a facade call returns at once: to await, to wait for, or to ignore."""

from __future__ import annotations

import asyncio
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

    @classmethod
    def of(cls, error: BaseException, endpoint: str) -> CallError:
        """Make one of what a call failed with."""
        if isinstance(error, asyncio.CancelledError):
            error = Cancelled(f"{endpoint}: cancelled before an answer came")
        ours = isinstance(error, PersonaClickError)
        message = str(error) if ours else f"{endpoint}: failed with {type(error).__name__}"
        return cls(getattr(error, "status", None), message, endpoint, error)

    def __repr__(self) -> str:
        return f"CallError(status={self.status}, message={self.message!r})"


class Cancelled(PersonaClickError):
    """A facade call was cancelled before its answer came."""


class Handle:
    """A call that was made: ``await`` it on an event loop, or ``.result(timeout)`` in a thread.

    Both return what the success callback got, once the callback has been called, or raise the
    error. Doing neither is fine.

    :ivar watched: whether somebody waits for it.
    :ivar answered: done once there is an answer or a failure, before the callback is called.
    :ivar finished: the outcome, once the callback has been called.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.watched = False
        self.answered: Future[None] = Future()
        self.finished: Future[Json] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancel_requested = False

    def done(self) -> bool:
        """Whether the call is over and its callback has been called."""
        return self.finished.done()

    def result(self, timeout: float | None = None) -> Json:
        """Block until the call is over, and return its answer.

        :param timeout: seconds to wait at most; None to wait without end.
        :raises TimeoutError: the call is not over yet; it goes on.
        :raises PersonaClickError: the call failed.
        :raises RuntimeError: asked on the event loop that the call needs in order to end.
        """
        if not self.done() and self._loop is _running_loop() is not None:
            raise RuntimeError("result() would block the event loop of this call: await it")
        self.watched = True
        return self.finished.result(timeout)

    def cancel(self) -> None:
        """End the call, if it is not over; its error callback is called. Any thread may do it."""
        self._cancel_requested = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    def __await__(self) -> Generator[Any, None, Json]:
        self.watched = True
        # Shielded: to stop waiting is not to stop the call, for that there is cancel().
        return asyncio.shield(asyncio.wrap_future(self.finished)).__await__()

    def follow(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Note the task that does the work; a cancellation requested earlier is passed on."""
        self._loop, self._task = loop, task
        if self._cancel_requested:
            task.cancel()

    def finish(self, outcome: Json | CallError) -> None:
        """Note the outcome, now that the callback has been called."""
        if isinstance(outcome, CallError):
            self.finished.set_exception(outcome.error)
        else:
            self.finished.set_result(outcome)

    @property
    def is_stranded(self) -> bool:
        """Whether the call can't end any more, because its event loop was closed."""
        return not self.done() and self._loop is not None and self._loop.is_closed()

    def __repr__(self) -> str:
        return f"<Handle of {self.endpoint}, {'over' if self.done() else 'in flight'}>"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
