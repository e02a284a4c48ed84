"""A batch: rows that are packed, journaled and sent together. No I/O."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate
from mmap import mmap
from typing import Final, Self, TypeAlias

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.records import Admitted, FaultyRow, Record, Rejected
from personaclick_async.sync.report import Result, Tally, Unchanged

_DIGEST_BYTES: Final = 16
# These are kept as they were read, and do not fill the body.
_MOST_FAULTY: Final = 10_000
_USUAL_ROOM: Final = 33 * 1024 * 1024  # for a body of the largest usual size

Compared: TypeAlias = Admitted | tuple[Unchanged, bytes]
"""A row admitted to its route, or found unchanged."""


@attrs.define(eq=False, on_setattr=attrs.setters.NO_OP)
class Chunk:
    """What the journal knows of a batch."""

    id: int
    first_row: int
    last_row: int = 0
    digest: bytes = b""  # a keyed hash of the rows, by which a changed source is recognised
    settled: bytearray = attrs.field(factory=bytearray, converter=bytearray)  # 1 for a settled row

    @property
    def is_done(self) -> bool:
        """Whether every row is settled."""
        return 0 not in self.settled

    def changed(self) -> SyncRefused:
        """Return the error for rows that are not what they were."""
        return SyncRefused(
            f"rows {self.first_row} to {self.last_row} have changed since the sync was "
            "interrupted: restore the source to resume, or start again with --restart"
        )


@attrs.define(eq=False)
class Settlement:
    """Rows of one chunk whose outcome is known, with what goes to the reject sink."""

    chunk: Chunk
    positions: Sequence[int]  # in the chunk, but for failed rows, which the next run tries again
    results: Iterable[Result]  # one for each row, for the caller who iterates; may be lazy
    tally: Tally
    faulty: Sequence[FaultyRow] = ()


class Batch:
    """A chunk's rows: filled, then sealed, then sent.

    :param salt: the journal's key; None without a journal, and then nothing is hashed.
    :param envelope: what stands before and after the records in a body.
    """

    def __init__(
        self, chunk: Chunk, salt: bytes | None, envelope: tuple[bytes, bytes] = (b"", b"")
    ) -> None:
        self.chunk = chunk
        self.rows = array("q")  # their numbers, by position in the chunk
        self.positions: Sequence[int] = ()  # of the records to send, once it is sealed
        self.unsent: dict[int, Rejected | Unchanged] = {}  # the rows not to be sent, by position
        self.faulty: list[FaultyRow] = []  # rejected rows, and what records are sent without
        self.body = memoryview(b"")  # once sealed: the envelope, and records with commas between
        self._head, self._tail = envelope
        # Offsets in the body: of the byte before the first record, and of what follows each.
        self.ends = array("i", [len(self._head) - 1])
        self._size = sum(map(len, envelope))
        self._hash = blake2b(key=salt, digest_size=_DIGEST_BYTES) if salt else None
        # Takes memory only as it is written. On the heap, growing bodies would be copied, and
        # what they leave behind would cost a fifth more memory.
        self._memory = mmap(-1, _USUAL_ROOM)
        self._write(self._head)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def fitting(self, rows: Sequence[Admitted], most: int) -> int:
        """Return how many of the next rows still fit into a body of ``most`` bytes.

        An empty batch takes at least one, and one with many faulty rows no more. Unchanged rows
        count as if they were sent, so that a chunk's rows do not depend on what was delivered
        before.
        """
        if len(self.faulty) >= _MOST_FAULTY:
            return 0
        sizes = accumulate(len(content) + 1 for _, content in rows)
        return bisect_right(list(sizes), most + 1 - self._size) or int(not self.rows)

    def add(self, rows: Sequence[Compared]) -> None:
        """Add the next rows, of which an earlier run may have settled some.

        :raises SyncRefused: it is the chunk of an earlier run, and has more rows than then.
        """
        settled, first = self.chunk.settled, len(self.rows)
        if settled and first + len(rows) > len(settled):
            raise self.chunk.changed()
        records: list[bytes] = []
        for position, (outcome, content) in enumerate(rows, first):
            if settled and settled[position]:
                continue
            if not isinstance(outcome, Record):
                self.unsent[position] = outcome
                if isinstance(outcome, Rejected):
                    self.faulty.append(outcome)
                continue
            records.append(content)
            # A chunk with a digest is an earlier run's, which has written these already.
            if outcome.omitted and not self.chunk.digest:
                self.faulty.append(outcome.omitted)
        if records:
            self._write(b"," if len(self.ends) > 1 else b"")
            self._write(b",".join(records))
            sizes = [len(content) + 1 for content in records]
            self.ends.extend(accumulate(sizes, initial=self.ends.pop()))
        contents = [content for _, content in rows]
        self._size += sum(map(len, contents)) + len(rows)
        if self._hash is not None:
            # Independent of the slices in which the rows come.
            self._hash.update(b"\n".join(contents) + b"\n")
        self.rows.extend([outcome.row for outcome, _ in rows])

    def sealed(self) -> Self:
        """Complete the chunk and the body; return the batch.

        :raises SyncRefused: it is the chunk of an earlier run, and its rows have changed.
        """
        chunk = self.chunk
        chunk.last_row = self.rows[-1]
        if self._hash is not None:
            self._hash.update(self.rows.tobytes())
            if chunk.digest not in (b"", self._hash.digest()):
                raise chunk.changed()
            chunk.digest = self._hash.digest()
            chunk.settled = chunk.settled or bytearray(len(self.rows))
        self.positions = range(len(self.rows))  # takes no memory
        if len(self) < len(self.rows):
            settled = chunk.settled or bytes(len(self.rows))
            left = (at for at, done in enumerate(settled) if not done and at not in self.unsent)
            self.positions = array("I", left)
        self._write(self._tail)
        self.body = memoryview(self._memory)[: self._memory.tell()]
        return self

    def _write(self, content: bytes) -> None:
        needed = self._memory.tell() + len(content)
        if needed > len(self._memory):
            smaller, self._memory = self._memory, mmap(-1, 2 * needed)
            self._memory.write(smaller[: smaller.tell()])
        self._memory.write(content)

    def settle_unsent(self) -> Settlement:
        """Settle the rows not to be sent. Saving this also makes the chunk durable."""
        rejected = sum(isinstance(one, Rejected) for one in self.faulty)
        tally = {
            "rejected": rejected,
            "unchanged": len(self.unsent) - rejected,
            "incomplete": len(self.faulty) - rejected,
        }
        return Settlement(self.chunk, [*self.unsent], self.unsent.values(), tally, self.faulty)

    def size(self, first: int, end: int) -> int:
        """Return the bytes of a body with the records from ``first`` to before ``end``."""
        return len(self._head) + self.ends[end] - self.ends[first] - 1 + len(self._tail)

    def body_of(self, first: int, end: int) -> bytes | memoryview:
        """Return a body with the records from ``first`` to before ``end``."""
        if end - first == len(self):
            return self.body
        return b"".join((self._head, self._content(first, end), self._tail))

    def record(self, index: int) -> dict[str, Json]:
        """Return the fields of a record."""
        fields: dict[str, Json] = codec.decode(self._content(index, index + 1))
        return fields

    def _content(self, first: int, end: int) -> memoryview:
        return self.body[self.ends[first] + 1 : self.ends[end]]
