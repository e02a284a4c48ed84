"""Workers prepare, one sender delivers: every row, in order, within the quota, nothing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import dask.dataframe as dd
import pandas as pd  # type: ignore[import-untyped]
import pytest
from distributed import Client, LocalCluster

from personaclick_async import Family, RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.integrations.dask import ClusterFailed
from personaclick_async.sync import Queued, SyncRefused, Unchanged
from personaclick_async.sync.sources import SourceFailed
from tests.conftest import MakeClient
from tests.distributed.conftest import MakeEmulator, Site
from tests.distributed.support import (
    needs_real_customers,
    real_customers,
    sample_rows,
    write_csv_parts,
    write_parts,
)
from tests.sync.engine.support import (
    IMPORT,
    Rejects,
    expected,
    fit,
    most_in_a_window,
    people,
    results_of,
    stored,
)


def frame_of(rows: list[dict[str, Any]], count: int) -> Any:
    untyped: Any = dd
    return untyped.from_pandas(pd.DataFrame(rows), npartitions=count, sort=False)


@needs_real_customers
async def test_every_real_customer_arrives_within_the_quota(
    site: Site, make_client: MakeClient, make_emulator: MakeEmulator
) -> None:
    # Forty a minute, in a minute of a second and a half.
    quota = make_emulator(import_limit=40, import_window=1.5)
    limits = {Family.IMPORT: RateLimit(40, 1.5)}
    site = attrs.evolve(site, client=make_client(api_url=quota.url, limits=limits))
    rows = real_customers()
    pattern = write_parts(site.folder / "data", rows, 9)
    rejects = Rejects()
    source = site.source(pattern, max_chunk_bytes=60_000)
    report = await site.sync(source, journal=site.journal, rejects=rejects).run()

    assert report.read == report.sent + report.rejected == len(rows) == 18_148
    assert report.rejected == len(rejects.rows)
    refused = {row.row for row in rejects.rows}
    assert stored(quota) == expected(
        row for number, row in enumerate(rows, 1) if number not in refused
    )
    requests = quota.requests_to(IMPORT)
    assert len(requests) > 80
    assert {request.status for request in requests} == {200}
    assert most_in_a_window(requests, 1.5) == 40
    assert all(request.size <= 60_000 for request in requests)


async def test_records_of_one_person_stay_in_order_across_partitions(site: Site) -> None:
    rows = people(50, versions=12)
    pattern = write_parts(site.folder / "data", rows, 12)
    results = await results_of(site.sync(site.source(pattern)))

    assert stored(site.emulator) == expected(rows)
    assert [result.row for result in results] == list(range(1, len(rows) + 1))
    assert {type(result) for result in results} == {Queued}
    assert site.left() == []


async def test_rejected_rows_come_with_their_row_in_the_whole(site: Site) -> None:
    rows = sample_rows()
    pattern = write_csv_parts(site.folder / "data", rows, 5)
    rejects = Rejects()
    report = await site.sync(site.source(pattern), rejects=rejects).run()

    unfit = [number for number, row in enumerate(rows, 1) if row.get("gender") == "unknown"]
    assert [row.row for row in rejects.rows] == unfit
    assert rejects.rows[0].source_row["email"] == rows[unfit[0] - 1]["email"]
    assert (report.read, report.rejected) == (len(rows), len(unfit))
    assert report.sent == len(rows) - len(unfit)
    assert stored(site.emulator).keys() == expected(fit(rows)).keys()


async def test_an_asynchronous_client_and_a_dataframe(site: Site, cluster: LocalCluster) -> None:
    rows = people(80, versions=2)
    frame = frame_of([{**row, "seen_1": 1, "seen_2": 2} for row in rows], 6)
    untyped: Any = Client
    async with untyped(cluster.scheduler_address, asynchronous=True) as dask_client:
        source = site.source(frame, dask=dask_client)
        report = await site.sync(source, journal=site.journal).run()

    assert report.sent == len(rows)
    assert stored(site.emulator) == expected({**row, "seen_1": 1, "seen_2": 2} for row in rows)
    assert site.left() == []


async def test_the_spool_is_private_and_knows_no_secret(site: Site) -> None:
    pattern = write_parts(site.folder / "data", people(300), 3)
    with site.emulator.hold("POST", IMPORT) as held:
        running = asyncio.create_task(site.sync(site.source(pattern)).run())
        await held.arrived()
        found = [site.spool, *site.spool.rglob("*")]
        assert all(path.stat().st_mode & 0o077 == 0 for path in found)
        whole = b"".join(path.read_bytes() for path in found if path.is_file())
    await running
    assert b"user1@shop.example" in whole
    assert site.emulator.shop_secret.encode() not in whole
    assert site.left() == []


async def test_only_what_changed_is_sent(site: Site) -> None:
    rows = people(100)
    options = {"journal": site.journal, "skip_unchanged": True}
    first = site.source(write_parts(site.folder / "a", rows, 3))
    await site.sync(first, **options).run()
    rows[7]["first_name"] = "New"
    second = site.source(write_parts(site.folder / "b", rows, 3))
    results = await results_of(site.sync(second, **options))

    assert [one.row for one in results if isinstance(one, Queued)] == [8]
    assert sum(isinstance(one, Unchanged) for one in results) == 99
    assert stored(site.emulator) == expected(rows)


async def test_a_dry_run_checks_everything_and_leaves_nothing(site: Site) -> None:
    rows = sample_rows()
    source = site.source(write_csv_parts(site.folder / "data", rows, 3))
    report = await site.sync(source, dry_run=True, journal=site.journal).run()

    assert (report.read, report.checked) == (len(rows), len(fit(rows)))
    assert site.emulator.requests == []
    assert not site.journal.exists()
    assert site.left() == []


async def test_a_changed_file_is_refused_until_the_sync_is_restarted(site: Site) -> None:
    pattern = write_parts(site.folder / "data", people(300), 4)
    sync = site.sync(site.source(pattern), journal=site.journal)
    async for _ in sync:
        break
    await sync.stop()
    _edit(site.folder / "data" / "part-003.jsonl", "Name299", "Changed")

    with pytest.raises(SyncRefused, match="the source, or how it is read"):
        await site.sync(site.source(pattern), journal=site.journal).run()
    again = site.sync(site.source(pattern), journal=site.journal, unfinished="restart")
    assert (await again.run()).sent == 300
    assert stored(site.emulator)["user299@shop.example"]["first_name"] == "Changed"


def _edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


async def test_what_a_worker_can_not_do_is_said_without_personal_data(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="no file fits the pattern"):
        site.source(str(site.folder / "*.csv"))
    _write(site.folder / "broken.parquet")
    with pytest.raises(SourceFailed, match=r"broken\.parquet: is broken, or not Parquet"):
        await site.sync(site.source(site.folder / "broken.parquet")).run()
    pattern = write_parts(site.folder / "data", people(1), 1)
    with pytest.raises(SyncRefused, match="for the bulk route only"):
        await site.sync(site.source(pattern), route="per-profile").run()

    frame = frame_of([{"email": "ada@shop.example"}], 1)
    with pytest.raises(ClusterFailed, match="ZeroDivisionError") as caught:
        await site.sync(site.source(frame.map_partitions(_break, meta=frame))).run()
    assert "ada" not in str(caught.value)


def _write(path: Path) -> None:
    path.write_bytes(b"PAR1 nothing")


def _break(_: Any) -> Any:
    raise ZeroDivisionError("ada@shop.example")


async def test_tasks_have_names_in_the_dashboard(site: Site) -> None:
    pattern = write_parts(site.folder / "data", people(30), 3)
    await site.sync(site.source(pattern)).run()
    untyped: Any = site.dask
    prefixes = await asyncio.to_thread(
        untyped.run_on_scheduler, lambda dask_scheduler: list(dask_scheduler.task_prefixes)
    )
    assert {"personaclick-survey", "personaclick-prepare"} <= set(prefixes)
