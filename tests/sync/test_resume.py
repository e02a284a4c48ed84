"""What is resumed, what is refused, what restarting means; and what is left unsent on purpose."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import ConfigurationError, PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.sync import SyncRefused, SyncStopped, Unchanged
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.sources import IterableSource, open_source
from tests.conftest import MakeClient
from tests.sync.support import (
    IMPORT,
    PATHS,
    SET,
    Rejects,
    expected,
    people,
    results_of,
    source_of,
    start,
    stored,
)


async def interrupted(client: PersonaClick, source: Any, journal: Path, **options: Any) -> int:
    """Begin a sync and leave it in the middle; gives how many rows were settled."""
    sync = start(client, source, journal=journal, **options)
    async with sync:
        async for _ in sync:
            if sync.report.sent >= 40:
                break
    return sync.report.settled


@pytest.mark.parametrize("route", PATHS)
async def test_it_goes_on_where_it_was_left(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    rows = people(60, versions=3)
    options = {**quick, "route": route}
    settled = await interrupted(client, source_of(rows), journal, **options)
    assert settled < len(rows)
    sent = len(emulator.requests_to(PATHS[route]))
    report = await start(client, source_of(rows), journal=journal, **options).run()

    assert report.earlier == settled
    assert (report.read, report.sent) == (180, 180)
    assert stored(emulator) == expected(rows)
    if route == "per-profile":
        assert sent == settled
        assert len(emulator.requests_to(SET)) == len(rows)


async def test_a_resumed_sync_keeps_the_route_it_began_with(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    rows = people(100)
    await interrupted(client, source_of(rows), journal, route="bulk", **quick)
    report = await start(client, source_of(rows), journal=journal, **quick).run()
    assert report.route == "bulk"
    assert emulator.requests_to(SET) == []


async def test_chunks_keep_their_rows_when_options_change_that_do_not_matter(
    client: PersonaClick, emulator: Emulator, journal: Path
) -> None:
    rows = people(100)
    await interrupted(
        client, source_of(rows), journal, route="per-profile", chunk_rows=30, concurrency=3
    )
    options = {"chunk_rows": 7, "concurrency": 9, "skip_unchanged": True, "journal": journal}
    report = await start(client, source_of(rows), **options).run()
    assert (report.read, report.sent) == (100, 100)
    assert len(emulator.requests_to(SET)) == 100


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"fingerprint": "f2"}, "the source, or how it is read"),
        ({"route": "per-profile"}, "route"),
        ({"segment_id": 7}, "segment_id"),
        ({"shop": True}, "shop_id"),
        ({"fingerprint": None}, "its source has no fingerprint"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_what_has_changed_is_refused_by_name(
    make_client: MakeClient,
    emulator: Emulator,
    journal: Path,
    changed: dict[str, Any],
    names: str,
) -> None:
    rows = people(100)
    options = {"max_chunk_bytes": 2048, "route": "bulk", **changed}
    fingerprint = options.pop("fingerprint", "f1")
    other = {"shop_id": "ab" * 15} if options.pop("shop", False) else {}
    await interrupted(make_client(), source_of(rows), journal, route="bulk", max_chunk_bytes=2048)
    before = len(emulator.requests)
    source = IterableSource(rows, name="people", version=fingerprint)
    resumed = start(make_client(**other), source, journal=journal, **options)
    with pytest.raises(SyncRefused, match=names) as caught:
        await resumed.run()
    assert isinstance(caught.value, ConfigurationError)
    assert "--restart" in str(caught.value)
    assert len(emulator.requests) == before


@pytest.mark.parametrize("route", PATHS)
async def test_content_that_changed_under_the_same_fingerprint_is_noticed(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    rows = people(100)
    path = PATHS[route]
    options = {**quick, "route": route, "patience": 0, "journal": journal}
    emulator.fault(path=path, status=503)
    with pytest.raises(SyncStopped, match="out of reach"):
        await start(client, source_of(rows), **options).run()
    emulator.clear_faults()
    rows[3] = {**rows[3], "first_name": "Another"}
    before = len(emulator.requests)
    with pytest.raises(SyncRefused, match=r"rows 1 to \d+ have changed"):
        await start(client, source_of(rows), **options).run()
    assert len(emulator.requests) == before


async def test_a_restart_sends_all_again(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    await interrupted(client, source_of(people(100)), journal, **quick)
    rows = people(80)
    emulator.clear_requests()
    report = await start(
        client, source_of(rows, "f2"), journal=journal, unfinished="restart", **quick
    ).run()
    assert (report.read, report.sent, report.earlier) == (80, 80, 0)
    assert len(emulator.requests_to(SET)) == 80


async def test_a_sync_that_has_ended_is_begun_anew(
    client: PersonaClick, emulator: Emulator, journal: Path
) -> None:
    for fingerprint in ("f1", "f1", "f2"):
        report = await start(client, source_of(people(9), fingerprint), journal=journal).run()
        assert (report.sent, report.earlier) == (9, 0)
    assert len(emulator.requests_to(SET)) == 27


async def test_sources_of_other_names_do_not_mind(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    await interrupted(client, source_of(people(100)), journal, **quick)
    other = IterableSource(people(5), name="others", version="x")
    assert (await start(client, other, journal=journal, **quick).run()).sent == 5
    report = await start(client, source_of(people(100)), journal=journal, **quick).run()
    assert report.sent == 100
    assert report.earlier >= 40


@pytest.mark.parametrize("route", PATHS)
async def test_a_row_that_is_sent_incomplete_is_counted_once(
    client: PersonaClick, emulator: Emulator, journal: Path, tmp_path: Path, route: str
) -> None:
    lines = [f"{number},u{number}@shop.example,13/13/13" for number in range(1, 21)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["external_id,email,birthday", *lines, ""]))
    options: dict[str, Any] = {"route": route, "journal": journal, "patience": 0}
    with closing(RejectFile(tmp_path / "rejects.jsonl")) as rejects:
        options["rejects"] = rejects
        fault = emulator.fault(path=PATHS[route], status=503)
        with fault, pytest.raises(SyncStopped, match="out of reach"):
            await start(client, open_source(path), **options).run()
        report = await start(client, open_source(path), **options).run()
    assert (report.read, report.sent, report.incomplete) == (20, 20, 20)
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 20


async def test_rejected_rows_are_rejected_once(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    rows = people(100)
    for index in (0, 10, 99):
        rows[index]["email"] = "nobody"
    rejects = Rejects()
    options = {**quick, "rejects": rejects}
    await interrupted(client, source_of(rows), journal, **options)
    report = await start(client, source_of(rows), journal=journal, **options).run()
    assert (report.sent, report.rejected, report.read) == (97, 3, 100)
    assert [row.row for row in rejects.rows] == [1, 11, 100]
    assert rejects.flushed == 3


@pytest.mark.parametrize("route", PATHS)
class TestUnchanged:
    """A nightly sync sends what has changed since the last."""

    @pytest.fixture
    def nightly(self, journal: Path, quick: dict[str, Any], route: str) -> dict[str, Any]:
        return {**quick, "route": route, "journal": journal, "skip_unchanged": True}

    async def test_only_what_changed_is_sent(
        self, client: PersonaClick, emulator: Emulator, nightly: dict[str, Any]
    ) -> None:
        rows = people(100)
        first = await start(client, source_of(rows), **nightly).run()
        assert (first.sent, first.unchanged) == (100, 0)
        before = len(emulator.requests)
        again = start(client, source_of(rows), **nightly)
        assert {type(one) for one in await results_of(again)} == {Unchanged}
        assert (again.report.sent, again.report.unchanged, again.report.read) == (0, 100, 100)
        assert len(emulator.requests) == before

        rows[17] = {**rows[17], "first_name": "Another"}
        rows.append({"email": "new@shop.example"})
        third = await start(client, source_of(rows, "f2"), **nightly).run()
        assert (third.sent, third.unchanged, third.read) == (2, 99, 101)
        assert stored(emulator) == expected(rows)

    async def test_what_a_later_record_replaced_is_sent_again(
        self, client: PersonaClick, emulator: Emulator, nightly: dict[str, Any]
    ) -> None:
        rows = [
            {"email": "ada@shop.example", "external_id": "7", "tier": tier}
            for tier in ("gold", "gold", "silver", "gold", "silver")
        ]
        for _ in range(3):
            await start(client, source_of(rows), **nightly).run()
            assert stored(emulator)["ada@shop.example"]["tier"] == "silver"
        back = [{**rows[0], "tier": "gold"}]
        report = await start(client, source_of(back, "f2"), **nightly).run()
        assert report.sent == 1
        assert stored(emulator)["ada@shop.example"]["tier"] == "gold"

    async def test_what_a_run_without_it_replaced_is_sent_again(
        self, client: PersonaClick, emulator: Emulator, nightly: dict[str, Any]
    ) -> None:
        rows, changed = people(3), [{**people(1)[0], "first_name": "Another"}]
        await start(client, source_of(rows), **nightly).run()
        between = {**nightly, "skip_unchanged": False}
        for fingerprint in ("f2", "f3"):
            assert (await start(client, source_of(changed, fingerprint), **between).run()).sent == 1
        report = await start(client, source_of(rows), **nightly).run()
        assert (report.sent, report.unchanged) == (1, 2)
        assert stored(emulator) == expected(rows)

    async def test_another_shop_has_other_people(
        self,
        make_client: MakeClient,
        emulator: Emulator,
        nightly: dict[str, Any],
        route: str,
    ) -> None:
        emulator.add_shop("ab" * 15, "other")
        await start(make_client(), source_of(people(9)), **nightly).run()
        other = make_client(shop_id="ab" * 15, shop_secret="other")
        assert (await start(other, source_of(people(9)), **nightly).run()).sent == 9

    async def test_what_an_interrupted_sync_may_not_have_sent_is_sent(
        self, client: PersonaClick, emulator: Emulator, nightly: dict[str, Any], route: str
    ) -> None:
        options = {key: value for key, value in nightly.items() if key != "journal"}
        journal = nightly["journal"]
        await start(client, source_of(people(100)), **nightly).run()
        changed = [{**row, "first_name": "Another"} for row in people(100)]
        await interrupted(client, source_of(changed, "f2"), journal, **options)
        report = await start(
            client, source_of(people(100), "f3"), unfinished="restart", **nightly
        ).run()
        assert report.unchanged + report.sent == 100
        assert stored(emulator) == expected([*changed[: report.sent], *people(100)])
        assert report.sent >= 40

    async def test_a_refused_record_is_tried_again_the_next_night(
        self, client: PersonaClick, emulator: Emulator, nightly: dict[str, Any], route: str
    ) -> None:
        rows = people(3)
        emulator.fault(path=PATHS[route], status=422)
        report = await start(client, source_of(rows), **nightly).run()
        assert report.rejected == 3
        emulator.clear_faults()
        report = await start(client, source_of(rows), **nightly).run()
        assert report.sent == 3
        emulator.drain()
        assert emulator.count_profiles() == 3
        assert emulator.requests_to(SET if route == "bulk" else IMPORT) == []


async def test_another_segment_is_another_import(
    client: PersonaClick, emulator: Emulator, journal: Path
) -> None:
    for segment in (1, 2, 1):
        options = {"segment_id": segment, "journal": journal, "skip_unchanged": True}
        assert (await start(client, source_of(people(5)), **options).run()).sent == 5
    assert (await start(client, source_of(people(5)), **options).run()).unchanged == 5
