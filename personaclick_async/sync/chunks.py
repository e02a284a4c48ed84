"""Stretches of a source that are delivered and remembered together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Final, TypeVar

import attrs

from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.records import Outcome

T = TypeVar("T")

_DIGEST_BYTES: Final = 16


class Marks:
    """Which positions of a chunk are settled: one bit each."""

    def __init__(self, bits: bytes = b"") -> None:
        self._bits = bytearray(bits)
        self.count = sum(byte.bit_count() for byte in bits)

    def __contains__(self, position: int) -> bool:
        byte, bit = divmod(position, 8)
        return byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)

    def add(self, positions: Iterable[int]) -> None:
        """Mark positions; one that is marked stays so."""
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


@attrs.define(eq=False, kw_only=True)
class Chunk:
    """A stretch of rows, and which of them are settled.

    :ivar id: its number in the journal.
    :ivar rows: how many rows it has; numbers may be missing between the first and the last.
    :ivar digest: tells whether the source still gives the same, see :class:`ContentDigest`.
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


class ContentDigest:
    """A hash of a chunk's rows that does not depend on the slices in which they came.

    Keyed with a journal's salt: who has the journal alone can't guess content from it. Without a
    salt nobody will compare, and nothing is hashed.
    """

    def __init__(self, salt: bytes | None) -> None:
        self._salted = salt is not None
        self._content = blake2b(key=salt or b"", digest_size=_DIGEST_BYTES)
        self._numbers = blake2b(key=salt or b"", digest_size=_DIGEST_BYTES)

    def add(self, numbers: Iterable[int], contents: list[bytes]) -> None:
        """Add rows: their numbers, and what each would be sent as (nothing if it is rejected)."""
        if self._salted:
            self._numbers.update(array("q", numbers).tobytes())
            self._content.update(b"\n".join(contents) + b"\n")

    def digest(self) -> bytes:
        """Give the hash of all that was added, or nothing."""
        if not self._salted:
            return b""
        return self._content.digest() + self._numbers.digest()


@attrs.frozen
class Slice:
    """Some rows in order, all of one chunk of an earlier run or all new.

    :ivar chunk: the chunk of an earlier run that they belong to.
    :ivar ends_chunk: whether they are that chunk's last.
    """

    outcomes: list[Outcome]
    chunk: Chunk | None = None
    ends_chunk: bool = False


@attrs.frozen
class Plan:
    """What an earlier run has left to do.

    :ivar open_chunks: chunks that are not done, in the order of their rows.
    :ivar done_until: the last row that any chunk held; rows up to it in no open chunk are done.
    """

    open_chunks: tuple[Chunk, ...] = ()
    done_until: int = 0

    @property
    def after_row(self) -> int:
        """The row after which to start reading."""
        if self.open_chunks:
            return self.open_chunks[0].first_row - 1
        return self.done_until


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Give items in lists of ``size``; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def cut(outcomes: Iterator[Outcome], plan: Plan, at_most: int) -> Iterator[Slice]:
    """Cut what a source gives after ``plan.after_row`` into slices of ``at_most`` rows.

    Rows that are done are left out. Reads as it goes.

    :raises SyncRefused: rows don't come in order, or an open chunk's rows are gone.
    """
    row = plan.after_row
    if not plan.open_chunks:
        for new in batches(outcomes, at_most):
            for outcome in new:
                if outcome.row <= row:
                    raise _not_in_order(outcome.row, row)
                row = outcome.row
            yield Slice(new)
        return
    left = list(reversed(plan.open_chunks))
    taken: list[Outcome] = []
    for outcome in outcomes:
        if outcome.row <= row:
            raise _not_in_order(outcome.row, row)
        row = outcome.row
        chunk = left[-1] if left else None
        if chunk is not None and row > chunk.last_row:
            raise _gone(chunk)
        if chunk is not None and row >= chunk.first_row:
            taken.append(outcome)
            if row == chunk.last_row:
                left.pop()
                yield Slice(taken, chunk, ends_chunk=True)
                taken = []
            elif len(taken) >= at_most:
                yield Slice(taken, chunk)
                taken = []
        elif row > plan.done_until:
            taken.append(outcome)
            if len(taken) >= at_most:
                yield Slice(taken)
                taken = []
    if left:
        raise _gone(left[-1])
    if taken:
        yield Slice(taken)


def seal(chunk: Chunk, numbers: list[int], contents: list[bytes], salt: bytes | None) -> None:
    """Give a chunk the extent and digest of its rows; compare those that it has already.

    :raises SyncRefused: they differ.
    """
    digest = ContentDigest(salt)
    digest.add(numbers, contents)
    if chunk.digest:
        check_same(chunk, len(numbers), digest.digest())
    chunk.last_row, chunk.rows, chunk.digest = numbers[-1], len(numbers), digest.digest()


def check_same(chunk: Chunk, rows: int, digest: bytes) -> None:
    """Check that the source gives for a chunk what it gave to the earlier run.

    :raises SyncRefused: it does not.
    """
    if (rows, digest) != (chunk.rows, chunk.digest):
        raise _gone(chunk)


def _not_in_order(row: int, before: int) -> SyncRefused:
    return SyncRefused(f"the source gave row {row} after row {before}")


def _gone(chunk: Chunk) -> SyncRefused:
    return SyncRefused(
        f"rows {chunk.first_row} to {chunk.last_row} are not what they were when the sync was "
        "interrupted: bring the source back as it was, or restart the sync (unfinished='restart')"
    )
