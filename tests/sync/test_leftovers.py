"""What a sync leaves behind, its journal and its rejected rows, is true whatever happened to it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.sync import Delivered, JournalFailed, SyncRefused
from personaclick_async.sync.journal import Journal, JournalDamaged
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.sources import IterableSource
from tests.sync.support import (
    PATHS,
    SET,
    expected,
    people,
    source_of,
    start,
    stored,
)


async def interrupted(client: PersonaClick, rows: list[dict[str, Any]], **options: Any) -> int:
    """Stop a sync after some 40 records; return how many it has delivered."""
    sync = start(client, source_of(rows), **options)
    seen = 0
    async for result in sync:
        seen += isinstance(result, Delivered)
        if seen >= 40:
            break
    await sync.stop()
    return sync.report.sent


async def test_what_an_interrupted_run_delivered_is_unchanged_after_a_restart(
    client: PersonaClick, emulator: Emulator, journal: Path
) -> None:
    rows = people(300)
    # All in one chunk, which is not complete when the sync is stopped.
    options: dict[str, Any] = {"journal": journal, "skip_unchanged": True, "concurrency": 4}
    delivered = await interrupted(client, rows, **options)
    assert 40 <= delivered < 300
    again = start(client, source_of(rows), unfinished="restart", **options)
    report = await again.run()

    assert (report.unchanged, report.sent) == (delivered, 300 - delivered)
    assert len(emulator.requests_to(SET)) == 300
    assert stored(emulator) == expected(rows)


async def test_a_rejected_row_stands_once_though_its_commit_was_lost(
    client: PersonaClick, emulator: Emulator, journal: Path, tmp_path: Path
) -> None:
    rows = people(100)
    for number in range(0, 100, 4):
        rows[number]["email"] = 'no, "body"\nat all'
    path = tmp_path / "rejects.csv"
    options: dict[str, Any] = {"journal": journal, "chunk_rows": 20, "concurrency": 4}

    with closing(RejectFile(path, list(rows[0]))) as rejects:
        await interrupted(client, rows, rejects=rejects, **options)
    # As after a kill between the two: the rows are there, the journal does not know of them.
    with sqlite3.connect(journal) as db:
        db.execute("DELETE FROM chunks")
        db.execute("UPDATE runs SET run = json_set(run, '$.rejects_at', 0)")
    db.close()
    with closing(RejectFile(path, list(rows[0]))) as rejects:
        await start(client, source_of(rows), rejects=rejects, **options).run()

    text = await asyncio.to_thread(path.read_text, "utf-8-sig")
    numbers = [int(row["_row"]) for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert sorted(numbers) == list(range(1, 101, 4))


async def test_a_rejected_row_stands_once_though_the_next_run_did_not_come_so_far(
    client: PersonaClick, journal: Path, tmp_path: Path
) -> None:
    rows = people(100)
    for number in range(0, 100, 4):
        rows[number]["email"] = "nobody"
    path = tmp_path / "rejects.jsonl"
    options: dict[str, Any] = {"journal": journal, "chunk_rows": 10, "concurrency": 1}

    async def run(stop_after: int) -> None:
        with closing(RejectFile(path)) as rejects:
            sync = start(client, source_of(rows), rejects=rejects, **options)
            seen = 0
            async for result in sync:
                seen += isinstance(result, Delivered)
                if seen == stop_after:
                    break
            await sync.stop()

    await run(60)
    # As after a kill before the first commit: the journal knows of no row in the file.
    with sqlite3.connect(journal) as db:
        db.execute("DELETE FROM chunks")
        begun = "'$.rejects_at', 0, '$.last_row', 0, '$.tally', json_object()"
        db.execute(f"UPDATE runs SET run = json_set(run, {begun})")
    db.close()
    await run(5)
    await run(100)

    numbers = [json.loads(line)["_row"] for line in path.read_bytes().splitlines()]
    assert sorted(numbers) == list(range(1, 101, 4))


def damaged(journal: Path, how: str) -> None:
    whole = journal.read_bytes()
    if how == "cut":
        journal.write_bytes(whole[: len(whole) // 2])
    elif how == "random":
        journal.write_bytes(bytes(range(256)) * 64)
    else:
        journal.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


@pytest.mark.parametrize("how", ["cut", "random", "overwritten"])
@pytest.mark.parametrize("route", PATHS)
async def test_a_damaged_journal_is_named_and_a_restart_sets_it_aside(
    client: PersonaClick, emulator: Emulator, journal: Path, how: str, route: str
) -> None:
    rows = people(60)
    await start(client, source_of(rows), journal=journal, route=route).run()
    damaged(journal, how)
    before = await asyncio.to_thread(journal.read_bytes)
    with pytest.raises(JournalFailed, match=r"sync\.journal is damaged: move it away") as caught:
        await start(client, source_of(rows), journal=journal, route=route).run()
    assert "--restart" in str(caught.value)
    assert isinstance(caught.value, SyncRefused)

    report = await start(
        client, source_of(rows), journal=journal, route=route, unfinished="restart"
    ).run()
    assert report.sent == 60
    [aside] = [
        path for path in journal.parent.glob("*.damaged-*") if not path.name.endswith("-wal")
    ]
    assert aside.read_bytes() == before
    assert (await start(client, source_of(rows), journal=journal, route=route).run()).sent == 60


def test_somebody_s_text_is_never_set_aside(journal: Path) -> None:
    journal.write_text("email,name\nada@shop.example,Ada\n")
    with pytest.raises(JournalDamaged, match="journal: the file is no database"):
        Journal(journal, sets_aside=True)
    assert journal.read_text().startswith("email")


@pytest.mark.parametrize("path", ["", ".", "/", "/dev/null"])
def test_a_folder_or_a_device_is_no_journal(path: str) -> None:
    with pytest.raises(SyncRefused, match="journal: expected a file of its own"):
        Journal(Path(path))


def test_a_journal_is_a_file_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Journal(Path(":memory:")).close()
    assert Path(":memory:").stat().st_size > 0


@pytest.mark.parametrize("name", ["sync.journal", "sync.journal-wal"])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"somebody's")
    (tmp_path / name).symlink_to(target)
    with pytest.raises(SyncRefused, match="is a symbolic link"):
        Journal(tmp_path / "sync.journal")
    assert target.read_bytes() == b"somebody's"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SyncRefused, match="is a symbolic link"):
        Journal(dangling)
    assert not (tmp_path / "nowhere").exists()


def test_a_journal_that_may_not_be_written_is_named(journal: Path) -> None:
    Journal(journal).close()
    journal.chmod(0o400)
    before: list[str] = []
    if os.getuid() == 0:  # for whom modes count only without this
        before = [shutil.which("setpriv") or pytest.skip("no setpriv"), *WITHOUT_RIGHTS]
    opens = "import sys; from pathlib import Path; Journal(Path(sys.argv[1]))"
    imports = "from personaclick_async.sync.journal import Journal"
    run = subprocess.run(
        [*before, sys.executable, "-c", f"{imports}; {opens}", str(journal)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SyncRefused: journal: sync.journal is not yours to write" in run.stderr


WITHOUT_RIGHTS = ["--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("route", PATHS)
async def test_a_sync_that_delivered_nothing_is_no_obstacle(
    client: PersonaClick, emulator: Emulator, journal: Path, route: str
) -> None:
    async def run(fingerprint: str, **more: Any) -> None:
        source = source_of(people(60), fingerprint)
        await start(client, source, journal=journal, route=route, **more).run()

    with emulator.fault(status=401), pytest.raises(Exception, match="answered 401"):
        await run("f1")
    await run("f2")
    assert stored(emulator) == expected(people(60))


async def test_a_source_that_may_have_changed_is_not_called_the_same(
    client: PersonaClick, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for rows in (people(2), people(3)):
        await start(client, IterableSource(rows, name="standard input"), journal=journal).run()
    assert "is sent again" not in caplog.text


async def test_a_run_soon_after_a_finished_one_says_that_all_is_sent_again(
    client: PersonaClick, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await start(client, source_of(people(9)), journal=journal).run()
    await start(client, source_of(people(9), "f2"), journal=journal).run()
    assert "is sent again" not in caplog.text
    report = await start(client, source_of(people(9), "f2"), journal=journal).run()
    assert report.sent == 9
    assert caplog.text.count("the same source was synced to its end at") == 1


async def test_one_open_file_too_many_closes_a_slot_and_not_the_sync(
    tmp_path: Path, emulator: Emulator
) -> None:
    path = tmp_path / "people.csv"
    lines = [f"user{number}@shop.example\n" for number in range(300)]
    path.write_text("email\n" + "".join(lines))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITH_FEW_FILES, "20"),
        *("sync", str(path), "--concurrency", "32", "--patience", "20"),
        cwd=tmp_path,
        env={
            **os.environ,
            "PERSONACLICK_SHOP_ID": emulator.shop_id,
            "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
            "PERSONACLICK_API_URL": emulator.url,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert said.decode().count("too many open files") <= 1
    assert emulator.count_profiles() == 300


WITH_FEW_FILES = """
import resource, sys
count = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
from personaclick_async.cli.app import app
app()
"""
