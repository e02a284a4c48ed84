"""What these tests share: files of people, real customers in parts, and processes to kill."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.adventureworks import customers
from personaclick_async.sync.mapping import FieldMapping
from tests.sync.support import sample

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("PERSONACLICK_DATA", ROOT.parent / "shared" / "data"))

needs_real_customers = pytest.mark.skipif(
    not (REAL / "adventureworks-packt").is_dir(),
    reason=f"the AdventureWorks data is not at {REAL}; set PERSONACLICK_DATA to its folder",
)


def flat(customer: Mapping[str, Any]) -> dict[str, Any]:
    """Give a customer with the custom properties beside the fields, as the wire has them."""
    row = {name: value for name, value in customer.items() if name != "custom"}
    return {**row, **customer["custom"]}


def real_customers() -> list[dict[str, Any]]:
    return [flat(customer) for customer in customers(REAL)]


def sample_rows() -> list[dict[str, Any]]:
    """Return the sample's customers, each several times with news, some with a bad gender.

    Their phone numbers, which are American, are written internationally.
    """
    rows = sample()
    for row in rows:
        if "phone" in row and len(row["phone"]) == len("819-555-0175"):
            row["phone"] = f"+1 {row['phone']}"
        else:
            row.pop("phone", None)
    return rows


def write_parts(folder: Path, rows: Sequence[Mapping[str, Any]], count: int) -> str:
    """Write rows to so many files of JSON Lines, in order; gives the pattern that fits them."""
    folder.mkdir()
    size = -(-len(rows) // count)
    for number in range(count):
        part = rows[number * size : (number + 1) * size]
        lines = "".join(json.dumps(row, default=str) + "\n" for row in part)
        (folder / f"part-{number:03}.jsonl").write_text(lines)
    return str(folder / "*.jsonl")


def write_csv_parts(folder: Path, rows: Sequence[Mapping[str, Any]], count: int) -> str:
    """Do the same as CSV, all of one header."""
    folder.mkdir()
    header = list(dict.fromkeys(name for row in rows for name in row))
    size = -(-len(rows) // count)
    for number in range(count):
        with (folder / f"part-{number:03}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            writer.writerows(rows[number * size : (number + 1) * size])
    return str(folder / "*.csv")


def by_name(rows: Iterable[Mapping[str, Any]]) -> FieldMapping:
    return FieldMapping.by_name(dict.fromkeys(name for row in rows for name in row))
