"""A shop's products and orders, stored and shown as the service does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Final

import attrs

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Given, JsonObject, Refused
from personaclick_async.emulator.state import Profiles, packed
from personaclick_async.models.order import Order, OrderItem
from personaclick_async.models.update import Kind

_STATES: Final = {
    **dict.fromkeys(("cancelled", "canceled", "refunded"), "cancelled"),
    **dict.fromkeys(("delivered", "completed"), "completed"),
}
_VALID_SECONDS: Final = range(10**11)
"""Dates up to the year 5138. The service takes no milliseconds, which lie beyond."""
_LIMIT: Final = 10**15
_OLD_NAMES: Final = {
    "user_id": names.EXTERNAL_ID,
    "user_email": names.EMAIL,
    "phone_number": names.PHONE,
    "loyalty_card": names.LOYALTY_ID,
}
_SHOWN: Final = [at.name for at in attrs.fields(Order)]
_ITEM_SHOWN: Final = [at.name for at in attrs.fields(OrderItem)]
_SIZES: Final = ("120", "140", "160", "180", "200", "220", "310", "520", "original")
_PRICES: Final = ("price", "price_full", "oldprice", "oldprice_full")
_NUMBERS: Final = {*_PRICES, "discount", "discount_percent", "stock_quantity"}
_FEW: Final = 10
_AROUND_PATH: Final = re.compile(r"^([A-Za-z]+:)?//[^/?#]*|[?#].*")
"""What an address has before and behind its path."""
_FASHION: Final = ("fashion_sizes", "fashion_original_sizes", "fashion_colors")
_LISTS: Final = ("category_ids", "categories", "params", *_FASHION)


@attrs.frozen
class Goods:
    """The products and orders of one shop."""

    profiles: Profiles

    def add_product(self, given: Given, currency: str) -> None:
        """Add a product, completed, or replace it."""
        product = complete(given, currency)
        query = "INSERT OR REPLACE INTO products VALUES (?, ?, ?)"
        self.profiles.store.execute(query, self.profiles.shop, product["id"], packed(product))

    def product(self, product_id: Json) -> Json | None:
        """Return a product of the shop."""
        query = "SELECT product FROM products WHERE shop = ? AND id = ?"
        return self.profiles.store.value(query, self.profiles.shop, str(product_id))

    def add_order(self, given: Given) -> None:
        """Add an order or change one (protocol, section 2.8)."""
        order = {_OLD_NAMES.get(name, name): value for name, value in given.items()}
        order_id = read.as_text(order.get(names.ID))
        if not order_id:
            raise Refused(422, "the order has no id")
        store, shop = self.profiles.store, self.profiles.shop
        query = "SELECT profile, body FROM orders WHERE shop = ? AND id = ?"
        owner, known = store.execute(query, shop, order_id).fetchone() or (None, JsonObject())
        body = {"date": 0, "status": "created", **known, **order, names.ID: order_id}
        body["date"] = _seconds(body["date"])
        if _total(body) is None:
            raise Refused(422, "the order's value is not a number")
        if not isinstance(body["status"], str):
            raise Refused(422, "the order's status is not a text")
        body["items"] = _items_left(known.get("items", []), order.get("items"))
        owner = owner or self._buyer(order)
        # A change leaves an order's place among the others.
        store.execute(
            "INSERT INTO orders (shop, id, profile, date, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (shop, id) DO UPDATE SET date = excluded.date, body = excluded.body",
            *(shop, order_id, owner, body["date"], packed(body)),
        )
        if location := read.as_text(order.get("location_id")):
            self.profiles.change(owner, {"location": location})

    def _buyer(self, order: Given) -> int:
        # Here "id" is the order's: it never names the buyer.
        buyer, did = read.identifiers(order, names.EXTERNAL_ID), read.did(order)
        if buyer:
            return self.profiles.known_by(buyer) or self.profiles.update(did, buyer)
        if did is None:
            raise Refused(422, "the order names no customer")
        return self.profiles.owner(did, "created")

    def last_products(self, owner: int) -> list[JsonObject]:
        """Return the products of the newest order not cancelled, each once (protocol, 12)."""
        bought = [one["items"] for _, one in self._orders_of(owner) if _state(one) != "cancelled"]
        ids = dict.fromkeys(str(item.get(names.ID)) for items in bought[-1:] for item in items)
        return [product for one in ids if (product := self.product(one)) is not None]

    def _orders_of(self, owner: int, since: float = 0) -> list[tuple[int, JsonObject]]:
        """Return a profile's orders with the store's own numbers, oldest first."""
        query = "SELECT number, body FROM orders WHERE profile = ? AND date >= ? "
        return self.profiles.store.execute(query + "ORDER BY date, number", owner, since).fetchall()

    def history(self, owner: int, since: str | None) -> list[JsonObject]:
        """Return a profile's orders, oldest first (protocol, sections 2.7 and 5.4)."""
        day = read.of_kind(Kind.DAY, names.DATE_FROM, since)
        start = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() if day else 0
        return [self._shown(number, order) for number, order in self._orders_of(owner, start)]

    def _shown(self, number: int, order: Given) -> JsonObject:
        total = _money(_total(order))
        moment = datetime.fromtimestamp(order["date"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            **{name: order.get(name) for name in _SHOWN},
            "_id": number,
            "date": moment,
            # The SDKs say that the real answer has money as text.
            "value": total,
            "value_raw": total,
            "internal_status": _state(order),
            "stream": "default",
            "order_status": order["status"],
            names.CUSTOM_PROPERTIES: order.get("custom", {}),
            "items": [self._shown_item(item) for item in order["items"]],
            "history": [{"status": order["status"], "date": moment}],
        }

    def _shown_item(self, item: Given) -> JsonObject:
        # As the official SDKs read them: a text for the amount is 0 to them, a number for a
        # price is empty (protocol, section 5.4).
        amount = _number(item.get("quantity", item.get("amount", 1)))
        return {
            **{name: item.get(name) for name in _ITEM_SHOWN},
            "amount": 1 if amount is None else round(amount),
            "price": _money(item.get("price")),
            "original_price": _money(item.get("original_price")),
            "status": item.get("status", "created"),
            "item": self.product(item.get(names.ID)),
        }

    def in_full_profile(self, owner: int) -> list[JsonObject]:
        """Return a profile's orders as the full profile shows them (protocol, section 4.2)."""
        return [
            {
                names.ID: order[names.ID],
                "value": _money(_total(order)),
                "status": order["status"],
                "items": [
                    {
                        names.ID: str(item.get(names.ID)),
                        "price": item.get("price"),
                        "name": (self.product(item.get(names.ID)) or {}).get("name"),
                        "quantity": item.get("quantity", 1),
                    }
                    for item in order["items"]
                ],
            }
            for _, order in self._orders_of(owner)
        ]


def _state(one: Given) -> str:
    """Return which of the three states an order or an item is in (protocol, section 5.4)."""
    return _STATES.get(str(one.get("status")).lower(), "new")


def _items_left(before: list[JsonObject], given: Json) -> list[JsonObject]:
    """Return an order's items after an import: what is cancelled or refunded leaves the order.

    Given items replace all earlier ones; with a cancelled one among them, only those of their ids.
    """
    given = read.of_kind(Kind.OBJECTS, "items", given) or []
    kept = [item for item in given if _state(item) != "cancelled"]
    if given and len(kept) == len(given):
        return kept
    reported = {str(item.get(names.ID)) for item in given}
    return [item for item in before if str(item.get(names.ID)) not in reported] + kept


def _seconds(value: Json) -> int:
    """Return UNIX seconds; a text such as ``2026-05-01 12:34:56`` is in UTC."""
    number = _number(value)
    if number is None and isinstance(value, str):
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(value)
            number = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if number is None or int(number) not in _VALID_SECONDS:
        raise Refused(422, "the order's date is neither UNIX seconds nor a date")
    return int(number)


def _total(order: Given) -> float | None:
    """Return an order's value, 0 where it has none; None if that is no number."""
    value = order.get("value")
    if isinstance(value, dict):
        value = value.get("total")
    if value is None:
        value = order.get("amount")
    return 0.0 if value is None else _number(value)


def _money(value: Json) -> str | None:
    if isinstance(value, str):
        return value
    number = _number(value)
    return None if number is None else f"{number:.2f}"


def _number(value: Json) -> float | None:
    with suppress(TypeError, ValueError, OverflowError):
        # 1e300 is a number, but no date and no price.
        if not isinstance(value, bool) and -_LIMIT < (number := float(value)) < _LIMIT:
            return number
    return None


def complete(product: Given, currency: str) -> JsonObject:
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
            full[f"{name}_full"] = exact = _number_of(full, name)
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


def _number_of(of: Given, name: str) -> Json:
    return read.of_kind(Kind.NUMBER, f"a product's {name}", of[name])


def _leftovers(of: Given) -> str | None:
    stock = _number_of(of, "stock_quantity")
    if stock <= 1:
        return "one" if stock == 1 else None
    return "few" if stock <= _FEW and stock % 1 == 0 else "lot"


def _discount(of: Given) -> int | None:
    if "discount_percent" in of:
        return int(_number_of(of, "discount_percent"))
    # As they are written: 29 % of a float would be 28.999….
    price, old = (Decimal(str(_number_of(of, f"{name}_full"))) for name in ("price", "oldprice"))
    return int((old - price) / old * 100) if old > price >= 0 else None


def _formatted(of: Given, name: str) -> str:
    """Return a price as the service shows it, its thousands apart: ``10 760.00 $``."""
    digits = ".2f" if name.endswith("_full") else ".0f"
    return f"{_number_of(of, name):,{digits}}".replace(",", " ") + f" {of['currency']}"


_DERIVED: Final[Mapping[str, Callable[[Given], Json]]] = {
    "image_url": lambda of: of["picture"],
    "picture": lambda of: of["image_url"],
    "image_url_handle": lambda of: _AROUND_PATH.sub("", of["image_url"]),
    "image_url_resized": lambda of: dict.fromkeys(_SIZES, of["image_url"]),
    "url_handle": lambda of: _AROUND_PATH.sub("", of["url"]),
    "category_ids": lambda of: [str(one["id"]) for one in of["categories"] if "id" in one],
    "fashion_sizes": lambda of: [*of["fashion"]["sizes"]],
    "fashion_colors": lambda of: [*of["fashion"]["colors"]],
    "price": lambda of: round(_number_of(of, "price_full")),
    "oldprice": lambda of: round(_number_of(of, "oldprice_full")),
    **{f"{name}_formatted": partial(_formatted, name=name) for name in _PRICES},
    "discount": _discount,
    "discount_formatted": lambda of: f"{of['discount']}%",
    "leftovers": _leftovers,
}
"""How each field follows from others, in an order in which each finds what it needs."""
