"""How fast a sync is and how much memory it takes, for 10,000 to a million records.

Each sync runs in a process of its own, with one core, and the server on another. Rows of a CSV
file are read, checked, and sent one by one, or packed into bodies of up to 32 MiB. Prints peak
memory and rows per second, and for how long the event loop stood still at most; for the bulk
route what that is of the service's documented budget (40 requests of 32 MB a minute). As a
yardstick that drifts with the machine, the same process then reads and encodes the file with
``csv.DictReader`` and ``json.dumps``, and does no more than that.

Run with ``python -m benchmarks.sync_memory``.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import load_server
from personaclick_async import PersonaClick
from personaclick_async.sync import Route, SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources import open_source

SHOP = "e0" * 15
BUDGET_BYTES_PER_SECOND = 40 * 32 * 1024 * 1024 / 60
TICK_SECONDS = 0.002
ROUNDS = 5
MAPPING = """
[fields]
external_id = "id"
email = "email"
phone = "phone"
first_name = "first_name"
last_name = "last_name"
gender = "gender"
birthday = { column = "birthday", format = "%m/%d/%Y" }
location = "city"
[custom]
income = { column = "income", type = "integer" }
occupation = "occupation"
"""


def write_rows(path: Path, count: int) -> None:
    """Write a file of customers, each another one."""
    with path.open("w") as file:
        file.write("id,email,phone,first_name,last_name,gender,birthday,city,income,occupation\n")
        for n in range(count):
            file.write(
                f"{n},customer{n}@shop.example,7999{n:07},Given{n % 997},Family{n % 9973},"
                f"{'mf'[n % 2]},{n % 12 + 1}/{n % 28 + 1}/{1940 + n % 60},City {n % 500},"
                f'"${n % 150},000 ",Professional\n'
            )


async def sync(path: Path, url: str, route: Route) -> dict[str, float]:
    """Send a file, and return what it took, what is loaded and opened by the first sync aside."""
    mapping, options = FieldMapping.parse(MAPPING), SyncOptions(route=route)
    async with PersonaClick(SHOP, shop_secret="secret", api_url=url) as client:
        write_rows(few := path.with_name("few.csv"), 20)
        await client.sync_all(open_source(few, mapping), options=options)
        source = open_source(path, mapping)
        longest = [0.0]
        ticking = asyncio.create_task(tick(longest))
        started = time.perf_counter()
        report = await client.sync_all(source, options=options)
        seconds = time.perf_counter() - started
        ticking.cancel()
    return {
        "rows": report.sent,
        "seconds": seconds,
        "bytes": report.bytes_sent,
        "longest_stop_ms": longest[0] * 1000,
        "peak_mb": peak_mb(),
        "plain_seconds": plain(path),  # last, or its memory would count as the sync's
    }


def plain(path: Path) -> float:
    """Return the seconds that a script takes to read and encode a file, and to do no more."""
    started = time.perf_counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            json.dumps(row).encode()
    return time.perf_counter() - started


def peak_mb() -> float:
    """Return the most memory that this process has had, in MiB."""
    # Not getrusage: its figure begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


async def tick(longest: list[float]) -> None:
    """Note the longest time for which nothing else could run on the event loop."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        longest[0] = max(longest[0], time.perf_counter() - before - TICK_SECONDS)


def measure(count: int, url: str, route: Route) -> dict[str, float]:
    """Run one sync in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "customers.csv"
        write_rows(path, count)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.sync_memory"),
                *("--sync", str(path), "--url", url, "--route", route.value),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def per_profile_syncs(counts: list[int]) -> list[dict[str, float]]:
    """Run a sync on the per-profile route for each number of rows, and print how it went."""
    sys.stdout.write("      rows   peak MB    rows/s\n")
    all_found = []
    with load_server() as (url, _):
        for count in counts:
            one = measure(count, url, Route.PER_PROFILE)
            per_second = one["rows"] / one["seconds"]
            all_found.append({"rows": count, "per_second": per_second, "peak_mb": one["peak_mb"]})
            sys.stdout.write(f"{count:>10,.0f} {one['peak_mb']:>9.0f} {per_second:>9,.0f}\n")
            sys.stdout.flush()
    return all_found


def bulk_syncs(counts: list[int]) -> list[dict[str, float]]:
    """Run some bulk syncs for each number of rows, and print how they went."""
    sys.stdout.write(
        "      rows   peak MB    rows/s   of the budget   of a plain loop   longest stop\n"
    )
    all_found = []
    with load_server() as (url, _):
        for count in counts:
            runs = [measure(count, url, Route.BULK) for _ in range(ROUNDS)]
            of_budget = [one["bytes"] / one["seconds"] / BUDGET_BYTES_PER_SECOND for one in runs]
            found = {
                "rows": count,
                "per_second": statistics.median(one["rows"] / one["seconds"] for one in runs),
                "of_budget": statistics.median(of_budget),
                "of_budget_low": min(of_budget),
                "of_budget_high": max(of_budget),
                "of_plain": statistics.median(
                    one["plain_seconds"] / one["seconds"] for one in runs
                ),
                "peak_mb": max(one["peak_mb"] for one in runs),
                "longest_stop_ms": max(one["longest_stop_ms"] for one in runs),
            }
            all_found.append(found)
            sys.stdout.write(
                f"{found['rows']:>10,.0f} {found['peak_mb']:>9.0f} {found['per_second']:>9,.0f} "
                f"{found['of_budget']:>15.2f} {found['of_plain']:>17.2f} "
                f"{found['longest_stop_ms']:>11.0f} ms\n"
            )
            sys.stdout.flush()
    return all_found


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sync", type=Path)
    parser.add_argument("--url", default="")
    parser.add_argument("--route", type=Route, default=Route.BULK)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    if options.sync is not None:
        sys.stdout.write(json.dumps(asyncio.run(sync(options.sync, options.url, options.route))))
        return
    {Route.BULK: bulk_syncs, Route.PER_PROFILE: per_profile_syncs}[options.route](options.rows)


if __name__ == "__main__":
    main()
