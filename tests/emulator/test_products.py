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
