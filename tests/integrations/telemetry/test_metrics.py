"""What clients and syncs do is measured and counted, also by those that are gone."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from personaclick_async import NotFound, PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.opentelemetry import Telemetry
from tests.conftest import MakeClient
from tests.integrations.telemetry.collecting import Backend


def rows(count: int) -> list[Mapping[str, object]]:
    return [{"external_id": str(number), "age": number} for number in range(count)]


async def test_durations_are_measured_by_endpoint_and_outcome(
    client: PersonaClick, backend: Backend
) -> None:
    for number in range(3):
        await client.user(external_id=number).profile.set(age=number)
    with pytest.raises(NotFound):
        await client.user(external_id="nobody").profile.get()

    metric = backend.metrics()["http.client.request.duration"]
    assert metric.unit == "s"
    done, missed = metric.data.data_points
    assert isinstance(done, HistogramDataPoint)
    assert isinstance(missed, HistogramDataPoint)
    assert (done.count, missed.count) == (3, 1)
    assert done.explicit_bounds[0] == 0.005
    assert done.explicit_bounds[-1] == 10
    assert 0 < done.sum < 3
    assert set(done.attributes or {}) == {
        "http.request.method",
        "http.response.status_code",
        "server.address",
        "server.port",
        "url.template",
    }
    assert missed.attributes is not None
    assert missed.attributes["error.type"] == "404"


async def test_calls_retries_and_cache_reads_are_counted(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    user = client.user(external_id=7)
    with emulator.fault(status=503, times=2):
        await user.profile.set(first_name="Ada")
    await user.profile.get()
    await user.profile.get()
    with emulator.hold("GET", "/profile") as held:
        reads = [asyncio.create_task(user.profile.get(force=True))]
        await held.arrived()
        client.clear_cache()
        other = client.user(external_id=7)
        reads += [asyncio.create_task(other.profile.get()) for _ in range(2)]
        await asyncio.sleep(0)
        held.release()
        await asyncio.gather(*reads)

    stats = client.cache_stats
    assert backend.counts("personaclick.calls") == {"": client.transport_stats.calls}
    assert backend.counts("personaclick.retries") == {"": 2}
    assert backend.counts("personaclick.limit.waits") == {"": 0}
    assert stats.coalesced > 0
    assert backend.counts("personaclick.cache.reads") == {
        "cache": 1,
        "store": 0,
        "service": stats.misses,
        "read in flight": stats.coalesced,
    }
    assert backend.counts("personaclick.cache.store_failures") == {"": 0}


async def test_what_a_limit_holds_back_is_counted_in_requests_and_seconds(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    with emulator.fault(status=429, retry_after=1, times=1), pytest.raises(Exception, match="429"):
        await client.with_options(retries=0).user(external_id=7).profile.set(first_name="Ada")
    await client.user(external_id=8).profile.set(first_name="Ada")

    assert backend.counts("personaclick.limit.waits") == {"": 1}
    assert 0.5 < backend.counts("personaclick.limit.wait_time")[""] < 20
    assert backend.metrics()["personaclick.limit.wait_time"].unit == "s"


async def test_records_of_a_sync_are_counted_by_their_result(
    client: PersonaClick, backend: Backend
) -> None:
    for source in (rows(20), [*rows(20), {"external_id": "x", "email": "nobody"}]):
        await backend.telemetry.watch(client.sync(source)).run()

    fates = backend.counts("personaclick.sync.records")

    assert fates == {"sent": 40, "unchanged": 0, "rejected": 1, "failed": 0, "checked": 0}
    assert backend.counts("personaclick.sync.read") == {"": 41}
    gc.collect()
    assert backend.counts("personaclick.sync.records") == fates


async def test_a_sync_is_counted_while_it_runs(client: PersonaClick, backend: Backend) -> None:
    sync = backend.telemetry.watch(client.sync(rows(50)), name="nightly")
    assert backend.counts("personaclick.sync.read") == {"nightly": 0}
    counted = []
    async with sync:
        async for _ in sync:
            report = sync.report
            counts = backend.counts("personaclick.sync.records")
            assert counts["nightly sent"] == report.sent
            counted.append(report.sent)

    assert 0 < counted[0] <= counted[-1] == 50


async def test_clients_are_told_apart_by_the_names_they_were_given(
    make_client: MakeClient, backend: Backend
) -> None:
    for name, calls in (("eu", 1), ("us", 2), ("us", 3)):
        client = backend.telemetry.observe(make_client(), name=name)
        for _ in range(calls):
            await client.user(did="device0001").profile.set(age=7)

    assert backend.counts("personaclick.calls") == {"eu": 1, "us": 5}


async def test_a_client_observed_twice_counts_once(client: PersonaClick, backend: Backend) -> None:
    backend.telemetry.observe(client)
    backend.telemetry.observe(client.with_options(retries=0))
    await client.user(did="device0001").profile.set(age=7)

    assert backend.counts("personaclick.calls") == {"": 1}


async def test_a_closed_client_is_let_go_and_its_counts_stay(
    emulator: Emulator, backend: Backend
) -> None:
    async def use() -> weakref.ref[PersonaClick]:
        async with PersonaClick(
            emulator.shop_id, api_url=emulator.url, hooks=backend.telemetry.hooks
        ) as client:
            await backend.telemetry.observe(client).user(did="device0001").profile.set(age=7)
            await backend.telemetry.watch(client.sync([])).stop()
            return weakref.ref(client)

    for calls in (1, 2, 3):
        gone = await use()
        gc.collect()
        assert gone() is None
        assert backend.counts("personaclick.calls") == {"": calls}


async def test_a_user_who_outlives_the_client_object_still_counts(
    emulator: Emulator, backend: Backend
) -> None:
    client = PersonaClick(emulator.shop_id, api_url=emulator.url)
    view = backend.telemetry.observe(client).with_options(retries=1)
    del client
    gc.collect()
    async with view:
        await view.user(did="device0001").profile.set(age=7)

        assert backend.counts("personaclick.calls") == {"": 1}


async def test_two_of_them_for_one_provider_report_together(
    make_client: MakeClient, backend: Backend
) -> None:
    for telemetry in (backend.telemetry, backend.another_telemetry()):
        client = telemetry.observe(make_client(hooks=telemetry.hooks))
        await client.user(did="device0001").profile.set(age=7)

    assert backend.counts("personaclick.calls") == {"": 2}
    [point] = backend.points("http.client.request.duration")
    assert point.count == 2


ONE_BEFORE_ONE_AFTER = """
import asyncio, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from personaclick_async import PersonaClick
from personaclick_async.integrations.opentelemetry import Telemetry

