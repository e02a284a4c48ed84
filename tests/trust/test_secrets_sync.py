"""What a sync leaves on the disk: people where they belong, private; nobody anywhere else."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b, md5, sha1, sha256
from pathlib import Path

import pytest

from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.sync import SyncOptions, SyncStopped
from personaclick_async.sync.rejects import RejectFile
from tests.sync.support import source_of
from tests.trust.canaries import CANARIES, flat_row, found_in, shown_by
from tests.trust.test_secrets_logs import a_client

ROUTES = ["per-profile", "bulk"]
BAD = {**flat_row(), "email": " ".join(CANARIES.values())}


@pytest.fixture
def shop() -> Iterator[Emulator]:
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        yield shop


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A process whose files would be everybody's."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> list[bytes]:
    """What is in each file of a folder, all of which are their owner's alone."""
    files = list(folder.iterdir())
    assert {mode(file) for file in files} == {0o600}
    return [file.read_bytes() for file in files]


def database(path: Path) -> str:
    """All rows of all tables, as a text."""
    with closing(sqlite3.connect(path)) as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")
        ]
        return "\n".join(
            repr(row) for name in tables for row in db.execute(f"SELECT * FROM {name}")
        )


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("route", ROUTES)
async def test_a_journal_is_private_and_names_nobody_at_any_moment(
    shop: Emulator, tmp_path: Path, route: str
) -> None:
    journal = tmp_path / "sync.db"
    rows = [{**flat_row(), "n": number} for number in range(40)] + [BAD]
    options = SyncOptions(route=route, journal=journal, skip_unchanged=True, chunk_rows=10)
    seen: list[bytes] = []
    async with a_client(shop.url) as client:
        async with client.sync(source_of(rows), options=options) as sync:
            async for _ in sync:
                seen += contents(tmp_path)
        with shop.fault(status=422, error_message=json.dumps(flat_row())):
            again = SyncOptions(
                route=route, journal=journal, skip_unchanged=True, max_refused_in_a_row=2
            )
            with pytest.raises(SyncStopped) as stopped:
                await client.sync_all(
                    source_of(
                        [{**row, "n": -1, "m": number} for number, row in enumerate(rows)], "2"
                    ),
                    options=again,
                )
    seen += contents(tmp_path)

    assert sync.report.rejected == 1
    assert found_in(b"".join(set(seen))) == []
    assert found_in(database(journal)) == []
    assert found_in(shown_by(stopped.value) + repr(stopped.value.report)) == []


async def test_hashes_in_a_journal_are_keyed_so_that_two_journals_cannot_be_compared(
    shop: Emulator, tmp_path: Path
) -> None:
    hashes: list[str] = []
    for name in ("one.db", "two.db"):
        options = SyncOptions(journal=tmp_path / name, skip_unchanged=True)
        async with a_client(shop.url) as client:
            await client.sync_all(source_of([flat_row()]), options=options)
        with closing(sqlite3.connect(tmp_path / name)) as db:
            rows = db.execute("SELECT person, content FROM contents").fetchall()
        assert len(rows) == 5  # one for each of the person's identifiers
        hashes += [value.hex() for row in rows for value in row]

    # A person's rows share their content, so that there are six hashes in each.
    assert len(set(hashes)) == 12
    for value in CANARIES.values():
        for make in (md5, sha1, sha256, blake2b):
            hashed = make(value.encode()).hexdigest()
            assert not any(hashed.startswith(one) for one in hashes)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("name", ["rejected.csv", "rejected.jsonl"])
async def test_a_reject_file_is_for_its_owner_alone_and_never_holds_the_secret(
    shop: Emulator, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    rejects = RejectFile(path, list(flat_row()))
    async with a_client(shop.url) as client:
        options = SyncOptions(rejects=rejects, route="per-profile", max_refused_in_a_row=1000)
        first = await client.sync_all(
            [{**flat_row(), "phone": CANARIES["last_name"]}], options=options
        )
        with shop.fault(status=422, error_message=CANARIES["shop_secret"]):
            later = await client.sync_all([flat_row()], options=options)
    rejects.close()

    assert (first.rejected, later.rejected) == (1, 1)
    assert mode(path) == 0o600
    held = found_in(path.read_bytes())
    assert {"email", "custom", "last_name"} <= set(held)  # by design: to be mended and fed back
    assert "shop_secret" not in held


@pytest.mark.parametrize("route", ROUTES)
async def test_a_chunk_too_large_to_be_looked_through_is_not_quoted_at_all(
    shop: Emulator, route: str
) -> None:
    rows = [{**flat_row(), "n": number} for number in range(1500)]
    options = SyncOptions(route=route, patience=0, max_refused_in_a_row=2)
    said = f"{CANARIES['shop_secret']} {json.dumps(flat_row())}"
    for status in (400, 401, 413, 422, 500, 503):
        async with a_client(shop.url) as client:
            with (
                shop.fault(status=status, error_message=said),
                pytest.raises(SyncStopped) as stopped,
            ):
                await client.sync_all(rows, options=options)
        assert stopped.value.report.read > 0
        assert found_in(shown_by(stopped.value) + repr(stopped.value.report)) == []
