"""The work on one part of a data set, wherever it runs: read, map, check, pack, write down.

Nothing here knows an engine: Dask, Ray, Spark, Airflow or a plain loop call these functions with
a :class:`Partition`, which is small and can be pickled, and get a small account back. The records
themselves go through the spool. Each function can be called again at any moment, on any machine,
and gives the same: what lies in the spool already is not made again.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync.chunks import Chunk, batches
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.options import Route
from personaclick_async.sync.packing import Envelope, Filling, encode
from personaclick_async.sync.ready_chunk import ChunkName, write_chunk
from personaclick_async.sync.records import Source
from personaclick_async.sync.sources import Layout, SourceKind, TableSource, open_source
from personaclick_async.sync.spool import Spool, read_whole, sweep, write_whole

ENVELOPE_BYTES: Final = 512
"""What is kept free in each body for the envelope, which workers don't know."""

_FORMAT: Final = "ready 1"
_DONE: Final = "done.json"
_NO_ENVELOPE: Final = Envelope(b"", b"")
_ROWS_AT_ONCE: Final = 1000
_MOST_REJECTED: Final = 10_000
_PATTERN: Final = frozenset("*?[")


@attrs.frozen(kw_only=True)
class Partition:
    """A file of a data set, and how it is read.

    :ivar where: the file's path, as the workers see it.
    :ivar mapping: which column becomes which field.
    :ivar kind: how the file is written, where its suffix does not say.
    :ivar layout: how delimited text is written.
    """

    where: str
    mapping: FieldMapping | None = None
    kind: SourceKind | None = None
    layout: Layout | None = None

    def open(self) -> TableSource:
        """Open the file.

        :raises ConfigurationError: it is not there, or it can't be told what it is.
        """
        return open_source(self.where, self.mapping, kind=self.kind, layout=self.layout)


def partitions_of(
    where: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | Partition],
    mapping: FieldMapping | None = None,
    *,
    kind: SourceKind | None = None,
    layout: Layout | None = None,
) -> list[Partition]:
    """Give the files of a data set, each as a partition.

    :param where: a path, a pattern such as ``data/*.csv`` (in the order of names), or several of
        these, or partitions that were made before; records are sent in this order.
    :raises ConfigurationError: no file fits.
    """
    if isinstance(where, str | os.PathLike):
        text = os.path.abspath(os.fspath(where))  # noqa: PTH100 - Path would resolve links too
        fits = [text]
        if not Path(text).exists() and _PATTERN & set(text):
            fits = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - no absolute patterns
        if not fits:
            raise ConfigurationError("source: no file fits the pattern")
        return [Partition(where=one, mapping=mapping, kind=kind, layout=layout) for one in fits]
    found: list[Partition] = []
    for one in where:
        if isinstance(one, Partition):
            found.append(one)
        else:
            found += partitions_of(one, mapping, kind=kind, layout=layout)
    return found


def name_of(partitions: Sequence[Partition]) -> str:
    """Name a data set: its first file, and how many more there are.

    :raises ConfigurationError: there are none.
    """
    if not partitions:
        raise ConfigurationError("source: expected at least one partition")
    more = len(partitions) - 1
    first = Path(partitions[0].where).name
    return f"{first} and {more} more" if more else first


@attrs.frozen(kw_only=True)
class Survey:
    """What is known of a partition before it is read.

    :ivar rows: how many rows it has, roughly, if it can tell.
    :ivar columns: the names of its columns; None where each row has its own.
    """

    name: str
    fingerprint: str
    rows: int | None
    columns: tuple[str, ...] | None


def survey(source: Source | Partition) -> Survey:
    """Look a partition over: its fingerprint, which takes reading all of it once, and its size.

    :raises ConfigurationError: it is not there, or its content can't be known.
    :raises SourceFailed: it can't be read.
    """
    opened = source.open() if isinstance(source, Partition) else source
    fingerprint = opened.fingerprint
    if fingerprint is None:
        raise ConfigurationError(
            f"{opened.name}: expected a source with a fingerprint, as a part of many may have to "
            "be read again; give it a version"
        )
    return Survey(
        name=opened.name,
        fingerprint=fingerprint,
        rows=opened.size_hint,
        columns=getattr(opened, "columns", None),
    )


