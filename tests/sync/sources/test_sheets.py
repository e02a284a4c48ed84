"""What is read from workbooks."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.sources import Layout, SheetSource, SourceFailed, StreamInput
from tests.sync.sources.conftest import PEOPLE, faults, plain, wires

openpyxl: Any = pytest.importorskip("openpyxl")
pandas: Any = pytest.importorskip("pandas")
pytest.importorskip("python_calamine", reason="the extra excel is not installed")

ADA = {"external_id": "1001", "email": "ada@shop.example", "first_name": "Ada"}


def workbook(path: Path, rows: Sequence[Sequence[Any]], *more: str, at: int = 1) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "People"
    for number, row in enumerate(rows, at):
        for place, value in enumerate(row, at):
            cell = sheet.cell(number, place, value)
            if isinstance(value, str) and value.startswith("#"):
                cell.data_type = "e"
    for title in more:
        book.create_sheet(title).append(["id", "email", "name"])
    book.save(path)
    return path


def people(path: Path, count: int = 2000) -> Path:
    rows = [[n, f"p{n}@shop.example" if n % 10 else "nobody", f"N{n}"] for n in range(1, count + 1)]
    return workbook(path, [["id", "email", "name"], *rows])


def test_cells_come_with_their_types(tmp_path: Path) -> None:
    noon = datetime(2026, 8, 1, 12)  # noqa: DTZ001 - cells know no zones
    path = workbook(
        tmp_path / "people.xlsx",
        [
            ["external_id", "birthday", "bought_something", "age", "seen", "at", "zip"],
            [1001, date(1990, 3, 11), True, 36.5, noon, time(9, 30), "02134"],
            ["0042", None, False, 40, None, None, None],
        ],
    )
    columns = FieldMapping.parse(
        '[fields]\nexternal_id = "external_id"\nbirthday = "birthday"\nage = "age"\n'
        'bought_something = "bought_something"\n[custom]\nseen = "seen"\nzip = "zip"'
    )

    assert wires(SheetSource(path, columns).outcomes()) == [
        {
            "external_id": "1001",
            "birthday": "1990-03-11",
            "bought_something": True,
            "age": 36.5,
            "seen": "2026-08-01 12:00:00",
            "zip": "02134",
        },
        {"external_id": "0042", "bought_something": False, "age": 40},
    ]


def test_empty_rows_are_none_and_empty_cells_may_stand_before_the_table(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["id", "email", "name"],
        [None],
        [1001, "ada@shop.example", "Ada", "", None],
        [None, ""],
    ]
    path = workbook(tmp_path / "people.xlsx", rows, at=3)

    source = SheetSource(path, PEOPLE)

    assert wires(source.outcomes()) == [ADA]
    assert source.columns == ("id", "email", "name")


def test_errors_and_lost_digits_are_refused_by_whatever_field_they_are_for(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "people.xlsx",
        [
            ["id", "email", "name"],
            [1001, "ada@shop.example", "Ada"],
            ["#REF!", "b@shop.example", "B"],
            [3, "c@shop.example", "#N/A"],
            [12345678901234567890, "d@shop.example", "D"],
            [5, "e@shop.example", "=1/0"],
        ],
    )

    outcomes = list(SheetSource(path, PEOPLE).outcomes())

    assert wires(outcomes[:1]) == [ADA]
    assert [row for row, _ in faults(outcomes)] == [2, 3, 4, 5]
    assert isinstance(outcomes[1], Rejected)
    assert str(outcomes[1].source_row["id"]) == "#REF!"


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "people.xlsx", [["id", "email", "name"], [1, "x", "X"]], "Ümlaut & Co"
    )

    assert faults(SheetSource(path, PEOPLE).outcomes()) == [(1, "email")]
    assert SheetSource(path).notices == (
        "people.xlsx: sheet 'People' of a workbook; not read: Ümlaut & Co",
    )
    chosen = SheetSource(path, PEOPLE, layout=Layout(sheet="Ümlaut & Co"))
    assert list(chosen.outcomes()) == []
    with pytest.raises(ConfigurationError, match="its sheets: People, Ümlaut & Co"):
        list(SheetSource(path, PEOPLE, layout=Layout(sheet="people")).outcomes())


def test_lines_before_the_header_are_passed_over(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["Customers of 2026"],
        ["id", "email", "name"],
        [1001, "ada@shop.example", "Ada"],
    ]
    path = workbook(tmp_path / "people.xlsx", rows)

    assert wires(SheetSource(path, PEOPLE, layout=Layout(skip_rows=1)).outcomes()) == [ADA]


def test_a_sheet_without_a_header_is_refused_unless_that_is_said(tmp_path: Path) -> None:
    path = workbook(tmp_path / "people.xlsx", [[1001, "ada@shop.example", "Ada"]])

    with pytest.raises(ConfigurationError, match="--no-header") as refused:
        list(SheetSource(path, PEOPLE).outcomes())
    assert "Ada" not in str(refused.value)
    named = Layout(columns=("id", "email", "name"))
    assert wires(SheetSource(path, PEOPLE, layout=named).outcomes()) == [ADA]


@pytest.mark.parametrize("after_row", [0, 1, 511, 512, 1999, 2000, 2001])
def test_resuming_gives_the_rest_of_a_full_read(tmp_path: Path, after_row: int) -> None:
    source = SheetSource(people(tmp_path / "people.xlsx"), PEOPLE)
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert source.size_hint == len(whole) == 2000
    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]


def test_a_stream_is_kept_and_read_again(tmp_path: Path) -> None:
    content = people(tmp_path / "people.xlsx", 10).read_bytes()
    source = SheetSource(StreamInput(io.BytesIO(content)), PEOPLE)

    assert len(list(source.outcomes())) == 10
    assert len(list(source.outcomes(after_row=7))) == 3


def test_the_fingerprint_tells_content_sheet_and_layout_apart(tmp_path: Path) -> None:
    path = workbook(tmp_path / "people.xlsx", [["id"], ["a"], ["b"], ["c"]], "More")
    layouts = [Layout(), Layout(sheet="More"), Layout(skip_rows=1), Layout(columns=("x",))]

    prints = {SheetSource(path, layout=layout).fingerprint for layout in layouts}
    prints.add(SheetSource(people(tmp_path / "other.xlsx", 3)).fingerprint)

    assert len(prints) == 5
    assert None not in prints


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_what_is_no_workbook_is_an_error(tmp_path: Path, cut: int) -> None:
    path = people(tmp_path / "people.xlsx", 3)
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(SourceFailed, match=r"can't be read|no workbook"):
        list(SheetSource(path, PEOPLE).outcomes())


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)

    with pytest.raises(ConfigurationError, match=r"personaclick-async\[excel\]"):
        SheetSource(people(tmp_path / "people.xlsx", 1))


def test_zeros_that_only_the_format_shows_are_kept(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "people.xlsx", [["id", "email", "name"], [1001, "ada@shop.example", 7]]
    )
    book = openpyxl.load_workbook(path)
    book.active["A2"].number_format = "0000000"
    book.active["C2"].number_format = "#,##0"
    book.active["B1"].number_format = "0000000"  # a text
    book.active["D2"].number_format = "0000000"  # nothing
    book.save(path)

    assert wires(SheetSource(path).outcomes()) == [
        {"external_id": "0001001", "email": "ada@shop.example", "name": 7}
    ]


@pytest.mark.parametrize("code", ["00000;-00000", "[$-407]00000", "00000;[Red]-00000;@", "000-00"])
def test_zeros_are_kept_in_formats_with_more_than_these(tmp_path: Path, code: str) -> None:
    path = workbook(tmp_path / "people.xlsx", [["id"], [7]])
    book = openpyxl.load_workbook(path)
    book.active["A2"].number_format = code
    book.save(path)

    assert SheetSource(path).sample().rows == [["00007"]]


def test_errors_are_seen_without_styles_and_names_of_cells(tmp_path: Path) -> None:
    rows = [["id", "email"], ["1", "#N/A"]]
    with zipfile.ZipFile(workbook(tmp_path / "made.xlsx", rows)) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    with zipfile.ZipFile(tmp_path / "people.xlsx", "w") as archive:
        for name, content in parts.items():
            if "styles" not in name:
                plain = re.sub(rb' (r="[A-Z]?[0-9]+"|s="[0-9]+")', b"", content)
                archive.writestr(name, plain.replace(b't="e"', b"t='e'"))

    [row] = SheetSource(tmp_path / "people.xlsx").sample().rows

    assert [str(cell) for cell in row] == ["1", "#N/A"]


@pytest.mark.parametrize("kind", ["xls", "ods"])
def test_it_is_said_where_errors_look_like_empty_cells(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"people.{kind}"
    if kind == "xls":
        book = pytest.importorskip("xlwt").Workbook()
        book.add_sheet("People").write(0, 0, "id")
        book.save(str(path))
    else:
        pytest.importorskip("odf")
        pandas.DataFrame({"id": ["1"]}).to_excel(str(path), sheet_name="People", index=False)

    source = SheetSource(path)

    [notice] = source.notices
    assert source.columns == ("id",)
    assert notice.startswith(f"people.{kind}: sheet 'People' of a workbook; errors in it are read")


def test_a_hidden_sheet_is_read_only_by_its_name(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Lists"
    book.active.append(["x"])
    book.active.sheet_state = "hidden"
    for row in (["id", "email", "name"], [1001, "ada@shop.example", "Ada"]):
        (book["People"] if "People" in book else book.create_sheet("People")).append(row)
    book.save(tmp_path / "people.xlsx")

    source = SheetSource(tmp_path / "people.xlsx", PEOPLE)

    assert wires(source.outcomes()) == [ADA]
    assert source.notices == ("people.xlsx: sheet 'People' of a workbook",)
    assert SheetSource(tmp_path / "people.xlsx", layout=Layout(sheet="Lists")).columns == ("x",)


def test_errors_are_seen_in_workbooks_of_other_makers(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["id", "email", "name"],
        [1001, "ada@shop.example", "Ada"],
        ["#REF!", "b@x.example", "B"],
    ]
    with zipfile.ZipFile(workbook(tmp_path / "made.xlsx", rows)) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    with zipfile.ZipFile(tmp_path / "people.xlsx", "w") as archive:
        for name, content in parts.items():
            prefixed = re.sub(
                rb"<(/?)(?=[a-z])", rb"<\1x:", content.replace(b"xmlns=", b"xmlns:x=")
            )
            archive.writestr(name, prefixed if name.startswith("xl/w") else content)

    outcomes = list(SheetSource(tmp_path / "people.xlsx", PEOPLE).outcomes())

    assert wires(outcomes[:1]) == [ADA]
    assert [row for row, _ in faults(outcomes)] == [2]
