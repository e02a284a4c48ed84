"""What is read from JSON Lines, and what is not but never lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import PersonaClickError
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Record, Rejected
from personaclick_async.sync.sources import JsonSource, SourceFailed
from tests.sync.sources.conftest import PEOPLE, MakeFile, faults, plain, wires

ADA = {"external_id": 1, "email": "ada@shop.example", "colour": "red"}
ZOE = {"external_id": 2, "email": "zoe@shop.example", "first_name": "Zoë"}
TEXT = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in (ADA, ZOE))


@pytest.mark.parametrize("name", ["people.jsonl", "people.jsonl.gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n \n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_flat_objects_are_records(
    make_file: MakeFile, name: str, newline: str, encoding: str
) -> None:
    path = make_file(name, TEXT.replace("\n", newline), encoding=encoding)

    outcomes = list(JsonSource(path).outcomes())

    assert wires(outcomes) == [ADA, ZOE]
    assert [one.row for one in outcomes] == [1, 2]


def test_objects_can_go_through_a_mapping(make_file: MakeFile) -> None:
    mapping = FieldMapping.parse("""
        [fields]
        external_id = "Key"
        birthday = { column = "Born", format = "%d.%m.%Y" }
        bought_something = "Bought"
        age = "Age"
        [custom]
        tags = { column = "Tags", type = "list" }
        score = { column = "Score", type = "integer" }
        """)
    lines = [
        {"Key": 7, "Born": "1.2.1990", "Bought": 1, "Age": 36.5, "Tags": ["a", "b"], "Score": "3"},
        {"Key": "8", "Born": None, "Bought": True, "Age": "36", "Tags": "a", "Score": 3.0, "z": 1},
        {"Key": "9"},
    ]
    path = make_file("people.jsonl", "\n".join(map(json.dumps, lines)))

    assert wires(JsonSource(path, mapping).outcomes()) == [
        {
            "external_id": "7",
            "birthday": "1990-02-01",
            "bought_something": True,
            "age": 36.5,
            "tags": ["a", "b"],
            "score": 3,
        },
        {"external_id": "8", "bought_something": True, "age": 36, "tags": ["a"], "score": 3},
        {"external_id": "9"},
    ]


@pytest.mark.parametrize(
    "line",
    [
        "nobody",
        '{"email": "ada@shop.example"',
        "[1, 2]",
        '"text"',
        "null",
        "[" * 100_000,
        '{"email": "ada@shop.example", "age": NaN}',
        '{"email": "ada@shop.example", "age": 1e999}',
        '{"email": "ada@shop.example", "first_name": "\\ud800"}',
        '{"email": "ada@shop.example", "first_name": ""}',
        '{"first_name": "Ada"}',
        "{}",
    ],
)
def test_lines_that_are_no_record_are_rejected_one_by_one(make_file: MakeFile, line: str) -> None:
    path = make_file("people.jsonl", f"{line}\n{TEXT}")

    outcomes = list(JsonSource(path, lines=True).outcomes())

    assert isinstance(outcomes[0], Rejected)
    assert wires(outcomes[1:]) == [ADA, ZOE]


def test_a_rejected_object_is_kept_whole(make_file: MakeFile) -> None:
    record = {"id": "1", "email": "nobody", "more": [1]}
    source = JsonSource(make_file("people.jsonl", json.dumps(record)), PEOPLE)

    [rejected] = source.outcomes()

    assert isinstance(rejected, Rejected)
    assert (rejected.field, rejected.given) == ("email", "str of 6 characters")
    assert rejected.source_row == record
    mapping = FieldMapping.parse('[fields]\nexternal_id = "id"\nemail = "email"')
    [sent] = JsonSource(make_file("people.jsonl", json.dumps(record)), mapping).outcomes()
    assert isinstance(sent, Record)
    assert sent.omitted is not None
    assert sent.omitted.source_row == record


def test_bytes_that_are_no_text_cost_one_row(make_file: MakeFile) -> None:
    path = make_file("people.jsonl", b'{"email": "a@b.example", "x": "\xff"}\n' + TEXT.encode())

    assert faults(JsonSource(path).outcomes()) == [(1, "row")]


def test_a_line_that_is_too_long_costs_one_row(make_file: MakeFile) -> None:
    path = make_file("people.jsonl", "x" * (2 * IMPORT_MAX_BODY_BYTES + 5) + "\n" + TEXT)

    outcomes = list(JsonSource(path).outcomes())

    assert faults(outcomes) == [(1, "row")]
    assert wires(outcomes[1:]) == [ADA, ZOE]


@pytest.mark.parametrize("after_row", [0, 1, 3, 6, 9])
def test_resuming_gives_the_rest_of_a_full_read(make_file: MakeFile, after_row: int) -> None:
    source = JsonSource(make_file("people.jsonl", f"{TEXT}\n\nnobody\n[]\n{TEXT}"))
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]


def test_the_fingerprint_tells_content_mapping_and_encoding_apart(make_file: MakeFile) -> None:
    path = make_file("people.jsonl", TEXT)
    changed = make_file("changed.jsonl", TEXT.replace("red", "bed"))

    prints = {
        JsonSource(path).fingerprint,
        JsonSource(changed).fingerprint,
        JsonSource(path, PEOPLE).fingerprint,
        JsonSource(path, encoding="latin-1").fingerprint,
    }

    assert len(prints) == 4
    assert None not in prints


def test_the_size_hint_counts_lines(make_file: MakeFile) -> None:
    assert JsonSource(make_file("a.jsonl", TEXT)).size_hint == 2
    assert JsonSource(make_file("b.jsonl.gz", TEXT * 9000)).size_hint == pytest.approx(
        18_000, rel=0.1
    )


def test_gzip_that_breaks_off_is_an_error_and_not_an_end(make_file: MakeFile) -> None:
    path = make_file("people.jsonl.gz", TEXT * 999)
    path.write_bytes(path.read_bytes()[:-12])

    with pytest.raises(SourceFailed, match="breaks off"):
        list(JsonSource(path).outcomes())


def test_the_sample_has_all_keys(make_file: MakeFile) -> None:
    sample = JsonSource(make_file("people.jsonl", "nobody\n[]\n" + TEXT)).sample()

    assert sample.columns == ("external_id", "email", "colour", "first_name")
    assert sample.rows[1] == [2, "zoe@shop.example", None, "Zoë"]


def test_naughty_strings_come_through_as_they_are(data: Path, make_file: MakeFile) -> None:
    naughty = json.loads((data / "naughty-strings/blns.json").read_text("utf-8"))
    lines = [{"id": number, "first_name": text or None} for number, text in enumerate(naughty)]
    path = make_file("people.jsonl", "\n".join(map(json.dumps, lines)))

    read = wires(JsonSource(path).outcomes())

    assert [one.get("first_name", "") for one in read] == naughty


def test_whatever_a_json_parser_has_to_stand_costs_one_row(data: Path, make_file: MakeFile) -> None:
    first, last = TEXT.encode().splitlines(keepends=True)
    for case in sorted((data / "jsontestsuite/test_parsing").iterdir()):
        line = case.read_bytes().replace(b"\n", b" ")
        path = make_file("people.jsonl", first + line + b"\n" + last)
        outcomes = list(JsonSource(path).outcomes())
        assert len(outcomes) == (3 if line.strip() else 2), case.name
        assert wires([outcomes[0], outcomes[-1]]) == [ADA, ZOE], case.name


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_no_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.jsonl"
    path.write_bytes(content)
    source = JsonSource(path, encoding="utf-8")
    try:
        outcomes = list(source.outcomes())
    except PersonaClickError:
        return
    assert [one.row for one in outcomes] == list(range(1, len(outcomes) + 1))


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_array_of_objects_is_records(
    make_file: MakeFile, indent: int | None, encoding: str
) -> None:
    text = json.dumps([ADA, ZOE], indent=indent, ensure_ascii=False)

    outcomes = list(JsonSource(make_file("people.json", text, encoding=encoding)).outcomes())

    assert wires(outcomes) == [ADA, ZOE]


@pytest.mark.parametrize(
    ("begin", "end"), [("[", "\n]"), ("[\n", "]"), ('{"customers": [\n', "\n]}")]
)
@pytest.mark.parametrize("records", [[ADA], [ADA, ZOE]])
def test_an_array_may_have_an_object_a_line(
    make_file: MakeFile, begin: str, end: str, records: list[dict[str, object]]
) -> None:
    text = begin + ",\n".join(map(json.dumps, records)) + end

    source = JsonSource(make_file("people.json", text))

    assert wires(source.outcomes()) == records


def test_objects_one_after_another_are_records(make_file: MakeFile) -> None:
    text = "\n".join(json.dumps(one, indent=2) for one in (ADA, ZOE))

    assert wires(JsonSource(make_file("people.json", text)).outcomes()) == [ADA, ZOE]


def test_an_array_inside_an_object_is_records(make_file: MakeFile) -> None:
    whole = {"status": "ok", "page": {"n": 1}, "customers": [ADA, ZOE], "tags": [{"x": 1}]}
    for one in (whole, {"a.b": [ADA, ZOE]}, {"data": {"filters": [{"x": 1}], **whole}}):
        for indent in (None, 2):
            path = make_file("people.json", json.dumps(one, indent=indent))
            assert wires(JsonSource(path).outcomes()) == [ADA, ZOE]


def test_a_customer_with_a_list_of_children_is_one_record(make_file: MakeFile) -> None:
    one = {**ADA, "kids": [{"gender": "f"}]}
    for indent in (None, 2):
        path = make_file("people.json", json.dumps(one, indent=indent))
        assert wires(JsonSource(path).outcomes()) == [one]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_a_customers_orders_are_no_customers(
    make_file: MakeFile, indent: int | None, count: int
) -> None:
    one = {"id": "1", "name": "Ada", "orders": [{"id": 77}], "email": "ada@shop.example"}
    path = make_file("people.json", "\n".join([json.dumps(one, indent=indent)] * count))

    source = JsonSource(path, PEOPLE)

    ada = {"external_id": "1", "email": "ada@shop.example", "first_name": "Ada"}
    assert wires(source.outcomes()) == [ada] * count


def test_customers_without_addresses_that_have_lists_are_one_record_each(
    make_file: MakeFile,
) -> None:
    text = "\n".join(json.dumps({"id": n, "orders": [{"id": 77}]}, indent=2) for n in (1, 2))
    mapping = FieldMapping.parse('[fields]\nexternal_id = "id"')

    source = JsonSource(make_file("people.json", text), mapping)

    assert [one["external_id"] for one in wires(source.outcomes())] == ["1", "2"]


def test_which_of_several_arrays_is_read_is_said(make_file: MakeFile) -> None:
    whole = {"stores": [{"id": 7}], "customers": [ADA], "staff": [ZOE]}

    source = JsonSource(make_file("people.json", json.dumps(whole)))

    assert wires(source.outcomes()) == [ADA]
    assert source.notices == (
        "people.json: read as JSON in utf-8 (what JSON is in), the objects of 'customers'",
    )
    secret = JsonSource(make_file("a.json", json.dumps({"zoe@shop.example": [ZOE]})))
    assert wires(secret.outcomes()) == [ZOE]
    assert "zoe" not in secret.notices[0]


def test_what_is_no_object_in_an_array_is_rejected_by_itself(make_file: MakeFile) -> None:
    path = make_file("people.json", json.dumps([1, ADA, [2], None, ZOE]))

    outcomes = list(JsonSource(path).outcomes())

    assert faults(outcomes) == [(1, "row"), (3, "row"), (4, "row")]
    assert wires([outcomes[1], outcomes[4]]) == [ADA, ZOE]


@pytest.mark.parametrize("cut", [-1, -10, 60])
def test_an_array_that_breaks_off_is_an_error_and_not_an_end(make_file: MakeFile, cut: int) -> None:
    path = make_file("people.json", json.dumps([ADA, ZOE])[:cut])

    with pytest.raises(SourceFailed, match="is no JSON after row") as failed:
        list(JsonSource(path).outcomes())
    assert "zoe" not in str(failed.value)


def test_nesting_without_end_is_an_error(make_file: MakeFile) -> None:
    for text in ("[" * 1_000_000, '[{"a":' * 300_000):
        with pytest.raises(SourceFailed):
            list(JsonSource(make_file("people.json", text)).outcomes())


@pytest.mark.parametrize("after_row", [0, 1, 2, 3])
def test_an_array_is_resumed(make_file: MakeFile, after_row: int) -> None:
    source = JsonSource(make_file("people.json", json.dumps([ADA, ZOE], indent=1)))
    whole = list(source.outcomes())

    resumed = list(source.outcomes(after_row=after_row))

    assert [plain(one) for one in resumed] == [plain(one) for one in whole[after_row:]]
    assert source.fingerprint != JsonSource(make_file("b.json", json.dumps([ADA]))).fingerprint


def test_keys_inside_others_can_be_mapped(make_file: MakeFile) -> None:
    record = {"id": 1, "contact": {"mail": "ada@shop.example", "a": {"b": "c"}}, "x.y": "z"}
    path = make_file("people.jsonl", json.dumps(record))
    mapping = FieldMapping.parse(
        '[fields]\nexternal_id = "id"\nemail = "contact.mail"\n[custom]\ndeep = "contact.a.b"\n'
        'dot = "x.y"\nnone = "contact.b.c"\nneither = "id.x"'
    )

    source = JsonSource(path, mapping)

    assert wires(source.outcomes()) == [
        {"external_id": "1", "email": "ada@shop.example", "deep": "c", "dot": "z"}
    ]
    assert source.sample().columns == ("id", "contact.mail", "contact.a.b", "x.y")
