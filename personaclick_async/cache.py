"""Profile reads that are kept for a while, and shared while they are under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import attrs
from cachetools import TTLCache

from personaclick_async.config import CachePolicy, Seconds

V = TypeVar("V")


@attrs.define
class CacheStats:
    """How reads were answered since the client was made.

    :ivar hits: from the cache, without I/O.
    :ivar misses: by a request, forced ones included.
    :ivar coalesced: by a request that another caller had under way.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0


class _LeaderLeft(Exception):
    """Tells those who wait for a read that whoever made it was cancelled."""


@attrs.define(eq=False)
class _Flight(Generic[V]):
    """A read under way; ``landing`` is there once somebody waits for it."""

    landing: asyncio.Future[V] | None = None


class SharedReads(Generic[V]):
    """A TTL cache with single flight.

    Concurrent reads of one key make one request. A write makes ``forget`` its key, and a read that
    was under way at that moment neither fills the cache nor serves later callers. Errors are not
    kept. Safe to use from several event loops and threads; a flight belongs to one loop.
    """

    def __init__(self, policy: CachePolicy | None, clock: Callable[[], Seconds]) -> None:
        self._kept: TTLCache[Hashable, V] | None = (
            None if policy is None else TTLCache(policy.max_entries, policy.ttl, timer=clock)
        )
        self._lock = threading.Lock()
        self._flights: dict[Hashable, dict[asyncio.AbstractEventLoop, _Flight[V]]] = {}
        # Per key, the one flight whose result may be kept: the latest, unless a write came since.
        self._newest: dict[Hashable, _Flight[V]] = {}
        self.stats = CacheStats()

    def fresh(self, key: Hashable) -> V | None:
        """Give the kept value, if there is one that is fresh."""
        if self._kept is None:
            return None
        with self._lock:
            try:
                value = self._kept[key]
            except KeyError:
                return None
        self.stats.hits += 1
        return value

    def forget(self, *keys: Hashable) -> None:
        """Drop the keys, and what reads under way will bring for them."""
        with self._lock:
            for key in keys:
                self._newest.pop(key, None)
                self._flights.pop(key, None)
                if self._kept is not None:
                    self._kept.pop(key, None)

    def clear(self) -> None:
        """Drop everything, as ``forget`` does for one key."""
        with self._lock:
            self._newest.clear()
            self._flights.clear()
            if self._kept is not None:
                self._kept.clear()

    def start_over_after_fork(self) -> None:
        """Forget reads under way and locks that may be held, in a forked child."""
        self._lock = threading.Lock()
        self._newest.clear()
        self._flights.clear()

    def __len__(self) -> int:
        return 0 if self._kept is None else len(self._kept)

    async def read(
        self, key: Hashable, load: Callable[[], Awaitable[V]], *, force: bool = False
    ) -> V:
        """Load a value, or wait for the load of the same key that is under way.

        A forced read never joins one that began before it. A caller who is cancelled cancels
        nobody else: if it was the one that made the request, the next in line makes it again.
        """
        # The first caller loads in its own task. A task for the load would survive its caller's
        # cancellation, but cost every read that nobody joins a tenth of its time.
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                flight = None if force else self._flights.get(key, {}).get(loop)
                if flight is None:
                    flight = self._flights.setdefault(key, {})[loop] = _Flight()
                    self._newest[key] = flight
                    break
            self.stats.coalesced += 1
            if flight.landing is None:
                flight.landing = loop.create_future()
            try:
                return await asyncio.shield(flight.landing)
            except _LeaderLeft:
                self.stats.coalesced -= 1
        self.stats.misses += 1
        return await self._lead(loop, key, flight, load)

    async def _lead(
        self,
        loop: asyncio.AbstractEventLoop,
        key: Hashable,
        flight: _Flight[V],
        load: Callable[[], Awaitable[V]],
    ) -> V:
        try:
            value = await load()
        except BaseException as error:
            self._land(loop, key, flight)
            if flight.landing is not None:
                passed_on = error if isinstance(error, Exception) else _LeaderLeft()
                flight.landing.set_exception(passed_on)
                # Those who wait may all have been cancelled: then nobody looks, and that is fine.
                flight.landing.exception()
            raise
        self._land(loop, key, flight, (value,))
        if flight.landing is not None:
            flight.landing.set_result(value)
        return value

    def _land(
        self,
        loop: asyncio.AbstractEventLoop,
        key: Hashable,
        flight: _Flight[V],
        brought: tuple[V] | None = None,
    ) -> None:
        """End a flight; keep what it brought unless a later flight or a write overtook it."""
        with self._lock:
            here = self._flights.get(key)
            if here is not None and here.get(loop) is flight:
                del here[loop]
                if not here:
                    del self._flights[key]
            if self._newest.get(key) is flight:
                del self._newest[key]
                if brought is not None and self._kept is not None:
                    self._kept[key] = brought[0]
