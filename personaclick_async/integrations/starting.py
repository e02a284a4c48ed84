"""Starting sessions without letting pages wait for a service that is down."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from personaclick_async.client import PersonaClick
from personaclick_async.config import Seconds
from personaclick_async.errors import ConnectionFailed, PersonaClickError, TimedOut
from personaclick_async.models.session import Session
from personaclick_async.names import INIT


class Starter:
    """Starts sessions, each within a time; after one that failed, none for a while.

    :param timeout: seconds for one session, retries included.
    :param pause: seconds for which none is tried after a failure.
    """

    def __init__(
        self,
        client: PersonaClick,
        *,
        timeout: Seconds,
        pause: Seconds,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._pause = pause
        self._clock = clock
        self._paused_until = -math.inf

    async def start(self) -> Session:
        """Start a session on a new device.

        :raises TimedOut: it took too long.
        :raises ConnectionFailed: it was not tried, for another failed a moment ago.
        :raises ServiceError: the service refused; its subclasses say why.
        :raises TransportError: no usable answer came.
        """
        if self._clock() < self._paused_until:
            raise ConnectionFailed(
                "not tried, for a session could not be started a moment ago",
                endpoint=INIT.name,
                attempts=0,
            )
        try:
            async with asyncio.timeout(self._timeout):
                session = (await self._client.init()).session
        except PersonaClickError:
            self._paused_until = self._clock() + self._pause
            raise
        except TimeoutError:
            self._paused_until = self._clock() + self._pause
            raise TimedOut(
                f"no session within {self._timeout:g} s", endpoint=INIT.name, attempts=1
            ) from None
        if session is None:
            raise AssertionError("init gives a device")
        return session
