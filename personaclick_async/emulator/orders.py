"""The orders of a shop: taken in from imports, shown as last orders and order histories."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import attrs

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Given, Refused
from personaclick_async.emulator.profiles import Profiles
from personaclick_async.emulator.store import packed
from personaclick_async.models.order import Order, OrderItem
from personaclick_async.models.update import Kind

_STATES: Final = {
    **dict.fromkeys(("cancelled", "canceled", "refunded"), "cancelled"),
    **dict.fromkeys(("delivered", "completed"), "completed"),
}
_SECONDS: Final = range(10**11)
"""Dates up to the year 5138: milliseconds, which the service does not take, fall out of it."""
_AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,30})?")
_MOST: Final = 10**15
_OLD_NAMES: Final = {
    "user_id": names.EXTERNAL_ID,
    "user_email": names.EMAIL,
    "phone_number": names.PHONE,
    "loyalty_card": names.LOYALTY_ID,
}
_SHOWN: Final = [at.name for at in attrs.fields(Order)]
_ITEM_SHOWN: Final = [at.name for at in attrs.fields(OrderItem)]

Item = dict[str, Any]


@attrs.frozen
class Orders:
    """The orders of one shop."""

    profiles: Profiles

    def take_in(self, given: Given) -> None:
        """Add an order or change one (protocol, section 2.8)."""
        order = {_OLD_NAMES.get(name, name): value for name, value in given.items()}
        order_id = read.as_text(order.get(names.ID))
        if not order_id:
            raise Refused(422, "the order has no id")
        store, shop = self.profiles.store, self.profiles.shop
        query = "SELECT profile, body FROM orders WHERE shop = ? AND id = ?"
        found = store.execute(query, shop, order_id).fetchone()
        known: Item = found[1] if found else {}
        body = {"date": 0, "status": "created", **known, **order, names.ID: order_id}
        body["date"] = _seconds(body["date"])
        if _total(body) is None:
            raise Refused(422, "the order's value is not a number")
        if not isinstance(body["status"], str):
            raise Refused(422, "the order's status is not a text")
        body["items"] = _items_left(known.get("items", []), order.get("items"))
        owner = found[0] if found else self._buyer(order)
        # A change leaves an order's place among the others.
        store.execute(
            "INSERT INTO orders (shop, id, profile, date, body) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (shop, id) DO UPDATE SET date = excluded.date, body = excluded.body",
            *(shop, order_id, owner, body["date"], packed(body)),
        )
        location = read.as_text(order.get("location_id"))
        if location:
            self.profiles.change(owner, {"location": location})

    def _buyer(self, order: Given) -> int:
        # Here "id" is the order's: it never names the buyer.
        buyer = read.identifiers(order, names.EXTERNAL_ID)
        did = read.did(order)
        known = self.profiles.known_by(buyer)
        if known is not None:
            return known
        if buyer:
            return self.profiles.update(did, buyer)
        if did is None:
            raise Refused(422, "the order names no customer")
        return self.profiles.owner(did, "created")

    def product(self, product_id: Json) -> Json | None:
        """Return a product of the shop."""
        query = "SELECT product FROM products WHERE shop = ? AND id = ?"
        return self.profiles.store.value(query, self.profiles.shop, str(product_id))

    def last_products(self, owner: int) -> list[dict[str, Json]]:
        """Return the products of the newest order not cancelled, each once (protocol, 12)."""
        orders = [order for _, order in self._of(owner)]
        bought = [order["items"] for order in orders if _state(order) != "cancelled"]
        ids = dict.fromkeys(str(item.get(names.ID)) for items in bought[-1:] for item in items)
        return [product for one in ids if (product := self.product(one)) is not None]

    def _of(self, owner: int, since: float = 0) -> list[tuple[int, dict[str, Json]]]:
        """Return a profile's orders with the store's own numbers, oldest first."""
        query = "SELECT number, body FROM orders WHERE profile = ? AND date >= ?"
        ordered = f"{query} ORDER BY date, number"
        return self.profiles.store.execute(ordered, owner, since).fetchall()

    def history(self, owner: int, since: str | None) -> list[dict[str, Json]]:
        """Return a profile's orders, oldest first (protocol, sections 2.7 and 5.4)."""
        day = read.of_kind(Kind.DAY, names.DATE_FROM, since)
        start = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() if day else 0
        return [self._shown(number, order) for number, order in self._of(owner, start)]

    def _shown(self, number: int, order: Given) -> dict[str, Json]:
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

    def _shown_item(self, item: Item) -> dict[str, Json]:
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

    def in_full_profile(self, owner: int) -> list[dict[str, Json]]:
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
            for _, order in self._of(owner)
        ]


def _state(one: Given) -> str:
    """Return which of the three states an order or an item is in (protocol, section 5.4)."""
    return _STATES.get(str(one.get("status")).lower(), "new")


def _items_left(before: list[Item], given: Json) -> list[Item]:
    """Return an order's items after an import: what is cancelled or refunded leaves the order.

    Items that are all in force replace the ones before; with a refund among them they are a
    report about some, and the others stay.
    """
    given = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    kept = [item for item in given if _state(item) != "cancelled"]
    if given and len(kept) == len(given):
        return kept
    said = {str(item.get(names.ID)) for item in given}
    return [item for item in before if str(item.get(names.ID)) not in said] + kept


def _seconds(value: Json) -> int:
    """Return UNIX seconds, also of a text such as ``2026-05-01 12:34:56``, which is in UTC."""
    number = _number(value)
    if number is None and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            number = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    if number is None or int(number) not in _SECONDS:
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
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        value = float(value)
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    # 1e300 is a number, but no date and no price.
    return float(value) if is_number and -_MOST < value < _MOST else None
