"""Cached profile reads: answers as bytes, one request for concurrent reads, no stale write-back."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import attrs
from cachetools import TTLCache

from personaclick_async.config import CachePolicy, CallOptions, Seconds
from personaclick_async.errors import TimedOut
from personaclick_async.models.identity import Identity
from personaclick_async.models.reading import WrongShape
from personaclick_async.names import PROFILE
from personaclick_async.pools import running_loop

T = TypeVar("T")

Parse: TypeAlias = Callable[[bytes], T]  # parses the body of an answer

Load: TypeAlias = Callable[[Parse[T]], Awaitable[tuple[bytes, T]]]
"""Asks the service for a profile; returns the body of the answer, raw and parsed."""


@attrs.define
class CacheStats:
    """How profile reads were answered since the client was made."""

    hits: int = 0  # from memory, without I/O
    misses: int = 0  # by a request, forced ones and those that the store failed included
    coalesced: int = 0  # by a request that another caller had made
    shared_hits: int = 0  # from the store that processes share
    store_failures: int = 0  # exchanges with that store that failed or timed out


@attrs.frozen(repr=False)
class Stored:
    """What a store answers to a read."""

    body: bytes | None = None  # the profile as the service sent it, or None if none is fresh enough
    age: Seconds = 0.0  # seconds since the service was asked for it
    permit: str = ""  # without a body: what to pass to ``keep`` with the one that is loaded


@runtime_checkable
class ProfileStore(Protocol):
    """Keeps profiles, which are personal data, outside the process, for one client that closes it.

    It never raises: while it can't be reached, nothing is read or stored.

    :ivar memory_ttl: seconds for which a process may keep in memory what it read from here.
    """

    memory_ttl: Seconds

    def open(self, shop_id: str, stats: CacheStats) -> None:
        """Take the shop's id, and where to count failures."""

    async def read(self, key: Identity, *, max_age: Seconds) -> Stored | None:
        """Return a profile younger than ``max_age``, else a permit; None when away.

        ``max_age=0`` ends the permits of earlier reads.
        """

    async def keep(self, key: Identity, permit: str, body: bytes, *, ttl: Seconds) -> bool:
        """Keep a profile until ``ttl`` after its permit was given; False if a write ended that."""
        ...

    async def forget(self, keys: Sequence[Identity]) -> None:
        """Drop profiles and end the permits of reads in flight."""

    def forget_all(self) -> None:
        """Forget all profiles, with the next exchange."""

    def start_over_after_fork(self) -> None:
        """Drop the parent's connections, in a forked child."""

    async def close(self) -> None:
        """Announce pending writes, and close the connections."""


