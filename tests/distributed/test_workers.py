"""Workers that send themselves: each person in one share, in order, exactly what one would do."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from typing import Any

import pytest
from distributed import LocalCluster

from personaclick_async.integrations.dask_workers import WorkersSync
from personaclick_async.integrations.shared_limit import SharedLimit
from personaclick_async.names import IMPORT_REQUESTS_PER_MINUTE
from personaclick_async.sync import Report, SyncOptions, SyncRefused, SyncStopped
from tests.conftest import MakeClient
from tests.distributed.conftest import Site
from tests.distributed.support import (
    needs_real_customers,
    real_customers,
    sample_rows,
    write_csv_parts,
    write_parts,
)
from tests.sync.engine.support import IMPORT, SET, Rejects, expected, fit, people, stored, until

KILLED = 3


def workers(site: Site, source: Any, *, shares: int = 2, **options: Any) -> WorkersSync:
    return WorkersSync(
        site.client, site.source(source), shares=shares, options=SyncOptions(**options)
    )


@needs_real_customers
@pytest.mark.parametrize(("route", "most"), [("bulk", 20_000), ("per-profile", 2_500)])
async def test_every_real_customer_arrives_families_that_share_a_phone_too(
    site: Site, route: str, most: int
) -> None:
    rows = real_customers()[:most]
    pattern = write_parts(site.folder / "data", rows, 7)
    report = await workers(site, pattern, shares=3, route=route, journal=site.journal).run()

    assert report.read == report.sent == len(rows)
    assert report.rejected == report.failed == 0
    # Who owns a phone that people share depends on who comes first: the order is kept.
    assert stored(site.emulator) == expected(rows)
    assert site.left() == []


async def test_a_person_goes_by_different_names_in_different_files(site: Site) -> None:
    names = [
        {"email": f"u{n}@shop.example", "phone": f"+1202555{n:04}", "loyalty_id": f"L{n}"}
        for n in range(60)
    ]
    rows: list[dict[str, Any]] = [
        {kind: name[kind] for kind in kinds} | {"version": version, f"seen_{version}": "yes"}
        for version, kinds in enumerate(
            (("email",), ("email", "phone"), ("phone", "loyalty_id"), ("loyalty_id",)), 1
        )
        for name in names
    ]
    pattern = write_parts(site.folder / "data", rows, 5)
    report = await workers(site, pattern, shares=4).run()

    assert report.sent == 240
    site.emulator.drain()
    found = [profile["custom_properties"] for profile in site.emulator.profiles()]
    assert len(found) == 60
    assert {one["version"] for one in found} == {4}
    assert all(one[f"seen_{version}"] == "yes" for one in found for version in (1, 2, 3, 4))


async def test_rejected_rows_are_gathered_in_one_place(site: Site) -> None:
    rows = sample_rows()
    pattern = write_csv_parts(site.folder / "data", rows, 3)
    rejects = Rejects()
    report = await workers(site, pattern, rejects=rejects, chunk_rows=20).run()

    unfit = [number for number, row in enumerate(rows, 1) if row.get("gender") == "unknown"]
    assert [row.row for row in rejects.rows] == unfit
    assert rejects.rows[0].source_row["email"] == rows[unfit[0] - 1]["email"]
    assert (report.read, report.sent, report.rejected) == (
        len(rows),
        len(rows) - len(unfit),
        len(unfit),
    )
    assert stored(site.emulator).keys() == expected(fit(rows)).keys()


async def test_workers_are_killed_while_they_send(site: Site, cluster: LocalCluster) -> None:
    rows = people(150, versions=8)
    pattern = write_parts(site.folder / "data", rows, 6)
    emulator = site.emulator
    emulator.fault(path=SET, delay=0.015)
    running = asyncio.create_task(
        workers(site, pattern, shares=4, chunk_rows=20, concurrency=4).run()
    )
    chance = random.Random(3)
    killed: set[int] = set()
    while len(killed) < KILLED and not running.done():
        before = len(emulator.requests_to(SET))
        await until(lambda: running.done() or len(emulator.requests_to(SET)) > before)  # noqa: B023
        await asyncio.sleep(chance.random() * 0.4)
        nannies: Any = cluster.workers.values()
        for pid in [one.pid for one in nannies if one.pid and one.pid not in killed][:1]:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    report = await running

    assert len(killed) == KILLED
    assert (report.read, report.sent) == (len(rows), len(rows))
    assert stored(emulator) == expected(rows)
    # What was under way when a worker was killed, and nothing else, is sent twice.
    repeated = len(emulator.requests_to(SET)) - len(rows)
    assert repeated <= KILLED * 2 * 4


async def test_the_caller_is_interrupted_and_runs_it_again(site: Site) -> None:
    rows = people(200, versions=4)
    pattern = write_parts(site.folder / "data", rows, 4)
    options: dict[str, Any] = {"journal": site.journal, "chunk_rows": 20, "concurrency": 4}
    site.emulator.fault(path=SET, delay=0.01)
    running = asyncio.create_task(workers(site, pattern, **options).run())
    await until(lambda: len(site.emulator.requests_to(SET)) > 100)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    again = workers(site, pattern, **options)
    report = await again.run()

    assert report is again.report
    assert report.read == report.sent == len(rows)
    assert report.earlier > 0
    assert stored(site.emulator) == expected(rows)
    assert len(site.emulator.requests_to(SET)) <= len(rows) + 2 * 2 * 4
    assert site.left() == []


async def test_a_changed_source_is_refused(site: Site) -> None:
    options: dict[str, Any] = {"journal": site.journal, "patience": 0}
    pattern = write_parts(site.folder / "data", people(9), 2)
    with (
        site.emulator.fault(status=503),
        pytest.raises(SyncStopped, match="out of reach: profile/set answered 503"),
    ):
        await workers(site, pattern, **options).run()
    shutil.rmtree(site.folder / "data")
    pattern = write_parts(site.folder / "data", people(10), 2)
    with pytest.raises(SyncRefused, match="the source, or how it is read"):
        await workers(site, pattern, **options).run()
    report = await workers(site, pattern, unfinished="restart", **options).run()
    assert report.sent == 10


async def test_bulk_by_workers_needs_a_shared_limit_where_there_is_one(
    site: Site, make_client: MakeClient
) -> None:
    pattern = write_parts(site.folder / "data", people(9), 2)
    limited = make_client()
    bulk = SyncOptions(route="bulk")
    with pytest.raises(SyncRefused, match="workers that send in bulk need a shared one"):
        WorkersSync(limited, site.source(pattern), shares=2, options=bulk)
    shared = SyncOptions(route="bulk", limit=SharedLimit("redis://nowhere", shop="s"))
    WorkersSync(limited, site.source(pattern), shares=2, options=shared)
    with pytest.raises(SyncRefused, match="only one sender"):
        WorkersSync(limited, site.source(pattern), shares=2, options=SyncOptions(dry_run=True))
    assert IMPORT_REQUESTS_PER_MINUTE == 40
    assert site.emulator.requests_to(IMPORT) == []


def test_an_account_says_what_it_is_of(site: Site) -> None:
    pattern = write_parts(site.folder / "data", people(9), 3)
    assert workers(site, pattern).report == Report(source="part-000.jsonl and 2 more")
