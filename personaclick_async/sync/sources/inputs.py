"""Where bytes come from: a file or a stream, plain or gzipped, and whether it has changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final, Protocol, cast

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.errors import SourceFailed

HEAD_BYTES: Final = 64 * 1024
"""How much of an input is looked at to find out how it is written."""

_GZIP: Final = b"\x1f\x8b"


class Input(Protocol):
    """Bytes to read, decompressed."""

    @property
    def name(self) -> str:
        """A name for errors and reports."""

    @property
    def size(self) -> int | None:
        """How many bytes there are, decompressed and roughly; None if that can't be told."""

    @property
    def content_hash(self) -> str | None:
        """A hash of all bytes; None where they can't be read twice."""

    def head(self) -> bytes:
        """Give the first bytes without using them up: all of them, or HEAD_BYTES."""

    def open(self) -> AbstractContextManager[io.BufferedReader]:
        """Read from the start.

        :raises SourceFailed: that is not possible, or breaks off later.
        """


class FileInput:
    """A file, which can be read any number of times and is to stay as it is meanwhile."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise ConfigurationError(f"{self._path.name}: expected a file, found none")
        self._hash: str | None = None
        self._state: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self._path.name

    @property
    def size(self) -> int | None:
        """The file's size; for gzip, what its last bytes say, if that can be right."""
        with self._translated(), self._path.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            if not _is_gzip(raw):
                return size
            raw.seek(-4, os.SEEK_END)
            # Modulo 4 GiB and of the last member only: no more than a hint.
            unpacked = int.from_bytes(raw.read(4), "little")
            return unpacked if unpacked > size else None

    @property
    def content_hash(self) -> str | None:
        """The SHA-256 of the file as it lies there, read once.

        All of it: a hash of samples would miss a corrected line, and reading is a small part of
        what a sync costs.
        """
        if self._hash is None:
            with self._translated(), self._path.open("rb") as raw:
                self._state = _state(raw)
                self._hash = hashlib.file_digest(raw, "sha256").hexdigest()
        return self._hash

    def head(self) -> bytes:
        """Give the first bytes."""
        with self.open() as stream:
            return stream.read(HEAD_BYTES)

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Read from the start; fails at the end if the file was changed while it was read."""
        with self._translated(), self._path.open("rb") as raw:
            before = _state(raw)
            if self._state not in (None, before):
                raise self._changed()
            yield _unpacked(raw)
            if _state(raw) != before:
                raise self._changed()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(self.name):
            yield

    def _changed(self) -> SourceFailed:
        return SourceFailed(f"{self.name}: was changed while it was read; start again")


class StreamInput:
    """Standard input, or another stream: it can be read once, and not be resumed."""

    def __init__(self, stream: IO[bytes], *, name: str = "standard input") -> None:
        self._raw = stream
        self._name = name
        self._head: bytes | None = None
        self._stream: io.BufferedReader | None = None
        self._used = False

    @property
    def name(self) -> str:
        """What it was called."""
        return self._name

    @property
    def size(self) -> None:
        """Give None: it is not known."""

    @property
    def content_hash(self) -> None:
        """Give None: it can be known only afterwards."""

    def head(self) -> bytes:
        """Wait for the first bytes, and keep them for :meth:`open`."""
        if self._head is None:
            with translated(self._name):
                self._stream = _unpacked(_buffered(self._raw))
                self._head = self._stream.read(HEAD_BYTES)
        return self._head

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Read on from the head."""
        head = self.head()
        if self._used or self._stream is None:
            raise SourceFailed(f"{self._name}: can be read only once; write it to a file first")
        self._used = True
        with translated(self._name):
            yield io.BufferedReader(_Chain(head, self._stream))


class _Chain(io.RawIOBase):
    """Bytes that were read before, then the rest."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # a writable buffer
        if not self._head:
            return self._rest.readinto(buffer)
        count = min(len(buffer), len(self._head))
        buffer[:count] = self._head[:count]
        self._head = self._head[count:]
        return count


def lines_hint(source: Input, *, header_lines: int = 0) -> int | None:
    """Tell how many lines there are, roughly: exactly for an input that is not large."""
    size = source.size
    if size is None:
        return None
    head = source.head()
    lines = max(head.count(b"\n"), head.count(b"\r"))
    if len(head) == HEAD_BYTES:
        lines = round(lines * size / HEAD_BYTES)
    elif head and not head.endswith((b"\n", b"\r", b"\n\0")):
        lines += 1
    return max(0, lines - header_lines)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what reading can raise into SourceFailed."""
    try:
        yield
    except EOFError:
        reason = "the gzip data breaks off"
    except (gzip.BadGzipFile, zlib.error):  # the text of the first one quotes the file
        reason = "broken gzip data"
    except OSError as error:
        reason = error.strerror or "the system gives no reason"
    else:
        return
    raise SourceFailed(f"{name}: can't be read: {reason}")


def _state(raw: BinaryIO) -> tuple[int, int, int]:
    stat = os.fstat(raw.fileno())
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _buffered(stream: IO[bytes]) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(cast("io.RawIOBase", stream))


def _is_gzip(stream: io.BufferedReader) -> bool:
    return stream.peek(len(_GZIP))[: len(_GZIP)] == _GZIP


def _unpacked(stream: io.BufferedReader) -> io.BufferedReader:
    if not _is_gzip(stream):
        return stream
    # GzipFile's own lines are slow: a call in Python each.
    return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=stream)))
