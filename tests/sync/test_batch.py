"""Bodies are counted in bytes, envelope included, and hold each record whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import codec
from personaclick_async.protocol.requests import Shop, audience_envelope
from personaclick_async.sync import Fault, Outcome, Record, Rejected, Route, Unchanged
from personaclick_async.sync.batch import Batch, Chunk, Compared
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.records import Admitted, admitted

SHOP = Shop(shop_id="e0" * 15, secret="5e" * 16)
ENVELOPE = audience_envelope(SHOP, segment_id=5)
ENVELOPE_SIZE = sum(map(len, ENVELOPE))


def record(row: int, name: str = "Ada") -> Record:
    return Record(row, {"external_id": str(row), "first_name": name})


def admit(outcomes: Sequence[Outcome], largest: int = 10**6) -> list[Admitted]:
    return [admitted(outcome, Route.BULK, largest) for outcome in outcomes]


def filled(outcomes: Sequence[Outcome]) -> Batch:
    batch = Batch(Chunk(id=1, first_row=outcomes[0].row), b"salt", ENVELOPE)
    batch.add(admit(outcomes))
    return batch


def audience(body: bytes | memoryview) -> list[dict[str, Any]]:
    said = codec.decode(body)
    assert (said["shop_id"], said["shop_secret"], said["segment_id"]) == ("e0" * 15, "5e" * 16, 5)
    found: list[dict[str, Any]] = said["audience"]
    return found


@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=40),
    st.integers(300, 700),
    st.integers(1, 9),
)
def test_chunks_hold_everything_and_never_a_byte_too_many(
    names: list[str], most: int, at_once: int
) -> None:
    left = admit([record(row, name) for row, name in enumerate(names, 1)], most - ENVELOPE_SIZE)
    packed: list[Batch] = []
    batch = Batch(Chunk(id=1, first_row=1), b"salt", ENVELOPE)
    while left:
        fitting = min(batch.fitting(left, most), at_once)
        if fitting:
            batch.add(left[:fitting])
            left = left[fitting:]
        if not fitting or not left:
            batch.sealed()
            packed.append(batch)
            batch = Batch(Chunk(id=1, first_row=1), b"salt", ENVELOPE)

    assert all(len(one.body) <= most for one in packed)
    assert [entry["first_name"] for one in packed for entry in audience(one.body)] == names
    assert [row for one in packed for row in one.rows] == list(range(1, len(names) + 1))
    # No chunk ends early: the next record would not have fitted.
    for one, following in pairwise(packed):
        first = following.ends[1] - following.ends[0] - 1
        assert len(one.body) + 1 + first > most


def test_a_chunk_of_an_earlier_run_may_be_larger_than_any_body_that_is_usual() -> None:
    rows = [record(row, "x" * 900_000) for row in range(1, 41)]
    packed = filled(rows[:20])
    packed.add(admit(rows[20:]))
    packed.sealed()
    assert len(packed.body) > 40 * 900_000
    assert audience(packed.body) == [row.wire for row in rows]


def test_a_part_is_a_body_of_its_own() -> None:
    packed = filled([record(row) for row in range(1, 5)])
    packed.sealed()
    assert [entry["external_id"] for entry in audience(packed.body_of(1, 3))] == ["2", "3"]
    assert packed.body_of(0, 4) is packed.body
    assert packed.record(1)["external_id"] == "2"


def test_what_is_not_sent_is_set_aside_but_belongs_to_the_chunk() -> None:
    rejected = Rejected(2, (Fault("email", "an e-mail address", "str of 3 characters"),), {})
    rows: list[Outcome] = [record(1), rejected, record(3), record(4)]
    whole = filled([record(1), rejected, record(3), record(4)])
    assert whole.unsent == {1: rejected}
    some = Batch(Chunk(id=1, first_row=1), b"salt", ENVELOPE)
    compared: list[Compared] = [*admit(rows)]
    compared[2] = Unchanged(3), compared[2][1]
    some.add(compared)
    unsent = some.settle_unsent()
    assert list(unsent.positions) == [1, 2]
    assert list(unsent.results) == [rejected, Unchanged(3)]
    assert unsent.faulty == [rejected]
    assert unsent.tally == {"rejected": 1, "unchanged": 1, "incomplete": 0}
    some.sealed()
    assert [some.rows[position] for position in some.positions] == [1, 4]
    whole.sealed()
    assert some.chunk.digest == whole.chunk.digest
    assert (len(some.chunk.settled), some.chunk.last_row) == (4, 4)


def test_settled_rows_are_left_out_of_a_resumed_chunk() -> None:
    first = filled([record(1), record(2), record(3)])
    first.sealed()
    again = Batch(
        Chunk(id=1, first_row=1, digest=first.chunk.digest, settled=bytearray(b"\0\1\0")),
        b"salt",
        ENVELOPE,
    )
    again.add(admit([record(n) for n in (1, 2, 3)]))
    again.sealed()
    assert list(again.rows) == [1, 2, 3]
    assert list(again.positions) == [0, 2]
    assert len(audience(again.body)) == 2


def test_a_record_larger_than_any_body_is_rejected_by_its_size() -> None:
    [(rejected, content)] = admit([record(1, "A" * 1000)], 1000)
    assert content == b""
    assert isinstance(rejected, Rejected)
    assert rejected.rule == "at most 1000 bytes in all"
    assert "A" * 10 not in repr(rejected)


def test_what_json_does_not_know_is_rejected() -> None:
    odd = Record(1, {"external_id": "1", "thing": object()})
    [(rejected, _)] = admit([odd])
    assert isinstance(rejected, Rejected)


@given(
    st.lists(st.tuples(st.integers(1, 2**40), st.text(max_size=20)), min_size=1),
    st.data(),
)
def test_a_digest_does_not_depend_on_the_slices(
    rows: list[tuple[int, str]], data: st.DataObject
) -> None:
    where = data.draw(st.integers(0, len(rows)))
    digests = []
    for parts in ([rows], [rows[:where], rows[where:]]):
        batch = Batch(Chunk(id=1, first_row=1), b"salt")
        for part in filter(None, parts):
            batch.add(admit([record(*one) for one in part]))
        batch.sealed()
        digests.append(batch.chunk.digest)
    assert digests[0] == digests[1]


def test_a_digest_sees_content_numbers_and_salt() -> None:
    def sealed(salt: bytes, row: int, name: str, chunk: Chunk | None = None) -> Chunk:
        batch = Batch(chunk or Chunk(id=1, first_row=1), salt)
        batch.add(admit([record(row, name)]))
        batch.sealed()
        return batch.chunk

    usual = sealed(b"salt", 1, "a").digest
    assert usual == sealed(b"salt", 1, "a").digest
    others = [sealed(b"other", 1, "a"), sealed(b"salt", 2, "a"), sealed(b"salt", 1, "b")]
    assert len({usual, *(one.digest for one in others)}) == 4
    with pytest.raises(SyncRefused):
        sealed(b"salt", 1, "b", sealed(b"salt", 1, "a"))


def test_a_resumed_chunk_with_more_rows_than_it_had_is_noticed() -> None:
    rows = [record(number) for number in range(1, 4)]
    first = filled(rows[:2])
    first.sealed()
    again = Batch(first.chunk, b"salt", ENVELOPE)
    with pytest.raises(SyncRefused, match="rows 1 to 2 have changed"):
        again.add(admit(rows))
