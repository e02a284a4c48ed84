"""Standard output and standard error that outlive whoever reads them.

The reader of a pipe may leave (``| head -1``), a disk may be full, a stream may be closed from
the start (``>&-``). None of it changes what a sync has done, so none of it changes the exit code:
what can't be written is passed over, with one line on standard error.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_WINDOWS: Final = os.name == "nt"
_LAST_STANDARD: Final = 2


class _Lasting(io.RawIOBase):
    """Writes to a file descriptor as long as that works, and to nowhere afterwards."""

    def __init__(self, number: int | None, lost: Callable[[str], None]) -> None:
        self._number = number
        self._lost: Callable[[str], None] | None = lost

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._number is None:
            raise io.UnsupportedOperation("this stream is closed")
        return self._number

    def isatty(self) -> bool:
        return self._number is not None and os.isatty(self._number)

    def write(self, data: ReadableBuffer) -> int:
        size = memoryview(data).nbytes
        if self._lost is None:
            return size
        reason = "it is closed"
        if self._number is not None:
            try:
                return os.write(self._number, data)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
        lost, self._lost = self._lost, None
        lost(reason)
        return size


def prepare() -> None:
    """Replace the standard streams; characters that their encoding lacks are written as escapes."""
    # Else the next file that is opened, such as a journal, would take a closed stream's number.
    while (number := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        pass
    os.close(number)
    sys.stderr = _lasting(sys.stderr, lambda _: None)
    sys.stdout = _lasting(sys.stdout, _say_lost)


def _lasting(stream: TextIO | None, lost: Callable[[str], None]) -> TextIO:
    if _WINDOWS and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a console there is no file descriptor
        return stream
    number = None if stream is None else stream.fileno()
    raw = _Lasting(number, lost)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=raw.isatty() or lost is not _say_lost,
    )


def _say_lost(reason: str) -> None:
    sys.stderr.write(
        f"personaclick: standard output is gone ({reason}): what was to be shown is lost, "
        "the exit code is the command's own\n"
    )
