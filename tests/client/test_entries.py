"""Who stays in a cache that is full."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import CachePolicy
from personaclick_async.emulator import Emulator
from personaclick_async.entries import Entries
from tests.conftest import MakeClient


@attrs.define
class Kept:
    until: float = 100.0
    is_wanted: bool = False

    def folded(self, until: float) -> Kept:
        return Kept(until)

    def fold(self) -> None:
        self.is_wanted = False


def entries(most: int) -> Entries[Kept]:
    return Entries(most, lambda: 50.0)


def test_the_oldest_go_several_at_a_time() -> None:
    kept = entries(128)
    for number in range(129):
        kept[number] = Kept()
    assert list(kept) == list(range(3, 129))


def test_what_is_wanted_and_fresh_stays_for_another_round() -> None:
    kept = entries(128)
    kept[0] = Kept(is_wanted=True)
    kept[1] = Kept(is_wanted=True, until=50.0)
    for number in range(2, 129):
        kept[number] = Kept()
    assert list(kept) == [*range(3, 128), 0, 128]
    assert not kept[0].is_wanted


@pytest.mark.parametrize("most", [1, 2, 128])
def test_where_all_are_wanted_the_oldest_goes(most: int) -> None:
    kept = entries(most)
    for number in range(most):
        kept[number] = Kept(is_wanted=True)
    kept["new"] = Kept()
    assert 0 not in kept
    assert "new" in kept
    assert len(kept) == most


def test_there_is_nothing_to_take_out_of_no_entries() -> None:
    kept = entries(3)
    with pytest.raises(KeyError, match="no entries"):
        kept.popitem()
    kept["one"] = Kept(is_wanted=True)
    assert kept.popitem()[0] == "one"
    kept["two"] = Kept()
    kept.clear()
    assert len(kept) == 0


@given(
    most=st.integers(1, 200),
    coming=st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=400),
)
def test_there_are_never_too_many_and_the_newest_is_there(
    most: int, coming: list[tuple[int, bool]]
) -> None:
    kept = entries(most)
    for key, is_wanted in coming:
        kept[key] = Kept(is_wanted=is_wanted)
        assert key in kept
        assert len(kept) <= most


async def test_a_user_who_is_asked_for_again_outlives_those_who_are_not(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(cache=CachePolicy(max_entries=128))
    ada = client.user(did="adasdevice")
    await ada.profile.set(custom={"colour": "red"})
    await ada.profile.get()
    await ada.profile.get()
    for number in range(128):
        await client.user(did=f"device{number:04}").profile.get()
    before = len(emulator.requests_to("/profile"))

    assert (await ada.profile.get()).custom_properties == {"colour": "red"}
    assert len(emulator.requests_to("/profile")) == before
    await client.user(did="device0000").profile.get()
    assert len(emulator.requests_to("/profile")) == before + 1
