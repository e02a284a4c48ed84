"""The partition function by itself: atomic, resumed by chunk, the same wherever it runs."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import codec
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync import Record, Rejected, SyncRefused
from personaclick_async.sync.partitions import (
    ENVELOPE_BYTES,
    Prepared,
    partitions_of,
    prepare,
    survey,
)
from personaclick_async.sync.ready_chunk import ReadyChunk
from personaclick_async.sync.sources import IterableSource
from personaclick_async.sync.spool import Spool, SpoolFailed
from tests.distributed.support import sample_rows, write_csv_parts, write_parts
from tests.sync.engine.support import people, source_of

SMALL = 4096
KILLS = 8


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool", "test")
    made.make()
    return made


def chunks_of(spool: Spool, prepared: Prepared, before: int = 0) -> list[ReadyChunk]:
    folder = spool.path / prepared.part
    found = [ReadyChunk.read(folder, name, before=before) for name in prepared.chunks]
    return [chunk for chunk in found if chunk is not None]


def state(spool: Spool) -> dict[str, tuple[int, int]]:
    """Give every file that counts, with what changes when it is written again."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in spool.path.rglob("*")
        if path.is_file() and not path.name.startswith(".unfinished-")
    }


def test_every_row_is_in_a_chunk_and_no_body_is_too_large(spool: Spool, tmp_path: Path) -> None:
    rows = sample_rows()
    [partition] = partitions_of(write_csv_parts(tmp_path / "data", rows, 1))
    prepared = prepare(partition, spool, 0, max_chunk_bytes=SMALL)

    source = list(partition.open().outcomes())
    found = [
        one for chunk in chunks_of(spool, prepared) for one in chunk.outcomes_and_contents()[0]
    ]
    assert [one.row for one in found] == list(range(1, len(rows) + 1))
    for one, wanted in zip(found, source, strict=True):
        assert type(one) is type(wanted)
        if isinstance(one, Record) and isinstance(wanted, Record):
            assert (one.wire, one.identifiers) == (wanted.wire, wanted.identifiers)
        if isinstance(one, Rejected) and isinstance(wanted, Rejected):
            assert (one.rule, one.source_row) == (wanted.rule, wanted.source_row)
    sizes = [len(chunk.entries) + ENVELOPE_BYTES for chunk in chunks_of(spool, prepared)]
    assert max(sizes) <= SMALL
    assert min(sizes[:-1]) > SMALL - 600
    assert prepared.rows == prepared.last_row == len(rows)
    assert prepared.rejected == sum(isinstance(one, Rejected) for one in source) > 0
    assert codec.decode(b"[" + bytes(chunks_of(spool, prepared)[0].entries) + b"]")


def test_a_second_run_does_nothing_twice(spool: Spool, tmp_path: Path) -> None:
    [partition] = partitions_of(write_parts(tmp_path / "data", people(300), 1))
    first = prepare(partition, spool, 0, max_chunk_bytes=SMALL)
    before = state(spool)
    assert prepare(partition, spool, 0, max_chunk_bytes=SMALL) == first
    assert state(spool) == before


def _prepare(path: str, spool: Spool) -> None:
    prepare(partitions_of(path)[0], spool, 0, max_chunk_bytes=SMALL)


# Forking a process that has threads, as the other tests' cluster makes it, is what 3.12 warns of.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_killed_at_any_moment_it_goes_on_with_the_first_chunk_that_is_missing(
    tmp_path: Path,
) -> None:
    rows = people(900, versions=20)
    path = write_parts(tmp_path / "data", rows, 1)
    whole = Spool(tmp_path / "whole", "test")
    whole.make()
    undisturbed = prepare(partitions_of(path)[0], whole, 0, max_chunk_bytes=SMALL)

    spool = Spool(tmp_path / "spool", "test")
    spool.make()
    chance = random.Random(7)
    fork = multiprocessing.get_context("fork")
    killed = 0
    kept: dict[str, tuple[int, int]] = {}
    while killed < KILLS:
        process = fork.Process(target=_prepare, args=(path, spool))
        process.start()
        time.sleep(chance.random() * 0.15)
        process.kill()
        process.join()
        now = state(spool)
        assert kept.items() <= now.items()
        kept = now
        killed += 1
    assert 0 < len(kept) <= len(undisturbed.chunks) + 1
    prepared = prepare(partitions_of(path)[0], spool, 0, max_chunk_bytes=SMALL)

    assert prepared == undisturbed
    assert kept.items() <= state(spool).items()
    assert {path.name for path in (spool.path / prepared.part).iterdir()} == {
        path.name for path in (whole.path / prepared.part).iterdir()
    }


def test_what_was_changed_or_can_not_be_told_is_refused(spool: Spool, tmp_path: Path) -> None:
    path = write_parts(tmp_path / "data", people(30), 1)
    [partition] = partitions_of(path)
    found = survey(partition)
    assert (found.name, found.rows, found.columns) == ("part-000.jsonl", 30, None)
    file = Path(partition.where)
    file.write_text(file.read_text().replace("Name7", "Changed"))
    with pytest.raises(SyncRefused, match="was changed since the sync began"):
        prepare(partition, spool, 0, found.fingerprint)
    with pytest.raises(ConfigurationError, match="give it a version"):
        prepare(IterableSource(people(3)), spool, 0)


def test_any_source_with_a_version_is_a_partition(spool: Spool) -> None:
    prepared = prepare(source_of(people(5)), spool, 3)
    [chunk] = chunks_of(spool, prepared, before=100)
    assert list(chunk.numbers) == [101, 102, 103, 104, 105]
    assert prepared.part.startswith("000003-")
    assert len(chunk.entries) <= IMPORT_MAX_BODY_BYTES


def test_partitions_with_the_same_content_are_not_the_same(spool: Spool) -> None:
    one, other = (prepare(source_of(people(5)), spool, index) for index in (0, 1))
    assert one.part != other.part


def test_a_folder_that_is_not_shared_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="one folder that all of them see"):
        prepare(source_of(people(5)), Spool(tmp_path / "elsewhere", "test"), 0)


def test_a_damaged_chunk_is_noticed(spool: Spool) -> None:
    prepared = prepare(source_of(people(5)), spool, 0)
    path = spool.path / prepared.part / str(prepared.chunks[0])
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(SpoolFailed, match="the spool is damaged"):
        chunks_of(spool, prepared)


def test_an_empty_partition_is_ready_at_once(spool: Spool) -> None:
    prepared = prepare(IterableSource([], version="1"), spool, 0)
    assert (prepared.chunks, prepared.rows, prepared.last_row) == ((), 0, 0)


def test_partitions_come_in_the_order_of_names_and_of_what_is_asked_for(tmp_path: Path) -> None:
    pattern = write_parts(tmp_path / "data", people(12), 12)
    names = [Path(one.where).name for one in partitions_of(pattern)]
    assert names == sorted(names)
    last, *_ = reversed(partitions_of(pattern))
    found: list[Any] = [one.where for one in partitions_of([last, pattern])]
    assert len(found) == 13
    assert found[0] == found[-1] == last.where
