"""One table in every format: what is read is what was meant, or the row is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Record
from personaclick_async.sync.sources import Layout, StreamInput, open_source
from tests.sync.sources.conftest import EXAMPLES, wires

openpyxl: Any = pytest.importorskip("openpyxl")
pyarrow: Any = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
parquet: Any = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
pytest.importorskip("python_calamine", reason="the extra excel is not installed")

Table = Sequence[Mapping[str, Any]]


def as_csv(rows: Table, *, encoding: str = "utf-8", delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def as_json(rows: Table) -> bytes:
    return json.dumps(rows, default=str, indent=1).encode()


def as_json_lines(rows: Table) -> bytes:
    return "\n".join(json.dumps(row, default=str) for row in rows).encode()


def as_parquet(rows: Table) -> bytes:
    whole = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), whole)
    return whole.getvalue()


def as_workbook(rows: Table) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(list(rows[0]))
    for row in rows:
        cells = [openpyxl.cell.WriteOnlyCell(sheet, value) for value in row.values()]
        for cell in cells:
            cell.data_type = "s" if isinstance(cell.value, str) else cell.data_type
        sheet.append(cells)
    whole = io.BytesIO()
    book.save(whole)
    return whole.getvalue()


FORMATS: dict[str, Callable[[Table], bytes]] = {
    "utf-8.csv": as_csv,
    "cp1252.csv": lambda rows: as_csv(rows, encoding="cp1252"),
    "utf-16.csv": lambda rows: as_csv(rows, encoding="utf-16"),
    "semicolons.csv": lambda rows: as_csv(rows, delimiter=";"),
    "people.xlsx": as_workbook,
    "people.json": as_json,
    "people.jsonl": as_json_lines,
    "people.parquet": as_parquet,
}


@pytest.fixture(scope="module")
def customers(data: Path) -> list[dict[str, str]]:
    """The real customers as their file has them."""
    path = data / "adventureworks-packt/AdventureWorks_Customers.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", FORMATS)
def test_the_real_customers_are_the_same_in_every_format(
    customers: list[dict[str, str]], data: Path, tmp_path: Path, name: str
) -> None:
    mapping = FieldMapping.load(EXAMPLES / "mappings/adventureworks.toml")
    path = tmp_path / name
    path.write_bytes(FORMATS[name](customers))

    read = wires(open_source(path, mapping).outcomes())

    original = open_source(data / "adventureworks-packt/AdventureWorks_Customers.csv", mapping)
    assert read == wires(original.outcomes())
    assert len(read) == 18_148


MAPPING = FieldMapping.parse(
    '[fields]\nexternal_id = "key"\n[custom]\nnote = "note"\nmore = "more"'
)
PLAIN = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="\ufeff_"),
    max_size=12,
)
ANY_TEXT = st.text(max_size=12) | st.sampled_from(
    ["null", "NaN", "#REF!", "007", "1e5", '"', '""', "a,b;c\td|e", "a\nb", "=1+1", "sep=;", "-"]
)
TYPED = (
    PLAIN
    | st.integers(-(10**14), 10**14)
    | st.booleans()
    | st.dates(date(1901, 1, 1), date(2099, 1, 1))
    | st.none()
)


def check(content: bytes, rows: Table, layout: Layout | None = None) -> None:
    """Read a table back: each row is there once, as it was meant or refused."""
    source = open_source_of(content, layout)
    outcomes = list(source.outcomes())
    assert [one.row for one in outcomes] == list(range(1, len(rows) + 1))
    for row, outcome in zip(rows, outcomes, strict=True):
        if not isinstance(outcome, Record) or getattr(outcome, "omitted", None):
            continue
        assert outcome.wire["external_id"] == row["key"]
        for name in ("note", "more"):
            value = row[name]
            if isinstance(value, date):
                value = value.isoformat()
            found = outcome.wire.get(name)
            is_nothing = value is None or (isinstance(value, str) and not value.strip())
            assert found == (value.strip() if isinstance(value, str) else value) or (
                found is None and (is_nothing or _says_nothing(value))
            ), (value, found)


def open_source_of(content: bytes, layout: Layout | None) -> Any:
    return open_source(StreamInput(io.BytesIO(content)), MAPPING, layout=layout)


def _says_nothing(value: object) -> bool:
    return isinstance(value, str) and value.strip().casefold() in {
        *("null", "none", "nan", "n/a", "na", "-", "#n/a", "#ref!", "undefined", "unknown")
    }


def table(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    pairs = st.lists(st.tuples(values, values), min_size=1, max_size=8)
    return pairs.map(
        lambda rows: [
            {"key": f"k{n}", "note": note, "more": more} for n, (note, more) in enumerate(rows, 1)
        ]
    )


@settings(deadline=None, max_examples=150)
@given(rows=table(ANY_TEXT), delimiter=st.sampled_from(",;\t|"))
def test_any_text_comes_back_from_delimited_text_or_is_refused(
    rows: list[dict[str, Any]], delimiter: str
) -> None:
    for row in rows:
        for name in ("note", "more"):
            row[name] = row[name].encode("utf-8", "replace").decode()
    check(as_csv(rows, delimiter=delimiter), rows, Layout(delimiter=delimiter, header=True))


@settings(deadline=None, max_examples=150)
@given(rows=table(ANY_TEXT))
def test_any_text_comes_back_from_json_or_is_refused(rows: list[dict[str, Any]]) -> None:
    check(as_json_lines(rows), rows)
    check(as_json(rows), rows)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rows=table(TYPED))
def test_any_value_comes_back_from_a_workbook_or_is_refused(rows: list[dict[str, Any]]) -> None:
    check(as_workbook(rows), rows, Layout(header=True))


@settings(deadline=None, max_examples=100)
@given(rows=table(PLAIN) | table(st.integers(-(2**53), 2**53)) | table(st.booleans() | st.none()))
def test_any_column_comes_back_from_parquet_or_is_refused(rows: list[dict[str, Any]]) -> None:
    check(as_parquet(rows), rows)
