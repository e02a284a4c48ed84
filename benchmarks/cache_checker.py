"""Random reads and writes of cached profiles, each read held against what it may return.

A value that a read returns must have been current at some moment of the read, or of the time to
live before it, and must not be older than a write that had ended when the read began: a write of
the same client, or of any client where they share a store and keep nothing in memory (but for
reads in flight).
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import attrs

from personaclick_async import PersonaClick, PersonaClickError

_OPERATIONS: Final = ("get", "force", "set", "cancel", "expire")
_WEIGHTS: Final = (50, 10, 25, 12, 3)


@attrs.define
class _Write:
    """A value of a user: when its write began and ended, and whose write it was."""

    began: float
    ended: float
    client: int


@attrs.define
class CacheChecker:
    """Makes calls through several clients, and collects what they should not have returned.

    :ivar ttl: the time to live of the clients' caches, in seconds.
    :ivar share_writes: whether no client may return what was overwritten through another.
    :ivar reads: how many reads were checked.
    :ivar violations: one line for each that was wrong.
    """

    clients: Sequence[PersonaClick]
    ttl: float
    share_writes: bool = False
    users: int = 6
    seed: int = 0
    prefix: str = "checked"
    reads: int = 0
    violations: list[str] = attrs.field(factory=list)
    _chance: random.Random = attrs.field(init=False)
    _writes: dict[str, list[_Write]] = attrs.field(factory=lambda: defaultdict(list), init=False)
    _turns: dict[str, asyncio.Lock] = attrs.field(
        factory=lambda: defaultdict(asyncio.Lock), init=False
    )
    _retired: set[str] = attrs.field(factory=set, init=False)
    _slowest: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def run(self, *, operations: int, at_once: int = 12, until: float = math.inf) -> None:
        """Make so many operations, or as many as there is time for."""
        left = iter(range(operations))

        async def work() -> None:
            for _ in left:
                if time.monotonic() >= until:
                    return
                await self._operate()

        await asyncio.gather(*(work() for _ in range(at_once)))

    async def _operate(self) -> None:
        did = f"{self.prefix}{self._chance.randrange(self.users):04}"
        # A write that was cut off may still be carried out: nothing can be said of its user.
        while did in self._retired:
            did += "x"
        number = self._chance.randrange(len(self.clients))
        [operation] = self._chance.choices(_OPERATIONS, _WEIGHTS)
        match operation:
            case "get":
                await self.read(did, number)
            case "force":
                await self.read(did, number, force=True)
            case "set":
                await self.write(did, number)
            case "cancel":
                task = asyncio.create_task(self.read(did, number))
                await asyncio.sleep(self._chance.random() * 0.01)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            case _:
                await asyncio.sleep(self.ttl)

    async def write(self, did: str, number: int) -> None:
        """Write the user's next value through one of the clients."""
        async with self._turns[did]:  # one after the other, so that their order is known
            if did in self._retired:
                return
            writes = self._writes[did]
            write = _Write(time.monotonic(), math.inf, number)
            writes.append(write)
            try:
                await self.clients[number].user(did=did).profile.set(custom={"n": len(writes)})
            except PersonaClickError:
                self._retired.add(did)
            else:
                write.ended = time.monotonic()

    async def read(self, did: str, number: int, *, force: bool = False) -> None:
        """Read the user's value through one of the clients, and check it."""
        began = time.monotonic()
        try:
            profile = await self.clients[number].user(did=did).profile.get(force=force)
        except PersonaClickError:
            return
        ended = time.monotonic()
        self._slowest = max(self._slowest, ended - began)
        value = profile.custom_properties.get("n", 0)
        if did in self._retired or not isinstance(value, int):
            return
        self.reads += 1
        overwritten = self._writes[did][value:]
        # The answer is kept from when it arrives; the service may have made it a request earlier.
        oldest = began if force else began - self.ttl - self._slowest
        if overwritten and overwritten[0].ended < oldest:
            self.violations.append(f"{did}: {value} was older than its time to live")
        for write in overwritten:
            # Another's write does not reach a read in flight here, which this one may have joined.
            since = began if write.client == number else began - self._slowest
            if write.ended <= since and (self.share_writes or write.client == number):
                self.violations.append(f"{did}: {value} was read after a later write had ended")
                return
