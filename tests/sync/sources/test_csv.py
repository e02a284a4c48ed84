"""What is read from delimited text, and what is not but never lost."""

from __future__ import annotations

import codecs
import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.adventureworks import customers
from personaclick_async import ConfigurationError, PersonaClickError, ProfileUpdate
from personaclick_async.models.update import to_wire
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Record, Rejected
from personaclick_async.sync.sources import CsvSource, Layout, SourceFailed, StreamInput
from personaclick_async.sync.sources.csv_source import MOST_CHARACTERS, MOST_LINES
from tests.sync.sources.conftest import EXAMPLES, PEOPLE, MakeFile, faults, plain, wires

ADA = {"external_id": "1", "email": "ada@shop.example", "first_name": "Ada"}
ZOE = {"external_id": "2", "email": "zoe@shop.example", "first_name": "Zoë"}
TEXT = "id,email,name\n1,ada@shop.example,Ada\n2,zoe@shop.example,Zoë\n"


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding",
    [
        *("utf-8", "utf-8-sig", "utf-16", "utf-16-le-sig", "utf-16-be-sig", "utf-32"),
        *("utf-16-le", "utf-16-be", "utf-32-le"),
    ],
)
def test_text_says_its_encoding_itself(
    make_file: MakeFile, name: str, newline: str, encoding: str
) -> None:
    text = TEXT.replace("\n", newline)
    if encoding.startswith("utf-16-") and encoding.endswith("-sig"):
        path = make_file(name, f"\ufeff{text}", encoding=encoding.removesuffix("-sig"))
    else:
        path = make_file(name, text, encoding=encoding)

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [ADA, ZOE]


def test_a_given_encoding_is_used(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT, encoding="latin-1")

    source = CsvSource(path, PEOPLE, layout=Layout(encoding="latin-1"))

    assert wires(source.outcomes()) == [ADA, ZOE]


def test_a_byte_order_mark_is_believed_before_a_given_encoding(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT, encoding="utf-8-sig")

    source = CsvSource(path, PEOPLE, layout=Layout(encoding="latin-1"))

    assert wires(source.outcomes()) == [ADA, ZOE]


def test_a_wide_encoding_without_a_mark_needs_its_byte_order(make_file: MakeFile) -> None:
    path = make_file("people.csv", "Zoë,1", encoding="utf-16-le")

    with pytest.raises(ConfigurationError, match="give its encoding as utf-16-le or utf-16-be"):
        CsvSource(path, layout=Layout(encoding="utf-16")).sample()


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", "idna", "undefined"])
def test_an_encoding_that_is_none_is_refused(encoding: str) -> None:
    with pytest.raises(ConfigurationError, match="encoding"):
        Layout(encoding=encoding)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(make_file: MakeFile, delimiter: str) -> None:
    others = "".join({",", ";", "|"} - {delimiter})
    text = TEXT.replace(",", delimiter).replace("Ada", f'"A{others}da"')
    path = make_file("people.csv", text)

    read = wires(CsvSource(path, PEOPLE).outcomes())

    assert read == [{**ADA, "first_name": f"A{others}da"}, ZOE]


def test_what_stands_around_fields_does_not_separate_them(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT.replace(",", ";"))

    read = wires(CsvSource(path, PEOPLE, layout=Layout(quote=",")).outcomes())

    assert read == [ADA, ZOE]


def test_any_delimiter_can_be_given(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT.replace(",", "^"))

    source = CsvSource(path, PEOPLE, layout=Layout(delimiter="^"))

    assert wires(source.outcomes()) == [ADA, ZOE]


def test_a_single_column_needs_no_delimiter(make_file: MakeFile) -> None:
    path = make_file("people.csv", "email\nada@shop.example\n")

    assert wires(CsvSource(path).outcomes()) == [{"email": "ada@shop.example"}]


