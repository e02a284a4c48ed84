"""Files to read, and ways to look at what was read."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Outcome, Record

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"

PEOPLE = FieldMapping.parse("""
invalid = "reject"
[fields]
external_id = "id"
email = "email"
first_name = "name"
""")

MakeFile = Callable[..., Path]


def wires(outcomes: Iterable[Outcome]) -> list[Mapping[str, Any]]:
    """What would be sent; every row must be fit for it."""
    found: list[Mapping[str, Any]] = []
    for outcome in outcomes:
        assert isinstance(outcome, Record), outcome
        found.append(outcome.wire)
    return found


def faults(outcomes: Iterable[Outcome]) -> list[tuple[int, str]]:
    """The number and the field of each row that was rejected, or is sent without a value."""
    faulty = (one.omitted if isinstance(one, Record) else one for one in outcomes)
    return [(one.row, one.field) for one in faulty if one is not None]


def plain(outcome: Outcome) -> tuple[Any, ...]:
    """Everything about an outcome, to compare."""
    if isinstance(outcome, Record):
        return outcome.row, dict(outcome.wire), outcome.identifiers
    return outcome.row, outcome.field, outcome.rule, outcome.given, dict(outcome.source_row)


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Write a file; gzipped if its name says so."""

    def make(name: str, content: str | bytes, *, encoding: str = "utf-8") -> Path:
        raw = content.encode(encoding) if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return make


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of published sample data, which is not part of the project."""
    folder = Path(os.environ.get("PERSONACLICK_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "adventureworks-packt").is_dir():
        pytest.skip(f"no sample data at {folder}; set PERSONACLICK_DATA to its folder")
    return folder
