"""Imports are queued, limited, applied in order, and survive what a process does not."""

from __future__ import annotations

import asyncio
import gc
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest

from personaclick_async.emulator import Emulator, EmulatorSettings


async def send(http: aiohttp.ClientSession, emulator: Emulator, path: str, **body: Any) -> int:
    keys = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    async with http.post(path, json={**keys, **body}) as answer:
        return answer.status


async def test_an_audience_is_applied_in_order_and_the_nameless_counted(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    entries = [
        {"email": "ada@shop.example", "first_name": "Ada"},
        {"first_name": "Nobody"},
        {"telegram_id": "5", "first_name": "Nobody in an audience"},
        {"id": 7, "first_name": "Seven", "age": "7"},
        {"email": "ada@shop.example", "first_name": "Augusta", "colour": "red"},
        {"email": "bad@shop.example", "age": "old"},
        "no object",
    ]
    assert await send(http, emulator, "/import/audience", audience=entries) == 200
    emulator.drain()

    ada, seven = emulator.profile(email="ada@shop.example"), emulator.profile(external_id="7")
    assert (ada["first_name"], ada["custom_properties"]) == ("Augusta", {"colour": "red"})
    assert seven["age"] == 7
    assert emulator.ignored_entries == 4
    assert emulator.count_profiles() == 2


async def test_a_large_audience_is_applied_whole(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    entries = [{"external_id": str(n), "first_name": f"Name {n}"} for n in range(3000)]
    assert await send(http, emulator, "/import/audience", audience=entries) == 200
    emulator.drain()

    stored = {one["external_id"]: one["first_name"] for one in emulator.profiles()}
    assert stored == {str(n): f"Name {n}" for n in range(3000)}


async def test_suppressed_addresses_are_kept(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    entries = [{"email": "no@shop.example"}, {"phone": "1"}]
    assert await send(http, emulator, "/import/suppressed", audience=entries) == 200
    emulator.drain()

    assert emulator.suppressed() == ["no@shop.example"]


async def test_the_limit_holds_and_says_when_to_come_back() -> None:
    settings = EmulatorSettings(import_limit=2, import_window=0.6)
    with Emulator(settings) as emulator:
        async with aiohttp.ClientSession(base_url=emulator.url) as http:
            keys = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
            for expected in (200, 200, 429):
                async with http.post("/import/audience", json={**keys, "audience": []}) as answer:
                    assert answer.status == expected
            assert answer.headers["Retry-After"] == "1"
            async with http.get("/profile", params={"shop_id": keys["shop_id"], "did": "d"}) as one:
                assert one.status == 200
            await asyncio.sleep(0.7)
            assert await send(http, emulator, "/import/audience", audience=[]) == 200


async def test_a_body_over_the_limit_is_413() -> None:
    with Emulator(EmulatorSettings(max_import_bytes=1000)) as emulator:
        async with aiohttp.ClientSession(base_url=emulator.url) as http:
            many = [{"email": f"{n}@shop.example"} for n in range(100)]
            assert await send(http, emulator, "/import/audience", audience=many) == 413
            assert await send(http, emulator, "/import/audience", audience=many[:10]) == 200


async def test_a_client_that_asks_before_it_sends_a_body_is_answered() -> None:
    with Emulator(EmulatorSettings(max_import_bytes=1000)) as emulator:
        body = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret, "audience": []}
        async with asyncio.timeout(10), aiohttp.ClientSession(base_url=emulator.url) as http:
            for padding, status in ((0, 200), (1000, 413)):
                body["padding"] = "x" * padding
                async with http.post("/import/audience", json=body, expect100=True) as answer:
                    assert answer.status == status


@pytest.mark.parametrize("missing", ["audience", "shop_secret"])
async def test_an_import_needs_its_array_and_the_secret(
    http: aiohttp.ClientSession, emulator: Emulator, missing: str
) -> None:
    body = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret, "audience": []}
    del body[missing]
    async with http.post("/import/audience", json=body) as answer:
        assert answer.status == (422 if missing == "audience" else 400)


async def test_orders_change_are_cancelled_and_come_from_the_old_import_too(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    emulator.add_products([{"id": "a", "price_full": 1}, {"id": "b", "price_full": 2}])
    orders = [
        {"external_id": 7, "id": "1", "date": 100, "items": [{"id": "a", "price": 1}]},
        {
            "external_id": 7,
            "id": "2",
            "date": 200,
            "items": [{"id": "b"}, {"id": "a", "status": "refunded"}, {"id": "b"}],
        },
    ]
    query = {"shop_id": emulator.shop_id, "external_id": "7"}

    async def last() -> list[str]:
        async with http.get("/orders/last_for_user", params=query) as answer:
            return [product["id"] for product in await answer.json()]

    assert await send(http, emulator, "/sync/orders", orders=orders) == 200
    emulator.drain()
    assert await last() == ["b"]

    cancel = [{"id": "2", "status": "cancelled"}]
    assert await send(http, emulator, "/sync/orders", orders=cancel) == 200
    emulator.drain()
    assert await last() == ["a"]

    old = [{"user_id": 7, "id": "3", "date": "300", "items": [{"id": "b", "amount": 1}]}]
    assert await send(http, emulator, "/import/orders", orders=old) == 200
    emulator.drain()
    assert await last() == ["b"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.30"),
        (1e-7, "0.00"),
        (8500, "8500.00"),
        ("-8.5", "-8.50"),
        (Decimal("1.005"), "1.00"),
        ({"total": "7"}, "7.00"),
        ({}, "0.00"),
        (None, "0.00"),
    ],
)
async def test_money_comes_in_many_ways(
    http: aiohttp.ClientSession, emulator: Emulator, value: Any, shown: str
) -> None:
    assert emulator.add_orders([{"id": 1, "did": "d", "value": value}]) == 1
    query = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret, "did": "d"}
    async with http.get("/orders/by_user", params=query) as answer:
        [order] = (await answer.json())["data"]["orders"]
    assert order["value"] == shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"date": 1e300},
        {"date": 10**15},
        {"date": -1},
        {"date": "soon"},
        {"value": "much"},
        {"value": {"total": [1]}},
        {"value": True},
        {"status": ["created"]},
        {"items": {"id": "a"}},
        {"items": [{"id": "a"}, "b"]},
        {"did": {}},
        {"id": None},
    ],
)
async def test_an_order_that_can_not_be_one_stops_nothing(
    http: aiohttp.ClientSession, emulator: Emulator, wrong: dict[str, Any]
) -> None:
    orders = [{"id": 1, "did": "d", "date": 100, **wrong}, {"id": 2, "did": "d", "value": "8.5"}]
    assert await send(http, emulator, "/sync/orders", orders=orders) == 200
    emulator.drain()

    query = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret, "did": "d"}
    async with http.get("/orders/by_user", params=query) as answer:
        [order] = (await answer.json())["data"]["orders"]
    assert (order["id"], order["value"]) == ("2", "8.50")
    assert emulator.ignored_entries == 1


