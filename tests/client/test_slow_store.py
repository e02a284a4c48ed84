"""A shared store that takes its time makes no profile older than the time to live."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from personaclick_async import CachePolicy, PersonaClick
from personaclick_async.cache import CacheStats, Stored
from personaclick_async.emulator import Emulator
from personaclick_async.models import Identity
from tests.conftest import MakeClient

TTL = 10.0


@attrs.define
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@attrs.define
class SlowStore:
    """Keeps profiles in a dict; each exchange takes seconds of the client's clock."""

    clock: Clock
    read_takes: float = 0.0
    keep_takes: float = 0.0
    memory_ttl: float = 2.0
    kept: dict[Identity, tuple[bytes, float]] = attrs.field(factory=dict)
    reads: int = 0

    def open(self, shop_id: str, stats: CacheStats) -> None:
        pass

    async def read(self, key: Identity, *, max_age: float) -> Stored | None:
        self.reads += 1
        body, asked_at = self.kept.get(key, (b"", 0.0))
        age = self.clock.now - asked_at
        self.clock.now += self.read_takes
        if body and age < max_age:
            return Stored(body, age)
        return Stored(permit=str(self.clock.now))

    async def keep(self, key: Identity, permit: str, body: bytes, *, ttl: float) -> bool:
        self.kept[key] = body, float(permit)
        self.clock.now += self.keep_takes
        return True

    async def forget(self, keys: Sequence[Identity]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    def forget_all(self) -> None:
        self.kept.clear()

    def start_over_after_fork(self) -> None:
        pass

    async def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> SlowStore:
    return SlowStore(clock)


@pytest.fixture
def client(make_client: MakeClient, clock: Clock, store: SlowStore) -> PersonaClick:
    return make_client(store=store, clock=clock, cache=CachePolicy(ttl=TTL))


async def test_the_time_that_a_read_of_the_store_takes_counts(
    client: PersonaClick, emulator: Emulator, clock: Clock, store: SlowStore
) -> None:
    user = client.user(did="device0001")
    await user.profile.get()
    asked = len(emulator.requests_to("/profile"))
    clock.now += 7
    store.read_takes = 2.5
    await user.profile.get()
    assert len(emulator.requests_to("/profile")) == asked  # 9.5 seconds old: fresh

    clock.now += 0.1
    store.read_takes = 1.0
    await user.profile.get()
    assert len(emulator.requests_to("/profile")) == asked + 1  # past 10 when it arrived


@pytest.mark.parametrize(("keep_takes", "from_memory"), [(1.0, True), (8.5, False)])
async def test_a_slow_keep_shortens_the_time_in_memory(
    client: PersonaClick, clock: Clock, store: SlowStore, keep_takes: float, *, from_memory: bool
) -> None:
    store.keep_takes = keep_takes
    user = client.user(did="device0001")
    await user.profile.get()
    before = store.reads
    clock.now += 1.9
    await user.profile.get()
    assert (store.reads == before) == from_memory


async def test_what_the_store_had_leaves_memory_before_it_is_too_old(
    client: PersonaClick, make_client: MakeClient, clock: Clock
) -> None:
    user = client.user(did="device0001")
    await user.profile.get()
    clock.now += 8.5
    await user.profile.get()  # 8.5 seconds old, from the store
    await make_client().user(did="device0001").profile.set(custom={"colour": "blue"})
    clock.now += 1.6
    assert (await user.profile.get()).custom_properties["colour"] == "blue"
