"""Profile reads that are kept for a while, and shared while they are under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol

import attrs

from personaclick_async.config import CachePolicy, Seconds
from personaclick_async.entries import Entries, K
from personaclick_async.models.identity import Identity


@attrs.define
class CacheStats:
    """How reads were answered since the client was made.

    :ivar hits: from the cache, without I/O.
    :ivar misses: by a request, forced ones included.
    :ivar coalesced: by a request that another caller had under way.
    :ivar shared_hits: from the store that processes share, by one exchange with it.
    :ivar store_failures: exchanges with that store that failed or took too long; each read that
        was affected went to the service and counts as a miss.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    shared_hits: int = 0
    store_failures: int = 0


class Reads(Protocol[K]):
    """How a client reads what may be kept: within the process, or shared with others."""

    stats: CacheStats

    def fresh(self, key: Identity, /) -> K | None:
        """Give the kept value, if there is one that is fresh; no I/O."""

    async def read(
        self, key: Identity, load: Callable[[], Awaitable[K]], /, *, force: bool = False
    ) -> K:
        """Load a value, or wait for the load of the same key that is under way."""
        ...

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be forgotten, here or in another process."""

    def forget(self, *keys: Identity) -> Awaitable[None] | None:
        """Drop the keys, and what reads under way will bring for them.

        :returns: what to wait for until the other processes know, if there are any.
        """

    def clear(self) -> None:
        """Drop everything, as ``forget`` does for one key."""

    def start_over_after_fork(self) -> None:
        """Forget reads under way and locks that may be held, in a forked child."""

    async def close(self) -> None:
        """Let go of what is shared with other processes."""


class _LeaderLeft(Exception):
    """Tells those who wait for a read that whoever made it was cancelled."""


@attrs.define(eq=False, repr=False)
class _Flight(Generic[K]):
    """A read under way.

    :ivar older: the flight of the same key that began before it, on another event loop.
    :ivar may_be_kept: whether neither a later flight nor a write has overtaken it.
    :ivar waiting: a future for each who waits for it: one that all share would have to be
        shielded from each one's cancellation, at twice the cost.
    """

    loop: asyncio.AbstractEventLoop
    older: _Flight[K] | None
    may_be_kept: bool = True
    waiting: list[asyncio.Future[K]] | None = None

    def join(self) -> asyncio.Future[K]:
        """Give a future for what this flight brings."""
        turn: asyncio.Future[K] = self.loop.create_future()
        if self.waiting is None:
            self.waiting = []
        self.waiting.append(turn)
        return turn

    def overtake(self) -> None:
        """Let nothing that this flight and the older ones bring be kept."""
        flight: _Flight[K] | None = self
        while flight is not None:
            flight.may_be_kept = False
            flight = flight.older

    def on(self, loop: asyncio.AbstractEventLoop) -> _Flight[K] | None:
        """Give the newest flight on an event loop, this one or an older one."""
        flight: _Flight[K] | None = self
        while flight is not None and flight.loop is not loop:
            flight = flight.older
        return flight

    def without(self, landed: _Flight[K]) -> _Flight[K] | None:
        """Give the newest flight that is left when one has landed."""
        if self is landed:
            return self.older
        if self.older is not None:
            self.older = self.older.without(landed)
        return self


class SharedReads(Generic[K]):
    """A TTL cache with single flight.

    Concurrent reads of one key make one request. A write makes it drop its key, and a read that
    was under way at that moment neither fills the cache nor serves later callers. Errors are not
    kept. Safe to use from several event loops and threads; a flight belongs to one loop.
    """

    def __init__(self, policy: CachePolicy | None, clock: Callable[[], Seconds]) -> None:
        self._kept: Entries[K] | None = (
            None if policy is None else Entries(policy.max_entries, clock)
        )
        self._ttl = 0.0 if policy is None else policy.ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[K]] = {}
        self.stats = CacheStats()

    def fresh(self, key: Hashable) -> K | None:
        """Give the kept value, if there is one that is fresh."""
        if self._kept is None:
            return None
        if key not in self._kept:
            return None
        try:
            kept = self._kept[key]
        except KeyError:  # it went in the middle of this: there is no lock
            return None
        if kept.until <= self._clock():
            return None
        self.stats.hits += 1
        kept.is_wanted = True
        return kept

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept, and no read is under way."""
        return not self._flights and not self._kept

    def forget(self, *keys: Hashable) -> None:
        """Drop the keys, and what reads under way will bring for them."""
        kept = self._kept
        with self._lock:
            for key in keys:
                flight = self._flights.pop(key, None)
                if flight is not None:
                    flight.overtake()
                if kept is not None and key in kept:
                    del kept[key]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            for flight in self._flights.values():
                flight.overtake()
            self._flights.clear()
            if self._kept is not None:
                self._kept.clear()

    def start_over_after_fork(self) -> None:
        """Forget reads under way and locks that may be held, in a forked child."""
        self._lock = threading.Lock()
        self._flights.clear()

    async def close(self) -> None:
        """Do nothing: nothing is shared."""

    def __len__(self) -> int:
        return 0 if self._kept is None else len(self._kept)

    async def read(
        self, key: Hashable, load: Callable[[], Awaitable[K]], *, force: bool = False
    ) -> K:
        """Load a value, or wait for the load of the same key that is under way.

        A forced read never joins one that began before it. A caller who is cancelled cancels
        nobody else: if it was the one that made the request, the next in line makes it again.
        """
        # The first caller loads in its own task. A task for the load would survive its caller's
        # cancellation, but cost every read that nobody joins a tenth of its time.
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                newest = self._flights.get(key)
                joined = None if force or newest is None else newest.on(loop)
                if joined is None:
                    if newest is not None:
                        newest.overtake()
                    flight = self._flights[key] = _Flight(loop, newest)
                    break
            self.stats.coalesced += 1
            try:
                return await joined.join()
            except _LeaderLeft:
                self.stats.coalesced -= 1
        self.stats.misses += 1
        try:
            value = await load()
        except BaseException as error:
            self._land(key, flight)
            for turn in flight.waiting or ():
                if not turn.done():
                    turn.set_exception(error if isinstance(error, Exception) else _LeaderLeft())
                    # Who waited may be cancelled by now: then nobody looks, and that is fine.
                    turn.exception()
            raise
        self._land(key, flight, value)
        for turn in flight.waiting or ():
            if not turn.done():
                turn.set_result(value)
        return value

    def _land(self, key: Hashable, flight: _Flight[K], brought: K | None = None) -> None:
        """End a flight; keep what it brought unless a later flight or a write overtook it."""
        with self._lock:
            newest = self._flights.get(key)
            if newest is flight and flight.older is None:
                del self._flights[key]
            elif newest is not None:
                left = newest.without(flight)
                if left is None:
                    del self._flights[key]
                else:
                    self._flights[key] = left
            if flight.may_be_kept and brought is not None and self._kept is not None:
                self._kept[key] = brought.folded(self._clock() + self._ttl)
