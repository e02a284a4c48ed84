"""What a facade and its views for other users share: client, session, calls in flight."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Final

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.facade.background import background
from personaclick_async.facade.handle import Handle
from personaclick_async.user import User

log: Final = logging.getLogger("personaclick_async.facade")

CallbackFailed = Callable[[BaseException, str], object]
"""Gets what a callback raised, and the name of the call."""


class Start:
    """A session that is started once, by the first call, and awaited by all others."""

    def __init__(self) -> None:
        self.user: Future[User] = Future()
        self.begun = False


class Shared:
    """What a facade and its views for other users have in common: client, session, calls."""

    def __init__(
        self,
        client: PersonaClick | None,
        on_callback_error: CallbackFailed | None,
        exit_timeout: Seconds,
    ) -> None:
        self.client = client
        self.on_callback_error = on_callback_error
        self.exit_timeout = exit_timeout
        self.lock = threading.Lock()
        self.start = Start()
        # Event loops hold their tasks weakly: this also keeps a call from being collected.
        self.in_flight: set[Handle] = set()
        self.reported: set[Handle] = set()
        # The latest call of each user who has one in flight: the next waits for its answer.
        self.latest: dict[Hashable, Handle] = {}
        self.cancelled: Counter[str] = Counter()
        background.register(self)

    def finish(self) -> None:
        """Wait for calls in flight when the process ends."""
        self.flush(self.exit_timeout)

    def report(self) -> None:
        """Log the calls whose answers have not come, when the process ends."""
        lost = {h for h in list(self.in_flight) if not h.answered.done()} - self.reported
        self.reported |= lost
        if lost:
            named = _counted(Counter(handle.endpoint for handle in lost))
            log.warning("not known to be delivered when the process ended: %s", named)

    def flush(self, timeout: Seconds | None) -> bool:
        """Wait in a thread until nothing is in flight; returns whether that came true."""
        until = None if timeout is None else time.monotonic() + timeout
        while waiting := [h.finished for h in list(self.in_flight) if not h.is_stranded]:
            left = None if until is None else until - time.monotonic()
            # Callbacks may have made more calls by the time that these are over.
            if wait(waiting, left).not_done:
                return False
        return not self.in_flight

    async def close(self, *, waits: bool) -> None:
        """Close the client; calls still in flight fail, at once unless it ``waits``."""
        if self.client is not None:
            await (self.client.close() if waits else self.client.close(patience=0))

    def note_cancelled(self, handle: Handle, loop: asyncio.AbstractEventLoop) -> None:
        """Log cancelled calls together: an event loop that ends cancels all of its own at once."""
        if handle in self.reported:
            return
        if not self.cancelled:
            loop.call_soon(self._log_cancelled)
        self.cancelled[handle.endpoint] += 1

    def _log_cancelled(self) -> None:
        log.warning("cancelled before an answer came: %s", _counted(self.cancelled))
        self.cancelled.clear()

    def start_over(self) -> None:
        """Forget the parent's calls in a forked child; a session that was there stays."""
        self.lock = threading.Lock()
        self.in_flight.clear()
        self.latest.clear()
        if not self.start.user.done():
            self.start = Start()
        if self.client is not None:
            self.client.start_over_after_fork()


def _counted(calls: Counter[str]) -> str:
    return ", ".join(f"{endpoint} {count}" for endpoint, count in sorted(calls.items()))
