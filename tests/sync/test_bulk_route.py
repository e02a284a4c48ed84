"""The bulk route against a real service: chunks by bytes, one at a time, within the quota."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from personaclick_async import CLEAR, Family, PersonaClick, RateLimit, codec
from personaclick_async.emulator import Emulator
from personaclick_async.sync import FaultyRow, Queued, Record, Refused, Route, SyncStopped
from personaclick_async.sync.records import BULK_FROM
from tests.conftest import MakeClient
from tests.sync.conftest import MakeEmulator
from tests.sync.support import (
    IMPORT,
    Alive,
    Picky,
    Rejects,
    expected,
    grows,
    most_in_a_window,
    people,
    results_of,
    source_of,
    start,
    stored,
)

BULK = {"route": "bulk", "max_chunk_bytes": 2048}


async def test_chunks_are_queued_in_order_and_said_to_be_queued(
    client: PersonaClick, emulator: Emulator
) -> None:
    rows = people(100, versions=3)
    sync = start(client, rows, **BULK)
    results = await results_of(sync)

    assert {type(result) for result in results} == {Queued}
    assert [result.row for result in results] == list(range(1, 301))
    assert stored(emulator) == expected(rows)
    requests = emulator.requests_to(IMPORT)
    assert all(request.size <= 2048 for request in requests)
    assert max(request.size for request in requests) > 1900
    report = sync.report
    assert (report.read, report.sent, report.queued) == (300, 300, 300)
    assert report.requests == len(requests)
    assert report.bytes_sent == sum(request.size for request in requests)


async def test_a_body_of_the_documented_size_gets_through(
    client: PersonaClick, emulator: Emulator
) -> None:
    filler = "x" * 50_000
    rows = [{**row, "filler": filler} for row in people(700)]
    report = await start(client, rows, route="bulk").run()
    sizes = [request.size for request in emulator.requests_to(IMPORT)]
    assert len(sizes) == 2
    assert 32 * 1024 * 1024 - 51_000 < sizes[0] <= 32 * 1024 * 1024
    assert report.bytes_sent == sum(sizes)
    emulator.drain()
    assert emulator.count_profiles() == 700


async def test_the_route_is_chosen_by_number_and_content(
    client: PersonaClick, emulator: Emulator
) -> None:
    many = people(BULK_FROM)
    assert (await start(client, iter(many)).run()).route is Route.BULK
    assert emulator.requests_to("/profile/set") == []
    assert (await start(client, many[:-1], dry_run=True).run()).route is Route.PER_PROFILE
    many[-1] = {**many[-1], "first_name": CLEAR}
    assert (await start(client, iter(many), dry_run=True).run()).route is Route.PER_PROFILE


async def test_a_segment_means_bulk(make_client: MakeClient, emulator: Emulator) -> None:
    picky = Picky(emulator, lambda _: False)
    async with picky.server() as server:
        sync = start(make_client(api_url=str(server.make_url("/"))), people(2), segment_id=5)
        report = await sync.run()
    assert report.route is Route.BULK
    [body] = picky.bodies
    assert codec.decode(body)["segment_id"] == 5


async def test_what_can_not_go_in_bulk_is_rejected(
    client: PersonaClick, emulator: Emulator
) -> None:
    rejects = Rejects()
    rows = [*people(3), {"telegram_id": "7"}, {"email": "ada@shop.example", "age": CLEAR}]
    report = await start(client, rows, rejects=rejects, **BULK).run()
    assert (report.read, report.sent, report.rejected) == (5, 3, 2)
    assert [(row.row, row.field) for row in rejects.rows] == [(4, "user"), (5, "age")]
    emulator.drain()
    assert emulator.ignored_entries == 0


async def test_a_service_that_takes_less_gets_halves(
    make_emulator: MakeEmulator, make_client: MakeClient
) -> None:
    small = make_emulator(import_limit=None, max_import_bytes=5000)
    rows = people(400)
    rows[100]["first_name"] = "x" * 6000
    rejects = Rejects()
    sync = start(
        make_client(api_url=small.url),
        rows,
        route="bulk",
        max_chunk_bytes=20_000,
        rejects=rejects,
    )
    results = await results_of(sync)

    assert [row.row for row in rejects.rows] == [101]
    assert "answered 413" in rejects.rows[0].rule
    assert stored(small) == expected([row for row in rows if len(row["first_name"]) < 6000])
    assert grows([one.row for one in results if isinstance(one, Queued)])
    refused = [request for request in small.requests_to(IMPORT) if request.status == 413]
    # Learnt once: later chunks are cut to what the service takes before they are sent.
    assert len(refused) <= 6


@pytest.mark.parametrize("status", [400, 422])
async def test_the_bad_records_of_a_refused_chunk_are_found(
    make_client: MakeClient, emulator: Emulator, journal: Path, status: int
) -> None:
    rows = people(120)
    for index in (13, 14, 90):
        rows[index]["first_name"] = "BADNAME"
    picky = Picky(emulator, lambda body: b"BADNAME" in body, "BADNAME is no name", status=status)
    rejects = Rejects()
    async with picky.server() as server:
        sync = start(
            make_client(api_url=str(server.make_url("/"))),
            source_of(rows),
            route="bulk",
            rejects=rejects,
            journal=journal,
        )
        results = await results_of(sync)

    assert Counter(type(one) for one in results) == {Queued: 117, Refused: 3}
    assert [row.row for row in rejects.rows] == [14, 15, 91]
    assert f"answered {status}: message withheld" in rejects.rows[0].rule
    assert rejects.rows[0].source_row["first_name"] == "BADNAME"
    assert stored(emulator) == expected([row for row in rows if row["first_name"] != "BADNAME"])
    assert len(picky.bodies) <= 40


async def test_when_all_are_refused_it_is_not_the_records(
    client: PersonaClick, emulator: Emulator
) -> None:
    emulator.fault(path=IMPORT, status=422)
    with pytest.raises(SyncStopped, match="the last 5 records were all refused"):
        await start(client, people(100), max_refused_in_a_row=5, **BULK).run()


async def test_wrong_credentials_are_no_bad_record(
    make_client: MakeClient, emulator: Emulator
) -> None:
    rejects = Rejects()
    with pytest.raises(SyncStopped, match="import/audience answered 400"):
        await start(make_client(shop_secret="wrong"), people(9), rejects=rejects, **BULK).run()
    assert len(emulator.requests) == 1
    assert rejects.rows == []


async def test_no_window_holds_more_requests_than_the_limit(
    make_emulator: MakeEmulator, make_client: MakeClient
) -> None:
    strict = make_emulator(import_limit=4, import_window=0.5)
    client = make_client(api_url=strict.url, limits={Family.IMPORT: RateLimit(4, 0.5)})
    rows = people(250)
    report = await start(client, rows, **BULK).run()

    requests = strict.requests_to(IMPORT)
    assert report.requests == len(requests) >= 13
    assert report.retries == 0
    assert {request.status for request in requests} == {200}
    assert most_in_a_window(requests, 0.5) <= 4
    assert stored(strict) == expected(rows)


async def test_a_quota_that_others_use_too_is_waited_for(
    make_emulator: MakeEmulator, make_client: MakeClient
) -> None:
    strict = make_emulator(import_limit=3, import_window=1)
    rows = people(60)
    report = await start(make_client(api_url=strict.url, limits={}), rows, **BULK).run()
    assert report.retries > 0
    assert (report.sent, report.failed) == (60, 0)
    assert stored(strict) == expected(rows)


async def test_records_alive_at_once_are_bounded(client: PersonaClick, emulator: Emulator) -> None:
    alive = Alive()
    sync = start(client, alive.records(10_000), route="bulk", max_chunk_bytes=20_000, chunk_rows=50)
    assert (await sync.run()).sent == 10_000
    # One slice being read, one being packed: a packed record is bytes.
    assert alive.most <= 3 * 50


async def test_many_results_let_others_run(client: PersonaClick, emulator: Emulator) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    running = asyncio.create_task(others())
    at = Counter([turns async for _ in start(client, people(5000), route="bulk")])
    running.cancel()
    assert at.total() == 5000
    assert at.most_common(1)[0][1] <= 1000


class Counts(Rejects):
    """A sink that only counts."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        self.counts.append(len(rows))

    def flush(self) -> None:
        pass


async def test_rejected_rows_do_not_pile_up(client: PersonaClick) -> None:
    rejects = Counts()
    rows = ({"email": "nobody"} for _ in range(40_000))
    report = await start(client, rows, route="bulk", rejects=rejects).run()
    assert report.rejected == sum(rejects.counts) == 40_000
    assert max(rejects.counts) <= 11_000


async def test_records_read_to_choose_a_route_are_let_go(
    client: PersonaClick, emulator: Emulator
) -> None:
    alive = Alive()
    left = []

    def rows() -> Iterator[Record]:
        yield from alive.records(BULK_FROM + 5000)
        left.append(alive.now)

    report = await start(client, rows(), chunk_rows=500).run()
    assert (report.route, report.sent) == (Route.BULK, BULK_FROM + 5000)
    assert left[0] <= 3 * 500
