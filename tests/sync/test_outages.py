"""A service that changes its mind all the time, refuses every body, or is told the wrong time."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import RetryPolicy, Timeouts
from personaclick_async.emulator import Emulator
from personaclick_async.sync import Delivered, SyncStopped
from tests.conftest import MakeClient
from tests.sync.support import PATHS, SET, expected, people, source_of, start, stored

# `make soak` makes it a minute.
SECONDS = float(os.environ.get("PERSONACLICK_FLIPPING_SECONDS", "2"))


@asynccontextmanager
async def flipping(emulator: Emulator) -> AsyncIterator[None]:
    """Answer rightly, with 429, with 503 or not at all, for a moment each."""

    async def flip() -> None:
        choose = random.Random(7)
        weathers: list[dict[str, Any]] = [
            {"status": 429, "retry_after": 1},
            {"status": 503},
            {"delay": 3.0},
            {"drop": True},
        ]
        while True:
            with emulator.fault(**choose.choice(weathers)):
                await asyncio.sleep(choose.uniform(0.1, 0.5))
            await asyncio.sleep(choose.uniform(0.05, 0.3))

    task = asyncio.create_task(flip())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("route", PATHS)
async def test_a_service_that_flips_between_answers_gets_everything_in_order(
    make_client: MakeClient, emulator: Emulator, journal: Path, route: str
) -> None:
    client = make_client(
        limits={},
        timeouts=Timeouts(total=1.0, read=1.0),
        retry=RetryPolicy(first_wait=0.05, longest_wait=0.5),
    )
    runs = 0
    loop = asyncio.get_running_loop()
    ends = loop.time() + SECONDS
    async with flipping(emulator):
        while loop.time() < ends:
            rows = people(60, versions=2)
            options: dict[str, Any] = {"route": route, "journal": journal, "chunk_rows": 20}
            source = source_of(rows, f"run {runs}")
            report = await start(client, source, max_chunk_bytes=2048, **options).run()
            assert (report.read, report.sent, report.failed, report.rejected) == (120, 120, 0, 0)
            runs += 1
    assert runs
    assert stored(emulator) == expected(rows)


@pytest.mark.parametrize("route", PATHS)
async def test_a_service_that_finds_every_body_too_large_ends_the_sync_and_names_rows(
    make_client: MakeClient, emulator: Emulator, journal: Path, route: str
) -> None:
    client = make_client(limits={})
    emulator.fault(status=413)
    sync = start(client, source_of(people(200)), route=route, journal=journal, patience=60)
    with pytest.raises(SyncStopped, match="the last 50 records were all refused"):
        await sync.run()
    assert sync.report.sent == 0
    assert 50 <= sync.report.rejected < 200
    # Halving 200 rows down to 50 single ones, and no request more than once.
    assert len(emulator.requests_to(PATHS[route])) <= 2 * sync.report.rejected + 8
    emulator.clear_faults()
    again = await start(client, source_of(people(200)), route=route, journal=journal).run()
    assert again.read == 200
    assert again.sent + again.rejected == 200


@pytest.mark.parametrize("back", [timedelta(days=365), timedelta(seconds=1), timedelta(hours=-1)])
async def test_a_clock_that_is_set_back_repeats_and_loses_nothing(
    make_client: MakeClient, emulator: Emulator, journal: Path, back: timedelta
) -> None:
    rows = people(300)
    options: dict[str, Any] = {"journal": journal, "chunk_rows": 20, "concurrency": 1}
    began = datetime(2030, 1, 1, tzinfo=UTC)

    def clock_from(first: datetime) -> Any:
        ticks = count()
        return lambda: first + timedelta(hours=next(ticks))

    sync = start(make_client(now=clock_from(began)), source_of(rows), **options)
    seen = 0
    async for result in sync:
        seen += isinstance(result, Delivered)
        if seen == 100:
            break
    await sync.stop()
    report = await start(
        make_client(now=clock_from(began - back)), source_of(rows), **options
    ).run()

    assert report.is_complete
    assert len(emulator.requests_to(SET)) == 300
    assert stored(emulator) == expected(rows)
