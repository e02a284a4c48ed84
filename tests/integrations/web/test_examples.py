"""The example shops and jobs run as they say, against the emulator."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from examples.airflow_dag import run_sync
from examples.web.page import render
from personaclick_async import Product, Profile
from personaclick_async.emulator import Emulator
from tests.integrations.web.serving import browser

ROOT = Path(__file__).parent.parent.parent.parent
SAMPLE = ROOT / "examples" / "sample" / "adventureworks-packt" / "AdventureWorks_Customers.csv"
MAPPING = ROOT / "examples" / "mappings" / "adventureworks.toml"

SHOPS = {
    "fastapi": ["-m", "uvicorn", "examples.web.fastapi_shop:app", "--port", "{port}"],
    "django": ["-m", "uvicorn", "examples.web.django_shop:application", "--port", "{port}"],
    "aiohttp": ["-m", "examples.web.aiohttp_shop"],
}


def environment(emulator: Emulator, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "PERSONACLICK_SHOP_ID": emulator.shop_id,
        "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
        "PERSONACLICK_API_URL": emulator.url,
        **more,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def running(
    emulator: Emulator, arguments: list[str], *, folder: Path = ROOT
) -> AsyncIterator[str]:
    """Run a server as a process of its own until the block ends; it has to end in peace."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "dev",
        *(part.format(port=port) for part in arguments),
        cwd=folder,
        env=environment(emulator, PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        await _listening(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        if server.returncode is None:
            server.terminate()
        printed, _ = await asyncio.wait_for(server.communicate(), 20)
    assert b"Traceback" not in printed, printed.decode()
    assert b"Unclosed" not in printed, printed.decode()


async def _listening(server: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(30):
        while server.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
    raise AssertionError("the example did not start")


@pytest.mark.parametrize("arguments", SHOPS.values(), ids=SHOPS)
async def test_the_shop_greets_its_visitor(emulator: Emulator, arguments: list[str]) -> None:
    emulator.add_products(
        [{"id": "a", "name": "<Red> shoes", "price_full": 49.9, "url": "https://shop.example/a"}]
    )
    emulator.add_orders([{"id": 1, "email": "ada@shop.example", "items": [{"id": "a"}]}])

    async with running(emulator, arguments) as url, browser(url) as visitor:
        async with visitor.get("/health") as response:
            assert "ok" in await response.text()
            assert "Set-Cookie" not in response.headers
        assert emulator.requests == []

        async with visitor.get("/") as response:
            page = await response.text()
            assert response.content_type == "text/html"
            assert "not known yet" in page
            assert "Nothing yet." in page

        told = {"email": "ada@shop.example", "gender": "f", "first_name": "Ada"}
        async with visitor.post("/profile", data=told) as response:
            page = await response.text()
            assert response.url.path == "/"
            assert "woman" in page
            assert "&lt;Red&gt; shoes" in page
            assert "49.90" in page

        async with visitor.post("/profile", data={"email": "nonsense"}) as response:
            assert response.status == 422
            assert "Please look at email again" in await response.text()

        with emulator.fault(status=403):
            async with aiohttp.ClientSession(url) as stranger, stranger.get("/") as response:
                assert response.status == 200
                assert "right now" in await response.text()

    profile = emulator.profile(email="ada@shop.example")
    assert profile["first_name"] == "Ada"


def test_the_page_shows_values_and_never_runs_them() -> None:
    evil = '"><script>alert(1)</script>'
    page = render(
        Profile(first_name=evil, fashion_sizes={evil: (evil,)}),
        [Product(id="1", name=evil, url="javascript:alert(1)", image_url=f"https://x/{evil}")],
        notice=evil,
    )

    assert "<script>" not in page
    assert "javascript:" not in page


def nightly(emulator: Emulator, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            *("-X", "dev", "-m", "examples.nightly_sync", str(folder / "customers.csv")),
            *("--map", str(MAPPING), "--journal", str(folder / "journal.db"), *more),
        ],
        env=environment(emulator),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(SAMPLE, tmp_path / "customers.csv")
    return tmp_path


def test_every_night_only_what_changed_is_sent(emulator: Emulator, folder: Path) -> None:
    first = nightly(emulator, folder)
    # On a busy machine asyncio's debug mode tells of slow steps.
    said = [line for line in first.stderr.splitlines() if not line.startswith("Executing <")]
    assert (first.returncode, said) == (0, [])
    assert "'sent': 40, 'incomplete': 0, 'unchanged': 0" in first.stdout
    assert emulator.count_profiles() == 40

    customers = folder / "customers.csv"
    customers.write_text(customers.read_text("utf-8").replace("ANSEL", "ANSELM", 1), "utf-8")
    second = nightly(emulator, folder)

    assert "'sent': 1, 'incomplete': 0, 'unchanged': 39" in second.stdout
    profile = emulator.profile(external_id="31001")
    assert profile["first_name"] == "Anselm"


def test_a_night_without_the_service_is_made_up_for(emulator: Emulator, folder: Path) -> None:
    with emulator.fault(status=403):
        refused = nightly(emulator, folder, "--patience", "0")
    assert refused.returncode == 2
    assert "stopped" in refused.stderr
    assert "Traceback" not in refused.stderr

    done = nightly(emulator, folder)

    assert done.returncode == 0
    assert emulator.count_profiles() == 40


def test_rows_with_a_value_that_cannot_be_sent_lie_beside_the_file(
    emulator: Emulator, folder: Path
) -> None:
    customers = folder / "customers.csv"
    text = customers.read_text("utf-8")
    customers.write_text(text.replace("ansel45@example.org", "nonsense"), "utf-8")

    done = nightly(emulator, folder)

    assert done.returncode == 1
    # The row has other identifiers, so it was sent without the address.
    assert "'sent': 40, 'incomplete': 1" in done.stdout
    assert "nonsense" in (folder / "customers-rejected.csv").read_text("utf-8")
    assert "nonsense" not in done.stdout + done.stderr


def test_the_airflow_task_does_what_the_script_does(
    emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(emulator).items():
        monkeypatch.setenv(name, value)

    counts = run_sync(str(folder / "customers.csv"), str(MAPPING), str(folder / "journal.db"))

    assert counts == {
        "read": 40,
        "sent": 40,
        "incomplete": 0,
        "unchanged": 0,
        "rejected": 0,
        "failed": 0,
    }


STAND_IN = """
def dag(**settings):
    print(settings["dag_id"], settings["schedule"], settings["catchup"])
    return lambda function: function

def task(**settings):
    print(settings["task_id"], settings["retries"])
    return lambda function: lambda *arguments: print(function(*arguments))
"""


def test_the_dag_hands_the_task_its_files(emulator: Emulator, folder: Path) -> None:
    """With stand-ins for Airflow's decorators, which run the task at once."""
    (folder / "airflow").mkdir()
    (folder / "airflow" / "__init__.py").touch()
    (folder / "airflow" / "sdk.py").write_text(STAND_IN)

    done = subprocess.run(
        [sys.executable, "-m", "examples.airflow_dag"],
        env=environment(
            emulator,
            PYTHONPATH=str(folder),
            CUSTOMERS_FILE=str(folder / "customers.csv"),
            CUSTOMERS_MAPPING=str(MAPPING),
            CUSTOMERS_JOURNAL=str(folder / "journal.db"),
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.splitlines() == [
        "personaclick_nightly_sync @daily False",
        "sync 3",
        "{'read': 40, 'sent': 40, 'incomplete': 0, 'unchanged': 0, 'rejected': 0, 'failed': 0}",
    ], done.stderr
