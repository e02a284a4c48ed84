"""Last orders come back as typed products, and the back office reads whole orders."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from personaclick_async import (
    MalformedAnswer,
    PersonaClick,
    Segment,
    ValidationError,
)
from personaclick_async.emulator import Emulator

PRODUCTS: list[dict[str, Any]] = [
    {
        "id": "10",
        "name": "Phone",
        "price_full": 999.99,
        "oldprice_full": 1200.0,
        "categories": [{"id": "1", "name": "Electronics", "parent": None}],
        "params": [{"key": "memory", "values": [128, "256"]}],
        "fashion_colors": [{"color": "black", "picture": "https://shop.example/b.png"}],
        "stock_quantity": 5,
        "url": "https://shop.example/products/10",
        "image_url": "https://shop.example/i/10.png",
    },
    {"id": "11", "name": "Case", "price_full": 10.5},
]


def order(number: str, day: int, *products: str, status: str = "delivered") -> dict[str, Any]:
    moment = datetime(2026, 5, day, tzinfo=UTC)
    return {
        "external_id": "7",
        "id": number,
        "status": status,
        "date": int(moment.timestamp()),
        "value": {"total": 100},
        "items": [{"id": product, "price": 50, "quantity": 1} for product in products],
    }


@pytest.fixture
def shop(emulator: Emulator) -> Emulator:
    emulator.add_products(PRODUCTS)
    emulator.add_orders([order("A", 1, "11"), order("B", 3, "10", "11"), order("C", 2, "11")])
    return emulator


async def test_the_newest_orders_products_come_in_line_order(
    client: PersonaClick, shop: Emulator
) -> None:
    phone, case = await client.user(external_id="7").orders.last_for_user()

    assert (phone.id, case.id) == ("10", "11")
    assert phone.price_full == 999.99
    assert phone.categories[0].name == "Electronics"
    assert phone.params[0].values == (128, "256")
    assert phone.fashion_colors[0].color == "black"
    assert phone.leftovers == "few"
    assert case.categories == ()


async def test_nobody_bought_anything_is_an_empty_list(client: PersonaClick) -> None:
    visitor = await client.init()

    assert await visitor.orders.last_for_user() == []


async def test_the_segment_goes_along(client: PersonaClick, shop: Emulator) -> None:
    await client.user(did="device0001", segment="B").orders.last_for_user()

    assert shop.requests_to("/orders/last_for_user")[0].query["segment"] == "B"
    with pytest.raises(ValidationError, match="segment: expected A or B"):
        client.user(did="device0001", segment="C")
    await client.user(did="device0001", segment=Segment.A).orders.last_for_user()
    assert shop.requests_to("/orders/last_for_user")[1].query["segment"] == "A"


async def test_orders_come_whole_and_oldest_first(client: PersonaClick, shop: Emulator) -> None:
    orders = await client.user(external_id="7").orders.by_user()

    assert [one.id for one in orders] == ["A", "C", "B"]
    assert orders[0].value == Decimal(100)
    assert orders[0].date == datetime(2026, 5, 1, tzinfo=UTC)
    assert orders[2].items[0].item is not None
    assert orders[2].items[0].item.name == "Phone"


@pytest.mark.parametrize("since", [date(2026, 5, 2), "2026-05-02"])
async def test_orders_can_be_asked_for_since_a_day(
    client: PersonaClick, shop: Emulator, since: date | str
) -> None:
    orders = await client.user(external_id="7").orders.by_user(date_from=since)

    assert [one.id for one in orders] == ["C", "B"]


async def test_a_malformed_day_is_refused(client: PersonaClick) -> None:
    with pytest.raises(ValidationError, match="date_from: expected a date or YYYY-MM-DD"):
        await client.user(external_id="7").orders.by_user(date_from="02.05.2026")


@pytest.mark.parametrize("wrapper", [b'{"products":%s}', b'{"data":%s}'])
async def test_products_inside_an_object_are_found(
    client: PersonaClick, emulator: Emulator, wrapper: bytes
) -> None:
    with emulator.fault(path="/orders/last_for_user", body=wrapper % b'[{"id":1}]'):
        [product] = await client.user(did="device0001").orders.last_for_user()

    assert product.id == "1"


@pytest.mark.parametrize("body", [b"{}", b"<html>hello", b"", b'[{"id":"1"},', b"[5]", b"[{}]"])
async def test_what_is_no_list_of_products_is_a_malformed_answer(
    client: PersonaClick, emulator: Emulator, body: bytes
) -> None:
    with (
        emulator.fault(path="/orders/last_for_user", body=body),
        pytest.raises(MalformedAnswer) as caught,
    ):
        await client.user(did="device0001").orders.last_for_user()

    assert caught.value.endpoint == "orders/last_for_user"
    assert caught.value.answer is not None
    assert caught.value.answer.body == body
