"""The requests that came to an emulator, and the faults and holds that act on them."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, Concatenate, Final, ParamSpec, Self, get_type_hints

import attrs
import msgspec

from personaclick_async.codec import Json
from personaclick_async.emulator.settings import STATUSES, expect
from personaclick_async.errors import ConfigurationError

_ANSWERS_KEPT: Final = 1000
_KINDS: Final = "status, drop, truncate, body, error_message"
_WORDS: Final = {
    int | None: "a whole number",
    float: "a number",
    str | None: "a text",
    bool: "true or false",
}


@attrs.define(eq=False, repr=False)
class RecordedRequest:
    """A request as it came, and how it was answered."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json = None  # the JSON object or form; None for imports, which can be large
    size: int = 0  # of the body, in bytes
    at: datetime = attrs.field(factory=lambda: datetime.now(UTC))  # when it came, in UTC
    arrived_at: float = attrs.field(factory=time.monotonic)  # seconds on a monotonic clock
    status: int | None = None  # the answer's; None while it is in progress or when it got none
    answer: bytes = b""  # the first 64 KiB of the answer's body; only the latest thousand have it
    seconds: float | None = None  # how long the answer took; None while it is in progress
    number: int = 0  # counts the requests, from 1

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} -> {self.status}>"


@attrs.define(kw_only=True, eq=False)
class Fault(AbstractContextManager["Fault"]):
    """Something that goes wrong with the requests that it matches.

    With ``status=200`` and an ``error_message`` it is an error that pretends to be a success.
    """

    path: str | None = None  # such as ``/profile/set``; None matches every one
    method: str | None = None  # the HTTP method it matches; None matches every one
    probability: float = 1.0  # the share of matching requests that it strikes
    times: int | None = None  # how many requests it strikes at most
    delay: float = 0.0  # seconds before the answer; alone, the answer is the usual one
    status: int | None = None  # the answer's status, in place of carrying out the request
    retry_after: int | None = None  # seconds, for a ``Retry-After`` that goes with ``status``
    error_message: str | None = attrs.field(default=None, repr=False)  # in an error's envelope
    body: bytes | None = attrs.field(default=None, repr=False)  # the answer's body, as it is
    content_type: str = "application/json"  # what ``body`` says that it is
    drop: bool = False  # close the connection without an answer; nothing is carried out
    truncate: bool = False  # carry it out, and close the connection in the middle of the answer
    hits: int = attrs.field(default=0, init=False)  # how many requests it has struck
    number: int = attrs.field(default=0, init=False)  # counts the faults of an emulator, from 1
    among: list[Fault] = attrs.field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        is_path = self.path is None or self.path.startswith("/")
        expect(is_path, "path: expected one that begins with /, such as /profile/set")
        expect(0 <= self.probability <= 1, "probability: expected 0 to 1")
        expect(self.delay >= 0, "delay: expected 0 or more seconds")
        expect(self.content_type.isprintable(), "content_type: expected a single line")
        expect(self.times is None or self.times > 0, "times: expected 1 or more")
        expect(self.status is None or self.status in STATUSES, "status: expected 200 to 599")
        kinds = sum((self.answers, self.drop, self.truncate))
        expect(kinds or self.delay, f"fault: expected delay or one of {_KINDS}")
        expect(kinds <= 1, f"fault: expected one of {_KINDS}")
        expect(self.retry_after is None or self.status, "retry_after: expected a status with it")

    @classmethod
    def from_json(cls, wanted: Json, *, strict: bool = True) -> Self:
        """Make a fault of a JSON object; not strict, of one whose values are text.

        :raises ConfigurationError: it has other fields than a fault, or other types.
        """
        is_one = isinstance(wanted, dict) and wanted.keys() <= {*FAULT_FIELDS}
        expect(is_one, f"fault: takes {', '.join(FAULT_FIELDS)}")
        given: dict[str, Json] = {}
        for name in [name for name, value in wanted.items() if value is not None]:
            try:
                given[name] = msgspec.convert(wanted[name], _TYPES[name], strict=strict)
            except msgspec.ValidationError:
                raise ConfigurationError(f"{name}: expected {_WORDS[_TYPES[name]]}") from None
        return cls(**given)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Make a fault of ``path=/profile,status=503,probability=0.1``, ``drop`` or the like.

        :raises ConfigurationError: as for :meth:`from_json`.
        """
        parts = (part.partition("=") for part in text.split(","))
        return cls.from_json({name: value or "true" for name, _, value in parts}, strict=False)

    @property
    def answers(self) -> bool:
        """Whether it takes the place of the usual answer."""
        return self.status is not None or self.body is not None or self.error_message is not None

    def matches(self, method: str, path: str) -> bool:
        """Whether such a request matches, and ``times`` is not used up."""
        return (
            self.path in (None, path)
            and (self.method is None or self.method.upper() == method)
            and (self.times is None or self.hits < self.times)
        )

    def remove(self) -> None:
        """Stop it."""
        with suppress(ValueError):
            self.among.remove(self)

    def __exit__(self, *_: object) -> None:
        self.remove()


_TYPES: Final = get_type_hints(Fault)
FAULT_FIELDS: Final = sorted(name for name, kind in _TYPES.items() if kind in _WORDS)
"""The fields of a fault that JSON and the command line can set."""


@attrs.define(eq=False, repr=False)
class Held(AbstractContextManager["Held"]):
    """Answers that are ready and held back; leaving its block lets them go.

    The request is carried out when it comes; only its answer waits. So a held read returns what
    was stored when it came, whatever is written meanwhile.
    """

    _method: str
    _path: str
    _among: list[Held]
    _count: int = 0
    _changed: threading.Condition = attrs.field(factory=threading.Condition)
    _released: Future[None] = attrs.field(factory=Future)

    async def hold(self, method: str, path: str) -> None:
        """Wait on the server's loop until released, if the request matches."""
        if (method, path) != (self._method, self._path):
            return
        with self._changed:
            self._count += 1
            self._changed.notify_all()
        # One of them that is cancelled must not release the others.
        await asyncio.shield(asyncio.wrap_future(self._released))

    def wait(self, count: int = 1, timeout: float = 10.0) -> None:
        """Block until ``count`` requests are held.

        :raises TimeoutError: they did not come within ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, timeout):
                raise TimeoutError(f"{self._count} of {count} requests came to {self._path}")

    async def arrived(self, count: int = 1, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Wait as :meth:`wait` does, on any event loop."""
        await asyncio.to_thread(self.wait, count, timeout)

    def release(self) -> None:
        """Let the answers go, and hold no more."""
        with self._changed:
            if not self._released.done():
                self._released.set_result(None)
                self._among.remove(self)

    def __exit__(self, *_: object) -> None:
        self.release()


