"""Count the processor's instructions per call: a measure that a busy machine does not change.

Run with ``make bench-instructions``, or ``python -m benchmarks.instructions get set``. Each client
makes calls in a process of its own under valgrind, once few and once many; the difference is what
the calls cost. Needs valgrind, and about twenty seconds for each kind of call.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import subprocess
import sys
from typing import Final

from benchmarks import clients
from benchmarks.clients import device
from benchmarks.harness import at_once, load_server

CALLS: Final = ("get", "set", "last order")
CLIENTS: Final = {"bare": clients.bare_aiohttp, "sdk": clients.sdk}
WORKERS: Final = 10
FEW: Final = 100
MANY: Final = 400
# The tool that only counts: no simulated cache, no names of functions.
VALGRIND: Final = [
    "valgrind",
    "--tool=cachegrind",
    "--cache-sim=no",
    "--cachegrind-out-file=/dev/null",
]


def main() -> None:
    """Print a row for each kind of call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", nargs="*", default=CALLS, help=", ".join(CALLS))
    parser.add_argument("--run", nargs=3, metavar=("CLIENT", "URL", "COUNT"), help="make the calls")
    options = parser.parse_args()
    if options.run:
        client, url, count = options.run
        asyncio.run(make_calls(client, url, options.calls[0], int(count)))
        return
    print(f"{'instructions per call, 10 at once':36}{'bare':>12}{'package':>12}{'ratio':>8}")
    for what in options.calls:
        bare, sdk = (per_call(client, what) for client in CLIENTS)
        print(f"{what:36}{bare:12,.0f}{sdk:12,.0f}{bare / sdk:8.2f}", flush=True)


async def make_calls(client: str, url: str, what: str, count: int) -> None:
    """Make so many calls for distinct users."""
    async with CLIENTS[client](url) as calls:
        gc.disable()  # a full collection would fall into one run and not into the other
        await at_once(count, WORKERS, lambda _: calls[what](device()))


def per_call(client: str, what: str) -> float:
    """Return the instructions that a call takes the client."""
    with load_server() as (url, _):
        few, many = (counted(client, url, what, count) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def counted(client: str, url: str, what: str, count: int) -> int:
    """Return the instructions of a process that makes so many calls."""
    run = [sys.executable, "-m", "benchmarks.instructions", what, "--run", client, url, str(count)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    # Once uncounted: the first process that imports a module compiles it.
    subprocess.run(run, check=True, env=environment)
    done = subprocess.run(
        [*VALGRIND, *run], check=True, capture_output=True, text=True, env=environment
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", ""))


if __name__ == "__main__":
    main()
