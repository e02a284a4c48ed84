"""The command ``personaclick-emulator``, as a real process that really gets killed."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from personaclick_async import NotFound, PersonaClick, ServiceUnavailable
from personaclick_async.emulator import Emulator, EmulatorSettings

SHOP = "ab" * 15


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "personaclick_async.emulator",
            "--port",
            "0",
            "--shop-id",
            SHOP,
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        while "PERSONACLICK_SHOP_SECRET" not in said:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            said += line
        url = said.split("PERSONACLICK_API_URL=")[1].split()[0]
        yield process, url, said
    finally:
        process.kill()
        process.communicate()


async def test_a_killed_emulator_kept_every_set_that_it_answered(tmp_path: Path) -> None:
    database = str(tmp_path / "emulator.sqlite")
    with command("--database", database) as (process, url, _):
        async with PersonaClick(SHOP, api_url=url) as client:
            for number in range(50):
                await client.user(did=f"device{number}").profile.set(custom={"n": number})
        process.send_signal(signal.SIGKILL)
    with command("--database", database) as (_, url, _):
        async with PersonaClick(SHOP, api_url=url) as client:
            for number in range(50):
                profile = await client.user(did=f"device{number}").profile.get()
                assert profile.custom_properties == {"n": number}


async def test_a_killed_emulator_goes_on_with_the_import_that_it_accepted(tmp_path: Path) -> None:
    database = tmp_path / "emulator.sqlite"
    entries = [{"external_id": str(n), "first_name": f"Name {n}"} for n in range(4000)]
    entries += [{"first_name": "Nobody"}] * 7
    with command("--database", str(database)) as (process, url, said):
        secret = said.split("PERSONACLICK_SHOP_SECRET=")[1].split()[0]
        body = {"shop_id": SHOP, "shop_secret": secret, "audience": entries}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}import/audience", data=io.BytesIO(json.dumps(body).encode())) as sent,
        ):
            assert sent.status == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Emulator(EmulatorSettings(shop_id=SHOP), database=database) as emulator:
        emulator.drain()
        stored = {one["external_id"]: one["first_name"] for one in emulator.profiles()}
        assert stored == {str(n): f"Name {n}" for n in range(4000)}
        assert emulator.ignored_entries == 7
    with Emulator(EmulatorSettings(shop_id=SHOP), database=database) as emulator:
        assert emulator.ignored_entries == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_told(number: signal.Signals) -> None:
    with command() as (process, _, _):
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


async def test_it_loads_what_is_computed_and_behaves_as_a_probe_found(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.jsonl"
    profiles.write_text('{"did": "d", "income_level": "premium", "colour": "red"}\n')
    found = tmp_path / "probe.json"
    found.write_text('{"behaviour": {"device_unknown": 404, "missing_blocks": "absent"}}')
    arguments = ("--profiles", str(profiles), "--as", str(found), "--cors")
    with command(*arguments) as (_, url, said):
        assert "1 profiles loaded" in said
        async with PersonaClick(SHOP, api_url=url) as client:
            profile = await client.user(did="d").profile.get()
            assert profile.income_level == "premium"
            assert profile.custom_properties == {"colour": "red"}
            assert "pets" not in profile.raw
            with pytest.raises(NotFound):
                await client.user(did="unknown").profile.get()
        async with (
            aiohttp.ClientSession() as http,
            http.options(url, headers={"Origin": "http://localhost:3000"}) as answer,
        ):
            assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


async def test_other_machines_reach_it_by_the_name_that_was_given() -> None:
    with command("--public", "--host-name", "Emulator") as (_, url, _):
        assert url.startswith("http://0.0.0.0:")
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{url}_emulator/status") as answer:
                assert answer.status == 200
            for host, status in (("emulator:8971", 200), ("Emulator", 200), ("other:8971", 403)):
                async with http.get(f"{url}_emulator/status", headers={"Host": host}) as answer:
                    assert answer.status == status


async def test_it_loads_files_and_takes_faults(tmp_path: Path) -> None:
    products = tmp_path / "products.jsonl"
    products.write_text('{"id": "a", "name": "Apple"}\n\n{"id": "b"}\n')
    orders = tmp_path / "orders.jsonl"
    orders.write_text('\ufeff[\n{"id": 1, "did": "d", "items": [{"id": "a"}]}\n]', encoding="utf-8")
    with command(
        "--products",
        str(products),
        "--orders",
        str(orders),
        "--fault",
        "path=/profile,status=503",
    ) as (_, url, said):
        assert "2 products loaded" in said
        async with PersonaClick(SHOP, api_url=url).with_options(retries=0) as client:
            [apple] = await client.user(did="d").orders.last_for_user()
            assert apple.name == "Apple"
            with pytest.raises(ServiceUnavailable):
                await client.user(did="d").profile.get()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--shop-id", "xyz"], "shop_id: expected 30 hexadecimal"),
        (["--host", "0.0.0.0"], "host: expected a loopback address"),
        (["--products", "missing.jsonl"], "missing.jsonl"),
        (["--products", "nameless.jsonl"], "nameless.jsonl: a product has no id"),
        (["--fault", "colour=red"], "fault: takes delay"),
        (["--fault", "status=503,drop"], "fault: expected one of"),
        (["--port", "99999"], "port must be 0-65535"),
        (["--database", "missing/shop.db"], "unable to open database file"),
        # As of a variable that is not set.
        (["--database", ""], "database: expected a file"),
        (["--as", ""], "Is a directory: '.'"),
        (["--products", ""], "Is a directory: '.'"),
        (["--profiles", "\x1b[31m.jsonl"], "\\x1b[31m.jsonl: line 1 is not a JSON object"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "\x1b[31m.jsonl").write_text("nonsense\n")
    (tmp_path / "nameless.jsonl").write_text('\ufeff{"name": "Apple"}\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "personaclick_async.emulator", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
