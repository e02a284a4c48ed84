"""A limit of how many may be at something at once, which costs nothing while there is room."""

from __future__ import annotations

import asyncio
from collections import deque


class Places:
    """So many places, taken and given back on one event loop; whoever waits longest is next.

    A semaphore would do, at three times the cost for those who need not wait.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Wait for a place, and take it."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place came in the same moment as the cancellation.
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give a place back, or hand it to whoever waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                # It is never free in between, so that nobody overtakes those who wait.
                turn.set_result(None)
                return
        self._free += 1
