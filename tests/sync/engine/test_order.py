"""Records of one person go one after the other, whatever ends first."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.sync.order import Lanes, Work

persons = st.frozensets(st.integers(0, 5), max_size=3)


@attrs.define(eq=False)
class Piece(Work):
    number: int


def about(*persons: int) -> Piece:
    return Piece(persons, 0)


@given(st.lists(persons, max_size=40), st.randoms(use_true_random=False))
def test_nobody_is_in_flight_twice_and_nobody_is_overtaken(
    lanes_of: list[frozenset[int]], chance: object
) -> None:
    lanes: Lanes[Piece] = Lanes()
    begun: list[Piece] = []
    ended: list[Piece] = []
    coming = [Piece(tuple(who), number) for number, who in enumerate(lanes_of)]
    while coming or begun:
        if coming and (not begun or chance.random() < 0.5):  # type: ignore[attr-defined]
            work = coming.pop(0)
            if lanes.add(work):
                begun.append(work)
        else:
            work = begun.pop(chance.randrange(len(begun)))  # type: ignore[attr-defined]
            ended.append(work)
            begun += lanes.done(work)
        for one in begun:
            assert all(set(one.persons).isdisjoint(o.persons) for o in begun if o is not one)

    assert len(lanes) == 0
    assert len(ended) == len(lanes_of)
    for person in range(6):
        numbers = [work.number for work in ended if person in work.persons]
        assert numbers == sorted(numbers)


def test_strangers_do_not_wait_for_each_other() -> None:
    lanes: Lanes[Piece] = Lanes()
    assert lanes.add(about(1))
    assert lanes.add(about(2))


def test_who_shares_anything_with_two_waits_for_both() -> None:
    lanes: Lanes[Piece] = Lanes()
    ada, bob, both = about(1), about(2), about(1, 2)
    lanes.add(ada)
    lanes.add(bob)
    assert not lanes.add(both)
    assert lanes.done(ada) == []
    assert lanes.done(bob) == [both]


def test_who_is_named_twice_does_not_wait_for_themselves() -> None:
    lanes: Lanes[Piece] = Lanes()
    ada = about(1, 1)
    assert lanes.add(ada)
    after = about(1, 1)
    assert not lanes.add(after)
    assert lanes.done(ada) == [after]
    assert lanes.done(after) == []
    assert len(lanes) == 0