@pytest.mark.parametrize(
    "layout",
    [
        {"delimiter": ""},
        {"delimiter": "||"},
        {"delimiter": "\n"},
        {"quote": "''"},
        {"quote": " "},
        {"delimiter": '"'},
        {"columns": ()},
    ],
)
def test_a_layout_that_cannot_be_is_refused(layout: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"delimiter|quote|columns"):
        Layout(**layout)


def test_without_quotes_a_quote_is_a_letter(make_file: MakeFile) -> None:
    path = make_file("people.tsv", 'id\temail\tname\n1\tada@shop.example\t"Ada\n')

    source = CsvSource(path, PEOPLE, layout=Layout(quote=None))

    assert wires(source.outcomes()) == [{**ADA, "first_name": '"Ada'}]


def test_columns_can_be_given_where_there_is_no_header(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT.split("\n", 1)[1])

    source = CsvSource(path, PEOPLE, layout=Layout(columns=("id", "email", "name")))

    assert wires(source.outcomes()) == [ADA, ZOE]


def test_without_a_mapping_columns_are_called_as_the_fields_are(make_file: MakeFile) -> None:
    path = make_file(
        "people.csv",
        "id,email,age,birthday,bought_something,kids,colour\n"
        '1,ada@shop.example,36,1985-12-10,yes,"[{""gender"": ""f""}]",red\n',
    )

    assert wires(CsvSource(path).outcomes()) == [
        {
            "external_id": "1",
            "email": "ada@shop.example",
            "age": 36,
            "birthday": "1985-12-10",
            "bought_something": True,
            "kids": [{"gender": "f"}],
            "colour": "red",
        }
    ]


def test_quoted_fields_hold_delimiters_quotes_and_newlines(make_file: MakeFile) -> None:
    path = make_file("people.csv", 'id,email,name\n1,ada@shop.example,"Ada, ""the\r\n\nfirst"""\n')

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [
        {**ADA, "first_name": 'Ada, "the\r\n\nfirst"'}
    ]


def test_blank_lines_are_no_rows(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT.replace("\n", "\n\r\n\n"))

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert [one.row for one in outcomes] == [1, 2]


@pytest.mark.parametrize("content", ["", "\n", "id,email,name\n", "\ufeff"])
def test_a_file_without_rows_has_none(make_file: MakeFile, content: str) -> None:
    assert list(CsvSource(make_file("people.csv", content), PEOPLE).outcomes()) == []


def test_a_row_with_more_values_than_columns_is_rejected_with_all_it_has(
    make_file: MakeFile,
) -> None:
    path = make_file("people.csv", "id,email,name\n2,b@shop.example,B,x,y\n" + TEXT[14:])

    many, *rest = CsvSource(path, PEOPLE).outcomes()

    assert isinstance(many, Rejected)
    assert (many.row, many.field, many.rule, many.given) == (
        1,
        "row",
        "at most 3 values, as there are columns",
        "5 values",
    )
    assert list(many.source_row.values()) == ["2", "b@shop.example", "B", "x", "y"]
    assert wires(rest) == [ADA, ZOE]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_empty_cells_at_the_end_may_be_missing_or_too_many(
    make_file: MakeFile, delimiter: str
) -> None:
    rows = [
        "id,email,name",
        "1,ada@shop.example,Ada,,",
        "2,zoe@shop.example,Zoë,",
        "3",
        ",,,",
        "4,",
    ]
    path = make_file("people.csv", "\n".join(rows).replace(",", delimiter))

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [
        ADA,
        ZOE,
        {"external_id": "3"},
        {"external_id": "4"},
    ]


def test_a_quote_that_is_never_closed_costs_one_row(make_file: MakeFile) -> None:
    rows = [f"{n},p{n}@shop.example,Name {n}" for n in range(1, 3001)]
    rows[4] = '5,p5@shop.example,"Five'
    rows[1500] = '1501,"p1501@shop.example,Name'
    path = make_file("people.csv", "\n".join(["id,email,name", *rows]))

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert len(outcomes) == 3000
    assert faults(outcomes) == [(5, "row"), (1501, "row")]
    broken = outcomes[4]
    assert isinstance(broken, Rejected)
    assert list(broken.source_row.values()) == ["5", "p5@shop.example", '"Five']


