"""A thread that does one thing after the other for an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

_Job: TypeAlias = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]


class OneThread:
    """Runs functions one at a time, always on the same thread, as cursors and generators need it.

    It is a daemon, unlike the threads of an executor: a source that is stuck in a read (standard
    input, say) must not keep the process from ending. Nothing is ever delivered by it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function on the thread, after those before it, and give its result.

        A caller that is cancelled leaves it running.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, result, work))
        return await result

    def close(self, last: Callable[[], object] | None = None) -> None:
        """Let the thread end after what was given to it, and after ``last``. Does not wait."""
        if self._thread is None:
            return
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not isinstance(job, tuple):
                with suppress(Exception):
                    job()
                continue
            loop, result, work = job
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                # A name in this frame would keep the error, and what it holds, alive.
                _answer(loop, result, None, error)
                del error
            else:
                _answer(loop, result, value, None)
                del value
            del job, loop, result, work


def _answer(
    loop: asyncio.AbstractEventLoop,
    result: asyncio.Future[Any],
    value: object,
    error: BaseException | None,
) -> None:
    def settle() -> None:
        if result.cancelled():
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)

    # The loop may have ended without waiting for this.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)
