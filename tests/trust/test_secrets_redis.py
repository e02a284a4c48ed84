"""A shared cache holds profiles, as it says; its keys and messages name nobody."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.integrations.redis import RedisStore
from tests.integrations.redis.conftest import RedisServer, redis_server
from tests.trust.canaries import BY_IDENTIFIER, CANARIES, UPDATE, found_in
from tests.trust.test_secrets_logs import Everything, a_client, logged

__all__ = ["logged", "redis_server"]


async def test_keys_are_digests_and_profiles_end(
    redis_server: RedisServer, logged: Everything
) -> None:
    with (
        Redis(port=redis_server.port) as watching,
        Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop,
    ):
        store = RedisStore(redis_server.url, timeout=1.0)
        async with a_client(shop.url, store=store) as client:
            device = client.user(did=CANARIES["did"], seance=CANARIES["seance"])
            await device.profile.set(**UPDATE)
            await device.profile.get()
            for kind in BY_IDENTIFIER:
                await client.user(**{kind: CANARIES[kind]}).profile.get()
            redis_server.hang()
            await client.user(email=CANARIES["email"]).profile.set(first_name="Ada")
            redis_server.go_on()
            await device.profile.get(force=True)
            await asyncio.sleep(0.1)
            keys = list(watching.scan_iter("*"))
            ends = {key: watching.pttl(key) for key in keys if b":profile:" in key}
            held = b"".join(watching.get(key) or b"" for key in ends)

    assert len(ends) >= 4
    assert all(0 < time <= 300_000 for time in ends.values())
    assert found_in(b"\n".join(keys)) == []
    assert found_in(repr(store)) == []
    # By design: guard the server as you guard a database. The secret is never there.
    assert "custom" in found_in(held)
    assert "shop_secret" not in found_in(held)
    assert "personaclick_async" in logged.loggers
    assert found_in("\n".join(logged.lines)) == []


async def test_a_server_that_is_away_or_refuses_us_is_not_named(
    redis_server: RedisServer, logged: Everything, unused_tcp_port: int
) -> None:
    password = CANARIES["loyalty_id"]
    urls = [
        f"redis://:{password}@127.0.0.1:{unused_tcp_port}/0",
        f"redis://{password}:{password}@127.0.0.1:{redis_server.port}/0",
    ]
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        for url in urls:
            store = RedisStore(url)
            async with a_client(shop.url, store=store) as client:
                await client.user(did=CANARIES["did"]).profile.set(**UPDATE)
                await client.user(did=CANARIES["did"]).profile.get()

    assert any("the shared profile cache is away" in line for line in logged.lines)
    assert found_in("\n".join(logged.lines)) == []


@pytest.mark.parametrize("url", [f"http://:{CANARIES['loyalty_id']}@host", CANARIES["email"]])
def test_an_address_that_is_none_is_not_shown(url: str) -> None:
    with pytest.raises(Exception, match="url") as caught:
        RedisStore(url)
    assert found_in(repr(caught.value)) == []
