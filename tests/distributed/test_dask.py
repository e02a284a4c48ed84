"""A Dask cluster syncs parts; workers that are killed lose nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from distributed import LocalCluster

from personaclick_async.config import DOCUMENTED_LIMITS
from personaclick_async.integrations.dask import sync_on_dask
from personaclick_async.names import Family
from personaclick_async.sync import Report, SyncStopped
from personaclick_async.sync.parts import parts_of
from tests.distributed.conftest import Site
from tests.distributed.support import (
    by_name,
    needs_real_customers,
    real_customers,
    sample_rows,
    write_parts,
)
from tests.sync.support import IMPORT, SET, expected, fit, people, stored, until

KILLED = 3


async def test_every_row_is_accounted_for(site: Site) -> None:
    rows = sample_rows()
    parts = site.parts(write_parts(site.folder / "data", rows, 6), 3)
    before = datetime.now(UTC)
    report = await sync_on_dask(site.dask, parts, site.settings(parts))
    assert report.started_at is not None
    assert report.ended_at is not None
    assert before <= report.started_at <= report.ended_at
    unfit = len(rows) - len(fit(rows))
    assert (report.read, report.sent, report.rejected) == (len(rows), len(rows) - unfit, unfit)
    assert stored(site.emulator).keys() == expected(fit(rows)).keys()


@needs_real_customers
async def test_every_real_customer_arrives_within_the_quota(site: Site) -> None:
    rows = real_customers()
    pattern = write_parts(site.folder / "data", rows, 8)
    parts = parts_of(pattern, 4, by_name(rows))
    settings = site.settings(parts, route="bulk", limits=DOCUMENTED_LIMITS)
    report = await sync_on_dask(site.dask, parts, settings)
    assert (report.read, report.sent) == (len(rows), len(rows))
    await until(lambda: len(list(site.emulator.profiles())) == len({row["email"] for row in rows}))
    assert len(site.emulator.requests_to(IMPORT)) <= DOCUMENTED_LIMITS[Family.IMPORT].requests


async def test_workers_are_killed_while_they_send(site: Site, cluster: LocalCluster) -> None:
    rows = people(600)
    parts = site.parts(write_parts(site.folder / "data", rows, 6), 4)
    settings = site.settings(parts, chunk_rows=20, concurrency=4)
    emulator = site.emulator
    emulator.fault(path=SET, delay=0.015)
    running = asyncio.create_task(sync_on_dask(site.dask, parts, settings))
    chance = random.Random(3)
    killed: set[int] = set()
    while len(killed) < KILLED and not running.done():
        before = len(emulator.requests_to(SET))
        await until(lambda: running.done() or len(emulator.requests_to(SET)) > before)  # noqa: B023
        await asyncio.sleep(chance.random() * 0.3)
        nannies: Any = cluster.workers.values()
        for pid in [one.pid for one in nannies if one.pid and one.pid not in killed][:1]:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    report = await running

    assert len(killed) == KILLED
    assert (report.read, report.sent) == (len(rows), len(rows))
    assert stored(emulator) == expected(rows)
    # What was in flight when a worker was killed, and nothing else, is sent twice.
    assert len(emulator.requests_to(SET)) - len(rows) <= KILLED * 2 * 4


async def test_an_interrupted_caller_runs_it_again(site: Site) -> None:
    rows = people(400)
    parts = site.parts(write_parts(site.folder / "data", rows, 4))
    settings = site.settings(parts, chunk_rows=20, concurrency=4)
    site.emulator.fault(path=SET, delay=0.01)
    so_far = Report()
    running = asyncio.create_task(sync_on_dask(site.dask, parts, settings, so_far))
    await until(lambda: len(site.emulator.requests_to(SET)) > 100)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    before = len(site.emulator.requests_to(SET))
    assert before < len(rows)
    assert so_far.requests == before
    assert not so_far.is_complete

    report = await sync_on_dask(site.dask, parts, settings)
    assert report.read == report.sent == len(rows)
    assert stored(site.emulator) == expected(rows)
    assert len(site.emulator.requests_to(SET)) <= len(rows) + 2 * 2 * 4


async def test_a_part_that_stops_stops_the_others(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(400), 4))
    site.emulator.fault(path=SET, status=503)
    with pytest.raises(SyncStopped, match="profile/set answered 503"):
        await sync_on_dask(site.dask, parts, site.settings(parts, patience=0))
