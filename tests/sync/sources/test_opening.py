"""Which source is made of what, and several as one."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync.sources import (
    CsvSource,
    JsonSource,
    Layout,
    SeveralSources,
    SourceKind,
    StreamInput,
    TableSource,
    open_source,
)
from tests.sync.sources.conftest import PEOPLE, MakeFile, faults, plain, wires

ADA = {"external_id": "1", "email": "ada@shop.example", "first_name": "Ada"}
CSV = "id,email,name\n1,ada@shop.example,Ada\n"
JSON = json.dumps({"id": "1", "email": "ada@shop.example", "name": "Ada"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("people.csv", CSV),
        ("PEOPLE.CSV", CSV),
        ("people.tsv", CSV.replace(",", "\t")),
        ("people.txt", CSV.replace(",", ";")),
        ("people.jsonl", JSON),
        ("people.ndjson", JSON),
        ("people", CSV),
        ("people", JSON),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_suffix_says_what_it_is(
    make_file: MakeFile, name: str, content: str, suffix: str
) -> None:
    path = make_file(name + suffix, content)

    assert wires(open_source(path, PEOPLE).outcomes()) == [ADA]
    assert wires(open_source(str(path), PEOPLE).outcomes()) == [ADA]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_parquet_is_known_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    pyarrow: Any = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    whole = io.BytesIO()
    table = pyarrow.table({"id": ["1"], "email": ["ada@shop.example"], "name": ["Ada"]})
    parquet.write_table(table, whole)
    path = tmp_path / f"people.parquet{suffix}"
    path.write_bytes(gzip.compress(whole.getvalue()) if suffix else whole.getvalue())

    assert wires(open_source(path, PEOPLE).outcomes()) == [ADA]


def test_a_kind_that_is_given_is_believed(make_file: MakeFile) -> None:
    path = make_file("people.dat", CSV)

    assert wires(open_source(path, PEOPLE).outcomes()) == [ADA]
    assert faults(open_source(path, PEOPLE, kind=SourceKind.JSON_LINES).outcomes()) == [
        (1, "row"),
        (2, "row"),
    ]


@pytest.mark.parametrize(
    "content",
    [CSV, JSON, gzip.compress(CSV.encode()), gzip.compress(JSON.encode())],
    ids=["csv", "json", "csv.gz", "json.gz"],
)
def test_standard_input_is_looked_at(content: str | bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sync.sources.read_standard_input"],
        input=content.encode() if isinstance(content, str) else content,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"fingerprint": None, "wires": [ADA]}


def test_the_encoding_given_is_that_of_json_lines_too(make_file: MakeFile) -> None:
    path = make_file("people.jsonl", JSON.replace("Ada", "Zoë"), encoding="latin-1")

    source = open_source(path, PEOPLE, layout=Layout(encoding="latin-1"))

    assert wires(source.outcomes()) == [{**ADA, "first_name": "Zoë"}]


def test_a_url_is_a_database(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="the extra sql is not installed")
    query = "SELECT 1 AS id, 'ada@shop.example' AS email, :name AS name"

    source = open_source("sqlite://", PEOPLE, query=query, parameters={"name": "Ada"})

    assert wires(source.outcomes()) == [ADA]
    with pytest.raises(ConfigurationError, match="query"):
        open_source("sqlite://", PEOPLE)
    with pytest.raises(ConfigurationError, match="query"):
        open_source(tmp_path / "people.csv", PEOPLE, query=query)


def test_a_pattern_is_several_files_in_the_order_of_their_names(
    make_file: MakeFile, tmp_path: Path
) -> None:
    for number in (2, 1, 3):
        make_file(f"part-{number}.csv", CSV.replace("1,", f"{number},"))

    source = open_source(str(tmp_path / "part-*.csv"), PEOPLE)

    assert source.name == "part-1.csv and 2 more"
    assert [one["external_id"] for one in wires(source.outcomes())] == ["1", "2", "3"]
    with pytest.raises(ConfigurationError, match="pattern"):
        open_source(str(tmp_path / "none-*.csv"), PEOPLE)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(make_file: MakeFile) -> None:
    assert wires(open_source(make_file("people[1].csv", CSV), PEOPLE).outcomes()) == [ADA]


def _three(make_file: MakeFile) -> TableSource:
    first = make_file("1.csv", CSV + "2,broken\n3,c@shop.example,C\n")
    second = make_file("2.csv", "")
    third = make_file("3.csv", "email;extra;id;name\nd@shop.example;x;4;D\nnobody;y;5;E\n")
    return open_source([first, second, third], PEOPLE)


def test_several_files_are_numbered_through(make_file: MakeFile) -> None:
    source = _three(make_file)

    outcomes = list(source.outcomes())

    assert [one.row for one in outcomes] == [1, 2, 3, 4, 5]
    assert faults(outcomes) == [(2, "email"), (5, "email")]
    assert source.columns == ("id", "email", "name", "extra")
    assert source.size_hint == 5
    assert source.sample(1).columns == ("id", "email", "name")


@pytest.mark.parametrize("after_row", range(7))
def test_several_files_resume_as_one(make_file: MakeFile, after_row: int) -> None:
    source = _three(make_file)
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]


def test_the_fingerprint_of_several_files_is_that_of_all_in_order(make_file: MakeFile) -> None:
    one, two = make_file("1.csv", CSV), make_file("2.csv", CSV + "2,b@shop.example,B\n")

    prints = {
        open_source([one, two], PEOPLE).fingerprint,
        open_source([two, one], PEOPLE).fingerprint,
        open_source([one], PEOPLE).fingerprint,
        open_source([one, two]).fingerprint,
    }

    assert len(prints) == 4
    assert None not in prints


def test_the_first_rows_of_several_files_and_some_of_them(make_file: MakeFile) -> None:
    source = _three(make_file)

    first = SeveralSources([source], limit=4)
    even = SeveralSources([source], choose=lambda one: None if one.row % 2 else one)

    assert first.name == "1.csv and 2 more, the first 4 rows"
    assert (first.size_hint, even.size_hint) == (4, 5)
    assert [one.row for one in first.outcomes()] == [1, 2, 3, 4]
    assert [one.row for one in first.outcomes(after_row=3)] == [4]
    assert len(first.sample().rows) == 3
    assert [one.row for one in even.outcomes()] == [2, 4]
    assert first.fingerprint == even.fingerprint == source.fingerprint


def test_what_one_source_does_not_know_several_do_not(make_file: MakeFile) -> None:
    known = CsvSource(make_file("1.csv", CSV), PEOPLE)
    stream = StreamInput(io.BytesIO(JSON.encode()))

    several = SeveralSources([known, JsonSource(stream, PEOPLE)])

    assert several.fingerprint is None
    assert several.size_hint is None
    assert several.columns is None
    assert len(list(several.outcomes())) == 2
    with pytest.raises(ConfigurationError, match="at least one"):
        SeveralSources([])
