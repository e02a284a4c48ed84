"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP all end the work in an orderly way."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

_Handler: TypeAlias = Callable[[int, FrameType | None], None]

_NUMBERS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(SystemExit):
    """A signal ended the work; the exit code is the shell's usual one, 128 and its number.

    :ivar is_told: whether the person at the terminal was told.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.is_told = False


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, which the first signal cancels and the second one leaves at once.

    :raises Interrupted: a signal came.
    """
    tasks: list[asyncio.Task[Any]] = []
    came: list[int] = []

    async def cancellable() -> T:
        task = asyncio.current_task()
        if task is not None:
            tasks.append(task)
        return await work

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if not tasks or len(came) > 1:
            raise Interrupted(number)
        # Not the task alone: the loop may be waiting for its sockets, and has to wake up.
        tasks[0].get_loop().call_soon_threadsafe(tasks[0].cancel)

    with handled(stop):
        try:
            return asyncio.run(cancellable())
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise Interrupted(came[0] if came else signal.SIGINT) from None


@contextmanager
def handled(handler: _Handler) -> Iterator[None]:
    """Have signals call ``handler``, except those that the caller ignores (``nohup``, ``&``)."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _NUMBERS}
    heard = [number for number, known in before.items() if known is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def interrupt(number: int, _frame: FrameType | None) -> None:
    """End the command at once: the handler where nothing has to be put in order.

    :raises Interrupted: always.
    """
    raise Interrupted(number)
