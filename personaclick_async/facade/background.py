"""The one background event loop, for facade calls made where no event loop runs."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - registers its own hook first, see _at_exit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Final, Protocol

_JOIN_SECONDS: Final = 2.0


class Leaver(Protocol):
    """Who has something to finish before the process ends, and to forget after a fork."""

    def finish(self) -> None:
        """Finish what is under way, within a bound."""

    def start_over(self) -> None:
        """Forget what is the parent process's: calls under way, threads, locks."""


class Background:
    """A daemon thread with an event loop, started on first use and shared by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._leavers: weakref.WeakSet[Leaver] = weakref.WeakSet()
        # Closing a loop of the parent in a forked child would reach into the parent's selector,
        # and so would collecting it as garbage: they are kept for the life of the child.
        self._abandoned: list[object] = []

    def register(self, leaver: Leaver) -> None:
        """Have ``leaver`` told when the process ends, and after a fork."""
        self._leavers.add(leaver)

    def loop(self) -> asyncio.AbstractEventLoop:
        """Give the loop, running."""
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._loop = loop
                self._thread = threading.Thread(
                    target=_run, args=(loop,), name="personaclick-facade", daemon=True
                )
                self._thread.start()
            return self._loop

    def leave(self) -> None:
        """Let everyone finish, then stop the loop; at the end of the process."""
        for leaver in list(self._leavers):
            leaver.finish()
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_SECONDS)

    def start_over(self) -> None:
        """Begin anew in a forked child, where the parent's thread does not exist."""
        self._abandoned += [self._loop, self._thread]
        self._lock = threading.Lock()
        self._loop = self._thread = None
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


def _at_exit(leave: Callable[[], None]) -> None:
    """Call ``leave`` when the main thread is through.

    atexit comes too late for it: by then the thread pool that looks up host names takes no more
    work, and a connection that is still to be made would fail. The hook that the pool itself uses
    runs those registered last first, so before the pool's, which importing it has registered.
    """
    register = getattr(threading, "_register_atexit", atexit.register)
    register(leave)


background: Final = Background()
"""The process's one."""

_at_exit(background.leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=background.start_over)
