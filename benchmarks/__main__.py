"""Measure everything, print it, and write what the docs show.

Run with ``make bench``, or ``python -m benchmarks --quick``, or ``--only wire cached``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks import suites
from benchmarks.harness import Comparison
from benchmarks.report import write_report
from benchmarks.sync_memory import bulk_syncs

T = TypeVar("T")

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"
COMPARISONS: Final[dict[str, Callable[[int, int], Awaitable[list[Comparison]]]]] = {
    "wire": suites.wire,
    "others": suites.others,
    "cached": suites.cached,
    "facade": suites.facade,
    "per_profile": suites.per_profile,
    "uvloop": suites.uvloop_,
    "imports": suites.imports,
}
BULK_ROWS: Final = [10_000, 100_000, 1_000_000]
SERIES: Final[dict[str, Callable[[int, int], Awaitable[list[dict[str, Any]]]]]] = {
    "scaling": suites.scaling,
    "entries": suites.entries,
}


def machine() -> dict[str, Any]:
    """Say what this ran on."""
    packages = ("aiohttp", "msgspec", "cattrs", "cachetools", "uvloop", "httpx", "niquests")
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **{name: importlib.metadata.version(name) for name in (*packages, "requests")},
    }


def show(found: list[Comparison]) -> None:
    """Print a table."""
    for one in found:
        target = "" if one.target is None else f"{one.target:6.2f}"
        sys.stdout.write(
            f"{one.name:62} {one.ratio:6.2f}  {one.low:5.2f} to {one.high:5.2f}  "
            f"{one.noise:5.2f}  {target}\n"
        )
    sys.stdout.flush()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, more noise")
    parser.add_argument("--only", nargs="+", choices=[*COMPARISONS, *SERIES, "bulk"], default=None)
    parser.add_argument("--report", action="store_true", help="only write the docs' page anew")
    options = parser.parse_args()
    if not options.report:
        measure(
            options.only, rounds=3 if options.quick else 9, count=300 if options.quick else 1500
        )
    write_report(json.loads(RESULTS.read_text()))


def measure(only: list[str] | None, *, rounds: int, count: int) -> None:
    """Run what is asked for, and put it into the results."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = machine()
    sys.stdout.write(f"{'':62}  ratio    quartiles    A/A   target\n")
    for name, run in COMPARISONS.items():
        if only is None or name in only:
            found = asyncio.run(_awaited(run(rounds, count)))
            results[name] = [one.as_json() for one in found]
            show(found)
    for name, series in SERIES.items():
        if only is None or name in only:
            results[name] = asyncio.run(_awaited(series(rounds, count)))
            for row in results[name]:
                numbers = "  ".join(f"{key} {value:,.2f}" for key, value in row.items())
                sys.stdout.write(numbers + "\n")
    if only is None or "bulk" in only:
        results["bulk"] = bulk_syncs(BULK_ROWS if rounds > 3 else BULK_ROWS[:1])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


async def _awaited(work: Awaitable[T]) -> T:
    return await work


if __name__ == "__main__":
    main()
