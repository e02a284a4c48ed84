"""The journal remembers what was delivered, keeps others out, and tells nobody anything."""

from __future__ import annotations

import os
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync import JournalFailed, Record, Route, SyncRefused
from personaclick_async.sync.batch import Chunk
from personaclick_async.sync.journal import Journal, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = (("email", "ada@shop.example"), ("external_id", "7"))


SETTINGS = {"api_url": "u", "shop_id": "s", "segment_id": ""}


def begun(journal: Journal, run: Run, first: int, last: int) -> Chunk:
    chunk = journal.begin(run, first)
    chunk.last_row, chunk.digest, chunk.settled = last, b"d", bytearray(last - first + 1)
    return chunk


def settle(chunk: Chunk, *positions: int) -> None:
    for position in positions:
        chunk.settled[position] = 1


def asked(source: str = "people") -> Run:
    return Run(source, Route.AUTO, SETTINGS, "f1")


def run_of(journal: Journal) -> Run:
    run = Run("people", Route.BULK, SETTINGS, "f1")
    journal.start(run)
    return run


def save(journal: Journal, run: Run, chunks: list[Chunk], **settled: int) -> None:
    run.tally = settled
    journal.save(run, chunks)


def test_what_is_written_down_is_there_again(journal: Path) -> None:
    first = Journal(journal)
    run = run_of(first)
    done, half = begun(first, run, 1, 10), begun(first, run, 11, 20)
    settle(done, *range(10))
    settle(half, 0, 3)
    save(first, run, [done, half], sent=11, queued=2, rejected=1, failed=3)
    begun(first, run, 21, 30)  # never saved: it counts for nothing
    first.close()

    again = Journal(journal)
    found, [left] = again.resume(asked(), NOW)
    assert (found.fingerprint, found.route, found.settings) == ("f1", Route.BULK, SETTINGS)
    assert found.tally == {"sent": 11, "queued": 2, "rejected": 1}
    assert found.last_row == 20
    assert (left.id, left.first_row, left.last_row, left.digest) == (half.id, 11, 20, b"d")
    assert left.settled == bytes([1, 0, 0, 1, *[0] * 6])
    others = asked("others")
    assert again.resume(others, NOW) == (others, [])
    again.end(run, NOW, is_finished=True)
    assert again.resume(asked(), NOW) == (asked(), [])
    again.close()


def test_the_file_belongs_to_its_owner_alone(journal: Path) -> None:
    before = os.umask(0)
    try:
        opened = Journal(journal)
        begun(opened, run_of(opened), 1, 2)
    finally:
        os.umask(before)
    files = list(journal.parent.iterdir())
    assert {file.name for file in files} >= {journal.name, f"{journal.name}-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    opened.close()


def test_a_file_that_others_could_read_is_closed_to_them(journal: Path) -> None:
    Journal(journal).close()
    journal.chmod(0o644)
    Journal(journal).close()
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_a_second_sync_is_kept_out(journal: Path) -> None:
    first = Journal(journal)
    with pytest.raises(SyncRefused, match="another sync is using it"):
        Journal(journal)
    first.close()
    Journal(journal).close()


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "customers.csv"
    text.write_text("email,name\n" * 100, encoding="utf-8")
    text.chmod(0o644)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE things(name)")
    db.close()
    for path in (text, other):
        before = (path.read_bytes(), path.stat().st_mode)
        with pytest.raises(SyncRefused, match=r"journal: the file is (no|a) database"):
            Journal(path)
        assert (path.read_bytes(), path.stat().st_mode) == before


def test_a_journal_of_a_later_format_is_refused(journal: Path) -> None:
    Journal(journal).close()
    with sqlite3.connect(journal) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(ConfigurationError, match="format 9"):
        Journal(journal)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="No such file or directory") as caught:
        Journal(tmp_path / "nowhere" / "sync.db")
    assert str(tmp_path) not in str(caught.value)


def test_a_commit_survives_a_power_cut(journal: Path) -> None:
    opened = Journal(journal)
    with opened.transaction() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    opened.close()


def mark(journal: Journal, chunk: Chunk, content: bytes, persons: Any = ADA) -> bool:
    run = Run("people", Route.BULK, SETTINGS)
    [(outcome, _)] = journal.compared(run, chunk, [(Record(1, dict(persons)), content)], 0)
    return isinstance(outcome, Record)


def test_content_counts_as_delivered_only_when_its_chunk_is_done(journal: Path) -> None:
    opened = Journal(journal)
    run = run_of(opened)
    first, second, third = (begun(opened, run, row, row) for row in (1, 2, 3))
    assert mark(opened, first, b"a")
    assert mark(opened, second, b"a")
    for chunk in (first, second):
        settle(chunk, 0)
    save(opened, run, [first], sent=1)
    assert mark(opened, third, b"a")  # the second chunk is still under way
    save(opened, run, [second], sent=1)
    settle(third, 0)
    save(opened, run, [third], sent=1)
    assert not mark(opened, begun(opened, run, 4, 4), b"a")
    assert mark(opened, begun(opened, run, 5, 5), b"b")
    opened.close()


def test_a_person_known_by_another_name_meanwhile_is_not_unchanged(journal: Path) -> None:
    opened = Journal(journal)
    run = run_of(opened)
    for row, persons, content in ((1, ADA, b"a"), (2, ADA[1:], b"b")):
        chunk = begun(opened, run, row, row)
        assert mark(opened, chunk, content, persons)
        settle(chunk, 0)
        save(opened, run, [chunk], sent=1)
    assert mark(opened, begun(opened, run, 3, 3), b"a")
    opened.close()


def test_what_was_refused_or_given_up_is_not_remembered_as_delivered(journal: Path) -> None:
    opened = Journal(journal)
    run = run_of(opened)
    chunk = begun(opened, run, 1, 1)
    mark(opened, chunk, b"a")
    settle(chunk, 0)
    opened.save(run, [chunk], ADA)
    assert mark(opened, begun(opened, run, 2, 2), b"a")
    opened.end(run, NOW)
    run = run_of(opened)
    assert mark(opened, begun(opened, run, 1, 1), b"a")
    opened.close()
