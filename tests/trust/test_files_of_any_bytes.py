"""A file of any bytes, in any encoding, with any marks: each row is a record or a rejection."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import suppress
from encodings.aliases import aliases
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import ConfigurationError, PersonaClickError
from personaclick_async.sync import Record, Rejected
from personaclick_async.sync.sources import CsvSource, JsonSource, Layout, StreamInput
from personaclick_async.sync.sources.opening import open_source
from tests.trust import targets
from tests.trust.found import DATA, seeds
from tests.trust.values import JSON, TEXT

ENCODINGS = ["utf-8", "utf-16", "utf-32-be", "latin-1", "cp1251", "shift_jis", "gb18030", "ascii"]
MARKS = st.sampled_from([*",;|\t'\"x \0\n\u00e9\U0001f600", "", "ab"])
TABLE = st.lists(
    st.lists(TEXT | st.sampled_from(["id", "1", '"', '""', ","]), max_size=4), max_size=6
)


@pytest.mark.parametrize("target", ["csv", "jsonl"])
def test_known_hostile_files(target: str) -> None:
    for seed in seeds(target):
        targets.TARGETS[target](seed)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_delimited_text_of_any_bytes(content: bytes) -> None:
    targets.csv(content)


@settings(max_examples=150, deadline=None)
@given(
    TABLE,
    st.tuples(st.none() | MARKS, st.none() | MARKS),
    st.sampled_from(ENCODINGS),
    st.none() | st.sampled_from([*ENCODINGS, "rot13", "base64", "idna", "nothing"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_delimited_text_with_any_marks_and_encoding(
    table: list[list[str]],
    marks: tuple[str | None, str | None],
    encoding: str,
    said: str | None,
    newline: str,
) -> None:
    delimiter, quote = marks
    text = newline.join((delimiter or ",").join(row) for row in table)
    layout: dict[str, Any] = {"delimiter": delimiter, "quote": quote, "encoding": said}
    content = text.encode(encoding, "replace")
    try:
        Layout(**layout)
    except ConfigurationError:
        return
    targets.delimited(b"id" + content, **layout)
    targets.delimited(content, columns=("id", "x"), **layout)


def known() -> list[str]:
    found = []
    for name in sorted({*aliases.values(), "idna", "punycode", "raw_unicode_escape"}):
        with suppress(ConfigurationError):
            Layout(encoding=name)
            found.append(name)
    return found


@pytest.mark.parametrize("name", known())
def test_every_encoding_that_python_knows(name: str) -> None:
    for content in (
        b"",
        b"id,x\n1,\xff\xfe\n2,y\n",
        bytes(range(256)) * 2,
        b"\0\0\xd8\0\xdf\xff\n" * 9,
        b"{\0\xd8\0}\n\0" * 9,
    ):
        targets.delimited(content, encoding=name)
        targets.json_lines(content, encoding=name)


@pytest.mark.parametrize("name", ["utf-16", "utf-32", "UTF16"])
def test_an_encoding_that_needs_a_mark_says_so(name: str) -> None:
    source = CsvSource(StreamInput(io.BytesIO(b"id\n1\n")), layout=Layout(encoding=name))
    with pytest.raises(ConfigurationError, match="byte order mark; give its encoding as utf-"):
        list(source.outcomes())


@pytest.mark.parametrize("guessed", ["utf-16", "utf-32"])
def test_a_byte_order_mark_in_the_midst_of_a_text_is_not_believed(guessed: str) -> None:
    text = "\n\ufeff\nGr\u00fc\u00dfe"
    targets.delimited(text.encode(f"{guessed}-be"), columns=("id", "x"))
    targets.json_lines(text.encode(f"{guessed}-be"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=40) | JSON.map(lambda one: json.dumps(one).encode()), max_size=6)
)
def test_json_lines_of_any_bytes(lines: list[bytes]) -> None:
    targets.json_lines(b"\n".join(lines))
    targets.json_lines(b"\n".join(lines), encoding="utf-16-le")


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["id", "email", "kids", "tier", "_sent", "_row"]) | TEXT, JSON)
)
def test_json_lines_of_any_objects(fields: dict[str, Any]) -> None:
    targets.json_lines(json.dumps({"id": 1, **fields}).encode())
    targets.json_lines(json.dumps({"id": 1, "_sent": json.dumps(fields)}).encode())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=100),
    st.sampled_from(["a.csv", "a.tsv.gz", "a.jsonl", "a.parquet", "a", "a.gz"]),
    st.booleans(),
)
def test_a_file_of_any_bytes_under_any_name(
    tmp_path: Path, content: bytes, name: str, zipped: bool
) -> None:
    path = tmp_path / name
    whole = gzip.compress(content) if zipped else content
    for written in (whole, whole[:-5], b"\x1f\x8b" + content, b"PAR1" + content + b"PAR1"):
        path.write_bytes(written)
        assert len(str(targets.refused(partial(_read, path)))) < 1000


def _read(path: Path) -> None:
    source = open_source(path)
    assert len(source.sample(5).rows) <= 5
    hint = source.size_hint
    assert hint is None or hint >= 0
    rows = [outcome.row for outcome in source.outcomes()]
    assert rows == list(range(1, len(rows) + 1))


@pytest.mark.skipif(not DATA.exists(), reason=f"no test data at {DATA.name}: set PERSONACLICK_DATA")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_hostile_strings_are_read_as_they_stand(encoding: str) -> None:
    strings = json.loads((DATA / "naughty-strings" / "blns.json").read_text("utf-8"))
    hostile = [one for one in strings if one.strip() == one != "" and one.casefold() != "null"]
    lines = "".join(json.dumps({"id": n, "note": one}) + "\n" for n, one in enumerate(hostile, 1))
    csv_lines = "id,note\n" + "".join(
        f'{n},"{one.replace(chr(34), chr(34) * 2)}"\n' for n, one in enumerate(hostile, 1)
    )
    for source in (
        JsonSource(StreamInput(io.BytesIO(lines.encode(encoding))), encoding=encoding),
        CsvSource(
            StreamInput(io.BytesIO(csv_lines.encode(encoding))),
            layout=Layout(encoding=encoding, delimiter=","),
        ),
    ):
        found = list(source.outcomes())
        assert not [one for one in found if isinstance(one, Rejected)]
        assert [one.wire["note"] for one in found if isinstance(one, Record)] == hostile


@pytest.mark.skipif(not DATA.exists(), reason=f"no test data at {DATA.name}: set PERSONACLICK_DATA")
def test_the_json_suite_as_files(tmp_path: Path) -> None:
    for case in sorted((DATA / "jsontestsuite" / "test_parsing").iterdir()):
        for name in ("a.jsonl", "a.csv"):
            path = tmp_path / name
            path.write_bytes(case.read_bytes())
            try:
                outcomes = list(open_source(path).outcomes())
            except PersonaClickError:
                continue
            assert all(isinstance(one, Record | Rejected) for one in outcomes)
