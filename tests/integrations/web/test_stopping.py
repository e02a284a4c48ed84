"""A server that is told to stop does so within its grace, whatever the service does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from personaclick_async.emulator import Emulator

APPLICATION = """
import asyncio
from fastapi import FastAPI
from personaclick_async import PersonaClick
from personaclick_async.integrations.fastapi import VisitorMiddleware, lifespan

client = PersonaClick()
app = FastAPI(lifespan=lifespan(client, patience=1))
app.add_middleware(VisitorMiddleware, client=client)
tasks = set()


@app.get("/")
async def page() -> str:
    tasks.add(asyncio.create_task(client.user(did="device0001").profile.get()))
    await asyncio.sleep(0)
    return "fine"
"""
SCRIPT = """
import asyncio
from personaclick_async import PersonaClick


async def main():
    async with PersonaClick() as client:
        task = asyncio.create_task(client.user(did="device0001").profile.get())
        await asyncio.sleep(600)


asyncio.run(main())
"""


@contextmanager
def running(emulator: Emulator, *command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())]),
            "PERSONACLICK_SHOP_ID": emulator.shop_id,
            "PERSONACLICK_API_URL": emulator.url,
        },
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_uvicorn_stops_within_its_grace_while_a_call_hangs(
    emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(APPLICATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ("-m", "uvicorn", "shop:app", "--port", str(port))
    grace = ("--timeout-graceful-shutdown", "3")
    with (
        emulator.hold("GET", "/profile") as held,
        running(emulator, *arguments, *grace, folder=tmp_path) as server,
    ):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                break
        held.wait()
        server.send_signal(signal.SIGTERM)
        server.wait(15)  # it took thirty seconds, the patience of close() itself


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_second_interrupt_ends_a_script_that_waits_for_a_call(
    emulator: Emulator, tmp_path: Path
) -> None:
    with (
        emulator.hold("GET", "/profile") as held,
        running(emulator, "-c", SCRIPT, folder=tmp_path) as script,
    ):
        held.wait()
        script.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            script.wait(1)  # it waits for the call, for the patience of close()
        script.send_signal(signal.SIGINT)
        script.wait(15)
