"""Where an interrupted sync goes on: what is done is left out, the rest comes once, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.sync.batch import Chunk
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.reading import cut, in_order
from personaclick_async.sync.records import Outcome, Record


def read(rows: Iterable[int], at_once: int = 10) -> Iterator[list[Outcome]]:
    """Read records, some at a time."""
    records = (Record(row, {"external_id": str(row)}) for row in rows)
    while some := list(islice(records, at_once)):
        yield [*some]


@given(
    st.sets(st.integers(1, 60)),
    st.lists(st.booleans(), max_size=8),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_each_row_that_is_not_done_comes_once(
    rows: set[int], chunks_done: list[bool], chunk_rows: int, at_most: int
) -> None:
    ordered = sorted(rows)
    chunks = [ordered[start : start + chunk_rows] for start in range(0, len(ordered), chunk_rows)][
        : len(chunks_done)
    ]
    held = list(zip(chunks, chunks_done, strict=False))
    left = [
        Chunk(id=number, first_row=chunk[0], last_row=chunk[-1])
        for number, (chunk, done) in enumerate(held)
        if not done
    ]
    done_until = max((chunk[-1] for chunk, _ in held), default=0)
    slices = list(cut(read(ordered, at_most), left, done_until))

    done = {row for chunk, is_done in held if is_done for row in chunk}
    assert [one.row for piece in slices for one in piece.outcomes] == [
        row for row in ordered if row not in done
    ]
    for number, (chunk, is_done) in enumerate(held):
        mine = [piece for piece in slices if piece.chunk and piece.chunk.id == number]
        if is_done:
            assert not mine
        else:
            assert [one.row for piece in mine for one in piece.outcomes] == chunk
            assert [piece.ends_chunk for piece in mine] == [False] * (len(mine) - 1) + [True]


@pytest.mark.parametrize("rows", [[2, 3], [2, 3, 5], [9]], ids=["gone", "skipped", "all gone"])
def test_an_open_chunk_whose_end_is_gone_is_noticed(rows: list[int]) -> None:
    chunk = Chunk(id=1, first_row=2, last_row=4)
    with pytest.raises(SyncRefused, match="rows 2 to 4 have changed"):
        list(cut(read(rows), [chunk], 4))


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(SyncRefused, match="row 3 after row 3"):
        list(in_order(read([3, 3]), 0))
