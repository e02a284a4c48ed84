"""Plain shards: every row on one of them, a person's rows on the same one, each resumable."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync import Record, Refused, Rejected, SyncOptions, SyncRefused
from personaclick_async.sync.parts import Shard, ShardOf
from personaclick_async.sync.sources import IterableSource, open_source
from tests.distributed.conftest import Site
from tests.distributed.support import (
    needs_real_customers,
    real_customers,
    sample_rows,
    write_csv_parts,
    write_parts,
)
from tests.sync.support import expected, people, source_of, stored


def shards(rows: list[dict[str, Any]], of: int, **options: Any) -> list[ShardOf]:
    return [ShardOf(source_of(rows), Shard(n, of), **options) for n in range(1, of + 1)]


@pytest.mark.parametrize("of", [1, 2, 7])
def test_every_row_is_on_one_shard_in_order(of: int) -> None:
    rows = sample_rows()
    found = [[outcome.row for outcome in shard.outcomes()] for shard in shards(rows, of)]

    assert sorted(row for one in found for row in one) == list(range(1, len(rows) + 1))
    assert all(one == sorted(one) for one in found)
    assert of == 1 or all(len(one) < len(rows) for one in found)


def test_all_rows_of_a_person_are_on_one_shard_however_they_are_spelt() -> None:
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(people(40, versions=5)):
        email = row["email"].upper() if number % 3 else row["email"]
        rows.append({"email": email, "version": row["version"]})
    where = defaultdict(set)
    for number, shard in enumerate(shards(rows, 4)):
        for outcome in shard.outcomes():
            assert isinstance(outcome, Record)
            where[outcome.identifiers].add(number)
    assert len(where) == 40
    assert all(len(on) == 1 for on in where.values())


def test_rows_without_the_identifier_are_rejected_on_one_shard() -> None:
    rows = [*people(30), {"phone": "+1 202 555 0100", "first_name": "Ada"}]
    rejected = [
        outcome
        for shard in shards(rows, 3)
        for outcome in shard.outcomes()
        if isinstance(outcome, Rejected)
    ]
    [one] = rejected
    assert isinstance(one, Refused)
    assert (one.row, one.field) == (31, "email")
    by_phone = shards([{"phone": "+12025550100"}], 3)
    assert {shard.by for shard in by_phone} == {"phone"}
    assert sum(len(list(shard.outcomes())) for shard in by_phone) == 1


def test_a_shard_reads_on_after_a_row(tmp_path: Path) -> None:
    source = open_source(write_csv_parts(tmp_path / "data", people(60), 3))
    shard = ShardOf(source, Shard(2, 3))
    whole = [outcome.row for outcome in shard.outcomes()]
    middle = whole[len(whole) // 2]
    assert [one.row for one in shard.outcomes(after_row=middle)] == [r for r in whole if r > middle]


def test_shards_are_told_apart_by_name_and_fingerprint() -> None:
    two = shards(people(3), 2)
    assert [shard.name for shard in two] == ["people, shard 1 of 2", "people, shard 2 of 2"]
    prints = {shard.fingerprint for shard in (*two, *shards(people(3), 4))}
    assert len(prints) == 6
    assert ShardOf(IterableSource([]), Shard(1, 2)).fingerprint is None
    assert ShardOf(IterableSource([]), Shard(1, 2)).by is None


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "-1/2", "one/two", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="shard: expected"):
        Shard.parse(text)
    with pytest.raises(ConfigurationError, match="expected one of"):
        ShardOf(IterableSource([]), Shard.parse("2/8"), by="name")


@pytest.mark.parametrize("of", [1, 3, 40, 64])
def test_all_parts_together_stay_within_the_limit(of: int) -> None:
    part = Shard(1, of).part_of(RateLimit(40, 60.0))
    assert of * part.requests / part.seconds <= 40 / 60.0


@needs_real_customers
async def test_every_real_customer_arrives_by_shards(site: Site) -> None:
    rows = real_customers()
    pattern = write_parts(site.folder / "data", rows, 4)
    read = sent = 0
    for number in (1, 2):
        source = ShardOf(open_source(pattern), Shard(number, 2))
        options = SyncOptions(route="bulk", journal=site.folder / f"{number}.journal")
        report = await site.client.sync_all(source, options=options)
        read, sent = read + report.read, sent + report.sent
    assert (read, sent) == (18_148, 18_148)
    # Who of a family owns a phone that they share depends on who comes first; all else is equal.
    for found, wanted in zip(
        sorted(stored(site.emulator).items()), sorted(expected(rows).items()), strict=True
    ):
        assert {**found[1], "phone": None} == {**wanted[1], "phone": None}


async def test_a_journal_does_not_mistake_one_shard_for_another(site: Site) -> None:
    rows = people(90)
    options: dict[str, Any] = {
        "journal": site.folder / "sync.journal",
        "chunk_rows": 5,
        "concurrency": 1,
    }
    sync = site.client.sync(
        ShardOf(source_of(rows), Shard(1, 2)), options=SyncOptions(route="per-profile", **options)
    )
    async for _ in sync:
        break
    await sync.stop()
    for number in (1, 2):
        shard = ShardOf(source_of(rows), Shard(number, 2))
        report = await site.client.sync_all(shard, options=SyncOptions(**options))
        assert (report.earlier > 0) == (number == 1)
    assert stored(site.emulator) == expected(rows)

    sync = site.client.sync(
        ShardOf(source_of(rows), Shard(1, 2)), options=SyncOptions(route="per-profile", **options)
    )
    async for _ in sync:
        break
    await sync.stop()
    other = ShardOf(source_of(rows, "f2"), Shard(1, 2))
    with pytest.raises(SyncRefused, match="the source, or how it is read"):
        await site.client.sync_all(other, options=SyncOptions(**options))
