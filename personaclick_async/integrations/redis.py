"""A profile cache that processes share through a Redis server (the extra ``redis``)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import attrs

from personaclick_async.cache import CacheStats, Stored
from personaclick_async.config import Seconds, number, to_seconds
from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations import extra
from personaclick_async.models.identity import Identity

with extra("redis", "redis-py"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.exceptions import RedisError

__all__ = ["RedisStore"]

log: Final = logging.getLogger("personaclick_async")

_CONNECTIONS: Final = 20
_MOST_PENDING: Final = 10_000
_LONGEST: Final = 365 * 86_400  # seconds; Redis needs an expiry, also if a cache never expires
_PERMIT_MS: Final = 3_600_000  # a permit lasts an hour: what a slower read brings is not cached

# Keys are those of a user's body and permit, and of the shop's generation; times are in ms.
_READ: Final = """
local chance, permit_ms, max_age = ARGV[1], ARGV[2], tonumber(ARGV[3])
local held, time = redis.call('MGET', unpack(KEYS)), redis.call('TIME')
local now, generation = time[1] * 1000 + math.floor(time[2] / 1000), held[3]
if not generation then
    generation = chance
    redis.call('SET', KEYS[3], generation)
end
local of, asked, body = string.match(held[1] or '', '^(%w+) (%d+) (.*)$')
if max_age > 0 and of == generation and now - asked < max_age then
    return {body, now - asked}
end
local permit = max_age > 0 and held[2] or chance
redis.call('SET', KEYS[2], permit, 'PX', permit_ms)
return {string.format('%s %s %.0f', permit, generation, now)}
"""
"""Returns ``{body, age}``, or ``{permit}``: a random word, the generation and the time."""

_KEEP: Final = """
local permit, generation, asked = string.match(ARGV[1], '^(%w+) (%w+) (%d+)$')
local held, time = redis.call('MGET', unpack(KEYS)), redis.call('TIME')
local left = asked + ARGV[3] - time[1] * 1000 - math.floor(time[2] / 1000)
if held[2] ~= permit or held[3] ~= generation or left <= 0 then
    return 0
