"""A batch: rows that are packed, journaled and sent together. No I/O; a thread can run it."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate, islice
from mmap import mmap
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.records import Admitted, FaultyRow, Omitted, Rejected
from personaclick_async.sync.report import Result, Tally

_DIGEST_BYTES: Final = 16
_USUAL_ROOM: Final = 33 * 1024 * 1024
"""What a body of the largest usual size takes."""


class Marks:
    """Which positions of a chunk are settled: one bit each."""

    def __init__(self, bits: bytes = b"") -> None:
        self._bits = bytearray(bits)
        self.count = sum(byte.bit_count() for byte in bits)

    def __contains__(self, position: int) -> bool:
        byte, bit = divmod(position, 8)
        return byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)

    def add(self, positions: Iterable[int]) -> None:
        """Mark positions; one that is marked already stays marked."""
        bits = self._bits
        for position in positions:
            byte, bit = divmod(position, 8)
            if byte >= len(bits):
                bits.extend(bytes(byte + 1 - len(bits)))
            if not bits[byte] >> bit & 1:
                bits[byte] |= 1 << bit
                self.count += 1

    def __bytes__(self) -> bytes:
        return bytes(self._bits)


@attrs.define(eq=False)
class Chunk:
    """What the journal knows of a batch.

    :ivar id: its number in the journal.
    :ivar rows: how many rows it has; numbers may be missing between the first and the last.
    :ivar digest: a keyed hash of the rows, by which a changed source is recognised.
    """

    id: int
    first_row: int
    last_row: int = 0
    rows: int = 0
    digest: bytes = b""
    settled: Marks = attrs.field(factory=Marks)

    @property
    def is_done(self) -> bool:
        """Whether every row is settled."""
        return self.settled.count == self.rows

    def changed(self) -> SyncRefused:
        """Return the error for rows that are not what they were."""
        return SyncRefused(
            f"rows {self.first_row} to {self.last_row} have changed since the sync was "
            "interrupted: restore the source to resume, or start again with --restart"
        )


@attrs.frozen(eq=False, kw_only=True)
class Settlement:
    """Rows of one chunk whose outcome is known.

    :ivar positions: theirs in the chunk; of failed ones none, so that the next run tries again.
    :ivar results: one for each row, for the caller who iterates; may be lazy.
    :ivar faulty: what goes to the reject sink.
    """

    chunk: Chunk
    positions: Sequence[int]
    results: Iterable[Result]
    tally: Tally
    faulty: Sequence[FaultyRow] = ()


@attrs.define(eq=False)
class Group:
    """Settlements that become durable with one commit."""

    settlements: list[Settlement] = attrs.field(factory=list)
    done: asyncio.Event = attrs.field(factory=asyncio.Event)
    error: BaseException | None = None

    async def settled(self) -> None:
        """Return once the settlements are durable and counted.

        :raises JournalFailed: that was not possible; none of them counts.
        """
        await self.done.wait()
        if self.error is not None:
            raise self.error


class _Buffer:
    """Bytes written one after the other, outside of the heap.

    There, bodies that grow are copied, and what they leave behind is kept: a fifth more memory.
    """

    def __init__(self) -> None:
        # Memory is only taken where it is written.
        self._memory = mmap(-1, _USUAL_ROOM)

    @property
    def size(self) -> int:
        return self._memory.tell()

    def write(self, content: bytes) -> None:
        needed = self.size + len(content)
        if needed > len(self._memory):
            smaller, self._memory = self._memory, mmap(-1, 2 * needed)
            self._memory.write(smaller[: smaller.tell()])
        self._memory.write(content)

    def view(self) -> memoryview:
        return memoryview(self._memory)[: self.size]


class Batch:
    """A chunk's rows on their way: first filled and sealed, then sent.

    :ivar rejected: its rows that can't be sent.
    :ivar incomplete: what its records are sent without.
    :ivar unchanged: the row numbers of its records that need not be sent.
    :ivar aside: the positions in the chunk of what is rejected or unchanged.
    :ivar rows: the row numbers of the records to send.
    :ivar positions: their positions in the chunk.
    :ivar ends: where each of them ends in ``body``.
    :ivar body: the records, with commas between them, inside the envelope; set by :meth:`seal`.
    :param salt: the journal's key. Without a journal nothing is ever compared, nor hashed.
    :param envelope: what stands before and after the records in a body.
    """

    def __init__(
        self, chunk: Chunk, salt: bytes | None, envelope: tuple[bytes, bytes] = (b"", b"")
    ) -> None:
        self.chunk = chunk
        self.rejected: list[Rejected] = []
        self.incomplete: list[Omitted] = []
        self.unchanged: list[int] = []
        self.aside: list[int] = []
        self.rows = array("q")
        self.positions = array("I")
        self.ends = array("I")
        self.body: bytes | memoryview = b""
        self.total = 0
        self._last_row = 0
        self._head, self._tail = envelope
        self._buffer = _Buffer()
        self._buffer.write(self._head)
        self._needed = len(self._head) + len(self._tail)
        self._hashes = None
        if salt is not None:
            self._hashes = tuple(blake2b(key=salt, digest_size=_DIGEST_BYTES) for _ in range(2))

    def __len__(self) -> int:
        return len(self.rows)

    def fitting(self, rows: Sequence[Admitted], most: int) -> int:
        """Return how many of the next rows still fit into a body of ``most`` bytes.

        Unchanged ones count as if they were sent, so that a chunk's rows do not depend on what
        was delivered before.
        """
        needed = self._needed
        for count, (_, content) in enumerate(rows):
            needed += len(content) + 1
            if needed > most + 1:
                return count
        return len(rows)

    def add(self, rows: Sequence[Admitted], unchanged: frozenset[int]) -> int:
        """Add the next rows; return how many were not settled by an earlier run.

        :param unchanged: positions of records that are not to be sent.
        """
        settled = self.chunk.settled if self.chunk.settled.count else ()
        before = len(self.aside)
        going: list[bytes] = []
        for position, (outcome, content) in enumerate(rows, self.total):
            if position in settled:
                continue
            if isinstance(outcome, Rejected):
                self.rejected.append(outcome)
                self.aside.append(position)
            elif position in unchanged:
                self.unchanged.append(outcome.row)
                self.aside.append(position)
            else:
                going.append(content)
                self.rows.append(outcome.row)
                self.positions.append(position)
                # What an earlier run wrote down with the chunk is not written down again.
                if outcome.omitted and not self.chunk.digest:
                    self.incomplete.append(outcome.omitted)
        if going:
            comma = b"," if self.ends else b""
            begin = self._buffer.size + len(comma) - 1
            self._buffer.write(comma + b",".join(going))
            sizes = (len(content) + 1 for content in going)
            self.ends.extend(islice(accumulate(sizes, initial=begin), 1, None))
        contents = [content for _, content in rows]
        if self._hashes is not None:
            # Independent of the slices in which the rows come.
            content_hash, number_hash = self._hashes
            content_hash.update(b"\n".join(contents) + b"\n")
            number_hash.update(array("q", [outcome.row for outcome, _ in rows]).tobytes())
        self._needed += sum(map(len, contents)) + len(rows)
        self.total += len(rows)
        self._last_row = rows[-1][0].row
        return len(going) + len(self.aside) - before

    def seal(self) -> None:
        """End the batch: give its chunk its extent, and make the body.

        :raises SyncRefused: it is the chunk of an earlier run, and its rows have changed.
        """
        chunk = self.chunk
        digest = b"".join(one.digest() for one in self._hashes or ())
        if chunk.digest and (self.total, digest) != (chunk.rows, chunk.digest):
            raise chunk.changed()
        chunk.last_row, chunk.rows, chunk.digest = self._last_row, self.total, digest
        self._buffer.write(self._tail)
        self.body = self._buffer.view()

    # What senders use

    def size(self, first: int, end: int) -> int:
        """Return the bytes of the records from ``first`` to before ``end``, commas included."""
        return self.ends[end - 1] - self._begin(first)

    def body_of(self, first: int, end: int) -> bytes | memoryview:
        """Return a body with the records from ``first`` to before ``end``."""
        if end - first == len(self):
            return self.body
        records = memoryview(self.body)[self._begin(first) : self.ends[end - 1]]
        return b"".join((self._head, records, self._tail))

    def record(self, index: int) -> dict[str, Json]:
        """Return the fields of a record."""
        fields: dict[str, Json] = codec.decode(self.body[self._begin(index) : self.ends[index]])
        return fields

    def _begin(self, index: int) -> int:
        return self.ends[index - 1] + 1 if index else len(self._head)
