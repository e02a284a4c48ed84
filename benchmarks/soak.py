"""A long mixed load with faults: what fails, what is lost, and whether anything grows.

The emulator runs in a process of its own and lets a share of requests fail in every way it
knows. Clients read, write, call back and sync for as long as told, and a checker holds each
cached read against the writes before it. Every ten seconds a line says how it goes. In the end:
calls, failures by kind, requests per call, latency, callbacks lost or doubled, stale reads, and
how memory and open descriptors went. Exits with 1 if a callback was lost or doubled, if a read
was stale, or if memory or descriptors grew more than :data:`MOST_GROWTH` from the first fifth to
the last.

Then syncs are killed, ten times for each minute: see :mod:`benchmarks.kills`.

Run with ``make soak``, or ``python -m benchmarks.soak --minutes 1``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

from benchmarks.cache_checker import CacheChecker
from benchmarks.kills import run as run_kills
from personaclick_async import CachePolicy, PersonaClick, PersonaClickError, RetryPolicy, Timeouts
from personaclick_async.emulator.settings import DEFAULT_SECRET, DEFAULT_SHOP_ID
from personaclick_async.facade import create_personaclick

MOST_GROWTH: Final = {"memory": 1.15, "descriptors": 1.5}
WORKERS: Final = 20
LINE_SECONDS: Final = 10.0
FAULTS: Final = (
    "status=500,probability=0.01",
    "status=503,probability=0.01",
    "drop,probability=0.01",
    "truncate,probability=0.01",
    "delay=0.5,probability=0.005",
    "status=429,retry_after=1,probability=0.0005",
)


@attrs.define
class Account:
    """What happened so far."""

    calls: Counter[str] = attrs.field(factory=Counter)
    failures: Counter[str] = attrs.field(factory=Counter)
    latencies: list[float] = attrs.field(factory=list)
    callbacks: Counter[int] = attrs.field(factory=Counter)
    expected_callbacks: int = 0
    memory: list[float] = attrs.field(factory=list)
    descriptors: list[int] = attrs.field(factory=list)

    def note(self, seconds: float) -> None:
        """Keep a sample of the latencies, of bounded size."""
        if len(self.latencies) < 100_000:
            self.latencies.append(seconds)
        else:
            self.latencies[random.randrange(100_000)] = seconds

    def measure(self) -> None:
        """Note this process's memory in MiB, and its open descriptors."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        self.descriptors.append(len(list(Path("/proc/self/fd").iterdir())))

    @property
    def wrong_callbacks(self) -> int:
        """How many calls were answered more or less than once."""
        doubled = sum(count - 1 for count in self.callbacks.values())
        return doubled + self.expected_callbacks - len(self.callbacks)


async def work(client: PersonaClick, account: Account, until: float, number: int) -> None:
    """Do one thing after the other until the time is over."""
    personaclick = create_personaclick(client)
    chance = random.Random(number)

    async def call_back() -> None:
        user = client.user(did=f"device{chance.randrange(2000):05}")
        with client.as_user(user):
            called = account.expected_callbacks
            account.expected_callbacks += 1

            def once(_: object) -> None:
                account.callbacks[called] += 1

            handle = personaclick("profile", "set", {"age": chance.randrange(100)}, once, once)
        await handle

    async def sync() -> None:
        rows = [{"external_id": str(chance.randrange(5000)), "age": n} for n in range(50)]
        await client.sync_all(rows)

    async def read() -> None:
        await client.user(did=f"device{chance.randrange(2000):05}").profile.get()

    async def write() -> None:
        await client.user(external_id=chance.randrange(5000)).profile.set(
            first_name="Ada", age=chance.randrange(100), custom={"tier": "gold"}
        )

    async def last_order() -> None:
        await client.user(external_id=chance.randrange(5000)).orders.last_for_user()

    things: Mapping[str, tuple[int, Callable[[], Awaitable[object]]]] = {
        "get": (45, read),
        "set": (30, write),
        "last order": (10, last_order),
        "callback": (14, call_back),
        "sync": (1, sync),
    }
    names, weights = list(things), [weight for weight, _ in things.values()]
    while time.monotonic() < until:
        [name] = chance.choices(names, weights)
        began = time.monotonic()
        account.calls[name] += 1
        try:
            await things[name][1]()
        except PersonaClickError as error:
            account.failures[f"{name}: {type(error).__name__}"] += 1
        account.note(time.monotonic() - began)
    await personaclick.aflush(30)


