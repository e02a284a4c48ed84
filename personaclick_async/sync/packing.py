"""Bulk bodies, counted in bytes. Plain functions and classes that a thread can run."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate, islice
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.names import EXTERNAL_ID
from personaclick_async.sync.bisection import Part
from personaclick_async.sync.chunks import Chunk, ContentDigest, check_same
from personaclick_async.sync.options import Route
from personaclick_async.sync.records import Outcome, Record, Rejected, has_identifier
from personaclick_async.sync.routes import IDENTIFIERS_OF, admit, rejected

_COMMA: Final = b","


@attrs.frozen
class Encoded:
    """Rows that were admitted to a route, each with what it is as JSON (nothing if rejected)."""

    outcomes: list[Outcome]
    contents: list[bytes]

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """Put parts together."""
        return cls(
            [outcome for part in parts for outcome in part.outcomes],
            [content for part in parts for content in part.contents],
        )

    def __len__(self) -> int:
        return len(self.outcomes)

    def __getitem__(self, which: slice) -> Encoded:
        return Encoded(self.outcomes[which], self.contents[which])


def encode(outcomes: Sequence[Outcome], route: Route, largest: int) -> Encoded:
    """Admit rows to a route and encode them.

    :param largest: the bytes that one record may have.
    """
    admitted: list[Outcome] = []
    contents: list[bytes] = []
    kinds = IDENTIFIERS_OF[route]
    for one in outcomes:
        outcome = one
        content = b""
        if isinstance(one, Record):
            wire = one.wire
            if route is Route.BULK and isinstance(wire.get(EXTERNAL_ID), int):
                # import/audience documents a text (protocol, section 2.9).
                wire = {**wire, EXTERNAL_ID: str(wire[EXTERNAL_ID])}
            try:
                content = codec.encode(wire)
            except (TypeError, ValueError, OverflowError, RecursionError):
                outcome = rejected(one, "record", "values that JSON knows", "others")
            if len(content) > largest:
                size = f"{len(content)} bytes"
                outcome = rejected(one, "record", f"at most {largest} bytes in all", size)
            # Which of them the route does not take shows in the bytes sooner than in the fields.
            if not content or b"null" in content or not has_identifier(one.wire, kinds):
                unfit = admit(one, route)
                outcome = outcome if unfit is one else unfit
            if outcome is not one:
                content = b""
        admitted.append(outcome)
        contents.append(content)
    return Encoded(admitted, contents)


@attrs.frozen
class Envelope:
    """What stands before and after the records in a body."""

    head: bytes
    tail: bytes

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.head) + len(self.tail)


@attrs.frozen(eq=False, repr=False)
class Packed:
    """A chunk's body, and where in it each record lies.

    :ivar rows: the records' row numbers.
    :ivar positions: their positions in the chunk.
    :ivar ends: where each ends in the body.
    """

    body: bytes
    envelope: Envelope
    rows: array[int]
    positions: array[int]
    ends: array[int]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, part: Part, begin: int, end: int) -> bytes:
        """Give the body for some of the records, which lie from ``begin`` to ``end``."""
        if len(part) == len(self):
            return self.body
        return b"".join((self.envelope.head, memoryview(self.body)[begin:end], self.envelope.tail))

    def record(self, begin: int, end: int) -> dict[str, Json]:
        """Give the record that lies there."""
        fields: dict[str, Json] = codec.decode(self.body[begin:end])
        return fields


class Filling:
    """A chunk on its way to a body.

    :ivar rejected: its rows that can't be sent.
    :ivar unchanged: the row numbers of its records that need not be.
    :ivar aside: the positions of both.
    """

    def __init__(self, chunk: Chunk, envelope: Envelope, salt: bytes | None) -> None:
        self.chunk = chunk
        self.rows = 0
        self.last_row = 0
        self.rejected: list[Rejected] = []
        self.unchanged: list[int] = []
        self.aside: list[int] = []
        self._envelope = envelope
        self._digest = ContentDigest(salt)
        # A BytesIO gives its bytes away without a copy, which a bytearray can't.
        self._buffer = BytesIO()
        self._end = self._buffer.write(envelope.head)
        self._needed = envelope.size
        self._numbers = array("q")
        self._positions = array("Q")
        self._ends = array("Q")

    def fitting(self, contents: Sequence[bytes], most: int) -> int:
        """Say how many of the next records still fit into a body of ``most`` bytes.

        Unchanged ones count as if they were sent, so that a chunk's rows do not depend on what
        was delivered before.
        """
        needed = self._needed
        for count, content in enumerate(contents):
            needed += len(content) + 1
            if needed > most + 1:
                return count
        return len(contents)

    def add(self, encoded: Encoded, unchanged: frozenset[int]) -> int:
        """Add the next rows, but not those that are settled; gives how many were not.

        :param unchanged: positions of records that are not to be sent.
        """
        numbers = [outcome.row for outcome in encoded.outcomes]
        going: Sequence[int] = range(len(encoded))
        contents = encoded.contents
        before = len(self.aside)
        if self.chunk.settled.count or unchanged or b"" in contents:
            going = self._sorted_out(encoded, unchanged)
            contents = [contents[index] for index in going]
        if contents:
            comma = _COMMA if self._ends else b""
            self._buffer.write(comma + _COMMA.join(contents))
            begin = self._end + len(comma) - 1
            sizes = (len(content) + 1 for content in contents)
            self._ends.extend(islice(accumulate(sizes, initial=begin), 1, None))
            self._end = self._ends[-1]
            self._numbers.extend([numbers[index] for index in going])
            self._positions.extend([self.rows + index for index in going])
        self._digest.add(numbers, encoded.contents)
        self._needed += sum(map(len, encoded.contents)) + len(encoded)
        self.rows += len(encoded)
        self.last_row = numbers[-1]
        return len(contents) + len(self.aside) - before

    def _sorted_out(self, encoded: Encoded, unchanged: frozenset[int]) -> list[int]:
        """Put aside what is not to be sent; gives the indexes of the rest."""
        settled = self.chunk.settled
        going: list[int] = []
        for index, outcome in enumerate(encoded.outcomes):
            position = self.rows + index
            if position in settled:
                continue
            if isinstance(outcome, Rejected):
                self.rejected.append(outcome)
                self.aside.append(position)
            elif position in unchanged:
                self.unchanged.append(outcome.row)
                self.aside.append(position)
            else:
                going.append(index)
        return going

    def seal(self) -> Packed:
        """End the chunk and give its body.

        :raises SyncRefused: it is the chunk of an earlier run, and its rows have changed.
        """
        digest = self._digest.digest()
        if self.chunk.digest:
            check_same(self.chunk, self.rows, digest)
        self.chunk.last_row = self.last_row
        self.chunk.rows = self.rows
        self.chunk.digest = digest
        self._buffer.write(self._envelope.tail)
        body = self._buffer.getvalue()
        self._buffer.close()
        return Packed(body, self._envelope, self._numbers, self._positions, self._ends)
