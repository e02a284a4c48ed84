"""The requests that came, kept for whoever tests their application against the emulator."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

import attrs

from personaclick_async.codec import Json

_MOST_COUNTS: Final = 1000


@attrs.define(eq=False, repr=False)
class RecordedRequest:
    """A request as it came, and how it was answered.

    :ivar body: the JSON object or form, or None; always None for imports, which can be large.
    :ivar size: the body's size in bytes.
    :ivar arrived_at: seconds on a monotonic clock.
    :ivar status: the answer's status; None while it is under way or when it got no answer.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json = None
    size: int = 0
    arrived_at: float = attrs.field(factory=time.monotonic)
    status: int | None = None

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} -> {self.status}>"


class Recorder:
    """The latest requests, and counts of all of them."""

    def __init__(self, keep: int) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecordedRequest] = deque(maxlen=keep)
        self._counts: Counter[tuple[str, str, int | None]] = Counter()

    def add(self, request: RecordedRequest) -> None:
        """Keep a request."""
        with self._lock:
            self._requests.append(request)

    def count(self, request: RecordedRequest) -> None:
        """Count a request whose answer is known."""
        key = (request.method, request.path, request.status)
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MOST_COUNTS:
                # Paths are the callers' to invent: the counts stay bounded.
                key = ("*", "*", request.status)
            self._counts[key] += 1

    def requests(self, path: str | None = None) -> list[RecordedRequest]:
        """Give the requests in the order in which they came."""
        with self._lock:
            return [one for one in self._requests if path is None or one.path == path]

    def counts(self) -> Counter[tuple[str, str, int | None]]:
        """Give how many requests there were by method, path and status."""
        with self._lock:
            return Counter(self._counts)

    def clear(self) -> None:
        """Forget the requests and the counts."""
        with self._lock:
            self._requests.clear()
            self._counts.clear()