async def watch(client: PersonaClick, account: Account, until: float) -> None:
    """Print a line now and then."""
    say("   time     calls  failed  requests  retries    p50     p99   memory  descriptors")
    began, next_line = time.monotonic(), time.monotonic() + LINE_SECONDS
    while (now := time.monotonic()) < until:
        await asyncio.sleep(min(1.0, max(0.0, until - now)))
        account.measure()
        if time.monotonic() >= next_line:
            next_line += LINE_SECONDS
            line(client, account, time.monotonic() - began)


def line(client: PersonaClick, account: Account, seconds: float) -> None:
    """Print how it goes."""
    stats = client.transport_stats
    cuts = statistics.quantiles(account.latencies, n=100) if account.latencies[1:] else [0.0] * 99
    say(
        f"{seconds:6.0f} s {account.calls.total():9,} {account.failures.total():7,} "
        f"{stats.requests:9,} {stats.retries:8,} {cuts[49] * 1000:5.1f}ms {cuts[98] * 1000:5.0f}ms "
        f"{account.memory[-1]:6.0f} MB {account.descriptors[-1]:8}"
    )


def growth(values: list[float] | list[int]) -> float:
    """Return the last fifth's median over the first fifth's, which is after the warm-up."""
    fifth = max(1, len(values) // 5)
    return statistics.median(values[-fifth:]) / statistics.median(values[:fifth])


def report(client: PersonaClick, account: Account, checker: CacheChecker) -> int:
    """Print the account and return the exit code."""
    stats = client.transport_stats
    say("")
    for name, count in account.calls.most_common():
        say(f"  {count:9,}  {name}")
    for name, count in account.failures.most_common():
        say(f"  {count:9,}  failed  {name}")
    say(f"requests per call: {stats.requests / max(1, stats.calls):.3f}")
    say(f"callbacks lost or doubled: {account.wrong_callbacks}")
    say(f"cached reads checked: {checker.reads:,}, stale: {len(checker.violations)}")
    for violation in checker.violations[:10]:
        say(f"  {violation}")
    bad = account.wrong_callbacks != 0 or bool(checker.violations)
    series: Mapping[str, list[float] | list[int]] = {
        "memory": account.memory,
        "descriptors": account.descriptors,
    }
    for name, values in series.items():
        found = growth(values)
        say(f"{name}, last fifth over first: {found:.3f} (at most {MOST_GROWTH[name]})")
        bad = bad or found > MOST_GROWTH[name]
    return int(bad)


async def soak(url: str, seconds: float) -> int:
    """Load the service at an address and return the exit code."""
    account = Account()
    async with PersonaClick(
        DEFAULT_SHOP_ID,
        shop_secret=DEFAULT_SECRET,
        api_url=url,
        retry=RetryPolicy(first_wait=0.02, longest_wait=0.2),
        timeouts=Timeouts(total=5),
        cache=CachePolicy(ttl=5, max_entries=1000),
    ) as client:
        until = time.monotonic() + seconds
        checker = CacheChecker([client], ttl=5, users=50)
        await asyncio.gather(
            watch(client, account, until),
            checker.run(operations=sys.maxsize, at_once=4, until=until),
            *(work(client, account, until, number) for number in range(WORKERS)),
        )
        return report(client, account, checker)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Start an emulator, load it, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    faults = [argument for fault in FAULTS for argument in ("--fault", fault)]
    emulator = subprocess.Popen(
        [
            *(sys.executable, "-m", "personaclick_async.emulator", "--port", "0", "--no-limits"),
            *faults,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert emulator.stdout is not None
    try:
        url = emulator.stdout.readline().strip().rpartition(" ")[2]
        code = asyncio.run(soak(url, options.minutes * 60))
    finally:
        emulator.terminate()
        emulator.wait()
    kills = max(1, round(options.minutes * 10))
    say(f"\n{kills} kills of syncs")
    sys.exit(code | run_kills(kills))


if __name__ == "__main__":
    main()
