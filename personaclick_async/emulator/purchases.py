"""Orders: taken in from imports, and shown as last orders and order histories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.people import People
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.store import Store

_CANCELLED: Final = frozenset({"cancelled", "canceled", "refunded"})
_SECONDS: Final = range(10**11)
"""Dates up to the year 5138: milliseconds, which the service does not take, fall out of it."""
_AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,30})?")
_MOST: Final = 10**15
_OLD_NAMES: Final = {"user_id": names.EXTERNAL_ID, "user_email": names.EMAIL}
_OLD_NAMES_MORE: Final = {"phone_number": names.PHONE, "loyalty_card": names.LOYALTY_ID}
_SHOWN: Final = (
    "location_id",
    "promocode",
    "offline",
    "delivery_date",
    "channel",
    "tax_free",
    "delivery_type",
    "delivery_address",
    "payment_type",
    "bank_issuer",
    "bank_pos_processor",
    "bank_loyalty_program",
    "bank_total_installment",
    "payment_card_provider",
    "gift_package",
    "payment_structure",
)
_ITEM_SHOWN: Final = (
    "original_price",
    "discount_product",
    "discount_coupon",
    "discount_bonuses",
    "delivery_company",
    "barcode",
    "line_id",
    "cancel_reason",
)


class Purchases:
    """The orders of one shop."""

    def __init__(self, store: Store, shop: str, people: People) -> None:
        self._store = store
        self._shop = shop
        self._people = people

    def take_in(self, order: Mapping[str, Json]) -> bool:
        """Add an order or change one (protocol, section 2.8).

        :returns: False if it names nobody, has no id, or a date or value that can't be one.
        """
        order = {_OLD_NAMES.get(k, _OLD_NAMES_MORE.get(k, k)): v for k, v in order.items()}
        order_id = read.as_text(order.get(names.ID))
        if not order_id:
            return False
        known = self._store.order(self._shop, order_id)
        # Here "id" is the order's: it never names the buyer.
        buyer = read.identifiers({k: v for k, v in order.items() if k != names.ID})
        body = {**(known or {"date": 0, "items": [], "status": "created"}), **order}
        body[names.ID] = order_id
        body["date"] = _seconds(body["date"])
        if body["date"] is None or _total(body) is None or not isinstance(body["status"], str):
            return False
        if known is not None:
            owner = self._store.order_owner(self._shop, order_id)
        else:
            try:
                owner = self._buyer(buyer, read.did(order))
            except Refused:
                return False
        if owner is None:
            return False
        if known is None:
            body["items"] = [
                item for item in _items(body) if str(item.get("status")) not in _CANCELLED
            ]
        cancelled = body["status"].lower() in _CANCELLED
        self._store.put_order(self._shop, owner, body, cancelled=cancelled)
        return True

    def _buyer(self, buyer: dict[str, str], did: str | None) -> int | None:
        known = self._people.known_by(buyer)
        if known is None and buyer:
            known = self._people.update(did, dict(buyer))
        if known is None and did is not None:
            known = self._people.owner(did)
        return None if known is None else known.key

    def last_products(self, key: int) -> list[dict[str, Json]]:
        """Give the products of the newest order not cancelled, each once (protocol, 12)."""
        order = self._store.last_order(key)
        found: dict[str, dict[str, Json]] = {}
        for item in _items(order or {}):
            product_id = str(item.get(names.ID))
            product = self._store.product(self._shop, product_id)
            if product is not None:
                found.setdefault(product_id, product)
        return list(found.values())

    def history(self, key: int, since: str | None) -> list[dict[str, Json]]:
        """Give a profile's orders, oldest first (protocol, sections 2.7 and 5.4).

        :raises Refused: ``since`` is not ``YYYY-MM-DD``.
        """
        start = 0
        if since is not None:
            first = read.day(names.DATE_FROM, since)
            start = int(datetime.combine(first, datetime.min.time(), UTC).timestamp())
        return [self._shown(number, order) for number, order in self._store.orders(key, start)]

    def _shown(self, number: int, order: Mapping[str, Json]) -> dict[str, Json]:
        total = f"{_total(order) or 0.0:.2f}"
        moment = datetime.fromtimestamp(order["date"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "_id": number,
            names.ID: order[names.ID],
            "date": moment,
            # The SDKs say that the real answer has money as text.
            "value": total,
            "value_raw": total,
            "internal_status": "new",
            "stream": "default",
            "order_status": order.get("status"),
            **{name: order.get(name) for name in _SHOWN},
            names.CUSTOM_PROPERTIES: order.get("custom", {}),
            "items": [self._shown_item(item) for item in _items(order)],
            "history": [{"status": order.get("status"), "date": moment}],
        }

    def _shown_item(self, item: Mapping[str, Json]) -> dict[str, Json]:
        return {
            "amount": str(item.get("quantity", item.get("amount", 1))),
            "price": item.get("price"),
            "status": item.get("status", "created"),
            **{name: item.get(name) for name in _ITEM_SHOWN},
            "item": self._store.product(self._shop, str(item.get(names.ID))),
        }

    def in_full_profile(self, key: int) -> list[dict[str, Json]]:
        """Give a profile's orders as the full profile shows them (protocol, section 4.2)."""
        return [
            {
                names.ID: order[names.ID],
                "value": self._shown(number, order)["value"],
                "status": order.get("status"),
                "items": [self._profile_item(item) for item in _items(order)],
            }
            for number, order in self._store.orders(key)
        ]

    def _profile_item(self, item: Mapping[str, Json]) -> dict[str, Json]:
        product = self._store.product(self._shop, str(item.get(names.ID))) or {}
        return {
            names.ID: str(item.get(names.ID)),
            "price": item.get("price"),
            "name": product.get("name"),
            "quantity": item.get("quantity", 1),
        }


def _items(order: Mapping[str, Json]) -> list[dict[str, Any]]:
    items = order.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _seconds(value: Json) -> int | None:
    number = _number(value)
    return int(number) if number is not None and int(number) in _SECONDS else None


def _total(order: Mapping[str, Json]) -> float | None:
    """Give an order's value, 0 where it has none; None if that is no number."""
    value = order.get("value")
    if isinstance(value, dict):
        value = value.get("total")
    if value is None:
        value = order.get("amount")
    return 0.0 if value is None else _number(value)


def _number(value: Json) -> float | None:
    if isinstance(value, str):
        return float(value) if _AMOUNT.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # 1e300 is a number, but nobody's date and nobody's price.
    return float(value) if -_MOST < value < _MOST else None
