"""What a store of profiles has to do that several processes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

from personaclick_async.config import Seconds
from personaclick_async.models.identity import Identity


@attrs.define
class CacheStats:
    """How profile reads were answered since the client was made.

    :ivar hits: from memory, without I/O.
    :ivar misses: by a request, forced ones included.
    :ivar coalesced: by a request that another caller had made.
    :ivar shared_hits: from the store that processes share.
    :ivar store_failures: exchanges with that store that failed or timed out; the reads concerned
        went to the service and count as misses.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    shared_hits: int = 0
    store_failures: int = 0


@attrs.frozen(repr=False)
class Stored:
    """What a store answers to a read.

    :ivar body: the profile as the service sent it, or None if none is fresh enough.
    :ivar age: seconds since the service was asked for it.
    :ivar permit: where there is no body: what to pass to ``keep`` with the one that is loaded.
    """

    body: bytes | None = None
    age: Seconds = 0.0
    permit: str = ""


@runtime_checkable
class ProfileStore(Protocol):
    """Keeps profiles, which are personal data, outside the process. When away, it stores nothing.

    It never raises. It serves one client, which closes it.

    :ivar memory_ttl: seconds for which a process may keep in memory what it read from here.
    """

    memory_ttl: Seconds

    def open(self, shop_id: str, stats: CacheStats) -> None:
        """Take the name of the shop, and where to count failures."""

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
        """Do what ``forget`` does for all profiles, with the next exchange."""

    def start_over_after_fork(self) -> None:
        """Drop the parent's connections, in a forked child."""

    async def close(self) -> None:
        """Say what could not be said before, and close the connections."""
