"""Measure everything, print it, and write what the docs show.

Run with ``make bench``, or ``python -m benchmarks --quick``, or ``--only wire cached``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.report import write_report
from benchmarks.suites import COMPARISONS, SERIES
from benchmarks.sync_memory import bulk_syncs, per_profile_syncs

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"
ROWS: Final = [10_000, 100_000, 1_000_000]
SYNCS: Final = {"bulk": bulk_syncs, "per_profile_memory": per_profile_syncs}


def machine() -> dict[str, Any]:
    """Say what this ran on."""
    packages = ("aiohttp", "msgspec", "cattrs", "cachetools", "uvloop", "httpx", "niquests")
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **{name: importlib.metadata.version(name) for name in (*packages, "requests")},
    }


def show_comparisons(found: list[dict[str, Any]]) -> None:
    """Print a table."""
    for one in found:
        target = "" if one["target"] is None else f"{one['target']:6.2f}"
        sys.stdout.write(
            f"{one['name']:62} {one['ratio']:6.2f}  {one['low']:5.2f} to {one['high']:5.2f}  "
            f"{one['noise']:5.2f}  {target}\n"
        )
    sys.stdout.flush()


def show_series(found: list[dict[str, Any]]) -> None:
    """Print one row after the other."""
    for row in found:
        sys.stdout.write("  ".join(f"{key} {value:,.2f}" for key, value in row.items()) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, more noise")
    parser.add_argument("--only", nargs="+", choices=[*COMPARISONS, *SERIES, *SYNCS])
    parser.add_argument("--report", action="store_true", help="only write the docs' page anew")
    options = parser.parse_args()
    if not options.report:
        measure(options.only or [*COMPARISONS, *SERIES, *SYNCS], quick=options.quick)
    write_report(json.loads(RESULTS.read_text()))


def measure(names: list[str], *, quick: bool) -> None:
    """Run what is asked for, and put it into the results."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = machine()
    sys.stdout.write(f"{'':62}  ratio    quartiles    A/A   target\n")
    for name in names:
        if name in SYNCS:
            results[name] = SYNCS[name](ROWS[:1] if quick else ROWS)
        else:
            # Long rounds: what a switch to the other side costs is not to count.
            rounds, count = (6, 300) if quick else (18, 2000)
            results[name] = in_a_process(name, rounds=rounds, count=count)
            (show_series if name in SERIES else show_comparisons)(results[name])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def in_a_process(name: str, *, rounds: int, count: int) -> list[dict[str, Any]]:
    """Run a group of comparisons where nothing else was loaded."""
    command = [sys.executable, "-m", "benchmarks.suites", name, str(rounds), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
