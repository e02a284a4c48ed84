"""Processes that share a Redis server share what they read, and see each other's writes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest
from redis import Redis

from personaclick_async import CachePolicy, FullProfile, NotFound
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient
from tests.integrations.redis.conftest import MakePeer, Peer, RedisServer, colour, reads, turns


@pytest.fixture
async def ada(make_peer: MakePeer) -> Peer:
    """A peer whose device0001 has a red profile that nobody has read."""
    peer = make_peer()
    await peer.user().profile.set(custom={"colour": "red"})
    return peer


async def test_what_one_has_read_the_other_gets_without_a_request(
    ada: Peer, make_peer: MakePeer, emulator: Emulator
) -> None:
    bob = make_peer()
    first = await ada.user().profile.get()
    second = await bob.user().profile.get()

    assert (second, second.raw) == (first, first.raw)
    assert reads(emulator) == 1
    assert (ada.stats.misses, ada.stats.shared_hits) == (1, 0)
    assert (bob.stats.misses, bob.stats.shared_hits) == (0, 1)


async def test_a_second_read_comes_from_memory(
    make_peer: MakePeer, redis_server: RedisServer
) -> None:
    ada = make_peer(settings={"memory_ttl": 60})
    await ada.user().profile.set(custom={"colour": "red"})
    await colour(ada.user())
    hits = ada.stats.hits
    redis_server.kill()

    assert await colour(ada.user()) == "red"

    assert ada.stats.hits == hits + 1
    assert ada.stats.store_failures == 0


async def test_a_full_profile_is_shared_as_one(
    ada: Peer, make_peer: MakePeer, emulator: Emulator
) -> None:
    await ada.client.user(email="ada@shop.example").profile.set(first_name="Ada")
    read = [
        await peer.client.user(email="ada@shop.example").profile.get()
        for peer in (ada, make_peer())
    ]
    assert [type(profile) for profile in read] == [FullProfile, FullProfile]
    assert read[0] == read[1]
    assert reads(emulator) == 1


async def test_many_reads_of_a_cold_key_are_one_exchange_and_one_request(
    ada: Peer, make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    bob = make_peer()
    for peer in (ada, bob):
        assert set(await asyncio.gather(*(colour(peer.user()) for _ in range(200)))) == {"red"}
    assert reads(emulator) == 1
    assert (bob.stats.shared_hits, bob.stats.coalesced) == (1, 199)
    calls = redis_server.ask(lambda redis: redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    # One read each, one keep; the first of each script is told to the server and asked again.
    assert calls <= 3 + 2


async def test_a_set_reaches_every_process(ada: Peer, make_peer: MakePeer) -> None:
    bob = make_peer()
    for peer in (ada, bob):
        await colour(peer.user())

    await ada.user().profile.set(custom={"colour": "blue"})

    assert await colour(ada.user()) == "blue"
    assert await colour(make_peer().user()) == "blue"
    await turns(bob.user(), "blue")


async def test_a_purge_reaches_every_process(ada: Peer, make_peer: MakePeer) -> None:
    bob = make_peer()
    await ada.client.user(email="ada@shop.example").profile.set(custom={"colour": "red"})
    for peer in (ada, bob):
        await colour(peer.client.user(email="ada@shop.example"))

    await ada.client.user(email="ada@shop.example").profile.purge()

    for peer in (ada, make_peer()):
        with pytest.raises(NotFound):
            await peer.client.user(email="ada@shop.example").profile.get()
    with pytest.raises(NotFound):
        await turns(bob.client.user(email="ada@shop.example"), "never")


async def test_a_write_for_a_device_drops_the_customer_that_it_names_everywhere(
    ada: Peer, make_peer: MakePeer
) -> None:
    customer = ada.client.user(email="ada@shop.example")
    await customer.profile.set(first_name="Ada")
    assert (await customer.profile.get()).first_name == "Ada"

    await ada.user("device0002").profile.set(email="ada@shop.example", first_name="Augusta")

    elsewhere = make_peer().client.user(email="ada@shop.example")
    assert (await elsewhere.profile.get()).first_name == "Augusta"


async def test_a_read_in_flight_elsewhere_does_not_put_the_old_profile_back(
    ada: Peer, make_peer: MakePeer, emulator: Emulator
) -> None:
    bob = make_peer()
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(colour(bob.user()))
        await held.arrived()
        await ada.user().profile.set(custom={"colour": "blue"})
    assert await read == "red"
    assert await colour(make_peer().user()) == "blue"
    assert await colour(ada.user()) == "blue"
    await turns(bob.user(), "blue")


async def test_force_replaces_what_all_have(
    ada: Peer, make_peer: MakePeer, make_client: MakeClient, emulator: Emulator
) -> None:
    bob = make_peer()
    for peer in (ada, bob):
        await colour(peer.user())
    await make_client().user(did="device0001").profile.set(custom={"colour": "blue"})
    assert (await colour(ada.user()), await colour(bob.user())) == ("red", "red")

    assert await colour(ada.user(), force=True) == "blue"

    assert await colour(ada.user()) == "blue"
    await turns(bob.user(), "blue")
    assert await colour(make_peer().user()) == "blue"
    assert reads(emulator) == 2


async def test_an_older_read_elsewhere_does_not_replace_a_forced_one(
    ada: Peer, make_peer: MakePeer, make_client: MakeClient, emulator: Emulator
) -> None:
    bob = make_peer()
    with emulator.hold("GET", "/profile") as held:
        older = asyncio.create_task(colour(bob.user()))
        await held.arrived()
        await make_client().user(did="device0001").profile.set(custom={"colour": "blue"})
        forced = asyncio.create_task(colour(ada.user(), force=True))
        await held.arrived(count=2)
    assert (await older, await forced) == ("red", "blue")

    cleo = make_peer()
    assert await colour(cleo.user()) == "blue"
    assert cleo.stats.shared_hits == 1
    await turns(bob.user(), "blue")


async def test_a_profile_ends_with_its_ttl(
    make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer
) -> None:
    peers = [make_peer(cache=CachePolicy(ttl=0.3)) for _ in range(2)]
    await colour(peers[0].user())
    [left] = redis_server.ask(
        lambda redis: [redis.pttl(key) for key in redis.scan_iter("*:profile:*")]
    )
    assert 0 < left <= 300
    await asyncio.sleep(0.4)
    await colour(peers[1].user())
    assert reads(emulator) == 2
    # Younger in Redis than in memory is as old as in Redis.
    await asyncio.sleep(0.4)
    await colour(peers[1].user())
    assert reads(emulator) == 3


async def test_a_client_with_a_shorter_ttl_does_not_get_older_profiles(
    ada: Peer, make_peer: MakePeer, emulator: Emulator
) -> None:
    await colour(ada.user())
    await asyncio.sleep(0.3)
    hasty = make_peer(cache=CachePolicy(ttl=0.2))
    await colour(hasty.user())
    assert reads(emulator) == 2


async def test_nothing_in_redis_outlives_its_use_and_no_key_names_a_user(
    ada: Peer, emulator: Emulator, redis_server: RedisServer
) -> None:
    who = {"email": "ada@shop.example", "phone": "+15550100", "external_id": "customer-77"}
    for kind, value in who.items():
        user = ada.client.user(**{kind: value})
        await user.profile.set(first_name="Ada")
        await user.profile.get()
    with emulator.fault(path="/profile", status=404), pytest.raises(NotFound):
        await ada.user("device0009").profile.get()

    ttls = redis_server.ask(lambda redis: {key: redis.ttl(key) for key in redis.scan_iter("*")})
    telling = [*who.values(), "device0009", emulator.shop_id, emulator.shop_secret]
    assert not [key for key in ttls for word in telling if word in key]
    kinds = {key: key.split(":")[2] for key in ttls}
    assert set(kinds.values()) == {"generation", "permit", "profile"}
    assert all(0 < ttls[key] <= 3600 for key, kind in kinds.items() if kind != "generation")
    assert all(0 < ttls[key] <= 300 for key, kind in kinds.items() if kind == "profile")


async def test_the_cache_can_be_emptied_for_all(
    make_peer: MakePeer, make_client: MakeClient
) -> None:
    ada, bob = (make_peer() for _ in range(2))
    await ada.user().profile.set(custom={"colour": "red"})
    await colour(ada.user())
    await colour(bob.user())
    await make_client().user(did="device0001").profile.set(custom={"colour": "blue"})

    ada.client.clear_cache()

    assert await colour(ada.user()) == "blue"
    await turns(bob.user(), "blue")


async def test_writes_of_a_client_without_a_cache_drop_what_others_keep(
    ada: Peer, make_peer: MakePeer, emulator: Emulator
) -> None:
    writer = make_peer(cache=None)
    await colour(ada.user())

    await writer.user().profile.set(custom={"colour": "blue"})

    await turns(ada.user(), "blue")
    before = reads(emulator)
    assert await colour(writer.user()) == await colour(writer.user()) == "blue"
    assert reads(emulator) == before + 2


async def test_prefixes_keep_environments_apart(make_peer: MakePeer, emulator: Emulator) -> None:
    for prefix in ("staging", "production"):
        await colour(make_peer(settings={"prefix": prefix}).user())
    assert reads(emulator) == 2


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"{", b"\xff"])
async def test_what_is_not_a_profile_is_replaced(
    ada: Peer, make_peer: MakePeer, emulator: Emulator, redis_server: RedisServer, body: bytes
) -> None:
    await colour(ada.user())

    def damage(redis: Redis) -> None:
        with Redis(port=redis_server.port) as raw:
            for key in raw.scan_iter("*:profile:*"):
                kept = raw.get(key)
                assert isinstance(kept, bytes)
                raw.set(key, b" ".join([*kept.split(b" ", 2)[:2], body]), keepttl=True)

    redis_server.ask(damage)
    assert await colour(make_peer().user()) == "red"
    assert await colour(make_peer().user()) == "red"
    assert reads(emulator) == 2


@pytest.mark.parametrize("kind", ["profile", "permit", "generation"])
async def test_what_is_no_text_fails_no_call(
    ada: Peer, make_peer: MakePeer, redis_server: RedisServer, kind: str
) -> None:
    await colour(ada.user())
    with Redis(port=redis_server.port) as raw:
        for key in raw.scan_iter(f"*:{kind}*"):
            raw.set(key, b"\xff", keepttl=True)
    assert await colour(make_peer().user()) == "red"
    assert await colour(ada.user(), force=True) == "red"


@pytest.mark.parametrize(("kind", "read"), [("profile", 2), ("permit", 1), ("generation", 2)])
async def test_a_key_of_another_type_is_replaced(
    ada: Peer,
    make_peer: MakePeer,
    emulator: Emulator,
    redis_server: RedisServer,
    *,
    kind: str,
    read: int,
) -> None:
    await colour(ada.user())
    redis_server.ask(
        lambda redis: [
            (redis.delete(key), redis.hset(key, "body", "["))
            for key in redis.scan_iter(f"*:{kind}*")
        ]
    )
    assert await colour(make_peer().user()) == "red"
    assert await colour(make_peer().user()) == "red"
    assert reads(emulator) == read
    assert await colour(ada.user(), force=True) == "red"
    assert await colour(make_peer().user()) == "red"
    assert reads(emulator) == read + 1
    assert ada.stats.store_failures == 0


async def test_event_loops_in_other_threads_share_the_store(
    make_peer: MakePeer, ada: Peer, emulator: Emulator
) -> None:
    bob = make_peer()
    found: list[object] = []

    async def read_twice() -> None:
        found.extend([await colour(bob.user()), await colour(bob.user(), force=True)])

    threads = [threading.Thread(target=lambda: asyncio.run(read_twice())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    found.append(await colour(bob.user(), force=True))
    await ada.user().profile.set(custom={"colour": "blue"})
    await turns(bob.user(), "blue")
    assert found == ["red"] * 7
    assert bob.stats.store_failures == 0


async def test_a_real_second_process_shares_and_hears(
    ada: Peer, emulator: Emulator, redis_server: RedisServer
) -> None:
    await colour(ada.user())
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integrations.redis.other_process"),
        *(emulator.shop_id, emulator.url, redis_server.url),
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"red 0\n"

    await ada.user().profile.set(custom={"colour": "blue"})

    assert await other.stdout.readline() == b"set\n"
    await turns(ada.user(), "green")
    assert await other.wait() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_connections_of_its_own(
    emulator: Emulator, redis_server: RedisServer
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.integrations.redis.forking"),
            *(emulator.shop_id, emulator.url, redis_server.url),
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["child", "red", "0", "set", "parent", "blue", "exit", "0"]
