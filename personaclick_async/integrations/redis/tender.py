"""The background task that listens to Redis, and brings it back into use when it was away."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs

from personaclick_async.config import Seconds
from personaclick_async.integrations.redis.ear import Ear
from personaclick_async.integrations.redis.server import Away, Here, Server, log


@attrs.define(eq=False)
class _Round:
    """One run of the task, on one event loop."""

    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[None]
    ear: Ear

    @property
    def is_alive(self) -> bool:
        """Whether the task can go on: an event loop that stands still lets nothing happen."""
        return self.loop.is_running() and not self.task.done()


class Tender:
    """Sees to it that one task listens, on whichever event loop is running.

    :param catch_up: pays what is owed; called while the server works, and tried while it is away.
    """

    def __init__(
        self,
        server: Server,
        *,
        rest: Seconds,
        heartbeat: Seconds,
        timeout: Seconds,
        heard: Callable[[bytes], None],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._server = server
        self._rest = rest
        self._heartbeat = heartbeat
        self._timeout = timeout
        self._heard = heard
        self._catch_up = catch_up
        self._round: _Round | None = None
        self._lock = threading.Lock()
        self._abandoned: list[_Round | None] = []
        self._stopped = False
        self._is_deaf = False

    def hearing(self) -> int | None:
        """Give the ear's number, see :meth:`Ear.hearing`."""
        return None if self._round is None else self._round.ear.hearing()

    def start(self, channel: str) -> None:
        """Start the task on the running event loop, unless it is alive on one.

        :raises RuntimeError: no event loop is running.
        """
        if self._stopped or (self._round is not None and self._round.is_alive):
            return
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._round is not None and self._round.is_alive:
                return
            ear = Ear(timeout=self._timeout, heartbeat=self._heartbeat)
            # In a context of its own: the current user is none of its business.
            task = loop.create_task(
                self._run(ear, channel),
                name="personaclick-redis",
                context=contextvars.Context(),
            )
            self._round = _Round(loop, task, ear)

    def start_over_after_fork(self) -> None:
        """Forget the parent's task, which does not exist in the child."""
        self._lock = threading.Lock()
        # Collected as garbage it would complain that it never ended.
        self._abandoned.append(self._round)
        self._round = None

    async def stop(self) -> None:
        """End the task for good."""
        self._stopped = True
        ended, self._round = self._round, None
        if ended is None or not ended.is_alive:
            return
        if ended.loop is asyncio.get_running_loop():
            ended.task.cancel()
            with suppress(asyncio.CancelledError):
                await ended.task
        else:
            with suppress(RuntimeError):
                ended.loop.call_soon_threadsafe(ended.task.cancel)

    async def _run(self, ear: Ear, channel: str) -> None:
        # Another round has begun if this one's event loop stood still for a while.
        while self._round is None or self._round.ear is ear:
            try:
                await ear.listen(
                    self._server.connection(),
                    channel,
                    heard=self._heard,
                    beat=self._beat_while_hearing,
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, listening goes on
                if not self._is_deaf:
                    self._is_deaf = True
                    log.warning("no writes of other processes are heard (%s)", type(error).__name__)
            await asyncio.sleep(self._rest)
            await self._beat()

    async def _beat_while_hearing(self) -> None:
        self._is_deaf = False
        await self._beat()

    async def _beat(self) -> None:
        with suppress(Away):
            if self._server.is_away:
                if self._server.away_for() < self._rest:
                    return
                await self._server.ask(_ping, while_away=True)
            await self._catch_up()


async def _ping(here: Here) -> None:
    await here.redis.ping()
