"""The requests that came, kept for tests of applications and for the page."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count, islice
from typing import Final

import attrs

from personaclick_async.codec import Json

_ANSWERS_KEPT: Final = 1000
_MOST_OF_AN_ANSWER: Final = 64 * 1024


@attrs.define(eq=False, repr=False)
class RecordedRequest:
    """A request as it came, and how it was answered.

    :ivar body: the JSON object or form, or None; always None for imports, which can be large.
    :ivar size: the body's size in bytes.
    :ivar at: when it came, in UTC.
    :ivar arrived_at: seconds on a monotonic clock.
    :ivar status: the answer's status; None while it is in progress or when it got no answer.
    :ivar answer: the first 64 KiB of the answer's body; only the latest thousand have it.
    :ivar seconds: how long the answer took; None while it is in progress.
    :ivar number: counts the requests, from 1.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json = None
    size: int = 0
    at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    arrived_at: float = attrs.field(factory=time.monotonic)
    status: int | None = None
    answer: bytes = b""
    seconds: float | None = None
    number: int = 0

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} -> {self.status}>"


class Recorder:
    """The latest requests, and counts of all of them.

    The server's thread writes; any thread reads, and clears.

    :ivar counts: how many requests there were by method, path and status.
    """

    def __init__(self, keep: int) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=keep)
        self._numbers = count(1)
        self.counts: Counter[tuple[str, str, int | None]] = Counter()

    def add(self, request: RecordedRequest) -> None:
        """Keep a request."""
        with self._lock:
            request.number = next(self._numbers)
            self._requests.append(request)
            if len(self._requests) > _ANSWERS_KEPT:
                self._requests[-1 - _ANSWERS_KEPT].answer = b""

    def end(self, request: RecordedRequest, answer: bytes) -> None:
        """Note the answer of a request, and count it."""
        with self._lock:
            request.seconds = time.monotonic() - request.arrived_at
            request.answer = answer[:_MOST_OF_AN_ANSWER]
            self.counts[request.method, request.path, request.status] += 1

    def requests(self, path: str | None = None) -> list[RecordedRequest]:
        """Return the requests in the order in which they came."""
        with self._lock:
            return [one for one in self._requests if path is None or one.path == path]

    def latest(self, most: int) -> list[RecordedRequest]:
        """Return the latest requests that have ended, the newest first."""
        with self._lock:
            ended = (one for one in reversed(self._requests) if one.seconds is not None)
            return list(islice(ended, most))

    def clear(self) -> None:
        """Delete the requests and the counts."""
        with self._lock:
            self._requests.clear()
            self.counts.clear()
