"""Spans and metrics say what was asked and how it went, and never about whom."""

from __future__ import annotations

import json

import pytest

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.sync import SyncOptions, SyncStopped
from tests.integrations.telemetry.collecting import Backend
from tests.trust.canaries import CANARIES, flat_row, found_in
from tests.trust.echoing import Asked, echoes
from tests.trust.test_secrets_logs import a_client, every_call
from tests.wire.servers import wire


def observed(url: str, backend: Backend) -> PersonaClick:
    client = a_client(url, hooks=backend.telemetry.hooks)
    return backend.telemetry.observe(client, name="toys")


def collected(backend: Backend) -> str:
    """All that a collector gets: names, attributes, events, links, statuses, points, exemplars."""
    spans = [span.to_json() for span in backend.spans]
    spans += [repr((span.status, span.events, span.links, span.resource)) for span in backend.spans]
    metrics = backend.reader.get_metrics_data()
    assert metrics is not None
    return "\n".join((*spans, json.dumps(metrics, default=str), metrics.to_json()))


async def test_calls_and_syncs_that_go_well() -> None:
    backend = Backend()
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        async with observed(shop.url, backend) as client:
            await every_call(client)
            for route in ("per-profile", "bulk"):
                rows = [flat_row(), {**flat_row(), "email": " ".join(CANARIES.values())}]
                sync = client.sync(rows, options=SyncOptions(route=route))
                async with backend.telemetry.watch(sync, name="nightly") as watched:
                    assert len([one async for one in watched]) == 2
                    seen = collected(backend)
        assert found_in(json.dumps([one.body for one in shop.requests_to("/profile/set")]))

    assert len(backend.spans) > 15
    assert "personaclick.sync.records" in seen
    assert found_in(seen) == []
    assert found_in(collected(backend)) == []


@pytest.mark.parametrize("status", [200, 401, 404, 422, 500])
async def test_calls_that_are_refused_with_what_they_sent(status: int) -> None:
    backend = Backend()
    kept: list[Asked] = []
    serve = echoes(kept, status=status)
    async with wire(*[serve] * 60) as served, observed(served.url, backend) as client:
        await every_call(client)
        with pytest.raises(SyncStopped):
            await client.sync_all(
                [flat_row()] * 3, options=SyncOptions(max_refused_in_a_row=1, patience=0)
            )
        seen = collected(backend)

    assert kept
    assert any("error.type" in (span.attributes or {}) for span in backend.spans)
    assert found_in(seen) == []


async def test_calls_that_break() -> None:
    backend = Backend()
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        for fault in ({"drop": True}, {"truncate": True}, {"delay": 3}):
            async with observed(shop.url, backend) as client:
                with shop.fault(**fault):
                    await every_call(client)
        seen = collected(backend)

    assert {"TimedOut", "ConnectionFailed"} <= {
        (span.attributes or {}).get("error.type") for span in backend.spans
    }
    assert found_in(seen) == []
