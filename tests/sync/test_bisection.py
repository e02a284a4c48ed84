"""Whatever is bad in a chunk is found, and whatever is good gets through, once and in order."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.sync.senders import Reply, bisection


def bisected(
    count: int, fits: Callable[[int, int], bool], answer: Callable[[int, int], Reply]
) -> list[tuple[int, int, Reply]]:
    """Return each part that was sent, and the reply to it."""
    parts = bisection(0, count, fits)
    sent = []
    part = next(parts, None)
    while part is not None:
        reply = answer(*part)
        sent.append((*part, reply))
        try:
            part = parts.send(reply)
        except StopIteration:
            part = None
    return sent


@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_all_good_get_through_in_order_and_all_bad_are_found(
    records: list[tuple[int, bool]], own_limit: int, services_limit: int
) -> None:
    def size(first: int, end: int) -> int:
        return sum(size for size, _ in records[first:end]) + end - first - 1

    def answer(first: int, end: int) -> Reply:
        assert end - first == 1 or size(first, end) <= own_limit
        if size(first, end) > services_limit:
            return Reply.TOO_LARGE
        is_bad = any(bad for _, bad in records[first:end])
        return Reply.REFUSED if is_bad else Reply.ACCEPTED

    sent = bisected(len(records), lambda first, end: size(first, end) <= own_limit, answer)

    bad = [n for n, (size, bad) in enumerate(records) if bad or size > services_limit]
    accepted = [range(first, end) for first, end, reply in sent if reply is Reply.ACCEPTED]
    refused = [
        first for first, end, reply in sent if end - first == 1 and reply is not Reply.ACCEPTED
    ]
    assert refused == bad
    assert [n for part in accepted for n in part] == [
        n for n in range(len(records)) if n not in bad
    ]


@given(st.integers(1, 3000), st.data())
def test_one_bad_record_costs_few_requests(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, count - 1))

    def answer(first: int, end: int) -> Reply:
        return Reply.REFUSED if first <= bad < end else Reply.ACCEPTED

    sent = bisected(count, lambda first, end: True, answer)  # noqa: ARG005 - all fits
    assert len(sent) <= 2 * log2(count) + 2


def test_a_half_of_what_was_too_large_may_be_good_though_the_other_was() -> None:
    sent = bisected(
        8,
        lambda _, __: True,
        lambda first, end: Reply.TOO_LARGE if end - first > 4 else Reply.ACCEPTED,
    )
    assert [(first, end) for first, end, _ in sent] == [(0, 8), (0, 4), (4, 8)]
