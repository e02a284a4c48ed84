"""A chunk that is ready to be sent, as a file: the body's entries, and where each came from.

::

    PCR1 | length of the header | header (JSON) | row numbers | positions | ends | entries

The three arrays have eight bytes for each record, in the byte order of the machine, which the
header names. The envelope with the shop's id and secret is no part of the file.
"""

from __future__ import annotations

import json
import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import attrs

from personaclick_async import codec
from personaclick_async.sync.packing import Envelope, Packed
from personaclick_async.sync.records import Fault, FaultyRow, Outcome, Record, Refused, Rejected
from personaclick_async.sync.rejects import as_text
from personaclick_async.sync.spool import SpoolFailed, read_whole, write_whole

_MAGIC: Final = b"PCR1"
_LENGTH_BYTES: Final = 8
_DIGEST_BYTES: Final = 16
_NAME: Final = re.compile(r"(\d{6,})\.(\d+)-(\d+)\.(\d+)\.(\d+)\.([0-9a-f]{32})\.chunk")
_KINDS: Final = {"rejected": Rejected, "refused": Refused}


@attrs.frozen(order=True)
class ChunkName:
    """What a ready chunk's file name says.

    :ivar number: its place among the chunks of its partition, from 0.
    :ivar first_row: the first row in it, counted from 1 in its partition.
    :ivar rows: how many rows it accounts for, rejected ones included.
    :ivar rejected: how many of them can't be sent.
    :ivar digest: a hash of the file's content, in hexadecimal.
    """

    number: int
    first_row: int
    last_row: int
    rows: int
    rejected: int
    digest: str

    def __str__(self) -> str:
        extent = f"{self.first_row}-{self.last_row}.{self.rows}.{self.rejected}"
        return f"{self.number:06}.{extent}.{self.digest}.chunk"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Read a file's name; None if it is not a chunk's."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        number, first, last, rows, rejected = map(int, found.groups()[:5])
        return cls(number, first, last, rows, rejected, found[6])


def write_chunk(
    folder: Path, number: int, packed: Packed, rejected: Sequence[tuple[int, Rejected]]
) -> ChunkName:
    """Write a chunk that was packed without an envelope; gives its name.

    :param rejected: the rows that can't be sent, each with its position in the chunk.
    :raises SpoolFailed: it could not be written.
    """
    rows = [*packed.rows, *(one.row for _, one in rejected)]
    header = json.dumps(
        {
            "byteorder": sys.byteorder,
            "records": len(packed),
            "rejected": [[position, *plain(one)] for position, one in rejected],
        },
        default=as_text,
    ).encode()
    pieces: list[bytes] = [
        _MAGIC,
        len(header).to_bytes(_LENGTH_BYTES, "big"),
        header,
        packed.rows.tobytes(),
        packed.positions.tobytes(),
        packed.ends.tobytes(),
        packed.body,
    ]
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for piece in pieces:
        digest.update(piece)
    extent = min(rows), max(rows), len(rows), len(rejected)
    name = ChunkName(number, *extent, digest.hexdigest())
    write_whole(folder / str(name), pieces)
    return name


@attrs.frozen(eq=False, repr=False)
class ReadyChunk:
    """A chunk as it was read; rows are counted through all partitions.

    :ivar numbers: the row of each record.
    :ivar positions: the place of each record among the rows of the chunk.
    :ivar ends: where each record ends in the entries.
    :ivar rejected: the rows that can't be sent, each with its position.
    """

    entries: memoryview
    numbers: array[int]
    positions: array[int]
    ends: array[int]
    rejected: list[tuple[int, Rejected]]

    @classmethod
    def read(cls, folder: Path, name: ChunkName, *, before: int) -> Self | None:
        """Read a chunk; None if it is not there.

        :param before: how many rows the partitions before have.
        :raises SpoolFailed: it can't be read, or is not what was written.
        """
        whole = read_whole(folder / str(name))
        if whole is None:
            return None
        if blake2b(whole, digest_size=_DIGEST_BYTES).hexdigest() != name.digest:
            raise SpoolFailed("the spool is damaged: remove it and run again")
        view = memoryview(whole)[len(_MAGIC) :]
        length = int.from_bytes(view[:_LENGTH_BYTES], "big")
        header: dict[str, Any] = json.loads(bytes(view[_LENGTH_BYTES : _LENGTH_BYTES + length]))
        view = view[_LENGTH_BYTES + length :]
        size = 8 * header["records"]
        arrays = [array("q"), array("Q"), array("Q")]
        for index, numbers in enumerate(arrays):
            numbers.frombytes(view[index * size : (index + 1) * size])
            if header["byteorder"] != sys.byteorder:
                numbers.byteswap()
        numbers, positions, ends = arrays
        if before:
            numbers = array("q", [number + before for number in numbers])
        rejected = [
            (position, rejected_of(known, before=before)) for position, *known in header["rejected"]
        ]
        return cls(view[3 * size :], numbers, positions, ends, rejected)

    def contents(self) -> Iterator[memoryview]:
        """Give each record as JSON."""
        start = 0
        for end in self.ends:
            yield self.entries[start:end]
            start = end + 1

    def outcomes_and_contents(self) -> tuple[list[Outcome], list[bytes]]:
        """Give every row as it came from its source, and each record as JSON too."""
        placed: list[tuple[int, Outcome, bytes]] = [(at, one, b"") for at, one in self.rejected]
        for position, row, content in zip(
            self.positions, self.numbers, map(bytes, self.contents()), strict=True
        ):
            wire = codec.decode(content)
            placed.append((position, Record(row, wire), content))
        placed.sort(key=lambda one: one[0])
        return [outcome for _, outcome, _ in placed], [content for _, _, content in placed]

    def packed(self, envelope: Envelope, leave_out: frozenset[int]) -> Packed:
        """Give the body in its envelope.

        :param leave_out: positions of records that are not to be sent.
        """
        start = len(envelope.head)
        if leave_out.isdisjoint(self.positions):
            body = b"".join((envelope.head, self.entries, envelope.tail))
            ends = array("Q", [end + start for end in self.ends])
            return Packed(body, envelope, self.numbers, self.positions, ends)
        kept = [
            one
            for one in zip(self.numbers, self.positions, self.contents(), strict=True)
            if one[1] not in leave_out
        ]
        ends = array("Q")
        end = start - 1
        for _, _, content in kept:
            end += len(content) + 1
            ends.append(end)
        entries = b",".join([content for _, _, content in kept])
        return Packed(
            b"".join((envelope.head, entries, envelope.tail)),
            envelope,
            array("q", [row for row, _, _ in kept]),
            array("Q", [position for _, position, _ in kept]),
            ends,
        )


def plain(one: FaultyRow) -> tuple[str, int, list[tuple[str, str, str]], dict[str, object]]:
    """Give a rejected row as JSON can hold it, once :func:`.as_text` has its values."""
    kind = "refused" if isinstance(one, Refused) else "rejected"
    row = {str(name): value for name, value in one.source_row.items()}
    faults = [(fault.field, fault.rule, fault.given) for fault in one.faults]
    return kind, one.row, faults, row


def rejected_of(known: Sequence[Any], *, before: int) -> Rejected:
    """Give a rejected row back.

    :param before: how many rows the partitions before have.
    """
    kind, row, faults, source_row = known
    return _KINDS[kind](row + before, tuple(Fault(*one) for one in faults), source_row)
