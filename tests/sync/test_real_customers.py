"""The real customers: every row accounted for, and the service has them field by field."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from examples.adventureworks import customers
from personaclick_async import PersonaClick, ProfileUpdate
from personaclick_async.emulator import Emulator
from personaclick_async.sync.sources import IterableSource
from tests.sync.support import Rejects, expected, start, stored

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("PERSONACLICK_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not (REAL / "adventureworks-packt").is_dir(),
    reason=f"the AdventureWorks data is not at {REAL}; set PERSONACLICK_DATA to its folder",
)


class Customers:
    """The customers as updates, from the start each time."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __iter__(self) -> Iterator[ProfileUpdate]:
        return (ProfileUpdate(**customer) for customer in islice(customers(REAL), self.most))

    def flat(self) -> list[dict[str, Any]]:
        return [
            {
                **{name: value for name, value in customer.items() if name != "custom"},
                **customer["custom"],
            }
            for customer in islice(customers(REAL), self.most)
        ]


@pytest.mark.parametrize(("route", "most"), [("bulk", 20_000), ("per-profile", 2_500)])
async def test_every_row_is_accounted_for(
    client: PersonaClick, emulator: Emulator, journal: Path, route: str, most: int
) -> None:
    source = IterableSource(Customers(most), name="customers", version="real")
    rejects = Rejects()
    options = {"route": route, "journal": journal, "rejects": rejects}
    report = await start(client, source, max_chunk_bytes=2_000_000, **options).run()

    rows = Customers(most).flat()
    assert len(rows) == min(most, 18_148)
    assert report.sent + report.rejected == report.read == len(rows)
    assert report.rejected == len(rejects.rows)
    rejected = {row.row for row in rejects.rows}
    assert stored(emulator) == expected(
        row for number, row in enumerate(rows, 1) if number not in rejected
    )
