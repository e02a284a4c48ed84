"""Cached profile reads: answers as bytes, one request for concurrent reads, no stale write-back."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs
from cachetools import TTLCache

from personaclick_async.config import CachePolicy, Seconds
from personaclick_async.deadlines import running_loop
from personaclick_async.errors import TimedOut
from personaclick_async.models.identity import Identity
from personaclick_async.models.reading import WrongShape
from personaclick_async.protocol.requests import read_profile_body
from personaclick_async.store import CacheStats, ProfileStore

Load: TypeAlias = Callable[[], Awaitable[bytes]]
"""Asks the service for a profile and returns the body of its answer."""


class _LeaderLeft(Exception):
    """The caller that made the request was cancelled, or its own timeout is over.

    The next in line makes it again.
    """


@attrs.define(eq=False, repr=False)
class _Flight:
    """A request for a profile, and the other callers on its event loop that wait for it."""

    loop: asyncio.AbstractEventLoop
    waiting: list[asyncio.Future[bytes]] = attrs.field(factory=list)

    def join(self) -> asyncio.Future[bytes]:
        # A future for each: one that all share would have to be shielded from each cancellation.
        turn: asyncio.Future[bytes] = self.loop.create_future()
        self.waiting.append(turn)
        return turn

    def succeed(self, body: bytes) -> None:
        for turn in self.waiting:
            if not turn.done():
                turn.set_result(body)

    def fail(self, error: BaseException) -> None:
        for turn in self.waiting:
            if not turn.done():
                turn.set_exception(error if isinstance(error, Exception) else _LeaderLeft())
                turn.exception()  # a caller may be cancelled before it looks


_NO_FLIGHTS: Final[dict[int, weakref.ref[_Flight]]] = {}


class ProfileCache:
    """A TTL cache of profile answers, with single flight.

    A write drops its user's entry, and a read in flight at that moment neither fills the cache
    nor serves later callers. Errors are not cached. Safe to use from several event loops and
    threads; callers share a request only within their loop.

    With a ``store``, answers are shared with other processes, and stay in the memory of this one
    for at most ``store.memory_ttl``.
    """

    def __init__(
        self,
        policy: CachePolicy | None,
        clock: Callable[[], Seconds],
        store: ProfileStore | None = None,
    ) -> None:
        self.stats = CacheStats()
        self._policy = policy
        self._clock = clock
        self._store = store
        # The collector may end a read of a dropped loop wherever the lock is held.
        self._lock = threading.RLock()
        # By the id of the event loop: callers share a request only within theirs. Weakly: a loop
        # that is dropped takes the reads in flight on it along.
        self._flights: dict[Identity, dict[int, weakref.ref[_Flight]]] = {}
        self._memory_ttl = 0.0 if policy is None else policy.ttl
        if store is not None:
            self._memory_ttl = min(self._memory_ttl, store.memory_ttl)
        self._memory: TTLCache[Identity, bytes] = TTLCache(
            policy.max_entries if policy else 1, self._memory_ttl, timer=clock
        )

    def get(self, key: Identity) -> bytes | None:
        """Return the cached answer, or None if there is none or it has expired. No I/O."""
        try:
            with self._lock:
                body: bytes = self._memory[key]
        except KeyError:
            return None
        self.stats.hits += 1
        return body

    async def read(
        self, key: Identity, load: Load, *, force: bool = False, patience: Seconds | None = None
    ) -> bytes:
        """Return the answer of a request for this profile, shared by concurrent readers.

        A forced read never joins a request that began before it. Cancelling one caller does not
        cancel the others.

        :param patience: seconds that this caller has, which ``load`` observes by itself.
        :raises TimeoutError: the other's request took longer.
        """
        loop = running_loop()
        until = None if patience is None else loop.time() + patience
        while not force:
            known = self._flights.get(key, _NO_FLIGHTS).get(id(loop))
            joined = None if known is None else known()
            if joined is None:
                break
            self.stats.coalesced += 1
            try:
                async with asyncio.timeout_at(until):
                    return await joined.join()
            except _LeaderLeft:
                self.stats.coalesced -= 1
        # The first caller loads in its own task: a task for it would cost each read a tenth.
        flight = _Flight(loop)
        with self._lock:
            if force:  # what began before is not cached
                self._flights.pop(key, None)
            self._flights.setdefault(key, {})[id(loop)] = weakref.ref(flight)
        try:
            if self._store is None:
                self.stats.misses += 1
                body, fresh_for = await load(), self._memory_ttl
            else:
                body, fresh_for = await self._through_store(self._store, key, load, force=force)
        except BaseException as error:
            self._land(key, flight)
            is_own = patience is not None and isinstance(error, TimedOut)
            flight.fail(_LeaderLeft() if is_own else error)
            raise
        self._land(key, flight, body if fresh_for >= self._memory_ttl > 0 else None)
        if flight.waiting:
            flight.succeed(body)
        return body

    async def forget(self, *keys: Identity) -> None:
        """Drop entries, here and in the store, and disregard what reads in flight will bring."""
        with self._lock:
            for key in keys:
                self._flights.pop(key, None)
                self._memory.pop(key, None)
        if self._store is not None:
            await self._store.forget(keys)

    def clear(self) -> None:
        """Drop everything; a store is told with its next exchange."""
        with self._lock:
            self._flights.clear()
            self._memory.clear()
        if self._store is not None:
            self._store.forget_all()

    def start_over_after_fork(self) -> None:
        """Drop the parent's reads in flight and locks, in a forked child."""
        self._lock = threading.RLock()
        self._flights.clear()
        if self._store is not None:
            self._store.start_over_after_fork()

    async def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            await self._store.close()

    def __len__(self) -> int:
        with self._lock:
            return len(self._memory)

    def _land(self, key: Identity, flight: _Flight, body: bytes | None = None) -> None:
        """End a flight; cache its answer unless a write or a later read has overtaken it."""
        with self._lock:
            flights = self._flights.get(key, _NO_FLIGHTS)
            number = id(flight.loop)
            known = flights.get(number)
            if known is not None and known() is flight:
                del flights[number]
                if not flights:
                    del self._flights[key]
                if body is not None:
                    self._memory[key] = body

    async def _through_store(
        self, store: ProfileStore, key: Identity, load: Load, *, force: bool
    ) -> tuple[bytes, Seconds]:
        """Return the answer, from the store if it has one, and for how long it is fresh."""
        ttl = 0.0 if self._policy is None else self._policy.ttl
        began = self._clock()
        found = await store.read(key, max_age=0.0 if force else ttl) if ttl else None
        if found is not None and found.body is not None:
            # The age was taken at some moment of the exchange: count from its start.
            fresh_for = ttl - found.age - (self._clock() - began)
            if fresh_for > 0 and _is_profile(key, found.body):
                self.stats.shared_hits += 1
                return found.body, fresh_for
            found = await store.read(key, max_age=0.0)  # for a permit to replace it
        self.stats.misses += 1
        began = self._clock()
        body = await load()
        if (
            found is not None
            and found.permit
            and not await store.keep(key, found.permit, body, ttl=ttl)
        ):
            return body, 0.0
        return body, ttl - (self._clock() - began)


def _is_profile(key: Identity, body: bytes) -> bool:
    """Whether a stored body can be read: anybody may have written to the store."""
    try:
        read_profile_body(key, body)
    except WrongShape:
        return False
    return True