@attrs.frozen(kw_only=True)
class Prepared:
    """The account of a partition that is ready to be sent.

    :ivar part: its folder's name in the spool.
    :ivar chunks: its ready chunks, in order.
    """

    part: str
    chunks: tuple[ChunkName, ...]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def rejected(self) -> int:
        """How many of them can't be sent."""
        return sum(chunk.rejected for chunk in self.chunks)

    @property
    def last_row(self) -> int:
        """The number of its last row, after which the next partition's are counted."""
        return self.chunks[-1].last_row if self.chunks else 0


def prepare(
    source: Source | Partition,
    spool: Spool,
    index: int,
    fingerprint: str | None = None,
    max_chunk_bytes: int = IMPORT_MAX_BODY_BYTES,
) -> Prepared:
    """Make a partition ready for the bulk route: read it, map it, check it, pack it, write chunks.

    A chunk that is written stays: called again after its process was killed, this goes on with
    the first chunk that is missing; called again for a partition that is ready, it only says so.

    :param spool: where chunks go; its folder must be there.
    :param index: the place of the partition in its data set, from 0.
    :param fingerprint: what the survey found; the source must not have changed since.
    :param max_chunk_bytes: the largest body, envelope included.
    :raises SyncRefused: the source has changed since the survey.
    :raises SourceFailed: it can't be read to its end; what was packed before stays.
    :raises SpoolFailed: the spool can't be written.
    """
    opened = source.open() if isinstance(source, Partition) else source
    found = survey(opened).fingerprint
    if fingerprint not in (None, found):
        raise SyncRefused(f"{opened.name}: was changed since the sync began; run it again")
    part = part_name(index, found, max_chunk_bytes)
    folder = spool.part(part)
    done = _done(folder, part)
    if done is not None:
        return done
    sweep(folder)
    chunks = _whole_chunks(folder)
    largest = max_chunk_bytes - ENVELOPE_BYTES
    after_row = chunks[-1].last_row if chunks else 0
    for filling in _fill(opened, after_row, largest, len(chunks)):
        rejected = list(zip(filling.aside, filling.rejected, strict=True))
        chunks.append(write_chunk(folder, filling.chunk.id, filling.seal(), rejected))
    write_whole(folder / _DONE, [json.dumps([str(chunk) for chunk in chunks]).encode()])
    return Prepared(part=part, chunks=tuple(chunks))


def part_name(index: int, fingerprint: str, max_chunk_bytes: int) -> str:
    """Name the folder of a partition: the same for the same content, packed the same way."""
    whole = f"{_FORMAT} {fingerprint} {max_chunk_bytes}"
    return f"{index:06}-{sha256(whole.encode()).hexdigest()[:24]}"


def forget_stale(spool: Spool) -> None:
    """Make ready for a new run what an earlier one has left: a part that lacks chunks goes."""
    for folder in spool.parts():
        done = _done(folder, folder.name)
        if done is not None and any(not (folder / str(one)).exists() for one in done.chunks):
            # The mark goes first: without it whole chunks are only a beginning.
            (folder / _DONE).unlink(missing_ok=True)
            for path in folder.iterdir():
                path.unlink(missing_ok=True)


def _fill(source: Source, after_row: int, largest: int, number: int) -> Iterator[Filling]:
    """Pack the rows after ``after_row``; each filling has met its bounds."""
    filling: Filling | None = None
    for rows in batches(source.outcomes(after_row=after_row), _ROWS_AT_ONCE):
        left = encode(rows, Route.BULK, largest)
        while len(left):
            if filling is None:
                chunk = Chunk(id=number, first_row=left.outcomes[0].row)
                filling = Filling(chunk, _NO_ENVELOPE, None)
                number += 1
            fitting = filling.fitting(left.contents, largest)
            if fitting:
                filling.add(left[:fitting], frozenset())
                left = left[fitting:]
            if len(left) or len(filling.rejected) >= _MOST_REJECTED:
                yield filling
                filling = None
    if filling is not None:
        yield filling


def _whole_chunks(folder: Path) -> list[ChunkName]:
    """Give the chunks that were written one after the other from the first."""
    found = {name.number: name for path in folder.iterdir() if (name := ChunkName.parse(path.name))}
    chunks: list[ChunkName] = []
    while (chunk := found.get(len(chunks))) is not None:
        if chunks and chunk.first_row <= chunks[-1].last_row:
            break
        chunks.append(chunk)
    return chunks


def _done(folder: Path, part: str) -> Prepared | None:
    whole = read_whole(folder / _DONE)
    if whole is None:
        return None
    names = [ChunkName.parse(name) for name in json.loads(whole)]
    return Prepared(part=part, chunks=tuple(name for name in names if name is not None))
