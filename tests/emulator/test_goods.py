"""Products have what can be derived; orders are answered as the official SDKs read them."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from personaclick_async.emulator import Emulator
from personaclick_async.emulator.goods import complete


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
    items = ({"id": "a", "quantity": 2}, {"id": "b"})
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


def test_prices_addresses_and_categories_are_derived() -> None:
    product = complete(
        {
            "id": 7,
            "price_full": "999.99",
            "oldprice": 2000,
            "url": "https://shop.example/p/7?x=1",
            "image_url": "https://shop.example/i/7.png",
            "categories": [{"id": 1, "name": "Bikes"}, {"name": "no id"}],
        },
        "€",
    )

    assert product["id"] == "7"
    assert (product["price"], product["price_full"]) == (1000, "999.99")
    assert (product["price_formatted"], product["price_full_formatted"]) == ("1 000 €", "999.99 €")
    assert (product["oldprice_full"], product["oldprice_formatted"]) == (2000, "2 000 €")
    assert (product["discount"], product["discount_formatted"]) == (50, "50%")
    assert (product["url_handle"], product["image_url_handle"]) == ("/p/7", "/i/7.png")
    assert product["image_url_resized"]["120"] == "https://shop.example/i/7.png"
    assert product["category_ids"] == ["1"]


@pytest.mark.parametrize(
    ("stock", "word"), [(1, "one"), (2, "few"), ("10", "few"), (11, "lot"), (0, None), (None, None)]
)
def test_leftovers_follow_the_stock(stock: Any, word: str | None) -> None:
    assert complete({"id": "a", "stock_quantity": stock}, "$").get("leftovers") == word


def test_what_is_given_stays() -> None:
    given = {
        "id": "a",
        "price": 5,
        "oldprice": 10,
        "price_formatted": "five",
        "discount": 1,
        "leftovers": "lots",
        "stock_quantity": 1,
        "new_field": [1],
    }
    assert complete(given, "$").items() >= given.items()


@pytest.mark.parametrize(("price", "old"), [(5, 5), (5, 4), (-5, 0), (-5, -1)])
def test_no_discount_without_a_higher_old_price(price: int, old: int) -> None:
    product = complete({"id": "a", "price": price, "oldprice": old}, "$")
    assert "discount" not in product
    assert "discount_formatted" not in product


@pytest.mark.parametrize(
    "product",
    [
        {},
        {"id": ""},
        {"id": "a", "price": "dear"},
        {"id": "a", "price": 10**400},
        {"id": "a", "stock_quantity": []},
    ],
)
def test_what_is_no_product_is_refused(product: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a product"):
        complete(product, "$")


@pytest.mark.parametrize(
    ("price", "old", "discount"),
    [(1000, 1200, 16), (10760, 13450, 20), (71, 100, 29), (0.71, 1.0, 29), (99.99, 100, 0)],
)
def test_a_discount_is_the_integer_part(price: Any, old: Any, discount: int) -> None:
    product = complete({"id": "a", "price": price, "oldprice": old}, "$")
    assert product["discount"] == discount
    assert product["discount_formatted"] == f"{discount}%"


@pytest.mark.parametrize("old", ["", None, True])
def test_a_number_that_is_empty_or_a_flag_is_not_given(old: Any) -> None:
    product = complete({"id": "a", "price": 5, "oldprice": old, "discount": True}, "$")
    assert "oldprice" not in product
    assert "discount" not in product


def test_a_discount_that_is_given_counts() -> None:
    given = {"id": "a", "price": 1, "oldprice": 2}
    assert complete({**given, "discount_percent": 15}, "$")["discount"] == 15
    assert complete({**given, "discount": 7}, "$")["discount"] == 7


def test_prices_are_whole_and_full_and_grouped_by_spaces() -> None:
    product = complete({"id": "a", "price": 10760, "oldprice": 1234567.5}, "₽")
    assert (product["price"], product["price_full"]) == (10760, 10760)
    assert type(product["price_full"]) is int
    assert (product["price_formatted"], product["price_full_formatted"]) == (
        "10 760 ₽",
        "10 760.00 ₽",
    )
    assert (product["oldprice"], product["oldprice_full"]) == (1234568, 1234567.5)
    assert product["oldprice_full_formatted"] == "1 234 567.50 ₽"


@pytest.mark.parametrize("url", ["http://[", 5, ["x"]])
def test_an_address_that_is_none_stays_as_it_is(url: Any) -> None:
    assert complete({"id": "a", "url": url, "image_url": url}, "$")["url"] == url


@pytest.mark.parametrize(
    ("url", "handle"),
    [("HTTP://shop.example:80/a/b?c=/d#e", "/a/b"), ("//shop.example/a", "/a"), ("/a#b", "/a")],
)
def test_a_handle_is_the_path(url: str, handle: str) -> None:
    assert complete({"id": "a", "url": url}, "$")["url_handle"] == handle


def test_a_product_may_be_given_as_the_catalogues_import_takes_it() -> None:
    product = complete(
        {
            "id": "6335",
            "categories": ["17", 3],
            "picture": "https://shop.example/pictures/6335.jpg",
            "price": 99.99,
            "params": [
                {"name": "weight", "value": [70.5], "unit": "kg"},
                {"name": "colour", "value": "red"},
                {"key": "size", "values": ["M"]},
            ],
            "fashion": {"sizes": ["S", 42], "colors": [{"color": "red", "picture": "x"}]},
        },
        "$",
    )

    assert product["category_ids"] == ["17", "3"]
    assert product["categories"] == [{"id": "17"}, {"id": "3"}]
    assert product["image_url"] == product["picture"]
    assert product["image_url_handle"] == "/pictures/6335.jpg"
    assert (product["price"], product["price_full"]) == (100, 99.99)
    assert product["params"] == [
        {"key": "weight", "values": [70.5]},
        {"key": "colour", "values": ["red"]},
        {"key": "size", "values": ["M"]},
    ]
    assert product["fashion_sizes"] == ["S", 42]
    assert product["fashion_colors"] == [{"color": "red", "picture": "x"}]


def test_categories_keep_their_parents_branches_and_levels() -> None:
    given = [{"id": "23", "branch": 1, "level": 1}, {"id": "5", "parent_id": "23", "level": 2}]
    product = complete({"id": "a", "categories": given}, "$")
    assert product["categories"] == given
    assert product["category_ids"] == ["23", "5"]
