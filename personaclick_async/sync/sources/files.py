"""Where bytes come from: files, here or elsewhere, and streams; unpacked as they are read."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, TypeAlias, cast
from urllib.parse import urlsplit

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.base import SourceFailed, need

HEAD_BYTES: Final = 2 * 1024 * 1024
"""How much of an input is looked at to find out how it is written."""

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_LONGEST_MAGIC: Final = 6
_ZSTD_BLOCK: Final = 8192
_BLOCK: Final = 1024 * 1024
_GONE: Final = 404
# What a zip file holds if it is a workbook, of Excel or of OpenDocument.
_WORKBOOK: Final = ("[Content_Types].xml", "mimetype")
_NO_CONTENT: Final = ("__MACOSX/", ".DS_Store")


class FileInput:
    """A file, which can be read any number of times and is to stay as it is meanwhile."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.name: str = self._path.name
        self._state: tuple[int, int, int] | None = None
        if not self._path.is_file():
            raise ConfigurationError(f"{self.name}: expected a file, found none")

    @property
    def size(self) -> int | None:
        """The file's size; of a packed one what it says itself, if it does."""
        with translated(self.name), self._opened() as raw:
            size = os.fstat(raw.fileno()).st_size
            magic = raw.peek(_LONGEST_MAGIC)
            if magic.startswith(_GZIP):
                raw.seek(-4, os.SEEK_END)
                # Modulo 4 GiB and of the last member only: no more than a hint.
                unpacked = int.from_bytes(raw.read(4), "little")
                return unpacked if unpacked > size else None
            return None if magic.startswith((_ZIP, b"BZh", b"\xfd7zXZ\0", _ZSTD)) else size

    @cached_property
    def content_hash(self) -> str | None:
        """The SHA-256 of the file as it lies there, read once.

        All of it: a hash of samples would miss a corrected line, and reading is a small part of
        what a sync costs.
        """
        with translated(self.name), self._opened() as raw:
            self._state = _state(raw)
            return hashlib.file_digest(raw, "sha256").hexdigest()

    def head(self) -> bytes:
        """Return the first bytes."""
        with self.open() as stream:
            return stream.read(HEAD_BYTES)

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Read from the start; fails at the end if the file was changed while it was read."""
        with translated(self.name), self._opened() as raw:
            before = _state(raw)
            if self._state not in (None, before):
                raise self._changed()
            yield _unpacked(raw, self)
            if _state(raw) != before:
                raise self._changed()

    def _opened(self) -> AbstractContextManager[io.BufferedReader]:
        return self._path.open("rb")

    def _changed(self) -> SourceFailed:
        return SourceFailed(f"{self.name}: was changed while it was read; start again")


class RemoteInput(FileInput):
    """A file that fsspec reaches, such as ``s3://bucket/people.csv``; fetched when first read.

    The copy has no name in the file system, so that nothing of it is left whatever happens. Needs
    the extra ``files``, and what fsspec needs for the protocol.

    :raises ConfigurationError: fsspec or what it needs is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._state = None
        # No query and no user in it: these may hold credentials.
        self.name = urlsplit(url).path.rpartition("/")[2] or urlsplit(url).netloc.rpartition("@")[2]
        _filesystem(url, self.name)

    @cached_property
    def _copy(self) -> io.BufferedReader:
        files, path = _filesystem(self._url, self.name)
        try:
            with files.open(path, "rb") as remote:
                copy = _copied(remote)
        except Exception as error:  # noqa: BLE001 - each protocol has its own; texts quote the URL
            cause = error.__cause__
            is_refused = isinstance(cause, OSError) or getattr(cause, "status", _GONE) != _GONE
            if isinstance(error, FileNotFoundError) and not is_refused:
                raise ConfigurationError(f"{self.name}: expected a file, found none") from None
            reason = type(cause or error).__name__
            host = urlsplit(self._url).netloc.rpartition("@")[2] or urlsplit(self._url).scheme
            raise SourceFailed(f"{self.name}: can't be fetched from {host}: {reason}") from None
        weakref.finalize(self, copy.close)
        return copy

    def _opened(self) -> AbstractContextManager[io.BufferedReader]:
        return _opened_again(self._copy)


class KeptInput(FileInput):
    """All of a stream, kept in a file without a name, for what can't be read as it comes."""

    def __init__(self, stream: StreamInput) -> None:
        self.name = stream.name
        self._state = None
        with stream.open() as whole:
            self._copy = _copied(whole)
        weakref.finalize(self, self._copy.close)

    def _opened(self) -> AbstractContextManager[io.BufferedReader]:
        return _opened_again(self._copy)