def test_a_quote_that_closes_in_the_next_row_costs_one_row(make_file: MakeFile) -> None:
    path = make_file(
        "people.csv",
        'id,email,name\n1,a@shop.example,"A\n2,b@shop.example,"B"\n3,c@shop.example,C\n',
    )

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert faults(outcomes) == [(1, "row")]
    assert wires(outcomes[1:]) == [
        {"external_id": "2", "email": "b@shop.example", "first_name": "B"},
        {"external_id": "3", "email": "c@shop.example", "first_name": "C"},
    ]


def test_rows_that_would_never_end_cost_one_row_each(make_file: MakeFile) -> None:
    # Each line opens a quote, and closes the one that the line before has opened.
    path = make_file("people.csv", "id,email,name\n" + 'a","x\n' * (2 * MOST_LINES))

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert len(outcomes) == 2 * MOST_LINES
    assert all(isinstance(one, Rejected) for one in outcomes)


def test_a_header_with_an_open_quote_is_refused(make_file: MakeFile) -> None:
    with pytest.raises(ConfigurationError, match="header"):
        list(CsvSource(make_file("people.csv", 'id,"email\n1,2\n3,4\n'), PEOPLE).outcomes())


def test_long_fields_are_read(make_file: MakeFile) -> None:
    name = "x" * 1_000_000
    path = make_file("people.csv", f"id,email,name\n1,ada@shop.example,{name}\n")

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [{**ADA, "first_name": name}]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_line_that_is_too_long_costs_one_row(make_file: MakeFile, quote: str) -> None:
    huge = quote + "x" * (3 * MOST_CHARACTERS) + quote
    header, ada, zoe = TEXT.splitlines(keepends=True)
    path = make_file("people.csv", f"{header}{ada}0,{huge},X\n{zoe}")

    [first, broken, last] = CsvSource(path, PEOPLE).outcomes()

    assert isinstance(broken, Rejected)
    assert broken.rule == f"a line of at most {MOST_CHARACTERS} characters"
    assert wires([first, last]) == [ADA, ZOE]


def test_a_line_that_is_too_long_ends_an_open_quote(make_file: MakeFile) -> None:
    huge = "x" * (2 * MOST_CHARACTERS)
    path = make_file("people.csv", f'id,email,name\n0,"open\n{huge}\n' + TEXT.split("\n", 1)[1])

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert faults(outcomes) == [(1, "row"), (2, "row")]
    assert wires(outcomes[2:]) == [ADA, ZOE]


def test_nul_is_a_character(make_file: MakeFile) -> None:
    path = make_file("people.csv", "id,email,name\n1,ada@shop.example,A\0da\n")

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [{**ADA, "first_name": "A\0da"}]


@pytest.mark.parametrize(
    ("encoding", "bad"), [("utf-8", b"\xff"), ("cp1252", b"\x81"), ("utf-16-le", b"\x00\xd8")]
)
def test_bytes_that_are_no_text_cost_one_row(
    make_file: MakeFile, encoding: str, bad: bytes
) -> None:
    content = TEXT.encode(encoding).replace("Ada".encode(encoding), bad)
    path = make_file("people.csv", content)

    outcomes = list(CsvSource(path, PEOPLE, layout=Layout(encoding=encoding)).outcomes())

    assert faults(outcomes) == [(1, "first_name")]
    assert wires(outcomes[1:]) == [ZOE]


