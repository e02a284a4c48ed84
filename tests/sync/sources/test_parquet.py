"""What is read from Parquet files."""

from __future__ import annotations

import gzip
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.sources import ParquetSource, SourceFailed, StreamInput
from tests.sync.sources.conftest import PEOPLE, faults, plain, wires

pyarrow: Any = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
parquet: Any = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")


def _write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def _people(path: Path, count: int = 100) -> Path:
    columns = {
        "id": list(range(1, count + 1)),
        "email": [f"p{n}@shop.example" if n % 10 else "nobody" for n in range(1, count + 1)],
        "name": [f"N{n}" for n in range(1, count + 1)],
        "more": [[n] for n in range(1, count + 1)],
    }
    return _write(path, columns, row_group_size=30)


def test_rows_are_records(tmp_path: Path) -> None:
    outcomes = list(ParquetSource(_people(tmp_path / "people.parquet"), PEOPLE).outcomes())

    assert len(outcomes) == 100
    assert wires(outcomes[:1]) == [
        {"external_id": "1", "email": "p1@shop.example", "first_name": "N1"}
    ]
    assert faults(outcomes) == [(n, "email") for n in range(10, 101, 10)]
    rejected = outcomes[9]
    assert isinstance(rejected, Rejected)
    assert rejected.source_row == {"id": 10, "email": "nobody", "name": "N10", "more": [10]}


def test_types_are_taken_as_they_are(tmp_path: Path) -> None:
    nanoseconds = pyarrow.array([1_600_000_000_123_456_789], pyarrow.timestamp("ns"))
    path = _write(
        tmp_path / "people.parquet",
        {
            "external_id": [11000.0],
            "phone": [79991234567],
            "birthday": [date(1990, 2, 1)],
            "bought_something": [True],
            "age": [Decimal("36.50")],
            "kids": [[{"gender": "f", "birthday": date(2020, 1, 2)}]],
            "first_name": pyarrow.array(["Ada"]).dictionary_encode(),
            "seen": pyarrow.array([datetime(2026, 8, 1, 12, tzinfo=UTC)]),
            "precise": nanoseconds,
            "tags": [["a", "b"]],
            "address": [{"city": "Oslo", "zip": None}],
            "nothing": [None],
        },
    )

    assert wires(ParquetSource(path).outcomes()) == [
        {
            "external_id": "11000",
            "phone": "+79991234567",
            "birthday": "1990-02-01",
            "bought_something": True,
            "age": 36.5,
            "kids": [{"gender": "f", "birthday": "2020-01-02"}],
            "first_name": "Ada",
            "seen": "2026-08-01 12:00:00",
            "precise": "2020-09-13 12:26:40",
            "tags": ["a", "b"],
            "address": {"city": "Oslo", "zip": None},
        }
    ]


def test_a_value_that_python_cannot_hold_costs_one_row(tmp_path: Path) -> None:
    days = pyarrow.array([0, 10_000_000, 1], pyarrow.int32()).cast(pyarrow.date32())
    path = _write(tmp_path / "people.parquet", {"external_id": ["1", "2", "3"], "birthday": days})

    outcomes = list(ParquetSource(path).outcomes())

    assert faults(outcomes) == [(2, "birthday")]
    assert wires([outcomes[0], outcomes[2]]) == [
        {"external_id": "1", "birthday": "1970-01-01"},
        {"external_id": "3", "birthday": "1970-01-02"},
    ]


def test_a_float32_that_may_be_another_number_is_no_id(tmp_path: Path) -> None:
    ids = pyarrow.array([123456789.0, 1001.0], pyarrow.float32())
    columns = {"external_id": ids, "email": ["a@shop.example", "b@shop.example"]}
    path = _write(tmp_path / "people.parquet", columns)

    outcomes = list(ParquetSource(path).outcomes())

    assert faults(outcomes) == [(1, "external_id")]
    assert wires(outcomes[1:]) == [{"external_id": "1001", "email": "b@shop.example"}]


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    whole = _people(tmp_path / "people.parquet")
    packed = tmp_path / "people.parquet.gz"
    packed.write_bytes(gzip.compress(whole.read_bytes()))

    read = [plain(one) for one in ParquetSource(packed, PEOPLE).outcomes()]

    assert read == [plain(one) for one in ParquetSource(whole, PEOPLE).outcomes()]


