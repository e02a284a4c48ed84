"""Where bytes come from: files, here or elsewhere, and streams; unpacked as they are read."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO, ClassVar, Final, TypeAlias, cast
from urllib.parse import urlsplit

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.base import SourceFailed, need

HEAD_BYTES: Final = 1280 * 1024  # what is looked at to find out how an input is written
URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")  # how an address begins, which is no path
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZIP: Final = b"PK\x03\x04"
_PACKERS: Final[Mapping[bytes, Callable[[Any], Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_LONGEST_MAGIC: Final = 6
_ZSTD_BLOCK: Final = 8192
_BLOCK: Final = 1024 * 1024
_GONE: Final = 404
# What a zip file holds if it is a workbook, of Excel or of OpenDocument.
_WORKBOOK: Final = frozenset(["[Content_Types].xml", "mimetype"])
_REASONS: Final = {
    EOFError: "the packed data breaks off",
    NotImplementedError: "packed in a way that is not known",
}
_NO_CONTENT: Final = ("__MACOSX/", ".DS_Store")


class FileInput:
    """A file, which can be read any number of times and must not change meanwhile."""

    owner: object = None  # a temporary file is closed with it
    _hashed_state: tuple[int, int, int] | None = None

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        self._path = Path(path)
        self.name = name or self._path.name or str(path)
        if not self._path.is_file():
            found = "a folder" if self._path.is_dir() else "none"
            raise ConfigurationError(f"{self.name}: expected a file, found {found}")

    @property
    def lines(self) -> int | None:
        """How many lines there are, roughly; exactly in an input that is not large."""
        with _translated(self.name), self._path.open("rb") as raw:
            head = _unpacked(raw, self).read(HEAD_BYTES)
            share = raw.tell() / os.fstat(raw.fileno()).st_size if len(head) == HEAD_BYTES else 1
        last = head != b"" and not head.endswith((b"\n", b"\r", b"\n\0"))
        return round((max(head.count(b"\n"), head.count(b"\r")) + last) / share)

    @cached_property
    def content_hash(self) -> str | None:
        """The SHA-256 of the whole file as it is stored: samples would miss a corrected line."""
        with _translated(self.name), self._path.open("rb") as raw:
            self._hashed_state = _stat_of(raw)
            return hashlib.file_digest(raw, "sha256").hexdigest()

    def head(self) -> bytes:
        """Return the first bytes."""
        with self.open() as stream:
            return stream.read(HEAD_BYTES)

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Read from the start; fails at the end if the file was changed while it was read."""
        with _translated(self.name), self._path.open("rb") as raw:
            before = _stat_of(raw)
            if self._hashed_state in (None, before):
                yield _unpacked(raw, self)
                if _stat_of(raw) == before:
                    return
            raise SourceFailed(f"{self.name}: was changed while it was read; start again")


class RemoteInput(FileInput):
    """A file that fsspec reaches, such as ``s3://bucket/people.csv``; fetched when first read.

    Needs the extra ``files``, and what fsspec needs for the protocol.

    :raises ConfigurationError: fsspec or what it needs is not installed.
    """

    def __init__(self, url: str) -> None:
        # No query and no user in a name: these may hold credentials.
        address = urlsplit(url)
        self._host = address.netloc.rpartition("@")[2] or address.scheme
        self.name = address.path.rpartition("/")[2] or self._host
        fsspec = need("fsspec.core", extra="files", purpose=self.name)
        try:
            self._files, self._there = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            named = str(error).partition("nstall ")[2].split(" ")[0].strip("'\"")
            package = named or getattr(error, "name", None)
            needed = f"needs another package: pip install {package}"
            unknown = f"nothing is known of {address.scheme}:// addresses"
            raise ConfigurationError(f"{self.name}: {needed if package else unknown}") from None

    @cached_property
    def _path(self) -> Path:  # type: ignore[override]
        try:
            with self._files.open(self._there, "rb") as remote:
                return _path_of(_copied(remote, self))
        except Exception as error:  # noqa: BLE001 - each protocol has its own; texts quote the URL
            cause = error.__cause__
            is_refused = isinstance(cause, OSError) or getattr(cause, "status", _GONE) != _GONE
            if isinstance(error, FileNotFoundError) and not is_refused:
                raise ConfigurationError(f"{self.name}: expected a file, found none") from None
            reason = f"can't be fetched from {self._host}: {type(cause or error).__name__}"
            raise SourceFailed(f"{self.name}: {reason}") from None


