"""Comparing two things in one run: alternating rounds, medians, their spread, and A against A."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

Round: TypeAlias = Callable[[], Awaitable[object]]

SERVER_CORE: Final = 1
CLIENT_CORE: Final = 0


@attrs.frozen
class Comparison:
    """How fast B is, in terms of A.

    :ivar ratio: A's time over B's: above 1, B is faster.
    :ivar low: the first quartile of the rounds' ratios.
    :ivar high: the third.
    :ivar noise: A against A, in the same run: what a difference has to beat.
    """

    name: str
    ratio: float
    low: float
    high: float
    noise: float
    a_seconds: float
    b_seconds: float
    target: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for a results file."""
        return attrs.asdict(self)


async def compare(
    name: str, a: Round, b: Round, *, rounds: int, target: float | None = None
) -> Comparison:
    """Run A B B A so many times, after a warm-up of each."""
    await a()
    await b()
    times = [[await timed(one) for one in (a, b, b, a)] for _ in range(rounds)]
    return _compared(name, times, target)


async def compare_seconds(
    name: str,
    a: Callable[[], float],
    b: Callable[[], float],
    *,
    rounds: int,
    target: float | None = None,
) -> Comparison:
    """Compare as ``compare`` does, by the seconds that processes say they took."""
    times = [[await asyncio.to_thread(one) for one in (a, b, b, a)] for _ in range(rounds)]
    return _compared(name, times, target)


def _compared(name: str, times: Sequence[Sequence[float]], target: float | None) -> Comparison:
    # Neighbours in time: the machine drifts by more than what is measured.
    ratios = [(a + again) / (b + twice) for a, b, twice, again in times]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Comparison(
        name=name,
        ratio=statistics.median(ratios),
        low=low,
        high=high,
        noise=statistics.median(a / again for a, _, _, again in times),
        a_seconds=statistics.median(one for a, _, _, again in times for one in (a, again)),
        b_seconds=statistics.median(one for _, b, twice, _ in times for one in (b, twice)),
        target=target,
    )


async def timed(work: Round) -> float:
    """Return the seconds that a round takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def at_once(count: int, workers: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Make so many calls, each with its number, by so many workers."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(work() for _ in range(workers)))


def cpu_seconds(pid: int) -> float:
    """Return the seconds that a process has spent on a processor; Linux knows."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def load_server(
    *, certificate: Path | None = None, delay: float = 0.0
) -> Iterator[tuple[str, int]]:
    """Run the load server on a core of its own; yields its address and process.

    :param certificate: a PEM file with a key and a certificate, to serve TLS.
    :param delay: seconds before each answer, as a network would take.
    """
    command = [sys.executable, "-m", "benchmarks.server", "--delay", str(delay)]
    command += [] if certificate is None else ["--certificate", str(certificate)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    scheme = "http" if certificate is None else "https"
    try:
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(server.pid, {SERVER_CORE})
            os.sched_setaffinity(0, {CLIENT_CORE})
        assert server.stdout is not None
        yield f"{scheme}://127.0.0.1:{server.stdout.readline().strip()}/", server.pid
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
