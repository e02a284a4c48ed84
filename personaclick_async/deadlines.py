"""The timeouts of many requests with one timer.

aiohttp sets and cancels four timers per request, which is a tenth of what a request costs. Here
a request costs an entry in a set, and one timer per event loop looks at all of them.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from personaclick_async.config import Seconds

_LOOKS_PER_SILENCE: Final = 4


class Deadline:
    """The time that the current task has for an attempt; then the block raises TimeoutError."""

    # Defaults of the class: most attempts change none of them.
    wants_new_connection: bool = False  # the connector must not give it a used one
    incoming: aiohttp.StreamReader | None = None  # the answer's body, once there is one
    sent_bytes: int = 0  # of a large body
    has_passed: bool = False  # it was over before the block had ended
    was_silent: bool = False  # and that because no byte came or went
    is_reused: bool | None = None  # its connection had been used; None before it has one
    _progress: int = -1
    _quiet_since: Seconds = 0.0
    _task: asyncio.Task[Any]
    _begun_cancelling: int
    _outer: Deadline | None

    def __init__(self, deadlines: Deadlines, total: Seconds) -> None:
        self._deadlines = deadlines
        self._until = monotonic() + total

    def __enter__(self) -> Self:
        deadlines = self._deadlines
        task = asyncio.current_task(deadlines.loop)
        if task is None:
            raise RuntimeError("a request is to be made by a task")
        self._task = task
        self._begun_cancelling = task.cancelling()
        self._outer = current_attempt.get()
        current_attempt.set(self)
        deadlines.watched.add(self)
        if self._until < deadlines.next_look:
            deadlines.look_by(self._until)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.watched.discard(self)
        # Not reset(token): a call that is collected with its event loop is in another context.
        current_attempt.set(self._outer)
        task, self.incoming = self._task, None
        # A context that was copied meanwhile may live on, and has this in it.
        del self._task, self._outer
        if (
            self.has_passed
            # Another cancellation than ours goes on its way, as with asyncio.timeout.
            and task.uncancel() <= self._begun_cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError

    def due(self, now: Seconds, silence: Seconds) -> Seconds:
        """Return when the time is over, if no byte comes or goes until then."""
        progress = self.sent_bytes + (0 if self.incoming is None else self.incoming.total_bytes)
        if progress != self._progress:
            self._progress, self._quiet_since = progress, now
        return min(self._until, self._quiet_since + silence)

    def expire(self, now: Seconds) -> None:
        """Cancel the task, whose time is over."""
        self.has_passed, self.was_silent = True, now < self._until
        self._task.cancel()


current_attempt: Final[ContextVar[Deadline | None]] = ContextVar("current_attempt", default=None)
"""The attempt that the running task makes."""


class Deadlines:
    """The deadlines of one event loop.

    The end of an attempt's whole time is kept exactly. Silence, no byte coming or going, ends it
    after the time that it may last, and before one and a half times that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, silence: Seconds) -> None:
        self.loop = loop
        self.watched: set[Deadline] = set()
        self.next_look = math.inf
        self._silence = silence
        self._timer: asyncio.TimerHandle | None = None

    def look_by(self, when: Seconds) -> None:
        """Look at all of them then or sooner, and not at the time set before."""
        if self._timer is not None:
            self._timer.cancel()
        now = monotonic()
        self.next_look = min(when, now + self._silence / _LOOKS_PER_SILENCE)
        self._timer = self.loop.call_later(self.next_look - now, self._look)

    def _look(self) -> None:
        self._timer, self.next_look = None, math.inf
        now = monotonic()
        ends = {one: one.due(now, self._silence) for one in tuple(self.watched)}
        for deadline, end in ends.items():
            if end <= now:
                self.watched.discard(deadline)  # so that it is cancelled once
                deadline.expire(now)
        if following := [end for end in ends.values() if end > now]:
            self.look_by(min(following))
