"""The file of rejected rows: private, never short of one, and fit to be mended and fed back."""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.options import RejectSink
from personaclick_async.sync.records import Fault, Omitted, Outcome, Record, Refused, Rejected
from personaclick_async.sync.rejects import RejectFile, RejectsFailed
from personaclick_async.sync.sources import CsvSource, JsonSource, Layout

COLUMNS = ("id", "email", "name")
PEOPLE = FieldMapping.parse(
    'invalid = "reject"\n[fields]\nid = "id"\nemail = "email"\nfirst_name = "name"'
)


def _rejected(row: int = 1, **source_row: object) -> Rejected:
    return _rejected_as(source_row, row)


def _rejected_as(source_row: Mapping[str, object], row: int = 1) -> Rejected:
    return Rejected(row, (Fault("email", "an e-mail address", "str of 6 characters"),), source_row)


def _write(path: Path, rejected: list[Rejected], **options: Any) -> Path:
    file = RejectFile(path, **{"columns": COLUMNS, **options})
    file.append(rejected)
    file.close()
    return path


def _of(outcomes: list[Outcome]) -> list[Rejected]:
    return [one for one in outcomes if isinstance(one, Rejected)]


def test_rows_stand_there_with_the_reason_first(tmp_path: Path) -> None:
    path = _write(tmp_path / "rejects.csv", [_rejected(7, id="1", email="nobody", name="Ada")])

    with path.open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)

    assert row == {
        "_row": "7",
        "_field": "email",
        "_reason": "expected an e-mail address, got str of 6 characters",
        "_sent": "",
        "id": "1",
        "email": "nobody",
        "name": "Ada",
    }


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_nobody_else_may_read_it(tmp_path: Path, name: str) -> None:
    before = os.umask(0)
    try:
        path = _write(tmp_path / name, [])
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_there_becomes_private(tmp_path: Path) -> None:
    path = _write(tmp_path / "rejects.csv", [])
    path.chmod(0o644)

    _write(path, [_rejected(1, id="1", email="x", name="")])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_links_and_devices_are_not_written_to(tmp_path: Path) -> None:
    target = tmp_path / "target.csv"
    target.touch()
    link = tmp_path / "rejects.csv"
    link.symlink_to(target)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)

    for path in (link, tmp_path, Path("/dev/null"), pipe):
        with pytest.raises(ConfigurationError, match=path.name):
            RejectFile(path, COLUMNS)
    assert not target.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    path.touch()
    os.chown(path, 12345, -1)

    with pytest.raises(ConfigurationError, match="another user's file"):
        RejectFile(path, COLUMNS)


def test_all_faults_of_a_row_are_said_and_that_it_was_sent(tmp_path: Path) -> None:
    faults = (Fault("phone", "a phone", "str"), Fault("age", "a number", "str"))
    row = {"id": "1", "email": "=ada", "name": "+Ada"}
    path = tmp_path / "rejects.csv"
    with closing(RejectFile(path, COLUMNS)) as file:
        file.append([Rejected(1, faults, row), Omitted(2, faults[:1], row)])

    with path.open(encoding="utf-8-sig", newline="") as text:
        first, second = csv.DictReader(text)

    assert first["_field"] == "phone, age"
    assert first["_reason"] == "phone: expected a phone, got str; age: expected a number, got str"
    assert second["_reason"] == "sent without: expected a phone, got str"
    assert (second["email"], second["name"]) == ("=ada", "+Ada")


def test_it_is_what_the_engine_asks_for(tmp_path: Path) -> None:
    sink: RejectSink = RejectFile(tmp_path / "rejects.csv", COLUMNS)
    assert isinstance(sink, RejectFile)
    sink.flush()
    sink.close()
    sink.close()


