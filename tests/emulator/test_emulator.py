"""An emulator starts, stops, starts again, and never leaves anybody waiting."""

from __future__ import annotations

import logging
import socket
import sqlite3
import struct
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator, EmulatorSettings


def test_it_starts_again_on_its_port(tmp_path: Path) -> None:
    emulator = Emulator(database=tmp_path / "emulator.sqlite")
    with emulator:
        url = emulator.url
        emulator.add_profiles([{"email": "ada@shop.example"}])
    with emulator:
        assert emulator.url == url
        assert emulator.count_profiles() == 1


async def test_it_is_an_asynchronous_context_too() -> None:
    async with (
        Emulator() as emulator,
        PersonaClick(emulator.shop_id, api_url=emulator.url) as client,
    ):
        await client.user(did="d").profile.set(first_name="Ada")
        stored = emulator.profile(did="d")
    assert stored["first_name"] == "Ada"


@pytest.mark.parametrize(
    "ask",
    [
        lambda emulator: emulator.count_profiles(),
        lambda emulator: emulator.drain(),
        lambda emulator: emulator.reset(),
        lambda emulator: emulator.ignored_entries,
        lambda emulator: emulator.add_products([]),
    ],
)
def test_one_that_does_not_run_says_so(ask: Any) -> None:
    emulator = Emulator()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the emulator is not running"):
            ask(emulator)
        with emulator:
            ask(emulator)


def test_calls_while_it_stops_raise_runtime_error() -> None:
    emulator = Emulator().start()
    ends: list[Exception] = []

    def ask() -> None:
        try:
            while True:
                emulator.count_profiles()
        except RuntimeError as error:
            ends.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    emulator.stop()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert len(ends) == len(threads)


def test_an_import_that_can_not_be_applied_is_no_endless_wait(tmp_path: Path) -> None:
    path = tmp_path / "emulator.sqlite"
    with Emulator(database=path) as emulator:
        shop_id = emulator.shop_id
    with closing(sqlite3.connect(path)) as damaged, damaged:
        damaged.execute(
            "INSERT INTO queue (shop, endpoint, body) VALUES (?, 'import/audience', ?)",
            (shop_id, b"[null, [{"),
        )
    with Emulator(database=path) as emulator, pytest.raises(ValueError, match=r"^Expecting"):
        emulator.drain()


def test_a_file_that_is_no_database_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "emulator.sqlite"
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Emulator(database=path).start()


def test_a_database_of_another_version_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "emulator.sqlite"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE orders (id TEXT)")
    with pytest.raises(sqlite3.DatabaseError, match="another version"):
        Emulator(database=path).start()


def test_what_can_not_be_read_is_not_logged(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection,
    ):
        connection.sendall(b"GET /profile?email=ada@shop.example HTTP/1.1 ada@shop.example\r\n\r\n")
        assert b"400" in connection.recv(1000)
    assert "ada@shop" not in caplog.text


def test_a_client_that_leaves_within_its_request_is_no_error(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    half = b"POST /profile/set HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", emulator.port)) as leaving:
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        leaving.sendall(half)
        time.sleep(0.2)  # it is waited for the rest
    time.sleep(0.2)
    assert caplog.text == ""


def test_a_reset_leaves_nothing_but_the_shop(emulator: Emulator) -> None:
    emulator.add_profiles([{"email": "ada@shop.example"}])
    emulator.add_orders([{"id": 1, "did": "d"}])
    emulator.fault(status=500)
    emulator.reset()

    assert emulator.count_profiles() == 0
    assert emulator.devices() == []
    assert emulator.requests == []
    assert emulator.ignored_entries == 0


def test_settings_that_can_not_be_are_refused() -> None:
    wrong: dict[str, Any] = {"shop_id": "x", "shop_secret": "", "host_names": "emulator"}
    wrong |= {"import_limit": 0, "recorded": -1}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name):
            EmulatorSettings(**{name: value})