async def test_a_cancellation_makes_no_device(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    orders = [{"id": 1, "external_id": 7, "date": 100}, {"id": 1, "status": "cancelled"}]
    assert await send(http, emulator, "/sync/orders", orders=orders) == 200
    emulator.drain()
    assert emulator.devices() == []
    assert emulator.ignored_entries == 0


async def test_an_email_that_is_asked_for_beats_the_own_device(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    # React Native sends its own did beside whatever the caller gives (protocol, 8.1).
    emulator.add_orders([{"id": 1, "email": "ada@shop.example"}, {"id": 2, "did": "mine"}])
    keys = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    query = {**keys, "email": "ada@shop.example", "did": "mine"}
    async with http.get("/orders/by_user", params=query) as answer:
        assert [one["id"] for one in (await answer.json())["data"]["orders"]] == ["1"]


async def test_a_history_starts_at_a_day_and_is_in_order(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    day = 86_400
    emulator.add_orders({"id": n, "did": "d", "date": n * day} for n in (3, 1, 2))
    query = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret, "did": "d"}
    for since, expected in (("1970-01-01", ["1", "2", "3"]), ("1970-01-03", ["2", "3"])):
        async with http.get("/orders/by_user", params={**query, "date_from": since}) as answer:
            orders = (await answer.json())["data"]["orders"]
        assert [one["id"] for one in orders] == expected
        assert orders[-1]["date"] == "1970-01-04T00:00:00.000Z"


async def test_subscriptions_and_segments_are_kept_apart_from_properties(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    entry = {"email": "ada@shop.example", "email_bulk": "0", "sms_chain": True, "mobile_token": "t"}
    for segment in (5, 3, 5, None):
        more = {} if segment is None else {"segment_id": segment}
        assert await send(http, emulator, "/import/audience", audience=[entry], **more) == 200
    assert await send(http, emulator, "/import/audience", audience=[], segment_id="x") == 422
    emulator.drain()

    stored = emulator.profile(email="ada@shop.example")
    assert (stored["email_bulk"], stored["sms_chain"]) == (False, True)
    assert stored["segment_ids"] == [3, 5]
    assert stored["custom_properties"] == {}


async def test_a_large_body_is_taken_and_one_over_32_mebibytes_is_not(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    head = b'{"shop_id":"%s","shop_secret":"%s","audience":[{"email":"a@shop.example","c":"'
    head %= (emulator.shop_id.encode(), emulator.shop_secret.encode())
    for room, status in ((0, 200), (1, 413)):
        filling = b"x" * (32 * 1024 * 1024 - len(head) - 4 + room)
        body = io.BytesIO(head + filling + b'"}]}')
        async with http.post("/import/audience", data=body) as answer:
            assert answer.status == status
    emulator.drain()
    assert emulator.count_profiles() == 1


async def test_every_arrival_of_an_import_is_on_record(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    for _ in range(3):
        await send(http, emulator, "/import/audience", audience=[])
    arrivals = [one.arrived_at for one in emulator.requests_to("/import/audience")]
    assert len(arrivals) == 3
    assert arrivals == sorted(arrivals)
    assert [one.body for one in emulator.requests] == [None] * 3


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    database = tmp_path / "emulator.sqlite"
    with Emulator(database=database) as emulator:
        emulator.add_profiles([{"email": "ada@shop.example", "first_name": "Ada"}])
        emulator.add_products([{"id": "a"}])
        emulator.add_orders([{"id": "1", "email": "ada@shop.example", "items": [{"id": "a"}]}])
    with Emulator(database=database) as emulator:
        stored = emulator.profile(email="ada@shop.example")
        assert stored["first_name"] == "Ada"
        emulator.reset()
        assert emulator.count_profiles() == 0


def test_what_is_queued_at_a_stop_is_applied_after_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "emulator.sqlite"
    emulator = Emulator(database=database).start()
    entries = [{"external_id": str(n)} for n in range(3000)]
    keys = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    request = Request(
        f"{emulator.url}import/audience",
        json.dumps({**keys, "audience": entries}).encode(),
        {"Content-Type": "application/json"},
    )
    urlopen(request).close()
    emulator.stop()
    del emulator
    gc.collect()  # asyncio tells then of errors that nobody has asked for
    assert caplog.text == ""

    with Emulator(database=database) as emulator:
        emulator.drain()
        assert emulator.count_profiles() == 3000
