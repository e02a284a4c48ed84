"""The service's ways of saying no: statuses with messages in envelopes, and limits of requests."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from personaclick_async import codec, names
from personaclick_async.emulator.behaviour import OK, Behaviour


class Refused(Exception):
    """A request that is answered with an error (protocol, section 9)."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def answer(self, behaviour: Behaviour) -> tuple[int, bytes, dict[str, str]]:
        """Return the status, the body and the headers of the answer."""
        headers: dict[str, str] = {}
        if self.retry_after is not None and behaviour.retry_after != "absent":
            headers["Retry-After"] = str(self.retry_after)
            if behaviour.retry_after == "date":
                when = datetime.now(UTC) + timedelta(seconds=self.retry_after)
                headers["Retry-After"] = format_datetime(when, usegmt=True)
        body = envelope(self.message, self.status, behaviour.envelope)
        return OK if behaviour.errors_at_200 else self.status, body, headers


def envelope(message: str, status: int = 0, kind: str = "payload") -> bytes:
    """Return the body of an error, in one of the envelopes that were seen (section 9)."""
    match kind:
        case "message":
            return codec.encode({names.STATUS: names.STATUS_ERROR, names.MESSAGE: message})
        case "bare message":
            return codec.encode({names.MESSAGE: message})
        case "numeric status":
            return codec.encode({names.STATUS: status, names.MESSAGE: message})
        case "empty":
            return b""
    return codec.encode({names.STATUS: names.STATUS_ERROR, names.PAYLOAD: {names.MESSAGE: message}})


class Quota:
    """At most ``limit`` requests in any window of ``window`` seconds; refused ones don't count."""

    def __init__(
        self, limit: int | None, window: float, clock: Callable[[], float], *, status: int = 429
    ) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._status = status
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
            wait = max(1, math.ceil(arrivals[0] + self._window - now))
            raise Refused(self._status, "Too many requests", retry_after=wait)
        arrivals.append(now)