end
redis.call('SET', KEYS[1], generation .. ' ' .. asked .. ' ' .. ARGV[2], 'PX', math.ceil(left))
return 1
"""
"""Returns 1 if the body was kept: there was no write since the permit was given."""


def _seconds(default: Seconds, at_least: Seconds = 0.0) -> float:
    check = number(at_least=at_least, finite=True)
    return attrs.field(default=default, kw_only=True, converter=to_seconds, validator=check)


@attrs.define(eq=False, repr=False)
class RedisStore:
    """Profiles that processes share through one Redis server: ``PersonaClick(store=…)``.

    **What Redis holds.** Answers of the service, which are personal data: guard the server like
    a database. Each expires ``CachePolicy.ttl`` after the service was asked for it. Keys are
    digests that show no user, address or secret.

    **Who sees what.** When ``set`` or ``purge`` has returned, no process gets the old profile from
    Redis, and a read in flight elsewhere cannot put it back. Other processes may serve it from
    memory for ``memory_ttl`` seconds more, and to callers that share a read in flight. ``force``
    replaces what Redis has.

    **When Redis is away,** reads go to the service and no call fails. An exchange takes at most
    ``timeout``; after one has failed, none is tried for ``rest`` seconds. A write that could not
    be told is told with the next exchange; until then, and at most until ``CachePolicy.ttl`` is
    over, other processes may get the old profile. Beyond 10,000 such writes all of the shop's
    profiles are dropped.

    Needs Redis 5 or later: one server, not a cluster. A store serves one client, which closes it.

    :param url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and options as
        redis-py takes them.
    :param prefix: what the keys begin with; environments that share a server need their own.
    :param timeout: seconds that one exchange with Redis may take.
    :param rest: seconds for which Redis is left alone after a failure.
    :param memory_ttl: seconds for which a process keeps a profile in memory; 0 for none.
    :raises ConfigurationError: a setting breaks its rule.
    """

    _url: str
    _prefix: str = attrs.field(default="personaclick", kw_only=True)
    _timeout: Seconds = _seconds(0.25, at_least=0.001)
    _rest: Seconds = _seconds(2.0)
    memory_ttl: Seconds = _seconds(2.0)
    _shop: bytes = attrs.field(default=b"", init=False)
    _stats: CacheStats = attrs.field(factory=CacheStats, init=False)
    _by_loop: dict[asyncio.AbstractEventLoop, AsyncGenerator[Redis, None]] = attrs.field(
        factory=dict, init=False
    )
    _away_until: Seconds = attrs.field(default=0.0, init=False)
    # Writes to announce, each with a mark, to tell a newer write from the one announced; by None
    # one of all profiles.
    _pending: dict[Identity | None, object] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        connection: Any = None
        # An error's text may hold the password. Also finds options that redis-py does not know.
        with suppress(ValueError, TypeError, AttributeError):
            connection = self._pool().make_connection()
        if connection is None:
            raise ConfigurationError("url: expected redis://, rediss:// or unix://")

    def open(self, shop_id: str, stats: CacheStats) -> None:
        """Take the shop's name and where to count failures; the client calls it.

        :raises ConfigurationError: another client has this store.
        """
        if self._shop:
            raise ConfigurationError("store: it belongs to another client; make one for each")
        self._shop, self._stats = shop_id.encode(), stats

    async def read(self, key: Identity, *, max_age: Seconds) -> Stored | None:
        """Return a profile younger than ``max_age``, else a permit; None when Redis is away."""
        chance = secrets.token_hex(8)
        match await self._run(_READ, key, chance, _PERMIT_MS, _milliseconds(max_age)):
            case [bytes(body), int(age)]:
                return Stored(body, age / 1000)
            case [bytes(permit)]:  # may be bytes that others wrote; such a permit keeps nothing
                return Stored(permit=permit.decode(errors="replace"))
        return None

    async def keep(self, key: Identity, permit: str, body: bytes, *, ttl: Seconds) -> bool:
        """Keep a profile until ``ttl`` after its permit was given; False if a write ended that."""
        return bool(await self._run(_KEEP, key, permit, body, _milliseconds(ttl)))

    async def forget(self, keys: Sequence[Identity]) -> None:
        """Drop profiles and end the permits of reads in flight."""
        self._pending.update((key, object()) for key in keys)
        await self._exchange()

    def forget_all(self) -> None:
        """Drop all of the shop's profiles, with the next exchange."""
        self._pending[None] = object()

    def start_over_after_fork(self) -> None:
        """Drop the parent's connections, in a forked child."""
        self._by_loop.clear()

    async def close(self) -> None:
        """Say what could not be said before, as long as Redis answers, and close."""
        self._away_until = 0.0
        await self._exchange()
        opened = self._by_loop.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.aclose()

    async def _run(self, script: str, key: Identity, *arguments: str | bytes | int) -> Any:  # noqa: ANN401 - Redis's
        keys = self._keys(key)
        return await self._exchange(lambda redis: redis.register_script(script)(keys, arguments))

    async def _exchange(self, ask: Callable[[Redis], Awaitable[Any]] | None = None) -> Any:  # noqa: ANN401 - Redis's
        """Announce pending writes, then ask; return None if Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                redis = await self._redis()
                if self._pending:
                    await self._announce(redis)
                answer = None if ask is None else await ask(redis)
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            self._stats.store_failures += 1
            if not self._away_until:
                # Only the type: the text may name the address or the user.
                log.warning("the shared profile cache is away (%s)", type(error).__name__)
            self._away_until = time.monotonic() + self._rest
            return None
        if self._away_until:
            log.info("the shared profile cache is back")
            self._away_until = 0.0
        return answer

    async def _announce(self, redis: Redis) -> None:
        announced = dict(self._pending)
        if None in announced or len(announced) > _MOST_PENDING:
            await redis.set(self._name("generation"), secrets.token_hex(8))
        else:
            await redis.unlink(*(name for key in announced if key for name in self._keys(key)[:2]))
        for key, mark in announced.items():
            if self._pending.get(key) is mark:
                del self._pending[key]

    async def _redis(self) -> Redis:
        """Return the client for the running event loop; connections cannot change loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            self._by_loop = {at: one for at, one in self._by_loop.items() if not at.is_closed()}
            self._by_loop[loop] = self._until_the_loop_ends()
        return await anext(self._by_loop[loop])

    async def _until_the_loop_ends(self) -> AsyncGenerator[Redis, None]:
        # Closed by the loop's shutdown_asyncgens, while it can still run.
        async with Redis.from_pool(self._pool()) as redis:
            while True:
                yield redis

    def _pool(self) -> Any:  # noqa: ANN401 - redis-py's types differ between versions
        return BlockingConnectionPool.from_url(self._url, max_connections=_CONNECTIONS)

    def _keys(self, key: Identity) -> list[str]:
        # A device id from a browser's cookie may contain a lone surrogate.
        user = self._digest(f"{key.kind}:{key.value}".encode(errors="surrogatepass"))
        return [self._name(one) for one in (f"profile:{user}", f"permit:{user}", "generation")]

    def _name(self, rest: str) -> str:
        return f"{self._prefix}:{self._digest(b'')}:{rest}"

    def _digest(self, text: bytes) -> str:
        return hashlib.blake2b(text, digest_size=16, key=self._shop).hexdigest()


def _milliseconds(seconds: Seconds) -> int:
    return math.ceil(min(seconds, _LONGEST) * 1000)
