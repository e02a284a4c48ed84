"""Every request is a span and a measurement, and nothing in them says who it was about."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from personaclick_async import NotFound, PersonaClick, RetryPolicy, TimedOut
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.opentelemetry import Telemetry

CANARIES = ("canary-device", "canary@shop.example", "Canaryname", "canaryseance")


class Backend:
    """What a collector would see."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        found = self.reader.get_metrics_data()
        assert found is not None
        return [
            point
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def counts(self, name: str) -> dict[str, float]:
        """Give the values of a counter by the value of its one attribute."""
        return {
            "".join(map(str, point.attributes.values())): point.value for point in self.points(name)
        }


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def client(emulator: Emulator, backend: Backend) -> AsyncIterator[PersonaClick]:
    async with PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=RetryPolicy(first_wait=0.01),
        hooks=backend.telemetry.hooks,
    ) as client:
        yield backend.telemetry.observe(client)


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return dict(span.attributes or {})


async def test_each_attempt_is_a_client_span(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    with emulator.fault(status=503, times=1):
        await client.user(external_id=7).profile.set(first_name="Ada")

    first, second = backend.spans
    assert (first.name, first.kind) == ("POST /profile/set", SpanKind.CLIENT)
    host, port = emulator.url.removeprefix("http://").rstrip("/").split(":")
    assert attributes(first) == {
        "http.request.method": "POST",
        "url.full": emulator.url + "profile/set",
        "url.template": "/profile/set",
        "server.address": host,
        "server.port": int(port),
        "http.response.status_code": 503,
        "error.type": "503",
    }
    assert first.status.status_code is StatusCode.ERROR
    assert attributes(second)["http.request.resend_count"] == 1
    assert attributes(second)["http.response.status_code"] == 200
    assert second.status.status_code is StatusCode.UNSET


async def test_the_context_goes_on_to_the_service_and_spans_have_their_parent(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    tracer = backend.tracers.get_tracer("shop")

    async def handle(number: int) -> int:
        with tracer.start_as_current_span(f"request {number}") as outer:
            await client.user(external_id=number).profile.set(age=number)
            return outer.get_span_context().span_id

    outers = await asyncio.gather(*(handle(number) for number in range(1, 30)))

    inner = [span for span in backend.spans if span.kind is SpanKind.CLIENT]
    assert sorted(span.parent.span_id for span in inner if span.parent) == sorted(outers)
    sent = {request.headers["traceparent"].split("-")[2] for request in emulator.requests}
    assert sent == {f"{span.context.span_id:016x}" for span in inner if span.context}


async def test_failures_have_the_class_of_their_error(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    once = client.with_options(retries=0)
    with emulator.fault(delay=5), pytest.raises(TimedOut):
        await once.with_options(timeout=0.05).user(external_id=7).profile.get()
    with pytest.raises(NotFound):
        await once.user(external_id=7).profile.get()
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(once.user(external_id=8).profile.get())
        await held.arrived()
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read

    kinds = [attributes(span)["error.type"] for span in backend.spans]
    assert kinds == ["TimedOut", "404", "cancelled"]
    assert all(not span.events for span in backend.spans)


async def test_durations_are_measured_by_endpoint_and_status(
    client: PersonaClick, backend: Backend
) -> None:
    for number in range(3):
        await client.user(external_id=number).profile.set(age=number)

    [point] = backend.points("http.client.request.duration")
    assert isinstance(point, HistogramDataPoint)
    assert point.count == 3
    assert point.attributes is not None
    assert point.attributes["url.template"] == "/profile/set"
    assert point.attributes["http.response.status_code"] == 200
    assert point.explicit_bounds[0] == 0.005


async def test_calls_retries_waits_and_cache_reads_are_counted(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    user = client.user(external_id=7)
    with emulator.fault(status=503, times=2):
        await user.profile.set(first_name="Ada")
    await user.profile.get()
    await user.profile.get()
    await asyncio.gather(*(user.profile.get(force=number == 0) for number in range(3)))

    assert backend.counts("personaclick.calls") == {"": 3}
    assert backend.counts("personaclick.retries") == {"": 2}
    assert backend.counts("personaclick.limit.waits") == {"": 0}
    assert backend.counts("personaclick.cache.reads") == {
        "cache": 3,
        "store": 0,
        "service": 2,
        "read under way": 0,
    }


async def test_records_of_a_sync_are_counted_by_their_fate(
    client: PersonaClick, backend: Backend
) -> None:
    rows: list[Mapping[str, object]] = [{"external_id": n, "age": n} for n in range(20)]
    for source in (rows, [*rows, {"external_id": "x", "email": "nobody"}]):
        await backend.telemetry.watch(client.sync(source)).run()

    fates = backend.counts("personaclick.sync.records")

    assert fates == {"sent": 40, "unchanged": 0, "rejected": 1, "failed": 0}
    assert backend.counts("personaclick.sync.records") == fates


async def test_nothing_says_who_it_was_about(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    user = client.user(did=CANARIES[0], seance=CANARIES[3])
    await user.profile.set(email=CANARIES[1], first_name=CANARIES[2])
    await user.profile.get()
    with emulator.fault(status=422, times=1), pytest.raises(Exception, match="422"):
        await user.profile.set(email=CANARIES[1])

    seen = " ".join(span.to_json() for span in backend.spans)
    seen += str(backend.reader.get_metrics_data())
    assert "profile/set" in seen
    for canary in (*CANARIES, emulator.shop_secret):
        assert canary not in seen


async def test_context_stays_here_if_told_so(emulator: Emulator) -> None:
    telemetry = Telemetry(tracer_provider=TracerProvider(), propagate_context=False)
    async with PersonaClick(
        emulator.shop_id, api_url=emulator.url, hooks=telemetry.hooks
    ) as client:
        await client.user(did="device0001").profile.set(first_name="Ada")

    assert "traceparent" not in emulator.requests[0].headers


def test_without_opentelemetry_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import personaclick_async.integrations.opentelemetry"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "personaclick-async[telemetry]" in done.stderr
