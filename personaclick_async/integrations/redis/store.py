"""The profile store in Redis: sharing, telling, and making up for the time when it was away."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from personaclick_async.cache import CacheStats
from personaclick_async.config import Seconds
from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations.redis.debts import Debt, Debts
from personaclick_async.integrations.redis.names import Names
from personaclick_async.integrations.redis.scripts import PERMIT_MILLISECONDS
from personaclick_async.integrations.redis.server import Away, Here, Server
from personaclick_async.integrations.redis.tender import Tender
from personaclick_async.store import Heard, Stored

_MOST_OWED: Final = 10_000
_TOLD_AT_ONCE: Final = 1_000
_EVERYTHING: Final = "*"
_LARGEST_BYTES: Final = 1024 * 1024
_LONGEST: Final = 365 * 86_400
"""Seconds; a cache without an end of its own ends here, for Redis wants a number."""


class RedisStore:
    """Profiles shared by processes through one Redis server; for one client, which closes it.

    **What Redis holds.** Full answers of the service: personal data, so guard the server as you
    guard a database. Each expires after the ``CachePolicy.ttl`` of the client that read it. Keys
    are digests in which no user, address or secret can be read. A profile of more than 1 MiB
    stays in the memory of the process that read it.

    **Who sees what.** When ``set`` or ``purge`` returns, no process gets the old profile from
    Redis any more, and what was asked for before cannot be kept after. The memory of the other
    processes follows as fast as Redis delivers the message; if it stops to hear, it is emptied,
    at the latest after two heartbeats, and then keeps a profile for ``alone_ttl`` at most until
    it hears again. ``force`` replaces what all processes have.

    **When Redis is away,** reads go to the service and no call fails. One exchange may take
    ``timeout``; after it failed, nobody asks for ``rest`` seconds, and then only a background
    task, until it succeeds. Writes of that time are remembered and told before this process
    reads those profiles from Redis again; beyond 10,000 of them, all of the shop's are dropped.
    Another process that reaches Redis earlier may see the old profile until then.

    Needs Redis 4 or later: one server, not a cluster; one behind Sentinel or a proxy will do.

    :param url: ``redis://``, ``rediss://`` or ``unix://``, with user, password and options as
        redis-py takes them.
    :param prefix: what the keys begin with; environments that share a server need their own.
    :param timeout: seconds that one exchange with Redis may take.
    :param rest: seconds for which Redis is left alone after an exchange failed.
    :param heartbeat: seconds between two proofs that other processes' writes are heard.
    :param alone_ttl: seconds for which a profile is served from memory while they are not.
    :raises ConfigurationError: a setting breaks its rule.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "personaclick",
        timeout: Seconds | timedelta = 0.25,
        rest: Seconds | timedelta = 2.0,
        heartbeat: Seconds | timedelta = 1.0,
        alone_ttl: Seconds | timedelta = 5.0,
    ) -> None:
        self.alone_ttl = _seconds("alone_ttl", alone_ttl, least=0.0)
        self._prefix = prefix
        within = _seconds("timeout", timeout)
        self._server = Server(url, timeout=within)
        self._debts = Debts(most=_MOST_OWED)
        self._tender = Tender(
            self._server,
            rest=_seconds("rest", rest),
            heartbeat=_seconds("heartbeat", heartbeat),
            timeout=within,
            heard=self._message,
            catch_up=self._pay_all,
        )
        self._names: Names | None = None
        self._heard: Heard | None = None
        self._me = secrets.token_hex(8)

    def open(self, shop: str, *, heard: Heard, stats: CacheStats) -> None:
        """Take the shop's name and whom to tell; the client calls it when it is made.

        :raises ConfigurationError: another client has this store.
        """
        if self._names is not None:
            raise ConfigurationError("store: it belongs to another client; make one for each")
        self._names = Names(self._prefix, shop)
        self._heard = heard
        self._server.stats = stats

    def hearing(self) -> int | None:
        """Say in which time of uninterrupted hearing we are, by number; None while in none."""
        return self._tender.hearing()

    async def read(self, key: str, *, max_age: Seconds) -> Stored | None:
        """Give the profile if it is younger than ``max_age``, else a permit; None when away."""
        self._tender.start(self._require_names().channel)
        if self._debts.owes(key):
            return None
        arguments = (secrets.token_hex(8), PERMIT_MILLISECONDS, _milliseconds(max_age))

        async def exchange(here: Here) -> list[bytes]:
            said: list[bytes] = await here.read(keys=self._keys(key), args=arguments)
            return said

        try:
            said = await self._server.ask(exchange)
        except Away:
            return None
        match said:
            case [body, age]:
                return Stored(body, int(age) / 1000)
            case _:
                return Stored(permit=said[0].decode())

    async def keep(self, key: str, permit: str, body: bytes, *, ttl: Seconds) -> bool:
        """Keep a profile for ``ttl`` unless its permit has ended; False if it has."""
        if self._debts.owes(key):
            return False
        if len(body) > _LARGEST_BYTES:
            return True
        names = self._require_names()
        arguments = (permit, body, _milliseconds(ttl), names.channel, f"{self._me} {key}")

        async def exchange(here: Here) -> int:
            kept: int = await here.keep(keys=self._keys(key), args=arguments)
            return kept

        try:
            return await self._server.ask(exchange) == 1
        except Away:
            # Nothing is known against it, and what is in memory does not outlive its ear.
            return True

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop profiles, end the permits of reads under way, and tell the other processes."""
        if not keys:
            return
        debt = self._debts.owe(keys)
        self._tender.start(self._require_names().channel)
        with suppress(Away):
            await self._pay(debt)

    def forget_all(self) -> None:
        """Do for all of the shop's profiles what ``forget`` does, within a heartbeat."""
        self._debts.owe_all()
        with suppress(RuntimeError):
            # Where no event loop runs, the next call on one begins with it.
            self._tender.start(self._require_names().channel)

    def start_over_after_fork(self) -> None:
        """Forget the parent's connections, task and locks; what is owed is owed by both."""
        self._debts.start_over_after_fork()
        self._server.start_over_after_fork()
        self._tender.start_over_after_fork()
        # Messages of the parent are another process's now.
        self._me = secrets.token_hex(8)

    async def close(self) -> None:
        """Tell what is still to be told, as long as Redis answers, and close the connections."""
        await self._tender.stop()
        with suppress(Away):
            await self._pay_all(while_away=True)
        await self._server.close()

    def __repr__(self) -> str:
        return f"<RedisStore {self._prefix!r}{', away' if self._server.is_away else ''}>"

    def _require_names(self) -> Names:
        if self._names is None:
            raise ConfigurationError("store: pass it to a client first")
        return self._names

    def _keys(self, key: str) -> tuple[str, str, str]:
        names = self._require_names()
        return names.profile(key), names.permit(key), names.epoch

    def _message(self, text: bytes) -> None:
        sender, _, told = text.decode("ascii", "replace").partition(" ")
        if sender == self._me or self._heard is None:
            return
        keys = told.split()
        self._heard(None if _EVERYTHING in keys else keys)

    async def _pay(self, debt: Debt, *, while_away: bool = False) -> None:
        names = self._require_names()
        told = [_EVERYTHING] if debt.is_all else debt.keys

        async def exchange(here: Here) -> None:
            async with here.redis.pipeline(transaction=True) as pipeline:
                if debt.is_all:
                    pipeline.set(names.epoch, secrets.token_hex(8))
                else:
                    pipeline.unlink(*map(names.profile, told), *map(names.permit, told))
                pipeline.publish(names.channel, " ".join((self._me, *told)))
                await pipeline.execute()

        await self._server.ask(exchange, while_away=while_away)
        self._debts.pay(debt)

    async def _pay_all(self, *, while_away: bool = False) -> None:
        while (debt := self._debts.due(most=_TOLD_AT_ONCE)) is not None:
            await self._pay(debt, while_away=while_away)


def _milliseconds(seconds: Seconds) -> int:
    return math.ceil(min(seconds, _LONGEST) * 1000)


def _seconds(name: str, value: Seconds | timedelta, *, least: float = 0.001) -> Seconds:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not least <= seconds < math.inf:
        raise ConfigurationError(f"{name}: expected {least} seconds or more, got {seconds}")
    return float(seconds)
