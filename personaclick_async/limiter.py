"""A strict limit of requests per window, for any number of tasks, event loops and threads.

A leaky bucket set to 40 per minute lets up to 79 through in one minute. Here a slot of the
window is taken when a request starts and released one window after its *answer*: whenever the
service counted it in between, no window on its side holds more than the limit.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from personaclick_async.config import RateLimit, Seconds

_LONGEST_PAUSE: Final = 300.0


class Limiter:
    """Holds requests back: by a limit per window if there is one, and while it is paused."""

    def __init__(self, limit: RateLimit | None, clock: Callable[[], Seconds]) -> None:
        self._limit = limit
        self._clock = clock
        # The collector may end a call of a dropped event loop wherever the lock is held.
        self._lock = threading.RLock()
        self._in_use = 0
        self._free_at: deque[Seconds] = deque()
        self._paused_until = 0.0
        self.is_open = limit is None  # requests pass without asking: no limit, no pause

    def start_over_after_fork(self) -> None:
        """Forget the parent's requests; its past ones still count, for they were the shop's."""
        self._lock = threading.RLock()
        self._in_use = 0

    def pause(self, seconds: Seconds) -> None:
        """Let nothing through for some seconds: the service answered "too many"."""
        with self._lock:
            until = self._clock() + min(seconds, _LONGEST_PAUSE)
            self._paused_until = max(self._paused_until, until)
            self.is_open = False

    @property
    def reason(self) -> str:
        """What holds requests back, in words."""
        if self._limit is None or self._clock() < self._paused_until:
            return "the service asked to wait"
        return f"the client's own limit, {self._limit.requests} in {self._limit.seconds:g} s"

    def try_enter(self) -> Seconds | None:
        """Take a slot, or return the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            if now < self._paused_until:
                return self._paused_until - now
            self._paused_until = 0.0
            if self._limit is None:
                self.is_open = True
                return None
            while self._free_at and self._free_at[0] <= now:
                self._free_at.popleft()
            if self._in_use + len(self._free_at) < self._limit.requests:
                self._in_use += 1
                return None
            # With every slot in use, none is free again sooner than one window from now.
            return self._free_at[0] - now if self._free_at else self._limit.seconds

    def leave(self) -> None:
        """Release a slot: its request was answered, or has failed."""
        if self._limit is None:
            return
        with self._lock:
            self._in_use -= 1
            self._free_at.append(self._clock() + self._limit.seconds)

    async def enter(self, patience: Seconds) -> Seconds | None:
        """Take a slot, after a wait of ``patience`` at most; else return the wait needed."""
        until = self._clock() + patience
        while (wait := self.try_enter()) is not None:
            if self._clock() + wait > until:
                return wait
            await asyncio.sleep(wait)
        return None
