"""Orders are taken in as documented, and answered as the official SDKs read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from personaclick_async.emulator import Emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=emulator.url) as session:
        yield session


async def history(http: aiohttp.ClientSession, emulator: Emulator) -> list[dict[str, Any]]:
    query = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret, "external_id": "7"}
    async with http.get("/orders/by_user", params=query) as answer:
        orders: list[dict[str, Any]] = (await answer.json())["data"]["orders"]
    return orders


async def last(http: aiohttp.ClientSession, emulator: Emulator) -> list[str]:
    query = {"shop_id": emulator.shop_id, "external_id": "7"}
    async with http.get("/orders/last_for_user", params=query) as answer:
        return [product["id"] for product in await answer.json()]


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ({"quantity": 2, "price": 8500, "original_price": 9000.5}, (2, "8500.00", "9000.50")),
        ({"quantity": "3", "price": "8500.0"}, (3, "8500.0", None)),
        ({"amount": 2.0, "price": 0}, (2, "0.00", None)),
        ({}, (1, None, None)),
    ],
)
async def test_an_amount_is_an_integer_and_a_price_a_text(
    http: aiohttp.ClientSession, emulator: Emulator, item: dict[str, Any], shown: tuple[Any, ...]
) -> None:
    emulator.add_orders([{"id": "1", "external_id": "7", "items": [{"id": "a", **item}]}])
    [order] = await history(http, emulator)
    [found] = order["items"]
    assert (found["amount"], found["price"], found["original_price"]) == shown
    assert type(found["amount"]) is int


@pytest.mark.parametrize("status", ["refunded", "Cancelled", "canceled"])
async def test_a_refund_takes_the_item_out_of_an_order_made_before(
    http: aiohttp.ClientSession, emulator: Emulator, status: str
) -> None:
    emulator.add_products([{"id": "a"}, {"id": "b"}, {"id": "c"}])
    items = [{"id": "a", "quantity": 2}, {"id": "b"}]
    emulator.add_orders([{"id": "1", "external_id": "7", "date": 100, "items": items}])
    assert await last(http, emulator) == ["a", "b"]

    emulator.add_orders([{"id": "1", "items": [{"id": "a", "status": status}]}])
    assert await last(http, emulator) == ["b"]
    [order] = await history(http, emulator)
    assert [item["item"]["id"] for item in order["items"]] == ["b"]

    emulator.add_orders([{"id": "1", "items": [{"id": "b", "status": status}, {"id": "c"}]}])
    assert await last(http, emulator) == ["c"]
    emulator.add_orders([{"id": "1", "items": [{"id": "a"}, {"id": "b"}]}])
    assert await last(http, emulator) == ["a", "b"]


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        ("2026-05-01 12:34:56", "2026-05-01T12:34:56.000Z"),
        ("2026-05-01T12:34:56+02:00", "2026-05-01T10:34:56.000Z"),
        ("2026-05-01", "2026-05-01T00:00:00.000Z"),
        ("1777638896", "2026-05-01T12:34:56.000Z"),
    ],
)
async def test_a_date_may_be_a_text(
    http: aiohttp.ClientSession, emulator: Emulator, date: str, shown: str
) -> None:
    assert emulator.add_orders([{"id": "1", "external_id": "7", "date": date}]) == 1
    [order] = await history(http, emulator)
    assert order["date"] == shown


@pytest.mark.parametrize(
    ("status", "internal"),
    [("created", "new"), ("Delivered", "completed"), ("cancelled", "cancelled"), ("x", "new")],
)
async def test_the_internal_status_has_three_states(
    http: aiohttp.ClientSession, emulator: Emulator, status: str, internal: str
) -> None:
    emulator.add_orders([{"id": "1", "external_id": "7", "status": status}])
    [order] = await history(http, emulator)
    assert (order["internal_status"], order["order_status"]) == (internal, status)


def test_the_place_of_an_order_becomes_the_customers(emulator: Emulator) -> None:
    emulator.add_profiles([{"external_id": "7", "location": "1"}])
    emulator.add_orders([{"id": "1", "external_id": "7", "location_id": 7701123}])
    assert emulator.profile(external_id="7")["location"] == "7701123"
    emulator.add_orders([{"id": "1", "status": "delivered"}])
    assert emulator.profile(external_id="7")["location"] == "7701123"


async def test_what_an_import_ignores_is_counted_by_the_reason(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    keys = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    imports: dict[str, list[Any]] = {
        "orders": [{"external_id": "7"}, {"id": 1}, {"id": 2, "did": "d", "date": "soon"}, 5],
        "audience": [{"first_name": "Nobody"}, {"email": "a@shop.example", "age": "old"}],
    }
    for path, key in (("/sync/orders", "orders"), ("/import/audience", "audience")):
        async with http.post(path, json={**keys, key: imports[key]}) as answer:
            assert answer.status == 200
    emulator.drain()

    reasons = {
        "the order has no id": 1,
        "the order names no customer": 1,
        "the order's date is neither UNIX seconds nor a date": 1,
        "the entry is not an object": 1,
        "the entry has no identifier": 1,
        "age is not a number": 1,
    }
    assert emulator.ignored == reasons
    assert emulator.ignored_entries == 6
    async with http.get("/_emulator/status") as answer:
        assert (await answer.json())["ignored"] == reasons
