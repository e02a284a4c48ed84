"""A product has the fields that can be derived, and keeps those that were given."""

from __future__ import annotations

from typing import Any

import pytest

from personaclick_async.emulator.products import complete


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


def test_no_discount_without_a_higher_old_price() -> None:
    product = complete({"id": "a", "price": 5, "oldprice": 5}, "$")
    assert "discount" not in product
    assert "discount_formatted" not in product


@pytest.mark.parametrize(
    "product", [{}, {"id": ""}, {"id": "a", "price": "dear"}, {"id": "a", "stock_quantity": []}]
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
