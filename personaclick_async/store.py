"""Profiles that processes share: what a store has to do, and reading through one."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import lru_cache, partial
from typing import Final, Protocol

import attrs

from personaclick_async.cache import CacheStats, SharedReads
from personaclick_async.config import CachePolicy, Seconds
from personaclick_async.models.identity import Identity
from personaclick_async.models.profile import Profile
from personaclick_async.models.reading import WrongShape
from personaclick_async.models.unread import Unread
from personaclick_async.protocol.requests import Shop, profile_kind

Heard = Callable[[Collection[str] | None], None]
"""Is told the keys that another process has made stale; None stands for all."""

_NAMES_REMEMBERED: Final = 10_000


@attrs.frozen(repr=False)
class Stored:
    """What a store answers to a read.

    :ivar body: the profile as the service sent it, or None if there is none that is fresh.
    :ivar age: seconds since the service sent it.
    :ivar permit: what allows to keep the profile that is now asked for, in place of a body.
    """

    body: bytes | None = None
    age: Seconds = 0.0
    permit: str = ""


class ProfileStore(Protocol):
    """A place outside the process where profiles are kept for a while.

    Its keys are digests: nobody is named by them. What it keeps are answers of the service, which
    are personal data. It never raises: a store that is away answers nothing, keeps nothing, and
    makes up for what it could not be told before it answers again. It serves one client.
    """

    alone_ttl: Seconds
    """For how long at most a profile is served from memory while ``hearing`` is None."""

    def open(self, shop: str, *, heard: Heard, stats: CacheStats) -> None:
        """Take the name of the shop, whom to tell of others' writes, and where to count."""

    def hearing(self) -> int | None:
        """Say in which time of uninterrupted hearing we are, by number; None while in none.

        In such a time every write of another process is told to ``heard``, and what was read may
        be served from memory until then.
        """

    async def read(self, key: str, *, max_age: Seconds) -> Stored | None:
        """Give the profile if it is younger than ``max_age``, else a permit; None when away.

        ``max_age=0`` ends the permits of the reads that began before.
        """

    async def keep(self, key: str, permit: str, body: bytes, *, ttl: Seconds) -> bool:
        """Keep a profile for ``ttl`` unless its permit has ended; False if it has."""
        ...

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop profiles, end the permits of reads under way, and tell the other processes."""

    def forget_all(self) -> None:
        """Do soon for all profiles what ``forget`` does; until then ``read`` answers None."""

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections and locks, in a forked child."""

    async def close(self) -> None:
        """Tell what is still to be told, within a bound, and close the connections."""


class StoredReads:
    """Reads of profiles that go through a store, with memory in front and single flight.

    A profile is served from memory while the store hears of every write, and is dropped as soon
    as it hears of one. When it stops hearing, and again when it hears once more, memory is
    emptied: what was kept before may be stale. In between it keeps a profile for the store's
    ``alone_ttl`` at most. No profile is ever served longer than ``CachePolicy.ttl`` after the
    service sent it, whatever fails.
    """

    def __init__(
        self,
        policy: CachePolicy | None,
        clock: Callable[[], Seconds],
        *,
        store: ProfileStore,
        shop: Shop,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._store = store
        self._shop = shop
        self._memory: SharedReads[Unread[Profile]] = SharedReads(policy, clock)
        self._hearing: int | None = None
        self._name: Callable[[Identity], str] = lru_cache(_NAMES_REMEMBERED)(
            partial(_digest, shop.shop_id)
        )
        self.stats = self._memory.stats
        store.open(_digest(shop.shop_id), heard=self._heard, stats=self.stats)

    def fresh(self, key: Identity) -> Unread[Profile] | None:
        """Give the profile from memory, if it may be served from there."""
        self._notice()
        return self._memory.fresh(self._name(key))

    async def read(
        self, key: Identity, load: Callable[[], Awaitable[Unread[Profile]]], *, force: bool = False
    ) -> Unread[Profile]:
        """Give the profile from the store, else load it and keep it there.

        With ``force`` it is loaded in any case, and then replaces what every process has kept.
        """
        name = self._name(key)
        return await self._memory.read(name, partial(self._load, key, load, force), force=force)

    @property
    def is_empty(self) -> bool:
        """Give False: what other processes keep can't be known."""
        return False

    async def forget(self, *keys: Identity) -> None:
        """Drop the keys in every process, and what reads under way will bring for them."""
        names = [self._name(key) for key in keys]
        self._memory.forget(*names)
        try:
            await self._store.forget(names)
        finally:
            # Until the store was told, somebody here may have read the old profile from it.
            self._memory.forget(*names)

    def clear(self) -> None:
        """Drop everything: here at once, in the other processes soon."""
        self._store.forget_all()
        self._memory.clear()

    def start_over_after_fork(self) -> None:
        """Forget reads under way, and the parent's connections and locks, in a forked child."""
        self._memory.start_over_after_fork()
        self._store.start_over_after_fork()

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _load(
        self,
        key: Identity,
        load: Callable[[], Awaitable[Unread[Profile]]],
        force: bool,  # noqa: FBT001
    ) -> Unread[Profile]:
        policy = self._policy
        if policy is None:
            return await load()
        name = self._name(key)
        stored = await self._store.read(name, max_age=0 if force else policy.ttl)
        if stored is not None and stored.body is not None:
            profile = self._parsed(key, stored.body)
            if profile is not None:
                self.stats.misses -= 1
                self.stats.shared_hits += 1
                return self._held(profile, policy.ttl - stored.age)
            stored = await self._store.read(name, max_age=0)
        profile = await load()
        is_current = stored is None or await self._store.keep(
            name, stored.permit, profile.source, ttl=policy.ttl
        )
        return self._held(profile, policy.ttl if is_current else 0)

    def _held(self, profile: Unread[Profile], ttl: Seconds) -> Unread[Profile]:
        self._notice()
        if self._hearing is None:
            ttl = min(ttl, self._store.alone_ttl)
        profile.until = self._clock() + ttl
        return profile

    def _parsed(self, key: Identity, body: bytes) -> Unread[Profile] | None:
        profile = Unread(profile_kind(key), body)
        try:
            profile.read()
        except WrongShape:
            return None
        return profile

    def _notice(self) -> None:
        """Empty the memory, reads under way included, if the store's hearing has changed."""
        hearing = self._store.hearing()
        if hearing != self._hearing:
            self._hearing = hearing
            self._memory.clear()

    def _heard(self, names: Collection[str] | None) -> None:
        if names is None:
            self._memory.clear()
        else:
            self._memory.forget(*names)


def _digest(shop_id: str, identity: Identity | None = None) -> str:
    """Name a shop, or one of its users, without saying who it is."""
    text = "" if identity is None else f"{identity.kind}:{identity.value}"
    # An id taken from a browser's cookie may hold half a character.
    value = text.encode(errors="surrogatepass")
    return hashlib.blake2b(value, digest_size=16, key=shop_id.encode()).hexdigest()
