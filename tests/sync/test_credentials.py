"""Credentials, addresses and records: what a refusal means, and how it ends a sync."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.sync import Cause, SyncOptions, SyncStopped
from tests.conftest import MakeClient
from tests.sync.support import (
    IMPORT,
    PATHS,
    SET,
    Picky,
    Rejects,
    expected,
    people,
    start,
    stored,
)


@pytest.mark.parametrize("route", PATHS)
@pytest.mark.parametrize("wrong", [{"shop_secret": "wrong"}, {"shop_id": "f" * 30}])
async def test_wrong_credentials_end_a_sync_at_its_first_request(
    make_client: MakeClient, emulator: Emulator, route: str, wrong: dict[str, Any]
) -> None:
    rejects = Rejects()
    sync = start(make_client(**wrong), people(200), route=route, rejects=rejects)
    with pytest.raises(SyncStopped) as caught:
        await sync.run()

    assert caught.value.cause is Cause.CREDENTIALS
    assert len(emulator.requests_to(PATHS[route])) == 1
    assert rejects.rows == []
    if "shop_id" in wrong:
        assert "Shop not found" in str(caught.value)


async def test_a_record_that_the_service_answers_401_to_is_one_record(
    make_client: MakeClient, emulator: Emulator, quick: dict[str, Any]
) -> None:
    rows = people(60)
    picky = Picky(emulator, lambda body: b'"user7@' in body, "identifier is not valid", status=401)
    rejects = Rejects()
    async with picky.server() as server:
        client = make_client(api_url=str(server.make_url("/")))
        report = await start(client, rows, route="per-profile", rejects=rejects, **quick).run()

    assert (report.sent, report.rejected) == (59, 1)
    assert [row.row for row in rejects.rows] == [8]
    assert stored(emulator) == expected(row for row in rows if "user7@" not in row["email"])


async def test_one_question_settles_it_for_the_records_in_flight(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    emulator.fault(path=SET, status=401, times=4)
    report = await start(client, people(40), route="per-profile", **quick).run()
    assert (report.sent, report.rejected) == (36, 4)
    assert 1 <= len(emulator.requests_to(IMPORT)) <= 4


async def test_a_service_that_answers_401_to_everybody_is_about_credentials(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    emulator.fault(path=SET, status=401)
    with pytest.raises(SyncStopped) as caught:
        await start(client, people(200), route="per-profile", **quick).run()
    assert caught.value.cause is Cause.CREDENTIALS


@pytest.mark.parametrize("route", PATHS)
async def test_a_redirect_has_a_cause_of_its_own(
    make_client: MakeClient, quick: dict[str, Any], route: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "https://elsewhere.example/"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        client = make_client(api_url=str(server.make_url("/")))
        with pytest.raises(
            SyncStopped, match="a redirect: correct the service's address"
        ) as caught:
            await start(client, people(9), route=route, **quick).run()
    assert caught.value.cause is Cause.REDIRECTED


@pytest.mark.parametrize("route", PATHS)
async def test_refusals_in_a_row_name_no_option(
    make_client: MakeClient, emulator: Emulator, quick: dict[str, Any], route: str
) -> None:
    emulator.fault(path=PATHS[route], status=422)
    with pytest.raises(SyncStopped, match="the last 50 records were all refused") as caught:
        await start(make_client(limits={}), people(200), route=route, **quick).run()
    assert caught.value.cause is Cause.REFUSED_IN_A_ROW
    assert "max_refused_in_a_row" not in str(caught.value)


async def test_unreachable_is_only_what_can_not_be_reached(
    make_client: MakeClient, unused_tcp_port: int, quick: dict[str, Any]
) -> None:
    client = make_client(api_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(SyncStopped, match="connection refused") as caught:
        await start(client, people(5), patience=0, **quick).run()
    assert caught.value.cause is Cause.UNREACHABLE


@pytest.mark.parametrize("route", PATHS)
async def test_a_service_too_slow_for_its_timeout_is_not_asked_by_all_at_once(
    make_client: MakeClient, emulator: Emulator, route: str
) -> None:
    emulator.fault(path=PATHS[route], delay=5)
    client = make_client()
    sync = client.with_options(timeout=0.05).sync
    options = SyncOptions(route=route, patience=1, concurrency=20)
    with pytest.raises(SyncStopped) as caught:
        await sync(people(60), options=options).run()
    assert caught.value.cause is Cause.UNREACHABLE
    assert len(emulator.requests_to(PATHS[route])) < 60
