"""The timeouts of many requests with one timer.

aiohttp sets and cancels four timers per request, which is a tenth of what a request costs. Here
a request costs an entry in a set, and one timer per event loop looks at all of them.
"""

from __future__ import annotations

import asyncio
import math
from time import monotonic
from types import TracebackType
from typing import Any, Final, Protocol, Self

from personaclick_async.config import Seconds
from personaclick_async.errors import NoEventLoop

_LOOKS_PER_SILENCE: Final = 4


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    :raises NoEventLoop: there is none of asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NoEventLoop(
            "personaclick_async needs asyncio: make calls in a coroutine run by asyncio.run(…); "
            "trio, curio and plain gevent can't run them"
        ) from None


class Incoming(Protocol):
    """What counts the bytes that have come in."""

    @property
    def total_bytes(self) -> int:
        """How many there are so far."""


class Deadline:
    """The time that an attempt of the current task has, as a context manager.

    Raises TimeoutError when that is over.

    :param total: seconds for all of it.
    :param silence: seconds for which no byte may come or go.
    :ivar incoming: the answer's body, once there is one.
    :ivar sent_bytes: how much of a large body has gone out.
    :ivar has_passed: whether the time was over before the block had ended.
    :ivar was_silent: whether that was for silence.
    :ivar wants_new_connection: whether the connector must not give it a used one.
    :ivar is_connected: whether the connector has given it a connection.
    :ivar is_reused: whether that one had carried other requests before.
    """

    # Defaults of the class: most attempts change none of them.
    incoming: Incoming | None = None
    sent_bytes: int = 0
    has_passed: bool = False
    was_silent: bool = False
    wants_new_connection: bool = False
    is_connected: bool = False
    is_reused: bool = False
    _progress: int = 0
    _quiet_since: Seconds | None = None
    _task: asyncio.Task[Any]
    _until: Seconds
    _begun_cancelling: int

    def __init__(self, deadlines: Deadlines, total: Seconds, silence: Seconds) -> None:
        self._deadlines = deadlines
        self._total = total
        self._silence = silence

    def __enter__(self) -> Self:
        deadlines, total = self._deadlines, self._total
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise RuntimeError("a request is to be made by a task")
        self._task = task
        self._begun_cancelling = task.cancelling()
        now = monotonic()
        self._until = now + total
        deadlines.watched.add(self)
        # Where all attempts have the same time, this is never sooner than what is set.
        patience = self._silence / _LOOKS_PER_SILENCE
        first_look = now + min(patience, total)
        if first_look < deadlines.next_look:
            deadlines.look_at(first_look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.watched.discard(self)
        task, self.incoming = self._task, None
        # A context that was copied meanwhile may live on, and has this in it.
        del self._task
        if (
            self.has_passed
            # Another cancellation than ours goes on its way, as with asyncio.timeout.
            and task.uncancel() <= self._begun_cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError

    def look(self, now: Seconds) -> Seconds | None:
        """Return when to look again; None if the time is over, and then the task is cancelled."""
        progress = self.sent_bytes + (0 if self.incoming is None else self.incoming.total_bytes)
        if self._quiet_since is None or progress != self._progress:
            self._progress, self._quiet_since = progress, now
        too_quiet = self._quiet_since + self._silence
        if now >= self._until or now >= too_quiet:
            self.has_passed, self.was_silent = True, now < self._until
            self._task.cancel()
            return None
        return min(self._until, too_quiet, now + self._silence / _LOOKS_PER_SILENCE)


class Deadlines:
    """The deadlines of one event loop.

    The end of an attempt's whole time is kept exactly. Silence ends an attempt after the time
    that it may last, and before one and a half times that.

    :ivar loop: the event loop whose tasks make the attempts.
    :ivar watched: those of attempts in progress.
    :ivar next_look: when all of them will be looked at.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.watched: set[Deadline] = set()
        self.next_look = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def look_at(self, when: Seconds) -> None:
        """Look at all of them then, and not at the time set before."""
        if self._timer is not None:
            self._timer.cancel()
        self.next_look = when
        self._timer = self.loop.call_later(when - monotonic(), self._look)

    def _look(self) -> None:
        self._timer, self.next_look = None, math.inf
        now = monotonic()
        looks = [deadline.look(now) for deadline in tuple(self.watched)]
        following = [when for when in looks if when is not None]
        if following:
            self.look_at(min(following))