MENDED = {"nobody": "ada@shop.example"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    "layout", [Layout(), Layout(encoding="latin-1", columns=COLUMNS), Layout(quote=None)]
)
def test_a_corrected_file_is_read_with_the_options_of_its_source(
    tmp_path: Path, delimiter: str, layout: Layout
) -> None:
    rows = [_rejected(n, id=str(n), email="nobody", name=f"Zoë, {n};\n") for n in (1, 2)]
    path = _write(tmp_path / "rejects.csv", rows, delimiter=delimiter)

    again = list(CsvSource(path, PEOPLE, layout=layout).outcomes())
    path.write_text(path.read_text("utf-8").replace("nobody", "zoe@shop.example"), "utf-8")
    mended = list(CsvSource(path, PEOPLE, layout=layout).outcomes())

    assert [one.source_row for one in _of(again)] == [one.source_row for one in rows]
    assert [one.wire for one in mended if isinstance(one, Record)] == [
        {"external_id": str(n), "email": "zoe@shop.example", "first_name": f"Zoë, {n};"}
        for n in (1, 2)
    ]


def test_a_row_without_the_columns_of_its_source_does_not_pass_uncorrected(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text(
        "id,email,name\n2,b@shop.example,Smith, John\n"
        '3,c@shop.example,"Three\n4,d@shop.example,Four\n5,e@shop.example,"A \\"B\\""\n'
    )
    first = list(CsvSource(source, PEOPLE).outcomes())
    path = _write(tmp_path / "rejects.csv", _of(first))

    again = list(CsvSource(path, PEOPLE).outcomes())

    assert [one.row for one in _of(first)] == [1, 2, 4]
    assert len(_of(again)) == len(again) == 3
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[4:] for row in rows] == [
        ["id", "email", "name"],
        ["2", "b@shop.example", "Smith", " John"],
        ["3", "c@shop.example", '"Three', "correct this row, then delete this cell"],
        ["5", "e@shop.example", '"A \\"B\\""', "correct this row, then delete this cell"],
    ]


def test_a_row_that_the_service_refused_is_fed_back_as_it_was_sent(tmp_path: Path) -> None:
    # "name" is a column too, of which the mapping makes another field.
    sent = {"external_id": "7", "birthday": "1985-12-10", "kids": [{"gender": "f"}], "name": 1}
    refused = Refused(3, (Fault("record", "what the service takes", "what it refused"),), sent)
    path = _write(tmp_path / "rejects.csv", [refused, _rejected(4, id="4", email="no", name="")])

    first, second = CsvSource(path, PEOPLE).outcomes()

    assert isinstance(first, Record)
    assert first.wire == sent
    assert isinstance(second, Rejected)

    path.write_text(path.read_text("utf-8").replace("1985", "1985a"), "utf-8")
    broken = next(CsvSource(path, PEOPLE).outcomes())
    assert isinstance(broken, Rejected)
    assert broken.field == "birthday"
    path.write_text(path.read_text("utf-8").replace("{", "", 1), "utf-8")
    broken = next(CsvSource(path, PEOPLE).outcomes())
    assert isinstance(broken, Rejected)
    assert broken.field == "_sent"


@pytest.mark.parametrize("sent", ['{"email": "no", "name": "Ada"}', '{"name": "Ada"}', "{broken"])
def test_what_was_sent_and_is_rejected_again_stands_where_it_stood(
    tmp_path: Path, sent: str
) -> None:
    path = tmp_path / "rejects.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["_row", "_field", "_reason", "_sent", *COLUMNS]])
        csv.writer(file).writerow(["1", "email", "no", sent, "", "", ""])

    again = _write(tmp_path / "again.csv", _of(list(CsvSource(path, PEOPLE).outcomes())))

    with again.open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["_sent"], row["email"], row["name"]) == (sent, "", "")


