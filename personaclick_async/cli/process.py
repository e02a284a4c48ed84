"""What the command does as a process: it outlives its output, and signals end it in order.

The reader of a pipe may leave (``| head -1``), a disk may be full, a stream may be closed from
the start (``>&-``). None of it changes what a sync has done, nor the exit code: output that
can't be written is dropped, with one line on standard error.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")

_OUTPUT: Final = 1
_ERROR: Final = 2

# Global, as signals are: the task that a signal cancels, and the signals received.
_tasks: Final[list[asyncio.Task[Any] | None]] = []
_came: Final[list[int]] = []


class Interrupted(SystemExit):
    """A signal ended the work; the exit code is the shell's usual one, 128 and its number."""

    untold = "interrupted"  # what the person at the terminal has not been told yet


def run_interruptibly(work: Coroutine[Any, Any, T], *, unfinished: str = "interrupted") -> T:
    """Run a coroutine; the first signal cancels it, the second one leaves it at once."""

    async def cancellable() -> T:
        _tasks.append(asyncio.current_task())
        return await work

    try:
        return asyncio.run(cancellable())
    except (asyncio.CancelledError, KeyboardInterrupt, Interrupted):
        interrupted = Interrupted(128 + (_came[-1] if _came else signal.SIGINT))
        interrupted.untold = unfinished
        raise interrupted from None
    finally:
        _tasks.clear()


def on_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Have signals call ``handler``, except those that the caller ignores (``nohup``, ``&``)."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def stop(number: int, _frame: FrameType | None) -> None:
    """Cancel the running work; without any, or at the second signal, end the command at once."""
    _came.append(number)
    task = _tasks[0] if _tasks else None
    if task is None or len(_came) > 1:
        raise Interrupted(128 + number)
    # Not the task alone: the loop may be waiting for its sockets, and has to wake up.
    task.get_loop().call_soon_threadsafe(task.cancel)


class _Lasting(io.FileIO):
    """Writes to a file descriptor until that fails, and to the null device afterwards."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return os.write(self.fileno(), data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if self.fileno() == _OUTPUT:
                why = "it was closed" if error.errno == errno.EBADF else error.strerror
                sys.stderr.write(
                    f"personaclick: standard output is gone ({why}): what was to be shown is lost, "
                    "the exit code is the command's own\n"
                )
        return memoryview(data).nbytes


def prepare_streams() -> None:
    """Replace the standard streams; characters that their encoding lacks are written as escapes."""
    # Else the next file that is opened, such as a journal, would take a closed stream's number.
    # It is opened for reading, so that whatever is written there is noticed.
    while (number := os.open(os.devnull, os.O_RDONLY)) <= _ERROR:
        pass
    os.close(number)
    sys.stderr = _lasting(sys.stderr, _ERROR)
    sys.stdout = _lasting(sys.stdout, _OUTPUT)


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    if os.name == "nt" and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a console there is no file descriptor
        return stream
    raw = _Lasting(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=raw.isatty() or number == _ERROR,
    )
