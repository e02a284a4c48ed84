"""What is seen of a file's layout, what is asked, and what a person can say."""

from __future__ import annotations

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.sources import CsvSource, Layout
from tests.sync.sources.conftest import PEOPLE, MakeFile, faults, wires

ADA = {"external_id": "1", "email": "ada@shop.example", "first_name": "Ada"}


@pytest.mark.parametrize(
    "text",
    [
        "1,ada@shop.example,Ada\n",
        "1,ada@shop.example,Ada\n2,b@shop.example,B\n",
        "Ada,+49 30 123456,London\nB,+49 30 123457,Oslo\n",
        "Ada,1990-03-11,London\nB,1991-03-11,Oslo\n",
        "Ada,3/11/90,London\nB,12/28/91,Oslo\n",
        "17,Ada\n18,Grace\n",
        "ada,F,London\ngrace,F,Oslo\n",
        "https://shop.example/ada,Ada\nhttps://shop.example/b,B\n",
    ],
)
def test_a_first_row_that_looks_like_data_is_no_header(make_file: MakeFile, text: str) -> None:
    path = make_file("people.csv", text)

    with pytest.raises(ConfigurationError, match=r"expected a header.*--no-header") as refused:
        CsvSource(path).sample()

    assert not any(
        cell in str(refused.value) for cell in text.replace("\n", ",").split(",") if cell
    )
    assert CsvSource(path, layout=Layout(header=True)).columns == tuple(
        text.split("\n", maxsplit=1)[0].split(",")
    )
    assert CsvSource(path, layout=Layout(header=False)).columns[:2] == ("column 1", "column 2")


@pytest.mark.parametrize(
    "header",
    [
        "id,email,first name",
        "ID,E-Mail,Date of birth (DD.MM.YYYY)",
        "Kundennummer,2024,2025",
        "id,1,2",
        "email,2024-01-01,2024-02-01",
        "顧客番号,メール,氏名",
        "id,[Email],{name}",
        "a,b,c",
    ],
)
def test_a_header_is_one(make_file: MakeFile, header: str) -> None:
    path = make_file("people.csv", f"{header}\n1,ada@shop.example,Ada\n2,b@shop.example,B\n3\n")

    assert CsvSource(path).columns == tuple(header.split(","))


def test_a_value_that_is_called_as_its_column_is_no_doubt(make_file: MakeFile) -> None:
    path = make_file("people.csv", "type,email\ntype,ada@shop.example\nx,b@shop.example\n")

    assert CsvSource(path).columns == ("type", "email")


@pytest.mark.parametrize(
    "title", ["Customers of 2026", "Customers\n", '"Customers, all"', "Customers,,\nas of today,,"]
)
def test_a_title_above_the_header_is_asked_about(make_file: MakeFile, title: str) -> None:
    path = make_file("people.csv", f"{title}\nid,email,name\n1,ada@shop.example,Ada\n")

    with pytest.raises(ConfigurationError, match="--skip-rows"):
        CsvSource(path).sample()
    assert CsvSource(path, layout=Layout(header=True)).columns[0].startswith("Customers")
    lines = 1 + title.count("\n")
    assert wires(CsvSource(path, PEOPLE, layout=Layout(skip_rows=lines)).outcomes()) == [ADA]


def test_marks_before_the_first_name_are_taken_away(make_file: MakeFile) -> None:
    path = make_file("people.csv", "\ufeff\ufeffid,email,name\n1,ada@shop.example,Ada\n")

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [ADA]


def test_a_header_that_is_repeated_further_down_is_still_one(make_file: MakeFile) -> None:
    path = make_file("people.csv", "id,email,name\n1,ada@shop.example,Ada\nid,email,name\n")

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert wires(outcomes[:1]) == [ADA]
    assert len(outcomes) == 2


def test_columns_without_a_header_can_be_mapped_by_their_place(make_file: MakeFile) -> None:
    path = make_file("people.csv", "1,ada@shop.example,Ada\n")
    mapping = FieldMapping.parse('[fields]\nexternal_id = "column 1"\nfirst_name = "column 3"')

    source = CsvSource(path, mapping, layout=Layout(header=False))

    assert wires(source.outcomes()) == [{"external_id": "1", "first_name": "Ada"}]


