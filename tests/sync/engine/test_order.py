"""Records of one person go one after the other, whatever ends first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.sync.order import Lanes

persons = st.frozensets(st.integers(0, 5), max_size=3)


class Work:
    def __init__(self, number: int, persons: frozenset[int]) -> None:
        self.number = number
        self.persons = persons


@given(st.lists(persons, max_size=40), st.randoms(use_true_random=False))
def test_nobody_is_in_flight_twice_and_nobody_is_overtaken(
    lanes_of: list[frozenset[int]], chance: object
) -> None:
    lanes: Lanes[Work] = Lanes()
    begun: list[Work] = []
    ended: list[Work] = []
    coming = [Work(number, who) for number, who in enumerate(lanes_of)]
    while coming or begun:
        if coming and (not begun or chance.random() < 0.5):  # type: ignore[attr-defined]
            work = coming.pop(0)
            if lanes.add(work, work.persons):
                begun.append(work)
        else:
            work = begun.pop(chance.randrange(len(begun)))  # type: ignore[attr-defined]
            ended.append(work)
            begun += lanes.done(work)
        for one in begun:
            assert not any(one.persons & other.persons for other in begun if other is not one)

    assert len(lanes) == 0
    assert len(ended) == len(lanes_of)
    for person in range(6):
        numbers = [work.number for work in ended if person in work.persons]
        assert numbers == sorted(numbers)


def test_strangers_do_not_wait_for_each_other() -> None:
    lanes: Lanes[str] = Lanes()
    assert lanes.add("ada", [1])
    assert lanes.add("bob", [2])


def test_who_shares_anything_with_two_waits_for_both() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.add("ada", ["ada@shop.example"])
    lanes.add("bob", ["+7999"])
    assert not lanes.add("both", ["ada@shop.example", "+7999"])
    assert lanes.done("ada") == []
    assert lanes.done("bob") == ["both"]