def test_json_lines_keep_types_and_are_fed_back(tmp_path: Path) -> None:
    records = [{"id": 1, "email": "nobody", "more": [None, 1.5]}]
    source = tmp_path / "people.jsonl"
    source.write_text("\n".join([*map(json.dumps, records), "{broken", "[1]"]))
    rejected = _of(list(JsonSource(source).outcomes()))
    path = _write(tmp_path / "rejects.jsonl", rejected, columns=None)

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    again = _of(list(JsonSource(path).outcomes()))
    path.write_text(path.read_text().replace("nobody", "ada@shop.example"))
    mended = next(JsonSource(path).outcomes())

    assert lines[0] == {
        "_row": 1,
        "_field": "email",
        "_reason": "expected an e-mail address such as name@shop.example, got str of 6 characters",
        **records[0],
    }
    assert [line["_line"] for line in lines[1:]] == ["{broken", "[1]"]
    assert len(again) == 3
    assert isinstance(mended, Record)
    assert mended.wire == {"external_id": 1, "email": "ada@shop.example", "more": [None, 1.5]}


def test_what_was_sent_is_marked_in_json_lines_too(tmp_path: Path) -> None:
    sent = {"external_id": "7", "name": "a custom property"}
    refused = Refused(3, (Fault("record", "more", "less"),), sent)
    path = _write(tmp_path / "rejects.jsonl", [refused], columns=None)

    [record] = JsonSource(path, PEOPLE).outcomes()

    assert isinstance(record, Record)
    assert record.wire == sent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (7, "7"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 8, 1), "2026-08-01"),
        (datetime(2026, 8, 1, 12, 30, tzinfo=UTC), "2026-08-01 12:30:00+00:00"),
        (b"abc", "abc"),
        ([1, {"a": date(2026, 8, 1)}], '[1, {"a": "2026-08-01"}]'),
    ],
)
def test_values_of_any_type_are_written_as_text(tmp_path: Path, value: object, text: str) -> None:
    path = _write(tmp_path / "rejects.csv", [_rejected(id=value, email="", name="")])

    with path.open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["id"] == text
    as_json = _write(tmp_path / "rejects.jsonl", [_rejected(id=value)], columns=None)
    assert json.loads(as_json.read_text())["_row"] == 1


def test_bytes_that_are_no_text_are_kept_and_rejected_again(tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_bytes(b"id,email,name\n1,a@shop.example,\xff\xfe\n")
    layout = Layout(encoding="utf-8")
    path = _write(
        tmp_path / "rejects.csv", _of(list(CsvSource(source, PEOPLE, layout=layout).outcomes()))
    )

    assert path.read_bytes().endswith(b",1,a@shop.example,\xff\xfe\r\n")
    [again] = CsvSource(path, PEOPLE, layout=layout).outcomes()
    assert isinstance(again, Rejected)
    assert again.field == "first_name"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.text(st.characters(), max_size=8), min_size=3, max_size=3))
