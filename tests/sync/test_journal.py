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
from personaclick_async.sync import Fault, JournalFailed, Record, Refused, Route, SyncRefused
from personaclick_async.sync.batch import Chunk, Settlement
from personaclick_async.sync.journal import Journal, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = (("email", "ada@shop.example"), ("external_id", "7"))


SETTINGS = {"api_url": "u", "shop_id": "s", "segment_id": ""}


def asked(source: str = "people") -> Run:
    return Run(source, Route.BULK, SETTINGS, "f1")


def opened_for(path: Path) -> Journal:
    journal = Journal(path)
    journal.resume(asked(), NOW, skips_unchanged=True)
    return journal


def begun(journal: Journal, first: int, last: int) -> Chunk:
    chunk = journal.begin(first)
    chunk.last_row, chunk.digest, chunk.settled = last, b"d", bytearray(last - first + 1)
    return chunk


def settled(chunk: Chunk, *positions: int, **tally: int) -> Settlement:
    return Settlement(chunk, positions, (), tally)


def test_what_is_written_down_is_there_again(journal: Path) -> None:
    first = opened_for(journal)
    done, half = begun(first, 1, 10), begun(first, 11, 20)
    first.save([settled(done, *range(10), sent=10, queued=2, rejected=1), settled(half)])
    first.save([settled(half, 0, 3, sent=1, failed=3)])
    begun(first, 21, 30)  # never saved: it counts for nothing
    first.close()

    again = Journal(journal)
    [left] = again.resume(asked(), NOW)
    found = again.run
    assert (found.fingerprint, found.route, found.settings) == ("f1", Route.BULK, SETTINGS)
    assert found.tally == {"sent": 11, "queued": 2, "rejected": 1}
    assert found.last_row == 20
    assert (left.id, left.first_row, left.last_row, left.digest) == (half.id, 11, 20, b"d")
    assert left.settled == bytes([1, 0, 0, 1, *[0] * 6])
    assert again.resume(asked("others"), NOW) == []
    assert [chunk.id for chunk in again.resume(asked(), NOW)] == [left.id]
    again.finish(NOW)
    assert again.resume(asked(), NOW) == []
    assert again.run.tally == {}
    again.close()


def test_the_file_belongs_to_its_owner_alone(journal: Path) -> None:
    before = os.umask(0)
    try:
        opened = opened_for(journal)
        begun(opened, 1, 2)
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
    [(outcome, _)] = journal.compared(chunk, [(Record(1, dict(persons)), content)], 0)
    return isinstance(outcome, Record)


def test_content_counts_as_delivered_only_when_its_chunk_is_done(journal: Path) -> None:
    opened = opened_for(journal)
    first, second, third = (begun(opened, row, row) for row in (1, 2, 3))
    assert mark(opened, first, b"a")
    assert mark(opened, second, b"a")
    opened.save([settled(first, 0, sent=1)])
    assert mark(opened, third, b"a")  # the second chunk is still under way
    opened.save([settled(second, 0, sent=1)])
    opened.save([settled(third, 0, sent=1)])
    assert not mark(opened, begun(opened, 4, 4), b"a")
    assert mark(opened, begun(opened, 5, 5), b"b")
    opened.close()


def test_a_person_known_by_another_name_meanwhile_is_not_unchanged(journal: Path) -> None:
    opened = opened_for(journal)
    for row, persons, content in ((1, ADA, b"a"), (2, ADA[1:], b"b")):
        chunk = begun(opened, row, row)
        assert mark(opened, chunk, content, persons)
        opened.save([settled(chunk, 0, sent=1)])
    assert mark(opened, begun(opened, 3, 3), b"a")
    opened.close()


def test_what_was_refused_or_given_up_is_not_remembered_as_delivered(journal: Path) -> None:
    opened = opened_for(journal)
    chunk = begun(opened, 1, 1)
    mark(opened, chunk, b"a")
    refused = Refused(1, (Fault("record", "another", "this"),), dict(ADA))
    opened.save([Settlement(chunk, (0,), (), {"rejected": 1}, [refused])])
    assert mark(opened, begun(opened, 2, 2), b"a")
    opened.resume(asked(), NOW, restarts=True, skips_unchanged=True)
    assert mark(opened, begun(opened, 1, 1), b"a")
    opened.close()