def test_text_that_breaks_off_within_a_character_is_read(make_file: MakeFile) -> None:
    path = make_file("people.csv", codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")[:-3])

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    assert faults(outcomes) == [(2, "first_name")]


def test_columns_without_a_name_or_with_a_name_twice_can_be_told_apart(make_file: MakeFile) -> None:
    path = make_file("people.csv", "id,Phone, Phone ,,x,\n1,+4930123456,+4930654321,2,3,\n")
    mapping = FieldMapping.parse(
        '[fields]\nexternal_id = "id"\nphone = "Phone (2)"\n[custom]\nunnamed = "column 4"'
    )

    source = CsvSource(path, mapping)

    assert source.columns == ("id", "Phone", "Phone (2)", "column 4", "x")
    assert [dict(one) for one in wires(source.outcomes())] == [
        {"external_id": "1", "phone": "+4930654321", "unnamed": "2"}
    ]


def test_all_columns_are_kept_in_rejected_rows(make_file: MakeFile) -> None:
    path = make_file("people.csv", "id,email,name,,x,x\n1,nobody,Ada,2,3,4\n")

    [rejected] = CsvSource(path, PEOPLE).outcomes()

    assert isinstance(rejected, Rejected)
    assert list(rejected.source_row.values()) == ["1", "nobody", "Ada", "2", "3", "4"]


def test_no_error_shows_what_stands_in_a_file_without_a_header(make_file: MakeFile) -> None:
    path = make_file("people.csv", "7,canary@shop.example,Canary\n" * 3)

    for mapping in (PEOPLE, None):
        with pytest.raises(ConfigurationError) as raised:
            list(CsvSource(path, mapping).outcomes())
        assert "anary" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"people\.csv: expected a file"):
        CsvSource(tmp_path / "people.csv", PEOPLE)


@pytest.mark.parametrize("cut", [-9, -30, 20])
def test_gzip_that_breaks_off_is_an_error_and_not_an_end(make_file: MakeFile, cut: int) -> None:
    path = make_file("people.csv.gz", TEXT + "".join(f"{n},{n}@a.example,x\n" for n in range(999)))
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(SourceFailed, match=r"people\.csv\.gz"):
        list(CsvSource(path, PEOPLE).outcomes())


def test_gzip_with_wrong_content_is_an_error(make_file: MakeFile) -> None:
    path = make_file("people.csv.gz", TEXT)
    packed = bytearray(path.read_bytes())
    packed[-6] ^= 255
    path.write_bytes(packed)

    with pytest.raises(SourceFailed, match="broken packed data"):
        list(CsvSource(path, PEOPLE).outcomes())


def test_gzip_is_known_without_its_suffix(make_file: MakeFile, tmp_path: Path) -> None:
    path = make_file("people.csv.gz", TEXT).rename(tmp_path / "people.csv")

    assert wires(CsvSource(path, PEOPLE).outcomes()) == [ADA, ZOE]


def test_a_file_that_changes_while_it_is_read_is_an_error(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT)
    outcomes = CsvSource(path, PEOPLE).outcomes()
    next(outcomes)

    with path.open("a") as file:
        file.write("3,c@shop.example,C\n")

    with pytest.raises(SourceFailed, match="changed"):
        list(outcomes)


def test_a_file_that_changed_since_its_fingerprint_was_taken_is_an_error(
    make_file: MakeFile,
) -> None:
    path = make_file("people.csv", TEXT)
    source = CsvSource(path, PEOPLE)
    assert source.fingerprint

    path.write_text(TEXT + "3,c@shop.example,C\n")

    with pytest.raises(SourceFailed, match="changed"):
        list(source.outcomes())


@pytest.mark.parametrize("after_row", [0, 1, 7, 20, 21, 99])
def test_resuming_gives_the_rest_of_a_full_read(make_file: MakeFile, after_row: int) -> None:
    rows = [f"{n},p{n}@shop.example,N{n}" for n in range(1, 21)]
    rows[3], rows[5], rows[11] = "4,broken", '6,"p@shop.example,x', '12,p@shop.example,"a\nb"'
    source = CsvSource(make_file("people.csv", "\n\n".join(["id,email,name", *rows])), PEOPLE)
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]


