"""The background event loop, for facade calls made where no event loop runs."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # registers a hook of its own, before facade/calls.py does
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

from personaclick_async.errors import ClientClosed

T = TypeVar("T")

_JOIN_SECONDS: Final = 2.0


class Background:
    """A daemon thread with an event loop, started on first use and shared by all threads."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may run a __del__ that makes a call.
        self._lock = threading.RLock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        # Closing a loop of the parent in a forked child would reach into the parent's selector,
        # and so would collecting it as garbage: they are kept for the life of the child.
        self._abandoned: list[object] = []
        self._is_over = False

    @contextlib.contextmanager
    def loop(self) -> Iterator[asyncio.AbstractEventLoop]:
        """Provide the loop, running, for a block; what it is handed there it begins.

        :raises ClientClosed: it has ended for good.
        """
        with self._lock:
            if self._is_over:
                raise ClientClosed(
                    "this call comes too late to be sent: the process is ending, or a callback has "
                    "ended the background event loop (sys.exit)"
                )
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=self._serve, args=(loop,), name="personaclick-facade", daemon=True
                )
                self._running = loop, thread
                thread.start()
            yield self._running[0]

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine and wait for it, on the loop if there is one.

        :raises TimeoutError: it did not end; a callback may block the loop, or end it (sys.exit).
        """
        with self._lock:  # or the loop might end meanwhile, and never begin what it is handed
            running = None if self._is_over else self._running
            if running is not None:
                result = asyncio.run_coroutine_threadsafe(work, running[0])
        if running is None:
            return asyncio.run(work)
        try:
            return result.result(timeout)
        except concurrent.futures.CancelledError:
            raise TimeoutError from None

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        # The thread that looks up host names must be there before the process ends: early releases
        # of Python 3.12 start no thread any more once that has begun.
        loop.run_in_executor(None, threading.get_ident)
        try:
            loop.run_forever()
        finally:
            with self._lock:
                self._is_over = True
            loop.run_until_complete(asyncio.sleep(0))  # begins what was handed over until now
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            # Closes the pools that clients have on this loop.
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def stop(self) -> None:
        """Stop the loop for good."""
        with self._lock:
            is_ending, self._is_over = self._is_over, True
            running, self._running = self._running, None
        if running is not None:
            loop, thread = running
            if not is_ending:
                loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_SECONDS)

    def start_over_after_fork(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not exist."""
        self._abandoned.append(self._running)
        self._lock = threading.RLock()
        self._running = None


def join_threads() -> None:
    """Wait for the threads that outlive the main one, as Python itself does a moment later.

    Not for those of thread pools, which end only after their hook has run.
    """
    of_pools = getattr(concurrent.futures.thread, "_threads_queues", None)
    if of_pools is None:
        return
    for thread in threading.enumerate():
        if not (thread.daemon or thread is threading.current_thread() or thread in of_pools):
            thread.join()


background: Final = Background()  # the one of this process
