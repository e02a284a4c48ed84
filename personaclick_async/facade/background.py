"""The background event loop, for facade calls made where no event loop runs."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # registers its own hook first, see below
import contextlib
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from personaclick_async.errors import ClientClosed

T = TypeVar("T")

_JOIN_SECONDS: Final = 2.0


class _Leaver(Protocol):
    """Has calls to finish and to report before the process ends, and to forget after a fork."""

    def finish(self) -> None: ...
    def report(self) -> None: ...
    def start_over(self) -> None: ...


class Background:
    """A daemon thread with an event loop, started on first use and shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        self._leavers: weakref.WeakSet[_Leaver] = weakref.WeakSet()
        # Closing a loop of the parent in a forked child would reach into the parent's selector,
        # and so would collecting it as garbage: they are kept for the life of the child.
        self._abandoned: list[object] = []
        self._is_over = False

    def register(self, leaver: _Leaver) -> None:
        """Have ``leaver`` called when the process ends, and after a fork."""
        self._leavers.add(leaver)

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, running.

        :raises ClientClosed: the process is ending, and nothing would be sent any more.
        """
        with self._lock:
            if self._is_over:
                raise ClientClosed("the process is ending: this call comes too late to be sent")
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(
                    target=_run, args=(loop,), name="personaclick-facade", daemon=True
                )
                self._running = loop, thread
                thread.start()
            return self._running[0]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for it, on the loop if there is one."""
        running = self._running
        if running is None:
            return asyncio.run(work)
        return asyncio.run_coroutine_threadsafe(work, running[0]).result()

    def leave(self) -> None:
        """Let the calls finish, then stop the loop; when the main thread has ended."""
        try:
            _join_threads()
            for leaver in list(self._leavers):
                leaver.finish()
        finally:  # also after Ctrl-C
            with self._lock:
                self._is_over = True
                running, self._running = self._running, None
            self.report()
            if running is not None:
                loop, thread = running
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(loop.stop)
                thread.join(_JOIN_SECONDS)

    def report(self) -> None:
        """Have everyone log the calls that are not known to be delivered."""
        for leaver in list(self._leavers):
            leaver.report()

    def start_over(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not exist."""
        self._abandoned.append(self._running)
        self._lock = threading.Lock()
        self._running = None
        for leaver in list(self._leavers):
            leaver.start_over()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    # The thread that looks up host names must be there before the process ends: early releases
    # of Python 3.12 start no thread any more once that has begun.
    loop.run_in_executor(None, threading.get_ident)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        # Closes the pools that clients have on this loop.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _join_threads() -> None:
    """Wait for the threads that outlive the main one, as Python itself does a moment later.

    Not for those of thread pools, which end only after their hook has run.
    """
    of_pools = getattr(concurrent.futures.thread, "_threads_queues", None)
    if of_pools is None:
        return
    for thread in threading.enumerate():
        if not (thread.daemon or thread is threading.current_thread() or thread in of_pools):
            thread.join()


background: Final = Background()
"""The process's one."""

# When the main thread has ended. atexit comes too late: by then the thread pool that looks up
# host names takes no more work, and a connection that is still to be made would fail. The hook
# that the pool itself uses runs those registered last first, so before the pool's.
getattr(threading, "_register_atexit", atexit.register)(background.leave)
# Once more at the very end, for calls made since on event loops of other threads.
atexit.register(background.report)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=background.start_over)
