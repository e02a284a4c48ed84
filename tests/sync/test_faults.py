"""Whatever goes wrong on the way, what arrives is the same; and patience has an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self

import pytest

from personaclick_async import PersonaClick, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.sync import (
    Cause,
    Delivered,
    Failed,
    Outcome,
    Records,
    Sync,
    SyncStopped,
)
from tests.conftest import MakeClient
from tests.sync.support import (
    PATHS,
    SET,
    Picky,
    expected,
    people,
    results_of,
    source_of,
    start,
    stored,
    until,
)


@pytest.mark.parametrize("route", PATHS)
async def test_a_service_full_of_faults_gets_everything(
    make_client: MakeClient,
    emulator: Emulator,
    journal: Path,
    quick: dict[str, Any],
    route: str,
) -> None:
    rows = people(50, versions=4)
    emulator.fault(status=500, probability=0.1)
    emulator.fault(status=503, retry_after=0, probability=0.05)
    emulator.fault(status=429, retry_after=0, probability=0.05)
    emulator.fault(drop=True, probability=0.1)
    emulator.fault(truncate=True, probability=0.05)
    emulator.fault(body=b"<html>a proxy's page</html>", content_type="text/html", probability=0.03)
    emulator.fault(delay=0.01, probability=0.2)
    # A budget that allows no retry at all is the transport's; the sync must not lose data by it.
    client = make_client(retry=RetryPolicy(first_wait=0.005, longest_wait=0.02, budget=0))
    report = await start(client, source_of(rows), route=route, journal=journal, **quick).run()

    assert (report.read, report.sent, report.failed) == (200, 200, 0)
    assert report.retries > 0
    assert report.requests == len(emulator.requests_to(PATHS[route]))
    emulator.clear_faults()
    assert stored(emulator) == expected(rows)


@pytest.mark.parametrize("route", PATHS)
async def test_an_outage_is_waited_out_and_said_so(
    client: PersonaClick,
    emulator: Emulator,
    quick: dict[str, Any],
    route: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "personaclick_async")
    rows = people(60)
    outage = emulator.fault(path=PATHS[route], status=503)
    sync = start(client, rows, route=route, **quick)
    running = asyncio.create_task(sync.run())
    await until(lambda: sync.report.waiting is not None)
    waiting = sync.report.waiting
    assert waiting is not None
    assert waiting.reason == f"{PATHS[route][1:]} answered 503"
    assert waiting.since <= waiting.until
    assert sync.report.sent == 0
    outage.remove()
    report = await running

    assert (report.sent, report.failed, report.waiting) == (60, 0, None)
    assert report.retries > 0
    assert stored(emulator) == expected(rows)
    assert [record.getMessage() for record in caplog.records] == [
        f"a sync waits for the service: {PATHS[route][1:]} answered 503",
        "the service takes records again",
    ]


@pytest.mark.parametrize("route", PATHS)
async def test_patience_ends_and_the_next_run_goes_on(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    rows = people(200)
    path = PATHS[route]

    async def fails_after_a_while(sync: Sync) -> None:
        async for _ in sync:
            if sync.report.sent > 50:
                emulator.fault(path=path, drop=True)

    options = {**quick, "route": route, "journal": journal}
    stopped = start(client, source_of(rows), patience=0.1, **options)
    with pytest.raises(SyncStopped, match="the service stays out of reach") as caught:
        await fails_after_a_while(stopped)
    assert caught.value.report is stopped.report
    assert 50 < stopped.report.sent < 200
    assert stopped.report.ended_at is not None

    emulator.clear_faults()
    report = await start(client, source_of(rows), **options).run()
    assert (report.read, report.sent) == (200, 200)
    assert report.earlier == stopped.report.sent
    assert stored(emulator) == expected(rows)


async def test_a_service_that_is_not_there(
    make_client: MakeClient, unused_tcp_port: int, quick: dict[str, Any]
) -> None:
    client = make_client(api_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(SyncStopped, match="profile/set: could not connect to"):
        await start(client, people(5), patience=0, **quick).run()


async def test_a_record_on_which_the_service_fails_is_left_for_the_next_run(
    make_client: MakeClient, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    """And so are that person's later records, or the next run would turn their order round."""
    rows = people(100, versions=3)
    fails = True
    picky = Picky(
        emulator,
        lambda body: fails and b"user7@" in body and b'"version":1' in body,
        status=500,
    )
    options = {**quick, "journal": journal}
    async with picky.server() as server:
        client = make_client(
            api_url=str(server.make_url("/")),
            retry=RetryPolicy(first_wait=0, longest_wait=0),
        )
        sync = start(client, source_of(rows), **options)
        results = await results_of(sync)
        failed = [one for one in results if isinstance(one, Failed)]
        assert [one.row for one in failed] == [8, 108, 208]
        assert failed[0].reason == "profile/set answered 500"
        assert (sync.report.sent, sync.report.failed, sync.report.read) == (297, 3, 300)

        fails = False
        before = len(picky.bodies)
        again = start(client, source_of(rows), **options)
        results = await results_of(again)
        assert [(type(one), one.row) for one in results] == [
            (Delivered, 8),
            (Delivered, 108),
            (Delivered, 208),
        ]
        assert len(picky.bodies) == before + 3
    assert again.report.sent == again.report.read == 300
    assert stored(emulator) == expected(rows)


