"""Products as the service shows them: what a feed does not say is derived from what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_SIZES: Final = ("120", "140", "160", "180", "200", "220", "310", "520", "original")
_FEW: Final = range(2, 11)


def complete(product: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Give a product with the fields of the protocol's section 5.1 that can be derived.

    What is given stays as it is.

    :raises ValueError: the product has no id, or a price or stock that is no number.
    """
    if product.get("id") in (None, ""):
        raise ValueError("a product has no id")
    full = {key: value for key, value in product.items() if value is not None}
    full["id"] = str(full["id"])
    full.setdefault("currency", currency)
    _derive_prices(full)
    _derive_urls(full)
    _derive_stock(full)
    if "categories" in full:
        full.setdefault("category_ids", _ids(full["categories"]))
    for name in ("category_ids", "categories", "params", "fashion_sizes"):
        full.setdefault(name, [])
    full.setdefault("fashion_original_sizes", [])
    full.setdefault("fashion_colors", [])
    full.setdefault("is_new", False)
    return full


def _ids(categories: object) -> list[str]:
    known = categories if isinstance(categories, list) else []
    return [str(one["id"]) for one in known if isinstance(one, dict) and "id" in one]


def _number(product: Mapping[str, Any], name: str) -> float:
    try:
        number = float(product[name])
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"a product's {name} is not a number")
    return number


def _derive_prices(full: dict[str, Any]) -> None:
    for name in ("price", "oldprice"):
        given = f"{name}_full" if f"{name}_full" in full else name
        if given not in full:
            continue
        exact = _number(full, given)
        full.setdefault(f"{name}_full", exact)
        full.setdefault(name, round(exact))
        currency = full["currency"]
        full.setdefault(f"{name}_formatted", f"{full[name]} {currency}")
        full.setdefault(f"{name}_full_formatted", f"{exact:.2f} {currency}")
    if "price_full" in full and "oldprice_full" in full:
        price, old = _number(full, "price_full"), _number(full, "oldprice_full")
        if old > price:
            full.setdefault("discount", round(100 * (old - price) / old))
    if full.get("discount") is not None:
        full.setdefault("discount_formatted", f"{full['discount']}%")


def _derive_urls(full: dict[str, Any]) -> None:
    for name in ("url", "image_url"):
        if full.get(name):
            full.setdefault(f"{name}_handle", urlsplit(full[name]).path)
    if full.get("image_url"):
        full.setdefault("image_url_resized", dict.fromkeys(_SIZES, full["image_url"]))


def _derive_stock(full: dict[str, Any]) -> None:
    stock = _number(full, "stock_quantity") if "stock_quantity" in full else 0
    if stock > 0:
        word = "one" if stock == 1 else "few" if stock in _FEW else "lot"
        full.setdefault("leftovers", word)
