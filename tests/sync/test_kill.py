"""Killed at any moment and run again, a sync loses nothing and tears nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from personaclick_async.emulator import Emulator
from personaclick_async.sync.journal import Journal
from tests.sync.support import IMPORT, PATHS, SET, expected, fit, sample, stored, until

KILLS = 12
UNDER_WAY = {SET: 2 * 4, IMPORT: 1}
"""How many requests are under way at most: twice the concurrency, or one chunk."""


class Runner:
    """Starts syncs in processes of their own."""

    def __init__(self, server: Process, emulator: Emulator) -> None:
        assert server.stdin is not None
        assert server.stdout is not None
        self._write, self._read = server.stdin, server.stdout
        self._emulator = emulator
        self.pid = 0

    async def start(self, folder: Path, route: str, **more: Any) -> None:
        asked = {
            "url": self._emulator.url,
            "journal": str(folder / "sync.journal"),
            "rejects": str(folder / "rejects.txt"),
            "route": route,
            **more,
        }
        self._write.write(json.dumps(asked).encode() + b"\n")
        while not (line := await self._read.readline()).startswith(b"pid"):
            pass
        self.pid = int(line.split()[1])

    async def said(self) -> dict[str, Any] | None:
        """Wait for the end; gives what the process said, None if it could not."""
        last = None
        while (line := await self._read.readline()) != b"ended\n":
            last = json.loads(line)
        return last


@pytest.fixture
async def runner(emulator: Emulator) -> AsyncIterator[Runner]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sync.run_sync", stdin=PIPE, stdout=PIPE
    )
    made = Runner(server, emulator)
    yield made
    assert server.stdin is not None
    server.stdin.close()
    await server.wait()


@pytest.mark.parametrize("route", PATHS)
async def test_killed_a_dozen_times(
    runner: Runner, emulator: Emulator, tmp_path: Path, route: str
) -> None:
    rows = sample()
    path = PATHS[route]
    chance = random.Random(route)
    emulator.fault(path=path, delay=0.015 if route == "per-profile" else 0.03)
    killed = 0
    report = None
    while report is None:
        before = len(emulator.requests_to(path))
        await runner.start(tmp_path, route)
        if killed < KILLS:
            # Some are killed before they sent anything, most somewhere in the middle.
            if chance.random() < 0.8:
                await until(lambda: len(emulator.requests_to(path)) > before)  # noqa: B023 - at once
            await asyncio.sleep(chance.random() * 0.15)
            os.kill(runner.pid, signal.SIGKILL)
            killed += 1
        report = await runner.said()

    assert killed == KILLS
    unfit = len(rows) - len(fit(rows))
    assert (report["read"], report["sent"], report["rejected"]) == (
        len(rows),
        len(rows) - unfit,
        unfit,
    )
    assert report["earlier"] > 0
    assert stored(emulator) == expected(fit(rows))
    rejected = [int(row) for row in (tmp_path / "rejects.txt").read_text().split()]
    assert set(rejected) == {
        number for number, row in enumerate(rows, 1) if row.get("gender") == "unknown"
    }
    if route == "per-profile":
        needed = len(rows) - unfit
    else:
        (tmp_path / "undisturbed").mkdir()
        await runner.start(tmp_path / "undisturbed", route)
        undisturbed = await runner.said()
        assert undisturbed is not None
        needed = undisturbed["requests"]
    repeated = len(emulator.requests_to(path)) - needed * (1 if route == "per-profile" else 2)
    assert repeated <= killed * UNDER_WAY[path]


async def test_a_full_disk_stops_the_sync_and_nothing_is_lost(
    runner: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    rows = fit(sample())
    await runner.start(tmp_path, "per-profile", largest_file=150_000)
    error = await runner.said()
    assert error is not None
    assert error["error"] == "JournalFailed"
    assert "the journal can't be read or written" in error["text"]
    before = len(emulator.requests_to(SET))
    assert 0 < before < len(rows)

    await runner.start(tmp_path, "per-profile")
    report = await runner.said()
    assert report is not None
    assert report["sent"] == len(rows)
    assert len(emulator.requests_to(SET)) <= len(rows) + UNDER_WAY[SET]
    assert stored(emulator) == expected(rows)


async def test_two_processes_on_one_journal(
    runner: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    first = Journal(tmp_path / "sync.journal")
    await runner.start(tmp_path, "bulk")
    second = await runner.said()
    first.close()

    assert second is not None
    assert second["error"] == "JournalLocked"
    assert "another sync is using it" in second["text"]
    assert emulator.requests == []
