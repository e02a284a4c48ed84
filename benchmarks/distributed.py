"""What a cluster brings, and what it costs: one process, and 1 and 2 workers of a Dask cluster.

Rows of CSV files are read, checked, packed and sent to a server that counts bytes and has no
limits. Prints, for small and for large inputs, the seconds of each way; then the rates of the
parts (preparing by one worker, sending ready chunks, profiles one by one) and what follows from
them on paper for 10^8 profiles, hosted and on-premise.

Run with ``python -m benchmarks.distributed``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from benchmarks.sync_memory import BUDGET_BYTES_PER_SECOND, MAPPING, SHOP, write_rows
from personaclick_async import PersonaClick
from personaclick_async.integrations.dask import DaskPartitions
from personaclick_async.integrations.dask_workers import WorkersSync
from personaclick_async.sync import Report, Route, SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.partitions import partitions_of, prepare
from personaclick_async.sync.sources import open_source
from personaclick_async.sync.spool import Spool

SECRET = "secret"
WHOLE = 100_000_000
FILES = 8
MAPPED = FieldMapping.parse(MAPPING)


def write_files(folder: Path, rows: int) -> str:
    """Write files of customers; gives the pattern that fits them."""
    folder.mkdir()
    for number in range(FILES):
        write_rows(folder / f"{number}.csv", rows // FILES)
    return str(folder / "*.csv")


async def timed(work: Callable[[PersonaClick], Awaitable[Report]], url: str) -> float:
    """Give the seconds that a sync takes."""
    async with PersonaClick(SHOP, shop_secret=SECRET, api_url=url, limits={}) as client:
        started = time.perf_counter()
        await work(client)
        return time.perf_counter() - started


def one_process(pattern: str, url: str, options: SyncOptions) -> float:
    """Sync as one process does."""
    source = open_source(pattern, MAPPED)
    return asyncio.run(timed(lambda client: client.sync_all(source, options=options), url))


def one_sender(cluster: Client, pattern: str, url: str, spool: Path) -> float:
    """Sync with a cluster that prepares."""
    partitions = DaskPartitions(cluster, pattern, MAPPED, spool=spool)
    return asyncio.run(timed(lambda client: client.sync_all(partitions), url))


def workers(cluster: Client, pattern: str, url: str, spool: Path, count: int) -> float:
    """Sync with workers that send, profile by profile."""
    partitions = DaskPartitions(cluster, pattern, MAPPED, spool=spool)
    return asyncio.run(
        timed(lambda client: WorkersSync(client, partitions, shares=count).run(), url)
    )


def prepare_rate(pattern: str, folder: Path) -> tuple[float, float]:
    """Give the rows per second that one process prepares, and the bytes of one record."""
    spool = Spool(folder, "rate")
    spool.make()
    partition = partitions_of(pattern, MAPPED)[0]
    started = time.perf_counter()
    prepared = prepare(partition, spool, 0)
    seconds = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (spool.path / prepared.part).iterdir())
    return prepared.rows / seconds, size / prepared.rows


def send_rate(url: str) -> float:
    """Give the bytes per second that one sender brings to a server that is fast."""
    body = os.urandom(32 * 1024 * 1024 - 64).hex()[: 32 * 1024 * 1024 - 256]
    rows = 12
    source = [{"external_id": n, "filler": body} for n in range(rows)]
    options = SyncOptions(route=Route.BULK)
    return (
        rows
        * len(body)
        / asyncio.run(timed(lambda client: client.sync_all(source, options=options), url))
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 100_000, 800_000])
    parser.add_argument("--profiles", type=int, default=20_000)
    options = parser.parse_args()
    os.environ["PERSONACLICK_SHOP_SECRET"] = SECRET
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/"
    try:
        with tempfile.TemporaryDirectory() as name:
            _measure(Path(name), url, options.rows, options.profiles)
    finally:
        server.kill()


def _measure(folder: Path, url: str, counts: list[int], profiles: int) -> None:
    patterns = {rows: write_files(folder / str(rows), rows) for rows in {*counts, profiles}}
    bulk = SyncOptions(route=Route.BULK)
    single = SyncOptions(route=Route.PER_PROFILE)
    found = {("one process", rows): one_process(patterns[rows], url, bulk) for rows in counts}
    alone = one_process(patterns[profiles], url, single)
    by_workers: dict[int, float] = {}
    ways = ["one process"]
    for count in (1, 2):
        way = f"Dask, {count} worker{'s' * (count > 1)}"
        ways.append(way)
        untyped: Any = LocalCluster
        with (
            untyped(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]  # Dask's own
        ):
            for rows in counts:
                found[way, rows] = one_sender(client, patterns[rows], url, folder / "spool")
            by_workers[count] = workers(client, patterns[profiles], url, folder / "spool", count)
    _say("bulk, seconds for".ljust(18) + "".join(f"{rows:>12,} rows" for rows in counts))
    for way in ways:
        _say(way.ljust(18) + "".join(f"{found[way, rows]:>17.2f}" for rows in counts))
    _say("")
    _say(f"per profile, {profiles:,} of them, profiles a second")
    _say(f"{'one process':<18}{profiles / alone:>10,.0f}")
    for count, seconds in by_workers.items():
        _say(f"{count} sending{'':<9}{profiles / seconds:>10,.0f}")
    rate, size = prepare_rate(patterns[max(counts)], folder / "rate")
    _on_paper(rate, size, send_rate(url), profiles / alone)


def _on_paper(rate: float, size: float, send: float, profiles: float) -> None:
    minutes = 60.0
    _say("")
    _say(f"one worker prepares {rate:,.0f} rows of {size:.0f} bytes a second;")
    _say(f"one sender brings {send / 1e6:,.0f} MB a second to a server that only counts")
    _say("")
    _say(f"on paper, minutes for {WHOLE:,} such profiles")
    quota = WHOLE * size / BUDGET_BYTES_PER_SECOND / minutes
    line = WHOLE * size / send / minutes
    _say("workers   prepare   bulk, hosted   bulk, on-premise   per profile")
    for count in (1, 2, 4, 8, 16):
        prepared = WHOLE / rate / count / minutes
        _say(
            f"{count:>7} {prepared:>9.0f} {max(prepared, quota):>14.0f} "
            f"{max(prepared, line):>18.0f} {WHOLE / profiles / count / minutes:>13,.0f}"
        )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
