"""Hearing what the other processes have made stale."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from redis.asyncio.connection import AbstractConnection

from personaclick_async.config import Seconds

_LEAST_WAIT: Final = 0.01

_numbers: Final = count(1)


class Ear:
    """A subscription that is known to work, or known not to.

    Redis delivers messages in order, so the answer to a ping proves that every message before it
    has arrived. The proof holds for two heartbeats from when the ping was sent, also if the event
    loop that listens stands still: then no more is heard, and ``hearing`` says so.

    :param timeout: seconds to connect and subscribe in.
    :param heartbeat: seconds between two pings, and those that an answer may take.
    """

    def __init__(self, *, timeout: Seconds, heartbeat: Seconds) -> None:
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._number: int | None = None
        self._proven_until = 0.0

    def hearing(self) -> int | None:
        """Give the number of this uninterrupted time of hearing; None while it is not proven."""
        return self._number if time.monotonic() < self._proven_until else None

    async def listen(
        self,
        connection: AbstractConnection,
        channel: str,
        *,
        heard: Callable[[bytes], None],
        beat: Callable[[], Awaitable[None]],
    ) -> None:
        """Listen until the connection breaks or goes silent, and raise what says so.

        :param beat: called once per heartbeat while the connection works, and at its start.
        """
        try:
            asked = time.monotonic()
            async with asyncio.timeout(self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", channel)
                await connection.read_response()
            self._number = next(_numbers)
            while True:
                self._proven_until = asked + 2 * self._heartbeat
                await beat()
                await self._take(connection, heard, until=asked + self._heartbeat)
                asked = time.monotonic()
                await connection.send_command("PING")
                if not await self._answered(connection, heard, until=asked + self._heartbeat):
                    raise TimeoutError
        finally:
            self._number = None
            await connection.disconnect(nowait=True)

    async def _take(
        self, connection: AbstractConnection, heard: Callable[[bytes], None], *, until: Seconds
    ) -> None:
        while time.monotonic() < until:
            _kind_of(await _said(connection, until), heard)

    async def _answered(
        self, connection: AbstractConnection, heard: Callable[[bytes], None], *, until: Seconds
    ) -> bool:
        # Past the time too while something is there: this loop may have been held up, not Redis.
        while (kind := _kind_of(await _said(connection, until), heard)) is not None:
            if kind == b"pong":
                return True
        return False


async def _said(connection: AbstractConnection, until: Seconds) -> list[bytes] | None:
    patience = max(until - time.monotonic(), _LEAST_WAIT)
    said: list[bytes] | None = await connection.read_response(timeout=patience)
    return said


def _kind_of(said: list[bytes] | None, heard: Callable[[bytes], None]) -> bytes | None:
    if said is None:
        return None
    if said[0] == b"message":
        heard(said[-1])
    return said[0]