def test_the_fingerprint_tells_content_mapping_and_reading_apart(make_file: MakeFile) -> None:
    other = FieldMapping.parse('[fields]\nexternal_id = "id"\nemail = "email"')
    path = make_file("people.csv", TEXT)
    again = make_file("renamed.csv", TEXT)
    changed = make_file("changed.csv", TEXT.replace("Ada", "Eda"))
    columns = Layout(columns=("id", "email", "name"))

    same = {CsvSource(path, PEOPLE).fingerprint, CsvSource(again, PEOPLE).fingerprint}
    different = {
        CsvSource(path, PEOPLE).fingerprint,
        CsvSource(changed, PEOPLE).fingerprint,
        CsvSource(path, other).fingerprint,
        CsvSource(path).fingerprint,
        CsvSource(path, PEOPLE, layout=columns).fingerprint,
        CsvSource(path, PEOPLE, layout=Layout(encoding="latin-1")).fingerprint,
        CsvSource(path, PEOPLE, layout=Layout(quote=None)).fingerprint,
        CsvSource(path, PEOPLE, layout=Layout(delimiter=";")).fingerprint,
    }

    assert len(same) == 1
    assert len(different) == 8
    assert None not in different


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz"])
def test_the_size_hint_is_close(make_file: MakeFile, name: str) -> None:
    text = "id,email,name\n" + "".join(f"{n},p{n}@shop.example,Name\n" for n in range(50_000))

    hint = CsvSource(make_file(name, text), PEOPLE).size_hint

    assert hint is not None
    assert 45_000 < hint < 55_000


def test_the_size_hint_of_a_small_file_is_exact(make_file: MakeFile) -> None:
    assert CsvSource(make_file("a.csv", TEXT), PEOPLE).size_hint == 2
    assert CsvSource(make_file("b.csv", TEXT.rstrip()), PEOPLE).size_hint == 2
    assert CsvSource(make_file("c.csv", ""), PEOPLE).size_hint == 0


@pytest.mark.parametrize("packed", [False, True])
def test_a_stream_is_read_once(make_file: MakeFile, packed: bool) -> None:
    path = make_file("people.csv.gz" if packed else "people.csv", TEXT * 5000)
    with path.open("rb") as stream:
        source = CsvSource(StreamInput(stream), PEOPLE)

        assert source.name == "standard input"
        assert source.fingerprint is None
        assert source.size_hint is None
        assert sum(1 for _ in source.outcomes()) == 14_999
        with pytest.raises(SourceFailed, match="only once"):
            list(source.outcomes())


def test_a_pipe_is_read_as_it_fills() -> None:
    reading, writing = os.pipe()
    os.write(writing, TEXT.encode())
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert wires(CsvSource(StreamInput(stream), PEOPLE).outcomes()) == [ADA, ZOE]


def test_naughty_strings_come_through_as_they_are(data: Path, tmp_path: Path) -> None:
    naughty = (data / "naughty-strings/blns.txt").read_text("utf-8").splitlines()
    path = tmp_path / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "email", "name"])
        writer.writerows([number, "", text] for number, text in enumerate(naughty, 1))

    outcomes = list(CsvSource(path, PEOPLE).outcomes())

    taken = {one.row: one.wire.get("first_name", "") for one in outcomes if isinstance(one, Record)}
    for row, text in enumerate(naughty, 1):
        # Words for nothing are refused; quotes and marks around a name are no part of it.
        said = text.strip()
        if row in taken and said.isprintable():
            assert taken[row] in (said, said[1:-1])
    refused = {naughty[row - 1].casefold() for row, _ in faults(outcomes)}
    assert "null" in refused
    assert sum("<" not in text for text in refused) < len(naughty) / 20  # HTML is no name