class StreamInput:
    """Standard input, or another stream: it can be read once, and not be resumed."""

    size: None = None
    content_hash: None = None

    def __init__(self, stream: IO[bytes], *, name: str = "standard input") -> None:
        self._raw = stream
        self.name = name
        self._used = False

    def head(self) -> bytes:
        """Wait for the first bytes, and keep them for :meth:`open`."""
        return self._begun[1]

    @cached_property
    def _begun(self) -> tuple[io.BufferedReader, bytes]:
        with translated(self.name):
            is_buffered = isinstance(self._raw, io.BufferedReader)
            raw = self._raw if is_buffered else io.BufferedReader(cast("io.RawIOBase", self._raw))
            stream = _unpacked(cast("io.BufferedReader", raw), self)
            return stream, stream.read(HEAD_BYTES)

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Read on from the head."""
        rest, head = self._begun
        if self._used:
            raise SourceFailed(f"{self.name}: can be read only once; write it to a file first")
        self._used = True
        with translated(self.name):
            more = iter(partial(rest.read1, _BLOCK), b"")
            yield io.BufferedReader(_Blocks(chain([head], more)))


Input: TypeAlias = FileInput | StreamInput
"""Bytes to read, unpacked: a name, a size, a hash where they can be read twice, and the head."""


class _Blocks(io.RawIOBase):
    """Blocks of bytes, read as they come."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # a writable buffer
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


@contextmanager
def seekable(stream: io.BufferedReader) -> Iterator[io.BufferedReader]:
    """Make a stream seekable, by way of a temporary file if need be."""
    if _is_file(stream):
        yield stream
    else:
        with _copied(stream) as copy:
            yield copy


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
        reason = "the packed data breaks off"
    except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile):
        reason = "broken packed data"  # their texts quote the file
    except NotImplementedError:
        reason = "packed in a way that is not known"
    except OSError as error:
        reason = error.strerror or "broken packed data"
    else:
        return
    raise SourceFailed(f"{name}: can't be read: {reason}")


def _filesystem(url: str, name: str) -> tuple[Any, str]:
    fsspec = need("fsspec.core", extra="files", purpose=name)
    try:
        found: tuple[Any, str] = fsspec.url_to_fs(url)
    except ImportError as error:
        package = str(error).partition("nstall ")[2].split(" ")[0].strip("'\"") or error.name
        raise ConfigurationError(f"{name}: needs another package: pip install {package}") from None
    except ValueError:
        scheme = url.partition("://")[0]
        raise ConfigurationError(f"{name}: nothing is known of {scheme}:// addresses") from None
    return found


def _state(raw: BinaryIO) -> tuple[int, int, int]:
    stat = os.fstat(raw.fileno())
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _unpacked(stream: io.BufferedReader, owner: Input) -> io.BufferedReader:
    """Take the packing off that the first bytes tell of; a workbook stays as it is."""
    magic = stream.peek(_LONGEST_MAGIC)
    packed: Any
    if magic.startswith(_GZIP):
        packed = gzip.GzipFile(fileobj=stream)
    elif magic.startswith(b"BZh"):
        packed = bz2.BZ2File(stream)
    elif magic.startswith(b"\xfd7zXZ\0"):
        packed = lzma.LZMAFile(stream)  # noqa: SIM115 - closed with the file below it
    elif magic.startswith(_ZSTD):
        packed = _Blocks(_frames(stream, need("zstandard", extra="files", purpose=owner.name)))
    elif magic.startswith(_ZIP):
        return _unzipped(stream, owner)
    else:
        return stream
    # The lines of packed files are slow by themselves: a call in Python each.
    return io.BufferedReader(packed)


def _frames(stream: io.BufferedReader, zstandard: Any) -> Iterator[bytes]:  # noqa: ANN401
    """Unpack Zstandard; the library's own reader takes a file that breaks off for a whole one."""
    frame: Any = None
    while packed := stream.read(_ZSTD_BLOCK):
        while packed:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(packed)
            except zstandard.ZstdError:
                raise zlib.error from None
            packed, frame = frame.unused_data, None if frame.eof else frame
    if frame is not None:
        raise EOFError


def _unzipped(stream: io.BufferedReader, owner: Input) -> io.BufferedReader:
    if not _is_file(stream):
        stream = _copied(stream)
        weakref.finalize(owner, stream.close)
    archive = zipfile.ZipFile(stream)
    if any(one in archive.namelist() for one in _WORKBOOK):
        stream.seek(0)
        return stream
    parts = [one for one in archive.infolist() if not one.is_dir()]
    parts = [one for one in parts if not any(word in one.filename for word in _NO_CONTENT)]
    if len(parts) != 1:
        found = f"expected a zip file with one file, found {len(parts)}"
        raise ConfigurationError(f"{owner.name}: {found}")
    if parts[0].flag_bits & 1:
        raise ConfigurationError(f"{owner.name}: is encrypted; unpack it first")
    return io.BufferedReader(cast("io.RawIOBase", archive.open(parts[0])))


def _is_file(stream: io.BufferedReader) -> bool:
    # A pipe is a FileIO as well, and gzip can seek, but in its own way.
    return isinstance(stream.raw, io.FileIO) and stream.seekable()


def _copied(stream: IO[bytes]) -> io.BufferedReader:
    """Copy a stream to a file without a name, of which nothing is left whatever happens."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, _BLOCK)
        file.flush()
        return _opened_again(file)


def _opened_again(file: IO[bytes]) -> io.BufferedReader:
    """Open a file once more, with a position of its own."""
    again = Path(f"/dev/fd/{file.fileno()}").open("rb")  # noqa: SIM115 - the caller closes it
    again.seek(0)
    return again
