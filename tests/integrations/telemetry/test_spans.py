"""Every request is a span of its own, and nothing in it says who it was about."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from personaclick_async import (
    AnswerTooLarge,
    CleanConnector,
    ConnectionFailed,
    NotFound,
    PersonaClick,
    PersonaClickError,
    TimedOut,
)
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.opentelemetry import Telemetry
from tests.conftest import MakeClient
from tests.integrations.telemetry.collecting import Backend, attributes

CANARIES = ("canary-device", "canary@shop.example", "Canaryname", "canaryseance")


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
    assert first.status.description is None
    assert attributes(second)["http.request.resend_count"] == 1
    assert attributes(second)["http.response.status_code"] == 200
    assert "error.type" not in attributes(second)
    assert second.status.status_code is StatusCode.UNSET


async def test_a_request_that_was_told_to_wait_is_sent_again_as_another_span(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    with emulator.fault(status=429, retry_after=0, times=2):
        await client.user(external_id=7).profile.set(first_name="Ada")

    told = [
        (attributes(span)["http.response.status_code"], attributes(span).get("error.type"))
        for span in backend.spans
    ]
    assert told == [(429, "429"), (429, "429"), (200, None)]
    counts = [attributes(span).get("http.request.resend_count") for span in backend.spans]
    assert counts == [None, 1, 2]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"drop": True}, ConnectionFailed),
        ({"truncate": True}, ConnectionFailed),
        ({"delay": 5}, TimedOut),
        ({"body": b"x" * 2000}, AnswerTooLarge),
    ],
    ids=["drop", "truncate", "delay", "too large"],
)
async def test_a_request_without_an_answer_names_the_class_of_its_error(
    make_client: MakeClient,
    emulator: Emulator,
    backend: Backend,
    fault: dict[str, Any],
    error: type[PersonaClickError],
) -> None:
    client = make_client(hooks=backend.telemetry.hooks, max_answer_bytes=1000)
    once = client.with_options(retries=0, timeout=0.2)
    with emulator.fault(**fault), pytest.raises(error):
        await once.user(external_id=7).profile.get()

    [span] = backend.spans
    assert attributes(span)["error.type"] == error.__name__
    assert "http.response.status_code" not in attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert span.events == ()


async def test_a_failure_that_pretends_to_be_a_success_has_both(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    said = json.dumps({"status": 404, "message": "Profile not found"}).encode()
    envelope = {"status": "error", "payload": {"message": "Profile not found"}}
    for body in (said, json.dumps(envelope).encode()):
        with emulator.fault(status=200, body=body, times=1), pytest.raises(PersonaClickError):
            await client.with_options(retries=0).user(external_id=7).profile.get()

    for span in backend.spans:
        assert attributes(span)["http.response.status_code"] == 200
        assert attributes(span)["error.type"] == "NotFound"
        assert span.status.status_code is StatusCode.ERROR


async def test_a_request_that_is_cancelled_ends_its_span(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(client.user(did="device0001").profile.get())
        await held.arrived()
        assert not backend.exporter.get_finished_spans()
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read

    [span] = backend.spans
    assert span.end_time is not None
    assert attributes(span)["error.type"] == "CancelledError"
    assert span.status.status_code is StatusCode.ERROR


async def test_spans_of_concurrent_requests_do_not_mix(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    tracer = backend.tracers.get_tracer("shop")

    async def handle(number: int) -> int:
        with tracer.start_as_current_span(f"request {number}") as outer:
            await client.user(external_id=number).profile.set(age=number)
            assert trace.get_current_span() is outer
            return outer.get_span_context().span_id

    with emulator.fault(status=503, times=2):
        outers = await asyncio.gather(*(handle(number) for number in range(1, 30)))

    inner = [span for span in backend.spans if span.kind is SpanKind.CLIENT]
    final = [span for span in inner if attributes(span)["http.response.status_code"] == 200]
    assert sorted(span.parent.span_id for span in final if span.parent) == sorted(outers)
    sent = {request.headers["traceparent"].split("-")[2] for request in emulator.requests}
    assert sent == {f"{span.context.span_id:016x}" for span in inner if span.context}
    assert len(sent) == len(emulator.requests)


async def test_baggage_stays_with_the_application(
    make_client: MakeClient, client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    everything = Telemetry(
        tracer_provider=backend.tracers,
        propagator=CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]),
    )
    nothing = Telemetry(tracer_provider=backend.tracers, propagator=None)
    token = context.attach(baggage.set_baggage("customer", "canary"))
    try:
        for one in (client, make_client(hooks=everything.hooks), make_client(hooks=nothing.hooks)):
            await one.user(did="device0001").profile.set(first_name="Ada")
    finally:
        context.detach(token)

    usual, all_of_it, none = (request.headers for request in emulator.requests)
    assert "traceparent" in usual
    assert "baggage" not in usual
    assert all_of_it["baggage"] == "customer=canary"
    assert "traceparent" not in none


async def test_instrumentations_of_http_libraries_leave_the_requests_alone(
    make_client: MakeClient, backend: Backend
) -> None:
    # What they do: a span per request with the whole URL, unless they find this key.
    key = context._SUPPRESS_HTTP_INSTRUMENTATION_KEY
    seen: list[tuple[object, trace.Span]] = []

    async def begins(
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        _params: aiohttp.TraceRequestStartParams,
    ) -> None:
        seen.append((context.get_value(key), trace.get_current_span()))

    config = aiohttp.TraceConfig()
    config.on_request_start.append(begins)
    connector = CleanConnector()
    async with aiohttp.ClientSession(connector=connector, trace_configs=[config]) as session:
        client = make_client(session=session, hooks=[backend.telemetry.hooks])
        await client.user(did="device0001").profile.set(first_name="Ada")

        [(suppressed, current)] = seen
        assert suppressed is True
        assert current.get_span_context() == backend.spans[0].context
        assert context.get_value(key) is None
        assert trace.get_current_span() is trace.INVALID_SPAN


async def test_two_of_them_on_one_client_leave_the_context_as_it_was(
    make_client: MakeClient, backend: Backend
) -> None:
    other = Backend()
    client = make_client(hooks=[backend.telemetry.hooks, other.telemetry.hooks])
    before = context.get_current()
    await client.user(did="device0001").profile.set(first_name="Ada")

    assert context.get_current() is before
    assert len(backend.spans) == len(other.spans) == 1


async def test_spans_name_no_user(
    client: PersonaClick, emulator: Emulator, backend: Backend
) -> None:
    user = client.user(did=CANARIES[0], seance=CANARIES[3])
    await user.profile.set(email=CANARIES[1], first_name=CANARIES[2])
    await user.profile.get()
    await client.user(email=CANARIES[1]).profile.full()
    quoted = " and ".join(CANARIES)
    with (
        emulator.fault(status=422, error_message=quoted, times=1),
        pytest.raises(PersonaClickError),
    ):
        await user.profile.set(email=CANARIES[1])
    with pytest.raises(NotFound):
        await client.user(phone="79990001122").profile.get()

    seen = " ".join(span.to_json() for span in backend.spans)
    seen += json.dumps(backend.reader.get_metrics_data(), default=str)
    assert "profile/set" in seen
    for canary in (*CANARIES, "canary%40", "79990001122", emulator.shop_secret):
        assert canary not in seen
