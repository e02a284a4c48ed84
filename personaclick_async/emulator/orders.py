"""Orders: taken in from imports, and shown as last orders and order histories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import attrs

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.profiles import Profiles
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.store import Store
from personaclick_async.models.order import Order, OrderItem

_CANCELLED: Final = frozenset({"cancelled", "canceled", "refunded"})
_DONE: Final = frozenset({"delivered", "completed"})
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
_LOCATION_ID: Final = "location_id"
_LOCATION: Final = "location"
_SHOWN: Final = [at.name for at in attrs.fields(Order)]
_ITEM_SHOWN: Final = [at.name for at in attrs.fields(OrderItem)]

Item = dict[str, Any]


class Orders:
    """The orders of one shop."""

    def __init__(self, store: Store, shop: str, profiles: Profiles) -> None:
        self._store = store
        self._shop = shop
        self._profiles = profiles

    def take_in(self, given: Mapping[str, Json]) -> None:
        """Add an order or change one (protocol, section 2.8).

        :raises Refused: it names no customer, has no id, or a date or value that can't be one.
        """
        order = {_OLD_NAMES.get(name, name): value for name, value in given.items()}
        order_id = read.as_text(order.get(names.ID))
        if not order_id:
            raise Refused(422, "the order has no id")
        owner, known = self._store.order(self._shop, order_id) or (None, {})
        body = {"date": 0, "status": "created", **known, **order}
        body[names.ID] = order_id
        body["date"] = _seconds(body["date"])
        if _total(body) is None:
            raise Refused(422, "the order's value is not a number")
        if not isinstance(body["status"], str):
            raise Refused(422, "the order's status is not a text")
        owner = owner or self._buyer(order)
        if owner is None:
            raise Refused(422, "the order names no customer")
        body["items"] = _items_left(_items(known), _items(order))
        cancelled = body["status"].lower() in _CANCELLED
        self._store.put_order(self._shop, owner, body, cancelled=cancelled)
        location = read.as_text(order.get(_LOCATION_ID))
        if location:
            profile = self._store.profile(owner)
            profile.fields[_LOCATION] = location
            self._store.save(profile)

    def _buyer(self, order: Mapping[str, Json]) -> int | None:
        # Here "id" is the order's: it never names the buyer.
        buyer = read.identifiers(order, names.EXTERNAL_ID)
        did = read.did(order)
        known = self._profiles.known_by(buyer)
        if known is None and buyer:
            known = self._profiles.update(did, dict(buyer))
        if known is None and did is not None:
            known = self._profiles.owner(did)
        return None if known is None else known.key

    def last_products(self, key: int) -> list[dict[str, Json]]:
        """Return the products of the newest order not cancelled, each once (protocol, 12)."""
        order = self._store.last_order(key)
        found: dict[str, dict[str, Json]] = {}
        for item in _items(order or {}):
            product_id = str(item.get(names.ID))
            product = self._store.product(self._shop, product_id)
            if product is not None:
                found.setdefault(product_id, product)
        return list(found.values())

    def history(self, key: int, since: str | None) -> list[dict[str, Json]]:
        """Return a profile's orders, oldest first (protocol, sections 2.7 and 5.4).

        :raises Refused: ``since`` is not ``YYYY-MM-DD``.
        """
        start = 0
        if since is not None:
            first = read.day(names.DATE_FROM, since)
            start = int(datetime.combine(first, datetime.min.time(), UTC).timestamp())
        return [self._shown(number, order) for number, order in self._store.orders(key, start)]

    def _shown(self, number: int, order: Mapping[str, Json]) -> dict[str, Json]:
        total = _money(_total(order) or 0.0)
        moment = datetime.fromtimestamp(order["date"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            **{name: order.get(name) for name in _SHOWN},
            "_id": number,
            names.ID: order[names.ID],
            "date": moment,
            # The SDKs say that the real answer has money as text.
            "value": total,
            "value_raw": total,
            "internal_status": _internal_status(order),
            "stream": "default",
            "order_status": order.get("status"),
            names.CUSTOM_PROPERTIES: order.get("custom", {}),
            "items": [self._shown_item(item) for item in _items(order)],
            "history": [{"status": order.get("status"), "date": moment}],
        }

    def _shown_item(self, item: Item) -> dict[str, Json]:
        # As the official SDKs read them: a text for the amount is 0 to them, a number for a
        # price is empty (protocol, section 5.4).
        return {
            **{name: item.get(name) for name in _ITEM_SHOWN},
            "amount": _amount(item),
            "price": _money(item.get("price")),
            "original_price": _money(item.get("original_price")),
            "status": item.get("status", "created"),
            "item": self._store.product(self._shop, str(item.get(names.ID))),
        }

    def in_full_profile(self, key: int) -> list[dict[str, Json]]:
        """Return a profile's orders as the full profile shows them (protocol, section 4.2)."""
        return [
            {
                names.ID: order[names.ID],
                "value": _money(_total(order) or 0.0),
                "status": order.get("status"),
                "items": [self._profile_item(item) for item in _items(order)],
            }
            for _, order in self._store.orders(key)
        ]

    def _profile_item(self, item: Item) -> dict[str, Json]:
        product = self._store.product(self._shop, str(item.get(names.ID))) or {}
        return {
            names.ID: str(item.get(names.ID)),
            "price": item.get("price"),
            "name": product.get("name"),
            "quantity": item.get("quantity", 1),
        }


def _items(order: Mapping[str, Json]) -> list[Item]:
    items = order.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _is_off(item: Item) -> bool:
    return str(item.get("status")).lower() in _CANCELLED


def _items_left(before: list[Item], given: list[Item]) -> list[Item]:
    """Return an order's items after an import: what is cancelled or refunded leaves the order.

    Items that are all in force replace the ones before; with a refund among them they are a
    report about some, and the others stay.
    """
    off = {str(item.get(names.ID)) for item in given if _is_off(item)}
    kept = [item for item in given if not _is_off(item)]
    if given and not off:
        return kept
    new = {str(item.get(names.ID)) for item in kept}
    stay = [item for item in before if str(item.get(names.ID)) not in off | new]
    return stay + kept


def _internal_status(order: Mapping[str, Json]) -> str:
    status = str(order.get("status")).lower()
    return "cancelled" if status in _CANCELLED else "completed" if status in _DONE else "new"


def _seconds(value: Json) -> int:
    """Return UNIX seconds, also of a text such as ``2026-05-01 12:34:56``, which is in UTC."""
    number = _number(value)
    if number is None and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            number = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            number = None
    if number is None or int(number) not in _SECONDS:
        raise Refused(422, "the order's date is neither UNIX seconds nor a date")
    return int(number)


def _total(order: Mapping[str, Json]) -> float | None:
    """Return an order's value, 0 where it has none; None if that is no number."""
    value = order.get("value")
    if isinstance(value, dict):
        value = value.get("total")
    if value is None:
        value = order.get("amount")
    return 0.0 if value is None else _number(value)


def _amount(item: Item) -> int:
    number = _number(item.get("quantity", item.get("amount", 1)))
    return 1 if number is None else round(number)


def _money(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    number = _number(value)
    return None if number is None else f"{number:.2f}"


def _number(value: Json) -> float | None:
    if isinstance(value, str):
        return float(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # 1e300 is a number, but no date and no price.
    return float(value) if -_MOST < value < _MOST else None
