"""The per-profile route against a real service: done means done, in order, within bounds."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import CLEAR, PersonaClick, ProfileUpdate
from personaclick_async.emulator import Emulator
from personaclick_async.sync import (
    Checked,
    Delivered,
    Record,
    Refused,
    Rejected,
    Route,
    SyncRefused,
    SyncStopped,
)
from tests.conftest import MakeClient
from tests.sync.support import (
    SET,
    Alive,
    Picky,
    Rejects,
    expected,
    people,
    results_of,
    source_of,
    start,
    stored,
)


async def test_each_record_is_delivered_and_said_so(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    rows = people(90)
    sync = start(client, rows, **quick)
    results = await results_of(sync)

    assert sorted(result.row for result in results) == list(range(1, 91))
    assert {type(result) for result in results} == {Delivered}
    assert stored(emulator) == expected(rows)
    report = sync.report
    assert report.route is Route.PER_PROFILE
    assert (report.total, report.read, report.sent, report.queued) == (90, 90, 90, 0)
    assert (report.requests, report.retries) == (90, 0)
    assert report.bytes_sent == sum(request.size for request in emulator.requests)
    assert report.waiting is None
    assert report.ended_at is not None


async def test_anything_that_can_be_iterated(client: PersonaClick, emulator: Emulator) -> None:
    async def later() -> AsyncIterator[Any]:
        yield ProfileUpdate(email="ada@shop.example", first_name="Ada")
        await asyncio.sleep(0)
        yield {"email": "bob@shop.example", "tier": "gold"}
        yield {"email": "nobody"}
        yield Record(9, {"email": "eve@shop.example"})

    rejects = Rejects()
    results = await results_of(start(client, later(), rejects=rejects))
    assert sorted((type(one).__name__, one.row) for one in results) == [
        ("Delivered", 1),
        ("Delivered", 2),
        ("Delivered", 9),
        ("Rejected", 3),
    ]
    assert [row.row for row in rejects.rows] == [3]
    assert rejects.flushed == 1
    assert stored(emulator)["bob@shop.example"]["tier"] == "gold"


async def test_an_endless_source_does_not_fill_the_memory(client: PersonaClick) -> None:
    counts = []

    async def rows() -> AsyncIterator[Any]:
        for number in range(300):
            yield {"email": f"nobody{number}"}
            if number % 100 == 99:
                await asyncio.sleep(0.05)
                counts.append(sum(isinstance(one, asyncio.Task) for one in gc.get_objects()))

    report = await start(client, rows(), chunk_rows=1, route="per-profile").run()
    assert report.rejected == 300
    assert counts[-1] < counts[0] + 50


@pytest.mark.parametrize("source", [7, "rows.csv", {"email": "ada@shop.example"}])
async def test_what_is_no_source_is_refused(client: PersonaClick, source: Any) -> None:
    with pytest.raises(SyncRefused, match="source"):
        await start(client, source).run()


async def test_the_body_has_all_identifiers_and_the_secret(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(stream="nightly")
    row = {"phone": "+79990001122", "external_id": 7, "email": "ada@shop.example"}
    await start(client, [row]).run()
    [request] = emulator.requests_to(SET)
    assert request.body == {
        "shop_id": emulator.shop_id,
        "shop_secret": emulator.shop_secret,
        "email": "ada@shop.example",
        "phone": "+79990001122",
        "id": 7,
        "stream": "nightly",
    }
    await start(make_client(set_user_id_name="external_id"), [row]).run()
    body = emulator.requests_to(SET)[-1].body
    assert body["external_id"] == 7
    assert "id" not in body


async def test_a_field_can_be_cleared(client: PersonaClick, emulator: Emulator) -> None:
    who = {"email": "ada@shop.example"}
    await start(client, [{**who, "first_name": "Ada"}, {**who, "first_name": CLEAR}]).run()
    assert stored(emulator) == {"ada@shop.example": who}


async def test_a_cached_profile_is_forgotten(client: PersonaClick) -> None:
    user = client.user(email="ada@shop.example")
    await user.profile.set(first_name="Ada")
    assert (await user.profile.get()).first_name == "Ada"
    await start(client, [{"email": "ada@shop.example", "first_name": "Augusta"}]).run()
    assert (await user.profile.get()).first_name == "Augusta"


class BreaksAtTheEleventh:
    asked = 0

    async def wait_needed(self) -> float:
        self.asked += 1
        if self.asked == 11:
            raise RuntimeError("the limit is torn")
        return 0.0


async def test_after_an_error_nothing_newer_of_the_same_person_is_sent(
    client: PersonaClick, emulator: Emulator, journal: Path
) -> None:
    rows = [*people(10), *({"email": "ada@shop.example", "version": n} for n in range(3))]
    options = {"journal": journal, "concurrency": 4, "route": "per-profile"}
    with pytest.raises(RuntimeError, match="the limit is torn"):
        await start(client, source_of(rows), limit=BreaksAtTheEleventh(), **options).run()
    assert "ada@shop.example" not in stored(emulator)

    assert (await start(client, source_of(rows), **options).run()).sent == 13
    assert stored(emulator) == expected(rows)


async def test_one_person_is_never_in_flight_twice_and_keeps_order(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    rows = people(7, versions=15)
    with emulator.fault(path=SET, delay=0.02, probability=0.3):
        await start(client, rows, **quick).run()

    for number in range(7):
        seen = [
            request.body["version"]
            for request in emulator.requests_to(SET)
            if request.body["email"] == f"user{number}@shop.example"
        ]
        assert seen == list(range(1, 16))
    assert stored(emulator) == expected(rows)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.sampled_from([None, "79990001", "79990002"])
        ),
        max_size=25,
    ),
    st.integers(1, 8),
)
def test_who_shares_an_identifier_keeps_order(
    people: list[tuple[str, str | None]], concurrency: int
) -> None:
    rows = [
        {
            "email": f"{name}@shop.example",
            "turn": turn,
            **({} if phone is None else {"phone": phone}),
        }
        for turn, (name, phone) in enumerate(people)
    ]

    async def deliver(emulator: Emulator) -> None:
        with emulator.fault(path=SET, delay=0.003, probability=0.5):
            async with PersonaClick(
                emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url
            ) as client:
                await start(client, rows, concurrency=concurrency, chunk_rows=3).run()

    with Emulator() as emulator:
        asyncio.run(deliver(emulator))
        bodies = [request.body for request in emulator.requests_to(SET)]
    assert len(bodies) == len(rows)
    for kind in ("email", "phone"):
        for who in {row[kind] for row in rows if kind in row}:
            assert [body["turn"] for body in bodies if body.get(kind) == who] == [
                row["turn"] for row in rows if row.get(kind) == who
            ]


async def test_a_record_that_the_service_refuses_is_set_aside(
    make_client: MakeClient, emulator: Emulator
) -> None:
    rows = people(30)
    rows[7]["first_name"] = rows[20]["first_name"] = "BADNAME"
    picky = Picky(emulator, lambda body: b"BADNAME" in body, "first_name BADNAME is not a name")
    rejects = Rejects()
    async with picky.server() as server:
        sync = start(make_client(api_url=str(server.make_url("/"))), rows, rejects=rejects)
        results = await results_of(sync)

    assert Counter(type(one) for one in results) == {Delivered: 28, Refused: 2}
    assert sorted(row.row for row in rejects.rows) == [8, 21]
    assert "answered 422: message withheld" in rejects.rows[0].rule
    assert rejects.rows[0].source_row["first_name"] == "BADNAME"
    assert "BADNAME" not in repr(rejects.rows)
    assert (sync.report.sent, sync.report.rejected, sync.report.read) == (28, 2, 30)


async def test_a_reason_has_the_message_of_the_service(
    make_client: MakeClient, emulator: Emulator
) -> None:
    picky = Picky(emulator, lambda body: b"user1@" in body, "it is not valid")
    async with picky.server() as server:
        sync = start(make_client(api_url=str(server.make_url("/"))), people(3))
        [refused] = [one for one in await results_of(sync) if isinstance(one, Refused)]
    assert "profile/set answered 422: it is not valid" in refused.rule
    assert refused.source_row["email"] == "user1@shop.example"
    assert "user1" not in repr(refused)


async def test_when_all_are_refused_it_is_not_the_records(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    emulator.fault(path=SET, status=422)
    with pytest.raises(SyncStopped, match=r"the last \d+ records were all refused") as caught:
        await start(client, people(500), max_refused_in_a_row=10, **quick).run()
    assert 10 <= caught.value.report.rejected <= 10 + 2 * quick["concurrency"]


async def test_wrong_credentials_stop_it_at_once(
    make_client: MakeClient, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    rows = people(50)
    wrong = make_client(shop_secret="wrong")
    with pytest.raises(SyncStopped, match="profile/set answered 401") as caught:
        await start(wrong, source_of(rows), journal=journal, **quick).run()
    assert caught.value.status == 401
    assert caught.value.report.settled == 0
    assert len(emulator.requests) <= quick["concurrency"]

    report = await start(make_client(), source_of(rows), journal=journal, **quick).run()
    assert (report.sent, report.read) == (50, 50)


async def test_a_shop_without_a_secret_is_told_so(make_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="shop_secret is needed"):
        await start(make_client(shop_secret=None), people(1)).run()


async def test_a_dry_run_checks_all_and_touches_nothing(
    make_client: MakeClient, emulator: Emulator, journal: Path
) -> None:
    rejects = Rejects()
    rows = [*people(30), {"email": "nobody"}, {"first_name": "Ada"}]
    client = make_client(shop_secret=None)
    sync = start(client, source_of(rows), dry_run=True, journal=journal, rejects=rejects)
    results = await results_of(sync)
    assert Counter(type(one) for one in results) == {Checked: 30, Rejected: 2}
    report = sync.report
    assert (report.read, report.checked, report.rejected, report.sent) == (32, 30, 2, 0)
    assert emulator.requests == []
    assert rejects.rows == []
    assert await asyncio.to_thread(journal.exists) is False


@pytest.mark.parametrize("route", list(Route)[1:])
async def test_a_dry_run_rejects_the_records_that_a_run_rejects(
    client: PersonaClick, route: Route
) -> None:
    # About as large as the largest record of a body, and far larger.
    sizes = [*range(800, 1000, 10), 5000]
    rows = [{"email": f"u{n}@shop.example", "first_name": "n" * n} for n in sizes]
    limits = {"route": route, "max_chunk_bytes": 1024}

    sent = await start(client, source_of(rows), **limits).run()
    checked = await start(client, source_of(rows), dry_run=True, **limits).run()

    assert checked.rejected == sent.rejected
    assert checked.checked == sent.sent
    assert (sent.rejected > 1) == (route is Route.BULK)


async def test_records_alive_at_once_are_bounded(
    client: PersonaClick, emulator: Emulator, journal: Path
) -> None:
    """Counted, not timed: what the source gave and the sync has not let go of yet."""
    alive = Alive()
    options = {"route": "per-profile", "chunk_rows": 25, "concurrency": 4, "journal": journal}
    sync = start(client, alive.records(1500), **options)
    assert (await sync.run()).sent == 1500
    # Four chunks in the lanes, one waiting to get in, one being read.
    assert alive.most <= 6 * 25 + 2 * 4


async def test_a_slow_reader_slows_the_sync_down(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    rows = people(600)
    sync = start(client, rows, **quick)
    async with sync:
        results = aiter(sync)
        await anext(results)
        before = -1
        while len(emulator.requests_to(SET)) != before:
            before = len(emulator.requests_to(SET))
            await asyncio.sleep(0.1)
        assert before < 300
        left = [result async for result in results]
    assert len(left) == 599


@pytest.mark.parametrize("route", list(Route)[1:])
async def test_a_disabled_client_sends_no_request_and_counts_none(route: Route) -> None:
    async with PersonaClick("e0" * 15, shop_secret="5e" * 16, disabled=True) as client:
        report = await start(client, people(3), route=route).run()
    assert (report.sent, report.requests, report.bytes_sent) == (3, 0, 0)
