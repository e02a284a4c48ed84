"""Products as the service shows them: what a feed does not say is derived from what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Refused
from personaclick_async.models.update import Kind

_SIZES: Final = ("120", "140", "160", "180", "200", "220", "310", "520", "original")
_PRICES: Final = ("price", "price_full", "oldprice", "oldprice_full")
_NUMBERS: Final = {*_PRICES, "discount", "discount_percent", "stock_quantity"}
_FEW: Final = 10
_FASHION: Final = ("fashion_sizes", "fashion_original_sizes", "fashion_colors")
_LISTS: Final = ("category_ids", "categories", "params", *_FASHION)


def complete(product: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Return a product with the fields of the protocol's section 5.1 that can be derived.

    It may be given as the answer has it or as the catalogue's import takes it: ``picture``,
    ``categories`` as ids, ``params`` of ``name`` and ``value``, sizes and colours in ``fashion``.
    What is given stays as it is; without an id, or with a price that is no number, it is Refused.
    """
    if product.get("id") in (None, ""):
        raise Refused(422, "a product has no id")
    full = {"currency": currency} | {
        key: value
        for key, value in product.items()
        # Feeds write an empty text for a price that there is not; some a flag for the discount.
        if value is not None
        and not (key in _NUMBERS and (value in ("", "null") or isinstance(value, bool)))
    }
    full["id"] = str(full["id"])
    if isinstance(of := full.get("categories"), list):
        full["categories"] = [one if isinstance(one, dict) else {"id": str(one)} for one in of]
    if isinstance(of := full.get("params"), list):
        full["params"] = [_param(one) for one in of]
    for name in ("price", "oldprice"):
        if name in full and f"{name}_full" not in full:
            # Whole units alone; the cents are in the full price.
            exact = _number(full, name)
            full[f"{name}_full"] = full[name] if type(full[name]) is int else exact
            full[name] = round(exact)
    for name, derive in _DERIVED.items():
        # Where something is missing, or not what it should be, nothing is derived of it.
        with suppress(AttributeError, KeyError, TypeError):
            if name not in full and (derived := derive(full)) is not None:
                full[name] = derived
    return {**{name: [] for name in _LISTS}, "is_new": False, **full}


def _param(param: Json) -> Json:
    if not isinstance(param, dict) or "name" not in param or "key" in param:
        return param
    value = param.get("value", [])
    return {"key": param["name"], "values": value if isinstance(value, list) else [value]}


def _number(of: Mapping[str, Any], name: str) -> float:
    number: float = read.of_kind(Kind.NUMBER, f"a product's {name}", of[name])
    return number


def _leftovers(of: Mapping[str, Any]) -> str | None:
    stock = _number(of, "stock_quantity")
    if stock <= 1:
        return "one" if stock == 1 else None
    return "few" if stock <= _FEW and stock % 1 == 0 else "lot"


def _discount(of: Mapping[str, Any]) -> int | None:
    if "discount_percent" in of:
        return int(_number(of, "discount_percent"))
    # As they are written: 29 % of a float would be 28.999….
    price, old = (Decimal(str(_number(of, f"{name}_full"))) for name in ("price", "oldprice"))
    return int((old - price) / old * 100) if old > price else None


def _formatted(of: Mapping[str, Any], name: str) -> str:
    """Return a price as the service shows it, its thousands apart: ``10 760.00 $``."""
    digits = ".2f" if name.endswith("_full") else ".0f"
    return f"{_number(of, name):,{digits}}".replace(",", " ") + f" {of['currency']}"


_DERIVED: Final[Mapping[str, Callable[[Mapping[str, Any]], Json]]] = {
    "image_url": lambda of: of["picture"],
    "picture": lambda of: of["image_url"],
    "image_url_handle": lambda of: urlsplit(of["image_url"]).path,
    "image_url_resized": lambda of: dict.fromkeys(_SIZES, of["image_url"]),
    "url_handle": lambda of: urlsplit(of["url"]).path,
    "category_ids": lambda of: [str(one["id"]) for one in of["categories"] if "id" in one],
    "fashion_sizes": lambda of: [*of["fashion"]["sizes"]],
    "fashion_colors": lambda of: [*of["fashion"]["colors"]],
    "price": lambda of: round(_number(of, "price_full")),
    "oldprice": lambda of: round(_number(of, "oldprice_full")),
    **{f"{name}_formatted": partial(_formatted, name=name) for name in _PRICES},
    "discount": _discount,
    "discount_formatted": lambda of: f"{of['discount']}%",
    "leftovers": _leftovers,
}
"""How each field follows from others, in an order in which each finds what it needs."""