P = ParamSpec("P")


def _with_the_keywords_of(
    _: Callable[P, Fault], /
) -> Callable[[Callable[..., Fault]], Callable[Concatenate[Traffic, P], Fault]]:
    """Type a method with ``**settings`` by the keywords of a class."""
    return lambda method: method


class Traffic:
    """The recorded requests, the faults and the holds: the base of :class:`Emulator`.

    Safe to use from any thread. ``faults`` are those in force, the oldest first.
    """

    def __init__(self, *, keep: int, seed: int) -> None:
        self.lock = threading.RLock()
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._request_numbers, self._fault_numbers = count(1), count(1)
        self._requests: deque[RecordedRequest] = deque(maxlen=keep)
        self._counts: Counter[tuple[str, str, int | None]] = Counter()
        self.faults: list[Fault] = []
        self.holds: list[Held] = []

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that came, in order; the latest ``settings.recorded`` of them."""
        with self.lock:
            return list(self._requests)

    def requests_to(self, path: str) -> list[RecordedRequest]:
        """Return the requests to one path, in order."""
        return [one for one in self.requests if one.path == path]

    @property
    def counts(self) -> Counter[tuple[str, str, int | None]]:
        """How many requests were answered, by method, path and status; all that ever came."""
        return self._counts.copy()

    def clear_requests(self) -> None:
        """Delete the requests and their counts."""
        with self.lock:
            self._requests.clear()
            self._counts.clear()

    @_with_the_keywords_of(Fault)
    def fault(self, **settings: Any) -> Fault:  # noqa: ANN401 - see the decorator
        """Start a fault, which ends when it is removed or its ``with`` block is left.

        Takes the settings of :class:`Fault`. Of several faults the oldest that strikes wins.

        :raises ConfigurationError: the fault contradicts itself, or does nothing.
        """
        return self.add_fault(Fault(**settings))

    def add_fault(self, fault: Fault) -> Fault:
        """Start a fault; return it."""
        fault.number, fault.among = next(self._fault_numbers), self.faults
        self.faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Remove every fault."""
        self.faults.clear()

    def hold(self, method: str, path: str) -> Held:
        """Hold back the answers to such requests until the ``with`` block is left.

        The requests are carried out when they come; ``await held.arrived()`` or ``held.wait()``
        tells when one has.
        """
        held = Held(method.upper(), path, self.holds)
        self.holds.append(held)
        return held

    # For the server

    def begin(self, request: RecordedRequest) -> None:
        """Record a request as it arrives."""
        with self.lock:
            request.number = next(self._request_numbers)
            self._requests.append(request)
            if len(self._requests) > _ANSWERS_KEPT:
                self._requests[-1 - _ANSWERS_KEPT].answer = b""

    def end(self, request: RecordedRequest) -> None:
        """Count a request that was answered."""
        with self.lock:
            request.seconds = time.monotonic() - request.arrived_at
            self._counts[request.method, request.path, request.status] += 1

    def latest(self, most: int) -> list[RecordedRequest]:
        """Return the latest requests that have ended, the newest first."""
        with self.lock:
            ended = (one for one in reversed(self._requests) if one.seconds is not None)
            return list(islice(ended, most))

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the oldest fault that strikes a request, and count the hit."""
        for fault in self.faults.copy():
            if fault.matches(method, path) and self._random.random() < fault.probability:
                fault.hits += 1
                return fault
        return None