def test_a_stream_is_kept_and_read_again(tmp_path: Path) -> None:
    with _people(tmp_path / "people.parquet").open("rb") as stream:
        source = ParquetSource(StreamInput(stream), PEOPLE)

        assert source.size_hint == 100
        assert len(list(source.outcomes())) == 100
        assert len(list(source.outcomes(after_row=90))) == 10


@pytest.mark.parametrize("after_row", [0, 1, 29, 30, 31, 60, 99, 100, 101])
def test_resuming_gives_the_rest_of_a_full_read(tmp_path: Path, after_row: int) -> None:
    source = ParquetSource(_people(tmp_path / "people.parquet"), PEOPLE)
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]


def test_many_batches_are_one_file(tmp_path: Path) -> None:
    source = ParquetSource(_people(tmp_path / "people.parquet", 10_000), PEOPLE)

    assert source.size_hint == 10_000
    assert [one.row for one in source.outcomes()] == list(range(1, 10_001))


def test_the_fingerprint_tells_content_and_mapping_apart(tmp_path: Path) -> None:
    path = _people(tmp_path / "people.parquet")
    other = _people(tmp_path / "other.parquet", 99)

    prints = {
        ParquetSource(path).fingerprint,
        ParquetSource(path, PEOPLE).fingerprint,
        ParquetSource(other, PEOPLE).fingerprint,
    }

    assert len(prints) == 3
    assert None not in prints


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    mapping = FieldMapping.parse('[fields]\nemail = "Email"')

    with pytest.raises(ConfigurationError, match=r"'Email' \(for email\).*did you mean 'email'"):
        list(ParquetSource(_people(tmp_path / "people.parquet"), mapping).outcomes())


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_what_is_not_parquet_is_an_error(tmp_path: Path, cut: int) -> None:
    path = _people(tmp_path / "people.parquet")
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(SourceFailed, match="not Parquet"):
        list(ParquetSource(path, PEOPLE).outcomes())


def test_the_sample_gives_the_first_rows(tmp_path: Path) -> None:
    sample = ParquetSource(_people(tmp_path / "people.parquet")).sample(2)

    assert sample.columns == ("id", "email", "name", "more")
    assert [list(row) for row in sample.rows] == [
        [1, "p1@shop.example", "N1", [1]],
        [2, "p2@shop.example", "N2", [2]],
    ]
    empty = _write(tmp_path / "empty.parquet", {"id": pyarrow.array([], pyarrow.int64())})
    assert list(ParquetSource(empty).sample().rows) == []


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _people(tmp_path / "people.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"personaclick-async\[parquet\]"):
        ParquetSource(path)


def test_nan_is_nothing(tmp_path: Path) -> None:
    nan = float("nan")
    columns = {
        "external_id": [1.0, nan, 3.0],
        "email": ["a@b.example"] * 3,
        "age": [nan, 36.0, nan],
    }

    assert wires(ParquetSource(_write(tmp_path / "people.parquet", columns)).outcomes()) == [
        {"external_id": "1", "email": "a@b.example"},
        {"email": "a@b.example", "age": 36},
        {"external_id": "3", "email": "a@b.example"},
    ]


def test_columns_of_one_name_can_be_told_apart(tmp_path: Path) -> None:
    table = pyarrow.Table.from_arrays([["1"], ["a"], ["b"]], names=["external_id", "n", "n"])
    parquet.write_table(table, tmp_path / "people.parquet")
    mapping = FieldMapping.parse('[fields]\nexternal_id = "external_id"\n[custom]\nx = "n (2)"')

    source = ParquetSource(tmp_path / "people.parquet", mapping)

    assert wires(source.outcomes()) == [{"external_id": "1", "x": "b"}]