@attrs.define(eq=False, repr=False, slots=False)
class StreamInput:
    """Standard input, or another stream: it can be read once, and not be resumed."""

    lines: ClassVar[None] = None
    content_hash: ClassVar[None] = None

    _stream: IO[bytes]
    name: str = attrs.field(default="standard input", kw_only=True)
    _is_used: bool = attrs.field(default=False, init=False)

    def head(self) -> bytes:
        """Wait for the first bytes, and keep them for :meth:`open`."""
        return self._begun[1]

    @cached_property
    def _begun(self) -> tuple[io.BufferedReader, bytes]:
        raw: Any = self._stream
        with _translated(self.name):
            is_buffered = isinstance(raw, io.BufferedReader)
            stream = _unpacked(raw if is_buffered else io.BufferedReader(raw), self)
            return stream, stream.read(HEAD_BYTES)

    @contextmanager
    def open(self) -> Iterator[io.BufferedReader]:
        """Read on from the head."""
        rest, head = self._begun
        if self._is_used:
            raise SourceFailed(f"{self.name}: can be read only once; write it to a file first")
        self._is_used = True
        with _translated(self.name):
            yield stream_of(chain([head], iter(partial(rest.read1, _BLOCK), b"")))

    def kept(self) -> FileInput:
        """Copy all of it to a temporary file, for formats that can't be read as a stream."""
        with self.open() as whole:
            kept = FileInput(_path_of(_copied(whole, self)), name=self.name)
        kept.owner = self
        return kept


Input: TypeAlias = FileInput | StreamInput
Where: TypeAlias = str | os.PathLike[str] | Input  # a path or an address, or an input


def input_of(source: Where, *, whole: bool = False) -> Input:
    """Return an input; if it is to be ``whole``, one that can be read any number of times."""
    if isinstance(source, StreamInput):
        return source.kept() if whole else source
    if isinstance(source, FileInput):
        return source
    where = os.fspath(source)
    return RemoteInput(where) if URL.match(where) else FileInput(where)


class _Blocks(io.RawIOBase):
    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = filter(None, blocks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # a writable buffer
        block = self._left or memoryview(next(self._blocks, b""))
        count = min(len(buffer), len(block))
        buffer[:count] = block[:count]
        self._left = block[count:]
        return count


def stream_of(blocks: Iterator[bytes]) -> io.BufferedReader:
    """Return a stream of blocks of bytes, read as they come."""
    return io.BufferedReader(_Blocks(blocks))


def seekable(stream: io.BufferedReader, owner: object = None) -> io.BufferedReader:
    """Return a stream that can seek: itself, or a temporary copy, closed with its owner."""
    # A pipe is a FileIO as well, and gzip can seek, but in its own way.
    if isinstance(stream.raw, io.FileIO) and stream.seekable():
        return stream
    return _copied(stream, owner or stream)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what reading can raise into SourceFailed; its text may quote the file."""
    try:
        yield
    except (*_REASONS, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        reason = _REASONS.get(type(error)) or getattr(error, "strerror", None)
        raise SourceFailed(f"{name}: can't be read: {reason or 'broken packed data'}") from None


def _stat_of(raw: BinaryIO) -> tuple[int, int, int]:
    stat = os.fstat(raw.fileno())
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _unpacked(stream: io.BufferedReader, owner: Input) -> io.BufferedReader:
    """Return a stream unpacked, by its first bytes; a workbook, itself a zip file, stays packed."""
    begin = stream.peek(_LONGEST_MAGIC)
    if begin.startswith(_ZIP):
        return _unzipped(stream, owner)
    if begin.startswith(_ZSTD):
        return stream_of(_frames(stream, need("zstandard", extra="files", purpose=owner.name)))
    unpack = next((unpack for magic, unpack in _PACKERS.items() if begin.startswith(magic)), None)
    # The lines of packed files are slow by themselves: a call in Python each.
    return stream if unpack is None else io.BufferedReader(unpack(stream))


def _frames(stream: io.BufferedReader, zstandard: Any) -> Iterator[bytes]:  # noqa: ANN401
    """Unpack Zstandard; the library's own reader does not notice that a file breaks off."""
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
    stream = seekable(stream, owner)
    archive = zipfile.ZipFile(stream)
    if not _WORKBOOK.isdisjoint(archive.namelist()):
        stream.seek(0)
        return stream
    parts = [
        part
        for part in archive.infolist()
        if not part.is_dir() and not any(word in part.filename for word in _NO_CONTENT)
    ]
    if len(parts) != 1:
        found = f"expected a zip file with one file, found {len(parts)}"
        raise ConfigurationError(f"{owner.name}: {found}")
    if parts[0].flag_bits & 1:
        raise ConfigurationError(f"{owner.name}: is encrypted; unpack it first")
    return io.BufferedReader(cast("io.RawIOBase", archive.open(parts[0])))


def _copied(stream: IO[bytes], owner: object) -> io.BufferedReader:
    """Copy a stream to a nameless file, of which nothing is left whatever happens."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, _BLOCK)
        file.flush()
        copy = _path_of(file).open("rb")
    weakref.finalize(owner, copy.close)
    return copy


def _path_of(file: IO[bytes]) -> Path:
    """Return the path at which a nameless file can be opened once more."""
    return Path(f"/dev/fd/{file.fileno()}")
