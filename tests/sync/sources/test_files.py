"""Files that are packed, disguised, elsewhere, or broken off."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources import (
    CsvSource,
    RemoteInput,
    SheetSource,
    SourceFailed,
    StreamInput,
    open_source,
)
from tests.sync.sources.conftest import PEOPLE, MakeFile, wires
from tests.sync.sources.test_formats import as_parquet, as_workbook

fsspec: Any = pytest.importorskip("fsspec", reason="the extra files is not installed")
zstandard: Any = pytest.importorskip("zstandard", reason="the extra files is not installed")

ADA = {"external_id": "1", "email": "ada@shop.example", "first_name": "Ada"}
CSV = b"id,email,name\n1,ada@shop.example,Ada\n"


def zipped(files: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "zip": lambda content: zipped({"people.csv": content}),
}


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("as_stream", [False, True])
def test_packed_files_are_known_by_their_first_bytes(
    tmp_path: Path, kind: str, as_stream: bool
) -> None:
    content = PACKERS[kind](CSV)
    path = tmp_path / "people.csv"
    path.write_bytes(content)

    source = (
        CsvSource(StreamInput(io.BytesIO(content)), PEOPLE)
        if as_stream
        else open_source(path, PEOPLE)
    )

    assert wires(source.outcomes()) == [ADA]


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_that_break_off_are_an_error_and_not_an_end(tmp_path: Path, kind: str) -> None:
    rows = b"".join(b"%d,p%d@shop.example,%d\n" % (n, n, n * 7919 % 1009) for n in range(50_000))
    whole = PACKERS[kind](CSV + rows)
    path = tmp_path / "people.csv"
    for end in (len(whole) - 5, len(whole) // 2):
        path.write_bytes(whole[:end])
        with pytest.raises(SourceFailed, match="pack"):
            list(open_source(path, PEOPLE).outcomes())


def test_several_frames_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "people.csv.zst"
    path.write_bytes(b"".join(PACKERS["zst"](part) for part in (CSV[:20], CSV[20:], b"\n" * 99)))

    assert wires(open_source(path, PEOPLE).outcomes()) == [ADA]


def test_a_zip_file_holds_one_file(tmp_path: Path) -> None:
    path = tmp_path / "people.zip"
    path.write_bytes(zipped({"a/people.csv": CSV, "a/": b"", "__MACOSX/._people.csv": b"x"}))
    assert wires(open_source(path, PEOPLE).outcomes()) == [ADA]

    path.write_bytes(zipped({"a.csv": CSV, "b.csv": CSV}))
    with pytest.raises(ConfigurationError, match="zip file with one file, found 2"):
        open_source(path, PEOPLE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><table>", "a web page"),
        (b'<?xml version="1.0"?><Workbook>', "XML"),
        (b"%PDF-1.7", "PDF"),
        (b"SQLite format 3\0...", "SQLite database"),
        (b"Obj\x01...", "Avro"),
        (b"{\\rtf1", "RTF"),
        (b"7z\xbc\xaf\x27\x1c", "archive"),
        (b"Rar!\x1a\x07", "archive"),
        (b"people.csv".ljust(257, b"\0") + b"ustar\0000", "archive"),
    ],
)
def test_a_file_of_another_kind_is_named(make_file: MakeFile, content: bytes, said: str) -> None:
    for name in ("people.csv", "people.xls", "people"):
        with pytest.raises(ConfigurationError, match=said):
            open_source(make_file(name, content))


@pytest.mark.parametrize("name", ["people.csv", "people.csv.gz", "people"])
def test_a_file_elsewhere_is_read_like_one_here(name: str) -> None:
    content = gzip.compress(CSV) if name.endswith("gz") else CSV
    files: Any = fsspec.filesystem("memory")
    with files.open(f"/shop/{name}", "wb") as file:
        file.write(content)

    source = open_source(f"memory://shop/{name}", PEOPLE)

    assert source.name == name
    assert wires(source.outcomes()) == [ADA]
    assert wires(source.outcomes()) == [ADA]
    first = source.fingerprint
    with files.open(f"/shop/{name}", "wb") as file:
        file.write(content.replace(b"1,", b"2,") if name == "people" else gzip.compress(CSV * 2))
    assert first is not None
    assert open_source(f"memory://shop/{name}", PEOPLE).fingerprint != first


def test_a_pattern_works_elsewhere_too() -> None:
    files: Any = fsspec.filesystem("memory")
    for number in (2, 1):
        with files.open(f"/parts/{number}.csv", "wb") as file:
            file.write(CSV.replace(b"1,", b"%d," % number))

    source = open_source("memory://parts/*.csv", PEOPLE)

    assert [one["external_id"] for one in wires(source.outcomes())] == ["1", "2"]


def test_a_local_address_is_a_file(make_file: MakeFile) -> None:
    path = make_file("people.csv", CSV)
    assert wires(open_source(f"file://{path}", PEOPLE).outcomes()) == [ADA]


@pytest.mark.parametrize("folder", [".", "..", "/"])
def test_a_folder_is_named(folder: str) -> None:
    said = rf"{re.escape(folder)}: expected a file, found a folder"
    with pytest.raises(ConfigurationError, match=said):
        open_source(folder, PEOPLE)
    with pytest.raises(ConfigurationError, match=rf"{re.escape(folder)}: can't be read"):
        FieldMapping.load(folder)


def test_a_file_elsewhere_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv: expected a file, found none"):
        open_source("memory://none.csv", PEOPLE)


def test_an_address_is_not_shown_with_what_may_be_secret() -> None:
    url = "http://canary:canary@127.0.0.1:9/people.csv?signature=canary"

    with pytest.raises(SourceFailed) as failed:
        open_source(url, PEOPLE)

    assert str(failed.value).startswith("people.csv: can't be fetched from 127.0.0.1:9: ")
    assert "canary" not in f"{failed.value!r}{failed.value.__cause__}{RemoteInput(url).name}"
    assert failed.value.__suppress_context__


def test_what_an_address_needs_is_named_by_its_package() -> None:
    with pytest.raises(ConfigurationError, match="pip install s3fs"):
        open_source("s3://bucket/people.csv", PEOPLE)
    with pytest.raises(ConfigurationError, match="expected one, as the source is a database"):
        open_source("postgresql://127.0.0.1/shop", PEOPLE)


def test_files_of_rejected_rows_are_left_out_of_patterns_unless_named(tmp_path: Path) -> None:
    header = b"\xef\xbb\xbf_row,_field,_reason,_sent,id,email,name\r\n"
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a-rejected.csv").write_bytes(header + b"1,email,bad,,9,old@shop.example,Old\r\n")
    (tmp_path / "a-rejected.jsonl").write_text('{"_row": 1, "_field": "x", "_reason": "y"}\n')
    utf16 = header.decode("utf-8-sig").replace(",", "\t").encode("utf-16")
    (tmp_path / "a-rejected-too.csv").write_bytes(utf16)

    quoted = b'"_row";"_field";"_reason";"_sent";"id"\n1;"x";"y";"";"8"\n'  # LibreOffice
    (tmp_path / "a-rejected-two.csv").write_bytes(quoted)

    source = open_source(str(tmp_path / "a*"), PEOPLE)

    assert wires(source.outcomes()) == [ADA]
    left_out = [notice for notice in source.notices if "left out" in notice]
    assert len(left_out) == 4
    assert "a-rejected.csv: left out, as it holds rejected rows" in left_out
    with pytest.raises(ConfigurationError, match="only files of rejected rows"):
        open_source(str(tmp_path / "a-*"), PEOPLE)
    named = open_source([tmp_path / "a.csv", tmp_path / "a-rejected.csv"], PEOPLE)
    assert [one["external_id"] for one in wires(named.outcomes())] == ["1", "9"]


def test_a_missing_column_names_the_file_before_any_row_is_read(make_file: MakeFile) -> None:
    one = make_file("one.csv", CSV)
    two = make_file("two.csv", CSV.replace(b"email", b"mail"))

    with pytest.raises(ConfigurationError, match=r"two\.csv: .*'email'"):
        next(open_source([one, two], PEOPLE).outcomes())


@pytest.mark.parametrize("kind", ["csv.zip", "xlsx", "xlsx.gz", "parquet"])
def test_what_can_not_be_read_as_it_comes_is_read_from_a_pipe_too(
    tmp_path: Path, kind: str
) -> None:
    rows = [{"id": 1, "email": "ada@shop.example", "name": "Ada"}]
    whole = as_parquet(rows) if kind == "parquet" else as_workbook(rows)
    content = {"csv.zip": PACKERS["zip"](CSV), "xlsx.gz": gzip.compress(whole)}.get(kind, whole)

    done = subprocess.run(
        [sys.executable, "-m", "tests.sync.sources.read_standard_input"],
        input=content,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["wires"] == [ADA]


@pytest.mark.parametrize("kind", ["gz", "zip"])
@pytest.mark.parametrize("as_stream", [False, True])
def test_a_workbook_may_be_packed_too(tmp_path: Path, kind: str, as_stream: bool) -> None:
    openpyxl: Any = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["id", "email", "name"], [1, "ada@shop.example", "Ada"]):
        book.active.append(row)
    whole = io.BytesIO()
    book.save(whole)
    path = tmp_path / "people"
    path.write_bytes(PACKERS[kind](whole.getvalue()))

    source: Any = StreamInput(io.BytesIO(path.read_bytes())) if as_stream else path
    rows = SheetSource(source, PEOPLE).outcomes()

    assert wires(rows) == [ADA]


def test_what_files_have_to_say_is_said_once(make_file: MakeFile, tmp_path: Path) -> None:
    for number in range(3):
        make_file(f"{number}.csv", CSV)
    make_file("3.csv", CSV.replace(b",", b";"))

    assert open_source(str(tmp_path / "*.csv")).notices == (
        "0.csv and 2 more: read as utf-8 (all of it is valid), separated by commas",
        "3.csv: read as utf-8 (all of it is valid), separated by semicolons",
    )
