"""Workers and senders killed at random moments: nothing is lost, nothing is done twice."""

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
from distributed import LocalCluster

from personaclick_async.emulator import Emulator
from tests.distributed.conftest import Site
from tests.distributed.support import sample_rows, write_parts
from tests.sync.engine.support import IMPORT, expected, fit, people, stored, until

WORKERS_KILLED = 4
SENDERS_KILLED = 5


@pytest.fixture
async def senders(emulator: Emulator) -> AsyncIterator[Process]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.distributed.run_sender", stdin=PIPE, stdout=PIPE
    )
    yield server
    assert server.stdin is not None
    server.stdin.close()
    await server.wait()


async def start(server: Process, **asked: Any) -> int:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asked).encode() + b"\n")
    while not (line := await server.stdout.readline()).startswith(b"pid"):
        pass
    return int(line.split()[1])


async def said(server: Process) -> dict[str, Any] | None:
    assert server.stdout is not None
    last = None
    while (line := await server.stdout.readline()) != b"ended\n":
        last = json.loads(line)
    return last


def rejected_rows(folder: Path) -> set[int]:
    lines = (folder / "rejects.jsonl").read_text().splitlines()
    return {json.loads(line)["_row"] for line in lines}


async def test_workers_are_killed(site: Site, cluster: LocalCluster) -> None:
    rows = people(600, versions=10)
    pattern = write_parts(site.folder / "data", rows, 40)
    emulator = site.emulator
    emulator.fault(path=IMPORT, delay=0.03)
    sync = site.sync(site.source(pattern, max_chunk_bytes=8192, ahead=8), journal=site.journal)
    running = asyncio.create_task(sync.run())
    chance = random.Random(2)
    killed: set[int] = set()
    while len(killed) < WORKERS_KILLED and not running.done():
        await asyncio.sleep(0.1 + chance.random() * 0.5)
        nannies: Any = cluster.workers.values()
        for pid in [one.pid for one in nannies if one.pid and one.pid not in killed][:1]:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    report = await running

    assert len(killed) == WORKERS_KILLED
    assert (report.read, report.sent) == (len(rows), len(rows))
    assert stored(emulator) == expected(rows)
    assert site.left() == []
    assert report.requests == len(emulator.requests_to(IMPORT))
    assert report.retries == 0


async def test_senders_are_killed(
    senders: Process, emulator: Emulator, cluster: LocalCluster, tmp_path: Path
) -> None:
    rows = sample_rows()
    asked = {
        "cluster": cluster.scheduler_address,
        "source": write_parts(tmp_path / "data", rows, 10),
        "folder": str(tmp_path),
        "url": emulator.url,
    }
    chance = random.Random(5)
    emulator.fault(path=IMPORT, delay=0.03)
    killed = 0
    report = None
    while report is None:
        before = len(emulator.requests_to(IMPORT))
        pid = await start(senders, **asked)
        if killed < SENDERS_KILLED:
            # Some are killed while workers prepare, most while chunks are delivered.
            if chance.random() < 0.7:
                await until(lambda: len(emulator.requests_to(IMPORT)) > before)  # noqa: B023
            await asyncio.sleep(chance.random() * 0.2)
            os.kill(pid, signal.SIGKILL)
            killed += 1
        report = await said(senders)

    assert killed == SENDERS_KILLED
    assert "error" not in report, report
    unfit = len(rows) - len(fit(rows))
    assert (report["read"], report["sent"], report["rejected"]) == (
        len(rows),
        len(rows) - unfit,
        unfit,
    )
    assert report["earlier"] > 0
    assert stored(emulator) == expected(fit(rows))
    assert rejected_rows(tmp_path) == {
        number for number, row in enumerate(rows, 1) if row.get("gender") == "unknown"
    }

    done = len(emulator.requests_to(IMPORT))
    await start(senders, **{**asked, "folder": str(tmp_path / "data")})
    undisturbed = await said(senders)
    assert undisturbed is not None
    # At most the one chunk that was under way is sent a second time.
    assert done - undisturbed["requests"] <= killed