def test_any_text_comes_back_as_it_went(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    row = dict(zip(COLUMNS, [*values[:1], "nobody", *values[2:]], strict=True))
    folder = tmp_path_factory.mktemp("rejects")
    layout = Layout(encoding="utf-8")

    as_csv = _write(folder / "rejects.csv", [_rejected_as(row)])
    [again] = CsvSource(as_csv, PEOPLE, layout=layout).outcomes()
    assert isinstance(again, Rejected)
    if not any("\ud800" <= character <= "\udfff" for character in "".join(row.values())):
        assert again.source_row == row

    as_json = _write(folder / "rejects.jsonl", [_rejected_as(row)], columns=None)
    [again] = JsonSource(as_json, PEOPLE).outcomes()
    assert isinstance(again, Rejected)
    assert again.source_row == row


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_a_file_that_is_there_is_added_to(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for number in (1, 2, 3):
        _write(path, [_rejected(number, id="1", email="nobody", name="Ada")])

    lines = path.read_text("utf-8-sig").splitlines()

    assert len(lines) == (4 if name.endswith("csv") else 3)


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_several_syncs_may_add_to_one_file_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    files = [RejectFile(path, COLUMNS) for _ in range(4)]
    rows = [_rejected(n, id=f"{n}", email="nobody", name="Ada") for n in range(1, 1001)]

    def add(number: int) -> None:
        with closing(files[number]) as file:
            for row in rows[number :: len(files)]:
                file.append([row])

    with ThreadPoolExecutor(len(files)) as threads:
        list(threads.map(add, range(len(files))))

    whole = _write(tmp_path / f"other-{name}", rows).read_bytes()
    lines = [line for line in path.read_bytes().splitlines() if line]
    assert sorted(lines) == sorted(whole.splitlines())


@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_a_file_that_is_removed_meanwhile_is_made_again(tmp_path: Path, name: str) -> None:
    """As a second sync does that has to wait for the first: it leaves no empty file behind."""
    rows = [_rejected(1, id="1", email="nobody", name="Ada")]
    path = tmp_path / name
    with closing(RejectFile(path, COLUMNS)) as file:
        path.unlink()
        file.append(rows)
        file.append(rows)
    assert path.read_bytes() == _write(tmp_path / f"other-{name}", rows * 2).read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("cut", range(1, 60, 3))
@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_a_row_that_was_cut_short_takes_no_other_with_it(
    tmp_path: Path, name: str, cut: int
) -> None:
    rows = [_rejected(n, id=f"{n}", email="nobody", name=f'A "{n}",\nb') for n in range(1, 4)]
    path = _write(tmp_path / name, rows)
    path.write_bytes(path.read_bytes()[:-cut])

    _write(path, rows)

    kind = CsvSource if name.endswith("csv") else JsonSource
    again = [one.source_row for one in _of(list(kind(path, PEOPLE).outcomes()))]
    for row in rows:
        assert row.source_row in again
    assert again[-3:] == [row.source_row for row in rows]


@pytest.mark.parametrize("cut", range(1, 60, 3))
@pytest.mark.parametrize("name", ["rejects.csv", "rejects.jsonl"])
def test_after_a_kill_each_row_stands_once_and_whole(tmp_path: Path, name: str, cut: int) -> None:
    rows = [_rejected(n, id=f"{n}", email="nobody", name=f'A "{n}",\r\nb') for n in range(1, 4)]
    path = _write(tmp_path / name, [])
    counted = path.stat().st_size
    whole = _write(path, rows).read_bytes()
    path.write_bytes(whole[:-cut])

    with closing(RejectFile(path, COLUMNS)) as file:
        file.resume(counted)
        file.append(rows)

    assert path.read_bytes() == whole


def test_a_file_that_is_shorter_than_it_was_is_added_to(tmp_path: Path) -> None:
    rows = [_rejected(1, id="1", email="nobody", name="Ada")]
    path = tmp_path / "rejects.csv"
    with closing(RejectFile(path, COLUMNS)) as file:
        file.resume(10_000)
        file.append(rows)
    assert path.read_bytes() == _write(tmp_path / "other.csv", rows).read_bytes()


def test_a_file_with_other_columns_is_not_touched(tmp_path: Path) -> None:
    path = _write(tmp_path / "rejects.csv", [])
    before = path.read_bytes()

    with pytest.raises(ConfigurationError, match=r"rejects\.csv: exists with other columns"):
        RejectFile(path, ("id", "mail"))

    assert path.read_bytes() == before


def test_csv_needs_columns(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.jsonl"):
        RejectFile(tmp_path / "rejects.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv: can't be opened"):
        RejectFile(tmp_path / "missing" / "nowhere.csv", COLUMNS)
    with pytest.raises(ConfigurationError, match="can't be opened"):
        RejectFile(tmp_path, COLUMNS)


def test_a_full_disk_is_said_and_leaves_no_half_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="no file size limits on this system")
    signal = pytest.importorskip("signal")
    path = tmp_path / "rejects.csv"
    file = RejectFile(path, COLUMNS)
    file.append([_rejected(id="1", email="nobody", name="Ada")])
    file.flush()
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        with pytest.raises(RejectsFailed, match=r"rejects\.csv: can't be written"):
            file.append([_rejected(id="2", email="nobody", name="Bob")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert path.read_bytes() == before
    file.append([_rejected(id="2", email="nobody", name="Bob")])
    file.close()
    assert path.read_bytes().count(b"\n") == 3
