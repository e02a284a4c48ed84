"""A request limit shared by several machines, in Redis (the extra ``shared-limit``)."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any, Final

from personaclick_async.config import DOCUMENTED_LIMITS, RateLimit, Seconds
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.integrations import extra
from personaclick_async.names import Family

with extra("shared-limit", "limits"):
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import MovingWindowRateLimiter
    from limits.errors import StorageError

VARIABLE: Final = "PERSONACLICK_SHARED_LIMIT_URL"

_SHORTEST_WAIT: Final = 0.01
_LONGEST_WAIT: Final = 5.0
_SCHEMES: Final = ("redis://", "rediss://", "unix://")


class LimitFailed(PersonaClickError):
    """The limit's Redis can't be reached. A sync waits for it; it never sends without asking."""


class SharedLimit(AbstractAsyncContextManager["SharedLimit"]):
    """At most ``limit`` requests, together, for all syncs of one shop that use one Redis.

    Pass it as ``SyncOptions(limit=…)``. A moving window, by the clock of the machine that asks.
    The connection ends with its event loop; pickling keeps the settings only.

    :param url: the Redis, ``redis://…``, ``rediss://…`` or ``unix://…``. If not given it is read
        from ``PERSONACLICK_SHARED_LIMIT_URL`` where the limit is used, so that a password in it
        is not pickled.
    :param shop: the shop's id, stored as a hash.
    :param limit: the documented 40 requests in 60 seconds unless set.
    :param headroom: seconds added to the window. They must cover how far the machines' clocks
        are apart (one that is 2 s ahead lets a request out 2 s early), and how much longer one
        request travels than another.
    :raises ConfigurationError: the headroom is negative.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        shop: str,
        limit: RateLimit = DOCUMENTED_LIMITS[Family.IMPORT],
        headroom: Seconds = 5.0,
    ) -> None:
        if not 0 <= headroom < math.inf:
            raise ConfigurationError(f"headroom: expected 0 or more seconds, got {headroom}")
        self._url = url
        self._name = sha256(shop.encode()).hexdigest()[:24]
        # The library counts whole seconds.
        self._window = RateLimitItemPerSecond(
            limit.requests, math.ceil(limit.seconds + headroom), namespace="personaclick"
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limiter: AsyncGenerator[MovingWindowRateLimiter, None] | None = None

    async def wait_needed(self) -> Seconds:
        """Take a place and return 0, or return the seconds after which to ask again.

        :raises LimitFailed: the Redis can't be reached.
        :raises ConfigurationError: the address is missing, or not one of a Redis.
        """
        loop = asyncio.get_running_loop()
        if self._limiter is None or self._loop is not loop:
            self._loop, self._limiter = loop, self._until_the_loop_ends(self._connect())
        limiter = await anext(self._limiter)
        try:
            if await limiter.hit(self._window, self._name):
                return 0.0
            stats = await limiter.get_window_stats(self._window, self._name)
        except StorageError as error:
            # Its text may hold the address with a password.
            cause = type(error.storage_error).__name__
            raise LimitFailed(f"the shared limit can't be asked ({cause})") from None
        return min(max(stats.reset_time - time.time(), _SHORTEST_WAIT), _LONGEST_WAIT)

    def _connect(self) -> RedisStorage:
        url = self._url or os.environ.get(VARIABLE, "")
        if not url.startswith(_SCHEMES):
            raise ConfigurationError(
                f"shared limit: expected {', '.join(_SCHEMES)}…, as the argument or in {VARIABLE}"
            )
        scheme = "async+redis+" if url.startswith("unix") else "async+"
        return RedisStorage(f"{scheme}{url}", wrap_exceptions=True, implementation="redispy")

    async def _until_the_loop_ends(
        self, storage: RedisStorage
    ) -> AsyncGenerator[MovingWindowRateLimiter, None]:
        # Closed by the loop's shutdown_asyncgens, while it can still run.
        try:
            while True:
                yield MovingWindowRateLimiter(storage)
        finally:
            bridge: Any = storage.bridge  # its annotated class lacks the method
            await bridge.get_connection().aclose()

    async def close(self) -> None:
        """Close the connection; asking again opens another one."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            await limiter.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_loop": None, "_limiter": None}

    def __repr__(self) -> str:
        return f"<SharedLimit of {self._window.amount} in {self._window.multiples} s>"