@attrs.define(eq=False, repr=False)
class _Flight:
    """A request for a profile that other callers on its event loop wait for."""

    loop: asyncio.AbstractEventLoop
    retries: int | None
    # None if its caller was cancelled or timed out: the next in line makes the request again.
    outcome: bytes | Exception | None = None
    # One future per caller: a shared one would need shielding from each cancellation.
    waiting: list[asyncio.Future[None]] = attrs.field(factory=list)

    async def join(self, options: CallOptions) -> bytes | Exception | None:
        """Wait for the outcome, within the timeout of the caller that joins."""
        turn = self.loop.create_future()
        self.waiting.append(turn)
        if options.ends is None:
            await turn
            return self.outcome
        try:
            async with asyncio.timeout(options.left):
                await turn
        except TimeoutError:
            raise options.late("another caller's request", endpoint=PROFILE.name) from None
        return self.outcome


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
        self._clock = clock
        self._store = store
        # Reentrant: the garbage collector may end a dropped loop's read while it is held.
        self._lock = threading.RLock()
        # One per event loop. Weakly: reads in flight are dropped with their loop.
        self._flights: dict[Identity, list[weakref.ref[_Flight]]] = {}
        self._ttl = 0.0 if policy is None else policy.ttl
        self._memory_ttl = self._ttl if store is None else min(self._ttl, store.memory_ttl)
        self._memory: TTLCache[Identity, bytes] = TTLCache(
            policy.max_entries if policy else 1, self._memory_ttl, timer=clock
        )

    def get(self, key: Identity) -> bytes | None:
        """Return the cached answer, or None if there is none or it has expired. No I/O."""
        try:
            with self._lock:
                # A failed look-up raises three exceptions inside TTLCache, the test only one.
                if key not in self._memory:
                    return None
                body: bytes = self._memory[key]
        except KeyError:  # expired since then
            return None
        self.stats.hits += 1
        return body

    async def read(
        self,
        key: Identity,
        load: Load[T],
        parse: Parse[T],
        *,
        options: CallOptions,
        force: bool = False,
    ) -> T:
        """Return what ``parse`` makes of an answer that concurrent readers share.

        A forced read never joins a request that began before it. Cancelling one caller does not
        cancel the others.

        :param options: of this caller; ``load`` observes its timeout by itself.
        :raises TimedOut: the other's request took longer than this caller's timeout.
        """
        loop = running_loop()
        while not force and (joined := self._in_flight(key, loop)) is not None:
            outcome = await joined.join(options)
            if isinstance(outcome, bytes):
                self.stats.coalesced += 1
                return parse(outcome)
            # A failure is shared if it was retried as often as this caller wants.
            if outcome is not None and joined.retries == options.retries:
                self.stats.coalesced += 1
                raise outcome
        # The first caller loads in its own task: a separate one would slow a read by a tenth.
        flight = _Flight(loop, options.retries)
        this = weakref.ref(flight)
        if force:  # what began before is not cached
            with self._lock:
                self._flights[key] = [this]
        else:
            # No lock needed: if a write drops the list first, this read is invalidated too.
            self._flights.setdefault(key, []).append(this)
        outcome, fresh_for = None, self._memory_ttl
        try:
            if self._store is None:
                self.stats.misses += 1
                outcome, made = await load(parse)
            else:
                outcome, made, fresh_for = await self._through_store(
                    self._store, key, load, parse, force=force
                )
        except Exception as error:
            # This caller's own timeout must not fail the others.
            if options.timeout is None or not isinstance(error, TimedOut):
                outcome = error
            raise
        finally:
            with self._lock:
                flights = self._flights.get(key, [])
                if this in flights:  # neither a write nor a later read has overtaken it
                    flights.remove(this)
                    if not flights:
                        del self._flights[key]
                    if isinstance(outcome, bytes) and fresh_for >= self._memory_ttl > 0:
                        self._memory[key] = outcome
            flight.outcome = outcome
            for turn in flight.waiting:
                if not turn.done():
                    turn.set_result(None)
            del flight, outcome  # or they and an error's traceback would hold each other
        return made

    async def forget(self, *keys: Identity) -> None:
        """Drop entries, here and in the store, and disregard what reads in flight will bring."""
        with self._lock:
            for key in keys:
                self._flights.pop(key, None)
                if key in self._memory:  # rarely; pop alone would take three times as long
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
        """Forget what is in memory, and close the store."""
        with self._lock:
            self._memory.clear()
        if self._store is not None:
            await self._store.close()

    def _in_flight(self, key: Identity, loop: asyncio.AbstractEventLoop) -> _Flight | None:
        for known in self._flights.get(key, ()):
            flight = known()
            if flight is not None and flight.loop is loop:
                return flight
        return None

    async def _through_store(
        self, store: ProfileStore, key: Identity, load: Load[T], parse: Parse[T], *, force: bool
    ) -> tuple[bytes, T, Seconds]:
        """Return the answer, from the store if it has one, and for how long it is fresh."""
        began = self._clock()
        found = await store.read(key, max_age=0.0 if force else self._ttl) if self._ttl else None
        if found is not None and found.body is not None:
            # The age was measured during the exchange: assume at its start.
            fresh_for = self._ttl - found.age - (self._clock() - began)
            if fresh_for > 0:
                with suppress(WrongShape):  # others can write to the store
                    made = parse(found.body)
                    self.stats.shared_hits += 1
                    return found.body, made, fresh_for
            found = await store.read(key, max_age=0.0)  # for a permit to replace it
        self.stats.misses += 1
        began = self._clock()
        body, made = await load(parse)
        permit = "" if found is None else found.permit
        if permit and not await store.keep(key, permit, body, ttl=self._ttl):
            return body, made, 0.0
        return body, made, self._ttl - (self._clock() - began)
