"""Whatever is bad in a chunk is found, and whatever is good gets through, once and in order."""

from __future__ import annotations

from itertools import accumulate
from math import log2

from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.sync.bulk_sender import Bisection


def ends_of(sizes: list[int], start: int) -> list[int]:
    return [start + end + index for index, end in enumerate(accumulate(sizes))]


@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=60),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_all_good_get_through_in_order_and_all_bad_are_found(
    records: list[tuple[int, bool]], own_limit: int, services_limit: int
) -> None:
    sizes = [size for size, _ in records]
    bisection = Bisection(ends_of(sizes, 7), start=7, most=own_limit)
    accepted: list[int] = []
    found: list[int] = []
    while (part := bisection.next()) is not None:
        assert bisection.size(part) == sum(sizes[part.first : part.end]) + len(part) - 1
        assert len(part) == 1 or bisection.size(part) <= own_limit
        if bisection.size(part) > services_limit:
            alone = bisection.too_large()
        elif any(bad for _, bad in records[part.first : part.end]):
            alone = bisection.refused()
        else:
            bisection.accepted()
            accepted += range(part.first, part.end)
            continue
        if alone is not None:
            found.append(alone)

    bad = [n for n, (size, bad) in enumerate(records) if bad or size > services_limit]
    assert found == bad
    assert accepted == [n for n in range(len(records)) if n not in bad]


@given(st.integers(1, 3000), st.data())
def test_one_bad_record_costs_few_requests(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, count - 1))
    bisection = Bisection(ends_of([1] * count, 0), start=0, most=10**9)
    requests = 0
    while (part := bisection.next()) is not None:
        requests += 1
        if part.first <= bad < part.end:
            bisection.refused()
        else:
            bisection.accepted()

    assert requests <= 2 * log2(count) + 2


def test_what_the_service_found_too_large_is_not_tried_again() -> None:
    bisection = Bisection(ends_of([10] * 8, 0), start=0, most=1000)
    assert bisection.next()
    bisection.too_large()
    sizes = []
    while (part := bisection.next()) is not None:
        sizes.append(bisection.size(part))
        bisection.accepted()

    assert sizes == [43, 43] or max(sizes) <= 43
    assert bisection.most == 43