@pytest.mark.parametrize(
    "cell",
    [
        '"Ada \\"The Countess\\""',
        '"Grace "Amazing" B."',
        '"Ada"Lovelace',
        '"Ada" "Lovelace"',
    ],
)
def test_quotes_that_can_mean_two_things_cost_one_row(make_file: MakeFile, cell: str) -> None:
    path = make_file(
        "people.csv", f"id,email,name\n7,x@shop.example,{cell}\n1,ada@shop.example,Ada\n"
    )

    broken, *rest = CsvSource(path, PEOPLE).outcomes()

    assert isinstance(broken, Rejected)
    assert broken.field == "row"
    assert list(broken.source_row.values()) == ["7", "x@shop.example", cell]
    assert wires(rest) == [ADA]


def test_an_escape_character_can_be_said(make_file: MakeFile) -> None:
    path = make_file(
        "people.csv", 'id,email,name\n1,ada@shop.example,"Ada \\"The Countess\\", \\\\ L."\n'
    )

    source = CsvSource(path, PEOPLE, layout=Layout(escape="\\"))

    assert wires(source.outcomes()) == [{**ADA, "first_name": 'Ada "The Countess", \\ L.'}]


@pytest.mark.parametrize(
    "row", ["Total,,30", "TOTAL:,,30", "Summe,,1.234", ",Итого,30", "Grand total,", "Total  ,,30"]
)
def test_a_line_of_totals_is_no_customer(make_file: MakeFile, row: str) -> None:
    text = f"id,name,orders\n1,Ada,10\n2,Total Recall,20\n{row}\n"
    mapping = FieldMapping.parse('[fields]\nexternal_id = "id"\nfirst_name = "name"')

    outcomes = list(CsvSource(make_file("people.csv", text), mapping).outcomes())

    assert faults(outcomes) == [(3, "row")]
    assert [one["first_name"] for one in wires(outcomes[:2])] == ["Ada", "Total Recall"]


def test_a_customer_may_be_called_total(make_file: MakeFile) -> None:
    text = "id,email,name\ntotal,t@shop.example,T\n1,ada@shop.example,Total\n"

    outcomes = CsvSource(make_file("people.csv", text), PEOPLE).outcomes()

    assert [one["external_id"] for one in wires(outcomes)] == ["total", "1"]


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_a_first_line_may_say_the_delimiter(make_file: MakeFile, mark: str) -> None:
    rows = f"sep={mark}\r\nid,x{mark}email{mark}name\r\n1{mark}ada@shop.example{mark}Ada\r\n"
    mapping = FieldMapping.parse('[fields]\nexternal_id = "id,x"\nemail = "email"')

    assert wires(CsvSource(make_file("people.csv", rows), mapping).outcomes()) == [
        {"external_id": "1", "email": "ada@shop.example"}
    ]


def test_lines_before_the_header_are_passed_over_as_said(make_file: MakeFile) -> None:
    text = 'Customers, of "2026\n\nid,email,name\n1,ada@shop.example,Ada\n'
    source = CsvSource(make_file("people.csv", text), PEOPLE, layout=Layout(skip_rows=2))

    assert source.size_hint == 1
    assert wires(source.outcomes()) == [ADA]


def test_a_header_without_an_end_is_refused(make_file: MakeFile) -> None:
    with pytest.raises(ConfigurationError, match="first line has no end"):
        CsvSource(make_file("people.csv", "id,email," * 300_000)).sample()


def test_a_header_of_a_megabyte_is_read(make_file: MakeFile) -> None:
    names = ",".join(f"column of a very wide table {n}" for n in range(35_000))
    path = make_file("people.csv", f"id,email,name,{names}\n1,ada@shop.example,Ada\n")
    assert len(names) > 1_000_000

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [ADA]


@pytest.mark.parametrize(
    "said",
    [
        {"escape": "ab"},
        {"escape": '"'},
        {"skip_rows": -1},
        {"skip_rows": 10**20},
        {"columns": ("a",), "header": True},
    ],
)
def test_a_layout_that_cannot_be_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(said))):
        Layout(**said)  # type: ignore[arg-type]


def test_white_space_may_stand_before_a_quote(make_file: MakeFile) -> None:
    path = make_file(
        "people.csv", 'id, email, name\n1, "ada@shop.example", "Ada"\n2, "b@x.example",\n'
    )

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [
        ADA,
        {"external_id": "2", "email": "b@x.example"},
    ]


def test_other_separators_do_not_end_a_line_before_the_header(make_file: MakeFile) -> None:
    text = "Customers\u2028of\x0b2026\nid,email,name\n1,ada@shop.example,Ada\n"
    source = CsvSource(make_file("people.csv", text), PEOPLE, layout=Layout(skip_rows=1))

    assert wires(source.outcomes()) == [ADA]
