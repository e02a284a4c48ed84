"""Parts: everything is in one of them, each resumes, and together they stay within the limit."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import pickle
import signal
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from personaclick_async import RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.sync import SyncRefused, SyncStopped
from personaclick_async.sync.journal import Journal
from personaclick_async.sync.parts import (
    Part,
    Shard,
    finish_parts,
    parts_of,
    prepare_parts,
    stop_parts,
    sync_part,
)
from personaclick_async.sync.sources import Layout
from tests.distributed.conftest import Site
from tests.distributed.support import sample_rows, write_csv_parts, write_parts
from tests.sync.support import IMPORT, SET, expected, fit, people, stored


def test_files_are_divided_and_none_is_forgotten(tmp_path: Path) -> None:
    pattern = write_parts(tmp_path / "data", people(10), 5)
    parts = parts_of(pattern, 3)
    files = sorted(file for part in parts for file in part.files)
    assert files == sorted(map(str, Path(pattern).parent.glob("*.jsonl")))
    assert len(parts) == 3
    assert len({part.key for part in parts}) == 3
    assert pickle.loads(pickle.dumps(parts)) == parts
    assert len(parts_of(pattern, 99)) == 5


def test_a_single_file_is_divided_into_shards(tmp_path: Path) -> None:
    pattern = write_parts(tmp_path / "data", people(10), 1)
    parts = parts_of(pattern, 2)
    assert [part.shard for part in parts] == [Shard(1, 2), Shard(2, 2)]
    rows = [outcome.row for part in parts for outcome in part.open().outcomes()]
    assert sorted(rows) == list(range(1, 11))


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file fits"):
        parts_of(str(tmp_path / "*.csv"), 2)
    pattern = write_parts(tmp_path / "data", people(3), 1)
    with pytest.raises(ConfigurationError, match="expected 1 or more, got 0"):
        parts_of(pattern, 0)


@pytest.mark.parametrize("route", ["bulk", "per-profile"])
def test_parts_make_the_whole(site: Site, route: str) -> None:
    rows = sample_rows()
    parts = site.parts(write_csv_parts(site.folder / "data", rows, 5), 3)
    settings = site.settings(parts, route=route)
    prepare_parts(parts, settings)
    reports = [sync_part(part, settings) for part in parts]

    unfit = len(rows) - len(fit(rows))
    assert sum(one.read for one in reports) == len(rows)
    assert sum(one.incomplete for one in reports) == unfit
    assert stored(site.emulator).keys() == expected(fit(rows)).keys()
    assert stat.S_IMODE(settings.folder.stat().st_mode) == 0o700

    target = site.folder / "rejected.csv"
    finish_parts(parts, settings, target)
    assert len(target.read_text().splitlines()) == unfit + 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(settings.folder.glob("*-rejected.*"))


def test_rejected_rows_of_parts_with_other_columns_are_in_a_file_of_their_own(site: Site) -> None:
    data = site.folder / "data"
    data.mkdir()
    for number, header in enumerate(["id,email", "email,id", "id,email"]):
        cells = {"id": f"c{number}", "email": "nonsense"}
        row = ",".join(cells[name] for name in header.split(","))
        (data / f"{number}.csv").write_text(f"{header}\n{row}\n")
    parts = site.parts(str(data / "*.csv"), 3)
    settings = site.settings(parts)
    prepare_parts(parts, settings)
    for part in parts:
        sync_part(part, settings)
    target = site.folder / "rejected.csv"
    finish_parts(parts, settings, target)

    for file, expected_rows in ((target, ["c0", "c2"]), (site.folder / "rejected-2.csv", ["c1"])):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            assert [row["id"] for row in csv.DictReader(lines)] == expected_rows
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_rejected_rows_of_parts_are_separated_as_their_source_is(site: Site) -> None:
    file = site.folder / "people.csv"
    file.write_text("id;email\n" + "".join(f"{n};nonsense\n" for n in range(10)))
    parts = parts_of(file, 2, layout=Layout(delimiter=";"))
    settings = site.settings(parts)
    prepare_parts(parts, settings)
    for part in parts:
        sync_part(part, settings)
    target = site.folder / "rejected.csv"
    finish_parts(parts, settings, target)
    header, *rows = target.read_text("utf-8-sig").splitlines()
    assert header == "_row;_field;_reason;_sent;id;email"
    assert len(rows) == 10


def test_a_part_that_has_ended_is_resumed_at_its_end(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(40), 2), 2)
    settings = site.settings(parts, chunk_rows=5)
    prepare_parts(parts, settings)
    stopped = threading.Timer(0.6, stop_parts, [settings])
    site.emulator.fault(path=SET, delay=0.1)
    stopped.start()
    first = sync_part(parts[0], site.settings(parts, chunk_rows=5, concurrency=1))
    stopped.join()
    assert 0 < first.sent < 20

    site.emulator.clear_faults()
    prepare_parts(parts, settings)
    again = sync_part(parts[0], settings)
    assert again.sent == 20
    assert again.earlier >= first.sent - 2


def test_a_restart_sends_all_parts_again_and_once(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(40), 2), 2)
    settings = site.settings(parts, chunk_rows=5)
    prepare_parts(parts, settings)
    assert [sync_part(part, settings).sent for part in parts] == [20, 20]

    again = site.settings(parts, concurrency=1, unfinished="restart", patience=0)
    prepare_parts(parts, again)
    assert sync_part(parts[0], again).sent == 20
    with (
        site.emulator.fault(path=SET, status=503, probability=0.3),
        pytest.raises(SyncStopped) as stopped,
    ):
        sync_part(parts[1], again)
    assert (done := stopped.value.report.sent) > 0
    # Run again after it was lost, a part resumes, and one that is done is not sent.
    assert [sync_part(part, again).earlier for part in parts] == [0, done]
    assert len(site.emulator.requests_to(SET)) < 80 + 20

    other = Journal(settings.folder / f"{parts[0].key}.db")
    with pytest.raises(SyncRefused, match="another sync is using it"):
        prepare_parts(parts, again)
    other.close()


def _run(part: Part, site_settings: bytes) -> None:
    sync_part(part, pickle.loads(site_settings))


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_killed_part_resumes_and_its_successor_respects_the_limit(
    site: Site, *, is_waited_for: bool
) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(70), 1), 1)
    limits = {Family.IMPORT: RateLimit(3, 1.0)}
    settings = site.settings(parts, route="bulk", max_chunk_bytes=1024, limits=limits)
    prepare_parts(parts, settings)
    victim = multiprocessing.get_context("spawn").Process(
        target=_run, args=(parts[0], pickle.dumps(settings))
    )
    victim.start()
    with ThreadPoolExecutor() as pool:
        while len(site.emulator.requests_to(IMPORT)) < 3:
            time.sleep(0.01)
        if is_waited_for:
            successor = pool.submit(sync_part, parts[0], settings)
            while len(site.emulator.requests_to(IMPORT)) < 6:
                time.sleep(0.01)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        if not is_waited_for:
            successor = pool.submit(sync_part, parts[0], settings)
        assert successor.result().sent == 70
    times = [request.arrived_at for request in site.emulator.requests_to(IMPORT)]
    for index, begin in enumerate(times):
        assert sum(1 for one in times[index:] if one < begin + 1.0) <= 3


def test_a_part_that_is_done_waits_for_nothing(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(3), 1), 1)
    settings = site.settings(parts, limits={Family.IMPORT: RateLimit(3, 600.0)})
    prepare_parts(parts, settings)
    sync_part(parts[0], settings)
    assert _ends(lambda: sync_part(parts[0], settings))


def test_a_part_that_waits_for_another_run_ends_when_all_are_stopped(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(3), 1), 1)
    settings = site.settings(parts, limits={Family.IMPORT: RateLimit(3, 600.0)})
    prepare_parts(parts, settings)
    (settings.folder / f"{parts[0].key}.db").touch()
    stop_parts(settings)
    assert _ends(lambda: sync_part(parts[0], settings))
    assert site.emulator.requests == []


def _ends(work: Callable[[], object]) -> bool:
    """Return whether work ends at all, within some seconds."""
    working = threading.Thread(target=work, daemon=True)
    working.start()
    working.join(20.0)
    return not working.is_alive()


def test_a_part_waits_for_a_predecessor_that_still_runs(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(3), 1), 1)
    settings = site.settings(parts)
    prepare_parts(parts, settings)
    other = Journal(settings.folder / f"{parts[0].key}.db")
    done: list[int] = []
    waiting = threading.Thread(target=lambda: done.append(sync_part(parts[0], settings).sent))
    waiting.start()
    time.sleep(0.8)
    assert not done
    other.close()
    waiting.join()
    assert done == [3]


def test_settings_hold_no_secret(site: Site) -> None:
    parts = site.parts(write_parts(site.folder / "data", people(3), 1), 1)
    settings = site.settings(parts)
    assert site.emulator.shop_secret.encode() not in pickle.dumps((parts, settings))
    assert site.emulator.shop_secret not in json.dumps(repr(settings))
