"""What the cache promises: freshness, one request for many, no old value after a write."""

from __future__ import annotations

import asyncio
import threading

import pytest

from personaclick_async import CachePolicy, PersonaClick, ServiceUnavailable, TimedOut, User
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def user(client: PersonaClick) -> User:
    """A device whose profile has the property ``colour`` at red, not read yet."""
    user = client.user(did="device0001")
    await user.profile.set(custom={"colour": "red"})
    return user


def reads(emulator: Emulator) -> int:
    return len(emulator.requests_to("/profile"))


async def colour(user: User, *, force: bool = False) -> object:
    return (await user.profile.get(force=force)).custom_properties.get("colour")


async def test_a_second_read_costs_no_request(
    client: PersonaClick, user: User, emulator: Emulator
) -> None:
    first = await user.profile.get()
    second = await client.user(did="device0001").profile.get()

    assert second == first
    assert second is not first
    await user.profile.get()
    assert reads(emulator) == 1
    assert (client.cache_stats.hits, client.cache_stats.misses) == (2, 1)


async def test_force_asks_the_service_and_refreshes_the_entry(
    client: PersonaClick, user: User, emulator: Emulator, make_client: MakeClient
) -> None:
    assert await colour(user) == "red"
    await make_client().user(did="device0001").profile.set(custom={"colour": "blue"})

    assert await colour(user) == "red"
    assert await colour(user, force=True) == "blue"
    assert await colour(user) == "blue"
    assert reads(emulator) == 2


async def test_an_entry_lives_as_long_as_the_policy_says(
    make_client: MakeClient, emulator: Emulator
) -> None:
    clock = Clock()
    user = make_client(cache=CachePolicy(ttl=10), clock=clock).user(did="device0001")
    await user.profile.get()
    clock.seconds += 9.9
    await user.profile.get()
    assert reads(emulator) == 1
    clock.seconds += 0.2
    await user.profile.get()
    assert reads(emulator) == 2


async def test_the_cache_is_bounded(make_client: MakeClient, emulator: Emulator) -> None:
    client = make_client(cache=CachePolicy(max_entries=3))
    for number in range(5):
        await client.user(did=f"device000{number}").profile.get()
    await client.user(did="device0004").profile.get()
    assert reads(emulator) == 5
    await client.user(did="device0000").profile.get()
    assert reads(emulator) == 6


async def test_the_cache_can_be_off(make_client: MakeClient, emulator: Emulator) -> None:
    user = make_client(cache=None).user(did="device0001")
    await user.profile.get()
    await user.profile.get()
    assert reads(emulator) == 2


async def test_users_have_entries_of_their_own(client: PersonaClick, user: User) -> None:
    assert await colour(user) == "red"
    assert await colour(client.user(did="device0002")) is None


async def test_a_set_is_seen_by_the_next_get(user: User) -> None:
    assert await colour(user) == "red"
    await user.profile.set(custom={"colour": "blue"})
    assert await colour(user) == "blue"


async def test_a_set_for_a_device_drops_the_customer_that_it_names(client: PersonaClick) -> None:
    customer = client.user(email="ada@shop.example")
    await customer.profile.set(first_name="Ada")
    assert (await customer.profile.get()).first_name == "Ada"

    await client.user(did="device0002").profile.set(email="ada@shop.example", first_name="Augusta")

    assert (await customer.profile.get()).first_name == "Augusta"


async def test_a_set_that_failed_drops_the_entry_too(
    make_client: MakeClient, emulator: Emulator
) -> None:
    user = make_client().user(did="device0001")
    await user.profile.get()
    with emulator.fault(path="/profile/set", status=503), pytest.raises(ServiceUnavailable):
        await user.profile.set(custom={"colour": "blue"})

    await user.profile.get()

    assert reads(emulator) == 2


async def test_a_set_beats_a_read_in_flight(user: User, emulator: Emulator) -> None:
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(colour(user))
        await held.arrived()
        await user.profile.set(custom={"colour": "blue"})
    assert await read == "red"
    assert await colour(user) == "blue"


async def test_a_get_after_the_set_does_not_join_a_read_from_before(
    user: User, emulator: Emulator
) -> None:
    with emulator.hold("GET", "/profile") as held:
        before = asyncio.create_task(colour(user))
        await held.arrived()
        await user.profile.set(custom={"colour": "blue"})
        after = asyncio.create_task(colour(user))
        await held.arrived(count=2)
    assert (await before, await after) == ("red", "blue")
    assert await colour(user) == "blue"
    assert reads(emulator) == 2


async def test_a_forced_read_does_not_join_one_from_before_and_its_result_stays(
    user: User, emulator: Emulator, make_client: MakeClient
) -> None:
    with emulator.hold("GET", "/profile") as held:
        before = asyncio.create_task(colour(user))
        await held.arrived()
        await make_client().user(did="device0001").profile.set(custom={"colour": "blue"})
        forced = asyncio.create_task(colour(user, force=True))
        await held.arrived(count=2)
    assert (await before, await forced) == ("red", "blue")
    assert await colour(user) == "blue"