async def use(telemetry):
    async with PersonaClick("a" * 30, api_url=sys.argv[1], hooks=telemetry.hooks) as client:
        await telemetry.observe(client).user(did="device0001").profile.set(age=7)

reader = InMemoryMetricReader()
early = Telemetry()
metrics.set_meter_provider(provider := MeterProvider([reader]))
for telemetry in (early, Telemetry(), Telemetry(meter_provider=provider)):
    asyncio.run(use(telemetry))
print(reader.get_metrics_data().to_json())
"""


def test_the_applications_own_provider_may_be_set_later(emulator: Emulator) -> None:
    script = ONE_BEFORE_ONE_AFTER.replace('"a" * 30', repr(emulator.shop_id))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, emulator.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    calls = done.stdout.partition('"name": "personaclick.calls"')[2].partition('"name": ')[0]
    assert '"value": 3' in calls


async def test_without_an_sdk_nothing_is_recorded_and_nothing_fails(
    make_client: MakeClient, emulator: Emulator
) -> None:
    telemetry = Telemetry()
    client = telemetry.observe(make_client(hooks=telemetry.hooks))
    await client.user(did="device0001").profile.set(age=7)

    assert "traceparent" not in emulator.requests[0].headers


def test_without_opentelemetry_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import personaclick_async.integrations.opentelemetry"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "personaclick-async[telemetry]" in done.stderr
