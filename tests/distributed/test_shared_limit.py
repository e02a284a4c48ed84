"""One limit for several processes: with a real Redis, never more than the service allows."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import shutil
import sys
from asyncio.subprocess import PIPE

import pytest

from personaclick_async import RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations.shared_limit import LimitFailed, SharedLimit
from personaclick_async.sync import SyncOptions, SyncStopped
from tests.distributed.conftest import MakeEmulator, Site
from tests.sync.support import IMPORT, most_in_a_window, people, source_of, stored

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed"
)


async def test_several_processes_together_stay_within_the_limit(
    make_emulator: MakeEmulator, redis: str
) -> None:
    quota = make_emulator(import_limit=20, import_window=1.0)
    asked = json.dumps({"url": quota.url, "redis": redis})
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.distributed.run_limited", asked, str(number)),
            stdout=PIPE,
        )
        for number in (1, 2)
    ]
    said = [json.loads((await one.communicate())[0]) for one in processes]

    assert [one["sent"] for one in said] == [300, 300]
    assert sum(one["retries"] for one in said) == 0
    requests = quota.requests_to(IMPORT)
    assert len(requests) == sum(one["requests"] for one in said) > 30
    assert {request.status for request in requests} == {200}
    assert most_in_a_window(requests, 1.0) <= 20
    quota.drain()
    assert quota.count_profiles() == 600


async def test_without_the_redis_nothing_is_sent(site: Site) -> None:
    limit = SharedLimit(f"unix://{site.folder}/nothing.sock", shop="s")
    with pytest.raises(LimitFailed, match=r"can't be asked \(ConnectionError\)$"):
        await limit.wait_needed()
    options = SyncOptions(limit=limit, patience=0.2, route="bulk")
    with pytest.raises(SyncStopped, match="out of reach: the shared limit can't be asked"):
        await site.client.sync_all(people(10), options=options)
    assert site.emulator.requests == []
    await limit.close()


async def test_a_sync_waits_for_its_turn_and_can_be_stopped_meanwhile(
    site: Site, redis: str
) -> None:
    async with SharedLimit(redis, shop="s", limit=RateLimit(1, 600.0)) as limit:
        assert await limit.wait_needed() == 0.0
        assert await limit.wait_needed() > 1.0
        sync = site.client.sync(
            source_of(people(10)), options=SyncOptions(limit=limit, route="bulk")
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await sync.run()
        assert sync.report.read == 10
    assert site.emulator.requests == []
    assert stored(site.emulator) == {}


async def test_shops_do_not_share_and_a_pickled_limit_is_the_same_limit(redis: str) -> None:
    async with (
        SharedLimit(redis, shop="one", limit=RateLimit(1, 60.0)) as one,
        SharedLimit(redis, shop="two", limit=RateLimit(1, 60.0)) as two,
    ):
        assert await one.wait_needed() == 0.0
        assert await two.wait_needed() == 0.0
        async with pickle.loads(pickle.dumps(one)) as again:
            assert await again.wait_needed() > 0.0


@pytest.mark.filterwarnings("error")
def test_one_limit_serves_event_loops_that_come_and_go(redis: str) -> None:
    limit = SharedLimit(redis, shop="one", limit=RateLimit(2, 60.0))
    asked = [asyncio.run(limit.wait_needed()) for _ in range(3)]
    gc.collect()
    assert asked[:2] == [0.0, 0.0]
    assert asked[2] > 0.0


async def test_the_address_may_come_from_the_environment(
    redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = SharedLimit(shop="one")
    with pytest.raises(ConfigurationError, match="PERSONACLICK_SHARED_LIMIT_URL"):
        await limit.wait_needed()
    monkeypatch.setenv("PERSONACLICK_SHARED_LIMIT_URL", redis)
    async with limit:
        assert await limit.wait_needed() == 0.0
    assert repr(limit) == "<SharedLimit of 40 in 65 s>"
    for headroom in (-1, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="headroom"):
            SharedLimit(shop="one", headroom=headroom)