def test_every_real_customer_is_accounted_for(data: Path) -> None:
    path = data / "adventureworks-packt/AdventureWorks_Customers.csv"
    source = CsvSource(path, FieldMapping.load(EXAMPLES / "mappings/adventureworks.toml"))

    outcomes = list(source.outcomes())

    assert len(outcomes) == 18_148
    assert [one.row for one in outcomes] == list(range(1, 18_149))
    assert faults(outcomes) == []
    assert wires(outcomes[:1]) == [
        {
            "external_id": "11000",
            "email": "jon24@adventure-works.com",
            "first_name": "Jon",
            "last_name": "Yang",
            "birthday": "1966-04-08",
            "gender": "m",
            "prefix": "Mr.",
            "marital_status": "M",
            "annual_income": 90000,
            "total_children": 2,
            "education_level": "Bachelors",
            "occupation": "Professional",
            "home_owner": "Y",
        }
    ]
    assert sum("gender" not in one for one in wires(outcomes)) == 130


def test_the_real_customers_come_out_as_the_hand_written_reader_has_them(data: Path) -> None:
    path = data / "adventureworks-packt/AdventureWorks_Customers.csv"
    mapping = FieldMapping.load(EXAMPLES / "mappings/adventureworks.toml")

    read = wires(CsvSource(path, mapping).outcomes())

    for wire, customer in zip(read, customers(data), strict=True):
        expected = to_wire(ProfileUpdate(**customer), user_id_name="external_id")
        # These two come from other files.
        expected.pop("phone", None)
        expected.pop("location", None)
        assert wire == expected


def test_a_read_that_is_given_up_leaves_nothing_open(make_file: MakeFile) -> None:
    for name in ("people.csv", "people.csv.gz"):
        path = make_file(name, TEXT * 1000)
        outcomes = CsvSource(path, PEOPLE).outcomes()
        next(outcomes)

        outcomes.close()

        path.unlink()
        assert list(outcomes) == []


def test_the_sample_of_the_project_is_read_with_the_example_mapping() -> None:
    source = CsvSource(
        EXAMPLES / "sample/adventureworks-packt/AdventureWorks_Customers.csv",
        FieldMapping.load(EXAMPLES / "mappings/adventureworks.toml"),
    )

    assert len(wires(source.outcomes())) == 40


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), with_header=st.booleans())
def test_no_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, *, with_header: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes((b"id,email,name\n" if with_header else b"") + content)
    source = CsvSource(path, PEOPLE, layout=Layout(encoding="utf-8", delimiter=","))
    try:
        outcomes = list(source.outcomes())
    except PersonaClickError:
        return
    assert [one.row for one in outcomes] == list(range(1, len(outcomes) + 1))
    tail = list(source.outcomes(after_row=1))
    assert [plain(one) for one in tail] == [plain(one) for one in outcomes[1:]]


PIECES = st.lists(
    st.sampled_from([b"a", b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"x@y.zz"]),
    max_size=60,
).map(b"".join)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=PIECES)
def test_no_line_is_lost_between_quotes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes(b"id,email,name\n" + content)
    source = CsvSource(path, PEOPLE, layout=Layout(encoding="utf-8", delimiter=","))

    letters = "".join(
        str(value)
        for one in source.outcomes()
        for value in (one.wire if isinstance(one, Record) else one.source_row).values()
    )

    # Whatever the marks did to it, every letter of the file is in some row.
    for letter in "a@":
        assert letters.count(letter) == content.decode("latin-1").count(letter)


def test_the_sample_gives_rows_as_they_stand(make_file: MakeFile) -> None:
    path = make_file("people.csv", TEXT + "3\n" + TEXT)

    sample = CsvSource(path, layout=Layout(header=True)).sample(3)

    assert sample.columns == ("id", "email", "name")
    assert [list(row) for row in sample.rows] == [
        ["1", "ada@shop.example", "Ada"],
        ["2", "zoe@shop.example", "Zoë"],
        ["3", "", ""],
    ]


def test_a_stream_in_memory_is_an_input_too() -> None:
    source = CsvSource(StreamInput(io.BytesIO(TEXT.encode()), name="memory"), PEOPLE)

    assert wires(source.outcomes()) == [ADA, ZOE]
