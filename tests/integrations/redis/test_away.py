"""No call fails when Redis is away, and what happens meanwhile is made up for."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.redis import RedisStore
from personaclick_async.models.identity import Identity
from tests.conftest import MakeClient
from tests.integrations.redis.conftest import (
    MakePeer,
    RedisServer,
    colour,
    reads,
    turns,
)

# A server that is down refuses at once, whatever the timeout; one that hangs is waited for.
DOWN: dict[str, Any] = {"timeout": 5.0, "rest": 0.05, "memory_ttl": 0}
QUICK: dict[str, Any] = {**DOWN, "timeout": 0.6}
NOT_AGAIN: dict[str, Any] = {**QUICK, "rest": 600}


async def test_down_at_the_start_nothing_fails_and_later_it_is_used(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    redis_server.kill()
    ada, bob = make_peer(settings=DOWN), make_peer(settings=DOWN)
    await ada.user().profile.set(custom={"colour": "red"})
    assert await colour(ada.user()) == await colour(bob.user()) == "red"
    assert reads(emulator) == 2

    redis_server.start()
    await asyncio.sleep(0.1)
    await asyncio.sleep(0.1)

    assert await colour(ada.user()) == "red"
    assert await colour(bob.user()) == "red"
    assert reads(emulator) == 3
    assert bob.stats.shared_hits == 1


async def test_a_server_that_dies_and_comes_back_empty(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada, bob = make_peer(settings=DOWN), make_peer(settings=DOWN)
    await ada.user().profile.set(custom={"colour": "red"})
    assert await colour(ada.user()) == await colour(bob.user()) == "red"

    redis_server.kill()
    await ada.user().profile.set(custom={"colour": "blue"})
    assert await colour(ada.user()) == "blue"
    assert await colour(bob.user()) == "blue"

    redis_server.start()
    for peer in (ada, bob):
        await asyncio.sleep(0.1)
        assert await colour(peer.user()) == "blue"
    assert bob.stats.shared_hits == 2

    await colour(bob.user())
    await ada.user().profile.set(custom={"colour": "green"})
    await turns(bob.user(), "green")


async def test_a_server_that_hangs_is_asked_once_and_then_left_alone(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    ada = make_peer(settings=NOT_AGAIN)
    await colour(ada.user())
    redis_server.hang()
    for number in range(20):
        await colour(ada.user(f"device1{number:03}"))
    redis_server.go_on()
    assert reads(emulator) == 21
    assert ada.stats.store_failures == 1


async def test_a_crowd_at_a_server_that_hangs_goes_to_the_service(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    ada = make_peer(settings=NOT_AGAIN)
    await colour(ada.user())
    redis_server.hang()
    users = [ada.user(f"device1{number:03}") for number in range(300)]
    await asyncio.gather(*(colour(user) for user in users))
    redis_server.go_on()
    assert reads(emulator) == 301
    assert ada.stats.store_failures >= 1


async def test_a_write_that_redis_was_not_told_is_told_before_it_is_read_again(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada = make_peer(settings=QUICK)
    await ada.user().profile.set(custom={"colour": "red"})
    assert await colour(ada.user()) == "red"

    redis_server.hang()
    await ada.user().profile.set(custom={"colour": "blue"})
    assert await colour(ada.user()) == "blue"
    redis_server.go_on()

    # From here on Redis has the old profile until it is told.
    for _ in range(20):
        assert await colour(ada.user()) == "blue"
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    assert await colour(ada.user()) == "blue"
    assert await colour(make_peer().user()) == "blue"


async def test_a_read_from_before_the_outage_is_not_kept_after_a_write_in_it(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    ada, bob = make_peer(settings=QUICK), make_peer(settings=QUICK)
    with emulator.hold("GET", "/profile") as held:
        old = [asyncio.create_task(colour(peer.user())) for peer in (ada, bob)]
        await held.arrived(count=2)
        redis_server.hang()
        await ada.user().profile.set(custom={"colour": "blue"})
        redis_server.go_on()
        await asyncio.sleep(0.1)
    assert await asyncio.gather(*old) == [None, None]
    for peer in (make_peer(), ada, bob):
        assert await colour(peer.user()) == "blue"


async def test_a_permit_that_a_restart_has_lost_keeps_nothing(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    ada, bob = make_peer(settings=QUICK), make_peer(settings=QUICK)
    with emulator.hold("GET", "/profile") as held:
        old = asyncio.create_task(colour(bob.user()))
        await held.arrived()
        await ada.user().profile.set(custom={"colour": "blue"})
        redis_server.kill()
        redis_server.start()
    assert await old is None
    await asyncio.sleep(0.1)
    assert await colour(make_peer().user()) == "blue"


async def test_beyond_a_bound_everything_is_dropped(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada, bob = make_peer(settings=QUICK), make_peer(settings=QUICK)
    await ada.user().profile.set(custom={"colour": "red"})
    await colour(ada.user())
    await colour(bob.user())

    redis_server.hang()
    await ada.user().profile.set(custom={"colour": "blue"})
    await ada.store.forget([Identity("did", f"{number:032x}") for number in range(10_001)])
    assert await colour(ada.user()) == "blue"
    redis_server.go_on()
    await asyncio.sleep(0.1)

    assert await colour(ada.user()) == "blue"
    assert await colour(make_peer().user()) == "blue"
    await turns(bob.user(), "blue")


async def test_dropping_all_again_while_redis_is_told_is_told_too(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada = make_peer()
    await colour(ada.user())
    redis_server.hang()
    ada.store.forget_all()
    telling = asyncio.create_task(ada.store.forget([]))
    await asyncio.sleep(0.1)  # the exchange is on its way
    ada.store.forget_all()
    redis_server.go_on()
    await telling

    generations = []
    for _ in range(2):
        generations += redis_server.ask(lambda redis: redis.mget(redis.keys("*:generation")))
        await ada.store.forget([])
    assert generations[0] != generations[1]


async def test_a_set_whose_caller_was_cancelled_is_told_all_the_same(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada = make_peer(settings={**QUICK, "timeout": 5})
    await ada.user().profile.set(custom={"colour": "red"})
    await colour(ada.user())
    redis_server.hang()
    setting = asyncio.create_task(ada.user().profile.set(custom={"colour": "blue"}))
    await asyncio.sleep(0.1)
    setting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setting
    redis_server.go_on()

    assert await colour(ada.user()) == "blue"
    await turns(make_peer(settings={"memory_ttl": 0}).user(), "blue")


async def test_closing_tells_what_is_owed(make_peer: MakePeer, redis_server: RedisServer) -> None:
    ada = make_peer(settings=NOT_AGAIN)
    await ada.user().profile.set(custom={"colour": "red"})
    await colour(ada.user())
    redis_server.hang()
    await ada.user().profile.set(custom={"colour": "blue"})
    redis_server.go_on()

    await ada.client.close()

    assert await colour(make_peer().user()) == "blue"


async def test_closing_while_redis_hangs_ends(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada = make_peer(settings=NOT_AGAIN)
    await colour(ada.user())
    redis_server.hang()
    await ada.user().profile.set(custom={"colour": "blue"})
    async with asyncio.timeout(5):
        await ada.client.close()
        await ada.client.close()
    redis_server.go_on()


async def test_an_outage_is_logged_once_without_addresses(
    make_client: MakeClient, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "personaclick_async")
    url = redis_server.url.replace("redis://", "redis://someone:geheim@")
    store = RedisStore(url, **QUICK)
    user = make_client(store=store).user(email="ada@shop.example")
    await user.profile.set(first_name="Ada")
    await user.profile.get()
    await user.profile.get()

    said = [record.getMessage() for record in caplog.records if "cache" in record.getMessage()]
    assert said == ["the shared profile cache is away (AuthenticationError)"]
    for secret in ("geheim", "someone", str(redis_server.port), "ada@shop.example"):
        assert secret not in caplog.text
        assert secret not in repr(store)


@pytest.mark.parametrize(
    "url", ["http://x:geheim@host", "redis://:geheim@host/?colour=geheim", "", 5]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="redis://") as caught:
        RedisStore(url)
    assert "geheim" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["timeout", "rest", "memory_ttl"])
@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "1"])
def test_settings_that_make_no_sense_are_refused(name: str, value: object) -> None:
    setting: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name):
        RedisStore("redis://localhost", **setting)


async def test_a_store_serves_one_client(make_client: MakeClient) -> None:
    store = RedisStore("redis://localhost")
    make_client(store=store)
    with pytest.raises(ConfigurationError, match="another client"):
        make_client(store=store)
