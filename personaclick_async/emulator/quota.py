"""Requests per window, counted when they arrive, for each shop and kind of request."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable

from personaclick_async.emulator.refusals import Refused


class Quota:
    """At most ``limit`` requests in any window of ``window`` seconds; refused ones don't count."""

    def __init__(self, limit: int | None, window: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._arrivals: defaultdict[str, deque[float]] = defaultdict(deque)

    def forget(self) -> None:
        """Start with empty windows."""
        self._arrivals.clear()

    def take(self, shop: str) -> None:
        """Count a request.

        :raises Refused: it is one too many; says after how many whole seconds to come again.
        """
        if self._limit is None:
            return
        now = self._clock()
        arrivals = self._arrivals[shop]
        while arrivals and arrivals[0] <= now - self._window:
            arrivals.popleft()
        if len(arrivals) >= self._limit:
            wait = arrivals[0] + self._window - now
            raise Refused(429, "Too many requests", retry_after=max(1, math.ceil(wait)))
        arrivals.append(now)