async def test_a_thousand_gets_of_a_cold_key_make_one_request(
    client: PersonaClick, user: User, emulator: Emulator
) -> None:
    found = await asyncio.gather(*(colour(user) for _ in range(1000)))

    assert set(found) == {"red"}
    assert reads(emulator) == 1
    assert (client.cache_stats.misses, client.cache_stats.coalesced) == (1, 999)


@pytest.mark.parametrize(("cancelled", "requests"), [(0, 2), (1, 1), (2, 1)])
async def test_one_callers_cancellation_does_not_cancel_the_others(
    client: PersonaClick, user: User, emulator: Emulator, cancelled: int, requests: int
) -> None:
    with emulator.hold("GET", "/profile") as held:
        tasks = [asyncio.create_task(colour(user)) for _ in range(3)]
        await held.arrived()
        left = tasks.pop(cancelled)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
    assert await asyncio.gather(*tasks) == ["red", "red"]
    # The first caller took its own request with it, and the next in line made it again.
    assert reads(emulator) == requests == client.cache_stats.misses


async def test_a_caller_that_retries_does_not_fail_with_one_that_does_not(
    client: PersonaClick, user: User, emulator: Emulator
) -> None:
    impatient = client.with_options(retries=0).user(did="device0001")
    emulator.fault(path="/profile", status=503, times=1)
    with emulator.hold("GET", "/profile") as held:
        callers = [asyncio.create_task(colour(one)) for one in (impatient, user, impatient)]
        await held.arrived()
        counted = client.cache_stats.coalesced
    first, second, third = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(first, ServiceUnavailable)
    assert isinstance(third, ServiceUnavailable)
    assert second == "red"
    assert reads(emulator) == 2
    assert counted <= client.cache_stats.coalesced == 1  # telemetry reports it as a counter


async def test_when_every_caller_is_cancelled_the_read_ends_and_the_next_starts_anew(
    client: PersonaClick, user: User, emulator: Emulator
) -> None:
    with emulator.hold("GET", "/profile") as held:
        tasks = [asyncio.create_task(colour(user)) for _ in range(3)]
        await held.arrived()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert await colour(user) == "red"
    assert reads(emulator) == 2
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_caller_cancelled_before_the_read_began_leaves_nothing_behind(
    user: User, emulator: Emulator
) -> None:
    task = asyncio.create_task(colour(user))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await colour(user) == "red"


async def test_an_error_reaches_every_caller_and_is_not_kept(
    make_client: MakeClient, emulator: Emulator
) -> None:
    user = make_client().with_options(retries=0).user(did="device0001")
    with emulator.fault(path="/profile", status=503):
        failed = await asyncio.gather(
            *(user.profile.get() for _ in range(5)), return_exceptions=True
        )
    assert [type(error) for error in failed] == [ServiceUnavailable] * 5
    assert reads(emulator) == 1

    await user.profile.get()

    assert reads(emulator) == 2


async def test_the_cache_can_be_emptied(client: PersonaClick, user: User) -> None:
    await colour(user)
    client.clear_cache()
    await colour(user)
    assert client.cache_stats.misses == 2


async def test_loops_in_other_threads_share_the_cache(user: User, emulator: Emulator) -> None:
    assert await colour(user) == "red"
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(colour(user))))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert found == ["red"]
    assert reads(emulator) == 1


async def test_a_timeout_bounds_a_read_that_shares_anothers_request(
    client: PersonaClick, user: User, emulator: Emulator
) -> None:
    with emulator.hold("GET", "/profile") as held:
        leader = asyncio.create_task(user.profile.get())
        await held.arrived()
        hasty = client.with_options(timeout=0.05).user(did="device0001")
        with pytest.raises(TimedOut, match="another caller's request"):
            await hasty.profile.get()
        assert not leader.done()
    await leader
    assert len(emulator.requests_to("/profile")) == 1


def test_each_event_loop_makes_one_request_of_its_own(emulator: Emulator) -> None:
    client = PersonaClick(emulator.shop_id, api_url=emulator.url)

    started, joined = threading.Barrier(2), threading.Barrier(3)

    async def read_many() -> list[object]:
        user, found = client.user(did="device0001"), []
        for _ in range(20):
            found.append(asyncio.create_task(user.profile.get()))
            await asyncio.sleep(0)
            started.wait(10)  # in turns with the other loop
        joined.wait(10)
        return await asyncio.gather(*found)

    with emulator.hold("GET", "/profile"):
        threads = [threading.Thread(target=lambda: asyncio.run(read_many())) for _ in range(2)]
        for thread in threads:
            thread.start()
        joined.wait(10)
    for thread in threads:
        thread.join()

    assert (client.cache_stats.misses, client.cache_stats.coalesced) == (2, 38)
    assert reads(emulator) == 2
    asyncio.run(client.close())
