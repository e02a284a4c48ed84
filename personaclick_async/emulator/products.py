"""Products as the service shows them: what a feed does not say is derived from what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from personaclick_async.codec import Json

_SIZES: Final = ("120", "140", "160", "180", "200", "220", "310", "520", "original")
_NUMBERS: Final = {
    *("price", "price_full", "oldprice", "oldprice_full", "discount", "discount_percent"),
    "stock_quantity",
}
_FEW: Final = 10
_LISTS: Final = (
    *("category_ids", "categories", "params"),
    *("fashion_sizes", "fashion_original_sizes", "fashion_colors"),
)


def complete(product: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Return a product with the fields of the protocol's section 5.1 that can be derived.

    It may be given as the answer has it or as the catalogue's import takes it: ``picture``,
    ``categories`` as ids, ``params`` of ``name`` and ``value``, sizes and colours in ``fashion``.
    What is given stays as it is.

    :raises ValueError: the product has no id, or a price or stock that is no number.
    """
    if product.get("id") in (None, ""):
        raise ValueError("a product has no id")
    full = {
        key: value
        for key, value in product.items()
        # Feeds write an empty text for a price that there is not; some a flag for the discount.
        if value is not None and not (key in _NUMBERS and (value == "" or isinstance(value, bool)))
    }
    full["id"] = str(full["id"])
    full.setdefault("currency", currency)
    _derive_from_import(full)
    _derive_prices(full)
    for name in ("url", "image_url"):
        if full.get(name):
            full.setdefault(f"{name}_handle", urlsplit(full[name]).path)
    if full.get("image_url"):
        full.setdefault("image_url_resized", dict.fromkeys(_SIZES, full["image_url"]))
    stock = _number(full, "stock_quantity") if "stock_quantity" in full else 0.0
    if stock > 0:
        few = "few" if stock <= _FEW and stock.is_integer() else "lot"
        full.setdefault("leftovers", "one" if stock == 1 else few)
    return {**{name: [] for name in _LISTS}, "is_new": False, **full}


def _derive_from_import(full: dict[str, Any]) -> None:
    for one, other in (("picture", "image_url"), ("image_url", "picture")):
        if one in full:
            full.setdefault(other, full[one])
    fashion = full.get("fashion")
    if isinstance(fashion, dict):
        for name in ("sizes", "colors"):
            if isinstance(fashion.get(name), list):
                full.setdefault(f"fashion_{name}", fashion[name])
    if isinstance(full.get("categories"), list):
        full["categories"] = [
            one if isinstance(one, dict) else {"id": str(one)} for one in full["categories"]
        ]
        ids = [str(one["id"]) for one in full["categories"] if "id" in one]
        full.setdefault("category_ids", ids)
    if isinstance(full.get("params"), list):
        full["params"] = [_param(one) for one in full["params"]]


def _param(param: Json) -> Json:
    if not isinstance(param, dict) or "name" not in param or "key" in param:
        return param
    value = param.get("value", [])
    return {"key": param["name"], "values": value if isinstance(value, list) else [value]}


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
        if given == name:
            # Whole units alone; the cents are in the full price.
            full[f"{name}_full"] = full[name] if type(full[name]) is int else exact
            full[name] = round(exact)
        full.setdefault(name, round(exact))
        currency = full["currency"]
        full.setdefault(f"{name}_formatted", f"{_grouped(full[name])} {currency}")
        full.setdefault(f"{name}_full_formatted", f"{_grouped(exact, '.2f')} {currency}")
    if "discount" not in full and "discount_percent" in full:
        full["discount"] = int(_number(full, "discount_percent"))
    if "price_full" in full and "oldprice_full" in full:
        # As they are written: 29 % of a float would be 28.999….
        price, old = (Decimal(str(_number(full, f"{name}_full"))) for name in ("price", "oldprice"))
        if old > price:
            full.setdefault("discount", int((old - price) / old * 100))
    if "discount" in full:
        full.setdefault("discount_formatted", f"{full['discount']}%")


def _grouped(value: object, digits: str = "") -> str:
    """Return a number as the service shows it, its thousands apart: ``10 760.00``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, f",{digits}").replace(",", " ")
    return str(value)