async def test_whoever_shares_an_identifier_with_a_failed_record_waits_for_the_next_run(
    make_client: MakeClient, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    """Also with one that was not sent because of it: the order holds along the chain."""
    chain: list[dict[str, Any]] = [
        {"email": "user@shop.example", "step": 1},
        {"email": "user@shop.example", "external_id": "1", "step": 2},
        {"external_id": "1", "loyalty_id": "2", "step": 3},
        {"loyalty_id": "2", "step": 4},
    ]
    others = iter(people(500))
    rows = [row for one in chain for row in (*islice(others, 100), one)] + [*others]
    fails = True
    picky = Picky(emulator, lambda body: fails and b"user@" in body, status=500)
    options = {**quick, "journal": journal}
    async with picky.server() as server:
        client = make_client(
            api_url=str(server.make_url("/")),
            retry=RetryPolicy(first_wait=0, longest_wait=0),
        )
        results = await results_of(start(client, source_of(rows), **options))
        assert sorted(one.row for one in results if isinstance(one, Failed)) == [101, 202, 303, 404]

        fails = False
        report = await start(client, source_of(rows), **options).run()
    assert (report.sent, report.read) == (504, 504)
    assert stored(emulator)["user@shop.example"]["step"] == 4


def among(others: int, every: int, *, versions: int) -> list[dict[str, Any]]:
    """Make rows of people, and after every few of them one of Ada's."""
    rows = people(others)
    for version in range(versions):
        rows.insert(version * (every + 1), {"email": "ada@shop.example", "version": version})
    return rows


@pytest.mark.parametrize(("every", "versions"), [(0, 60), (4, 60), (9, 30)])
async def test_rows_that_wait_for_one_on_which_the_service_fails_hold_up_nobody_else(
    make_client: MakeClient, emulator: Emulator, quick: dict[str, Any], every: int, versions: int
) -> None:
    rows = among(300, every, versions=versions)
    picky = Picky(emulator, lambda body: b"ada@" in body, status=500)
    options = {**quick, "patience": 2, "max_refused_in_a_row": 10, "route": "per-profile"}
    async with picky.server() as server:
        retry = RetryPolicy(first_wait=0, longest_wait=0.01)
        client = make_client(api_url=str(server.make_url("/")), retry=retry, limits={})
        sync = start(client, rows, **options)
        failed = [one for one in await results_of(sync) if isinstance(one, Failed)]
    assert (len(failed), sync.report.sent) == (versions, 300)
    assert [one.row for one in failed] == sorted(one.row for one in failed)
    assert stored(emulator) == expected(people(300))


async def test_after_a_thousand_failed_records_a_sync_stops(
    make_client: MakeClient, emulator: Emulator
) -> None:
    def rows() -> Iterator[Any]:
        yield from among(199, 0, versions=1001)
        while sync.report.failed < 1001:
            time.sleep(0.01)
        yield from people(2000)

    picky = Picky(emulator, lambda body: b"ada@" in body, status=500)
    async with picky.server() as server:
        retry = RetryPolicy(first_wait=0, longest_wait=0)
        client = make_client(api_url=str(server.make_url("/")), retry=retry, limits={})
        sync = start(client, rows(), route="per-profile", chunk_rows=100, concurrency=4)
        with pytest.raises(SyncStopped, match="more than 1000 records have failed") as caught:
            await sync.run()
    assert caught.value.cause is Cause.FAILED
    assert sync.report.failed == 1001
    assert 199 <= sync.report.sent < 2199


async def test_when_patience_ends_nothing_waits_for_earlier_rows(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    emulator.fault(path=SET, status=503)
    options = {**quick, "patience": 0.2, "route": "per-profile"}
    with pytest.raises(SyncStopped, match="stays out of reach"):
        await asyncio.wait_for(start(client, among(0, 0, versions=60), **options).run(), 30)


def breaks() -> Iterator[Any]:
    yield from people(45)
    raise OSError("the tape is torn")


async def breaks_later() -> AsyncIterator[Any]:
    for row in breaks():
        yield row


@pytest.mark.parametrize("source", [breaks, breaks_later])
@pytest.mark.parametrize("route", PATHS)
async def test_a_source_that_breaks_breaks_the_sync_after_what_it_gave(
    client: PersonaClick,
    emulator: Emulator,
    quick: dict[str, Any],
    route: str,
    source: Callable[[], Records],
) -> None:
    sync = start(client, source(), **{**quick, "route": route})
    with pytest.raises(OSError, match="the tape is torn"):
        await sync.run()
    assert sync.report.read == sync.report.sent == len(stored(emulator)) == 45


class Torn:
    """A table that can be read up to a row."""

    name, fingerprint, size_hint = "people", "f1", 100

    def __init__(self, torn_at: int) -> None:
        self.torn_at = torn_at

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        for outcome in source_of(people(100)).outcomes(after_row=after_row):
            if outcome.row == self.torn_at:
                raise OSError("the tape is torn")
            yield outcome


@pytest.mark.parametrize("route", PATHS)
async def test_a_source_that_breaks_in_what_an_earlier_run_has_begun_counts_no_row_without_a_result(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    options = {**quick, "route": route, "journal": journal}
    with emulator.fault(path=PATHS[route], status=503):
        sync = start(client, Torn(0), **options)
        running = asyncio.create_task(sync.run())
        await until(lambda: sync.report.waiting is not None)
        await sync.stop()
        await running
    for torn_at in (5, 30, 77):
        sync = start(client, Torn(torn_at), **{**options, "chunk_rows": 7})
        with pytest.raises(OSError, match="the tape is torn"):
            await sync.run()
        assert sync.report.read == sync.report.sent == len(stored(emulator)) < torn_at
    assert (await start(client, Torn(0), **options).run()).sent == 100
    assert stored(emulator) == expected(people(100))


class BreaksWhenClosed:
    """Is at its end after a row, but does not end well."""

    def __init__(self) -> None:
        self.rows = iter(people(1))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        for row in self.rows:
            return row
        raise StopAsyncIteration

    async def aclose(self) -> None:
        raise OSError("the tape is stuck")


async def test_a_source_that_breaks_when_it_is_closed_leaves_nobody_waiting(
    client: PersonaClick, journal: Path, quick: dict[str, Any]
) -> None:
    options = {**quick, "journal": journal, "route": "per-profile"}
    sync = start(client, BreaksWhenClosed(), **options)
    with pytest.raises(OSError, match="the tape is stuck"):
        await asyncio.wait_for(results_of(sync), timeout=30)
    assert sync.report.sent == 1
    # It was closed first, and is not locked.
    assert (await start(client, people(2), **options).run()).sent == 2


@pytest.mark.parametrize("route", PATHS)
async def test_an_address_that_answers_with_pages_is_named_when_patience_ends(
    make_client: MakeClient, emulator: Emulator, route: str
) -> None:
    client = make_client(retry=RetryPolicy(first_wait=0.05, longest_wait=60))
    emulator.fault(body=b"<html>some other server</html>", content_type="text/html")
    sync = start(client, source_of(people(3)), route=route, patience=0.2)
    with pytest.raises(SyncStopped, match=r"stays out of reach: .*status 200.*text/html") as caught:
        await sync.run()
    assert caught.value.cause is Cause.UNREACHABLE
