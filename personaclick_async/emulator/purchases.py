"""Orders: taken in from imports, and shown as last orders and order histories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.people import People
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.store import Store, StoredProfile
from personaclick_async.protocol import names

_CANCELLED: Final = frozenset({"cancelled", "canceled", "refunded"})
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
        """Add an order or change one; False if it names nobody or has no id (protocol, 2.8)."""
        order = {_OLD_NAMES.get(k, _OLD_NAMES_MORE.get(k, k)): v for k, v in order.items()}
        order_id = read.as_text(order.get(names.ID))
        if not order_id:
            return False
        known = self._store.order(self._shop, order_id)
        # Here "id" is the order's: it never names the buyer.
        buyer = read.identifiers({k: v for k, v in order.items() if k != names.ID})
        did = read.as_text(order.get(names.DID))
        if known is None and not buyer and not did:
            return False
        body = {**(known or {"date": 0, "items": [], "status": "created"}), **order}
        body[names.ID] = order_id
        body["date"] = _seconds(body["date"])
        if known is None:
            body["items"] = [
                item for item in _items(body) if str(item.get("status")) not in _CANCELLED
            ]
        owner = self._buyer(buyer, did)
        cancelled = str(body.get("status")).lower() in _CANCELLED
        self._store.put_order(self._shop, owner.key, body, cancelled=cancelled)
        return True

    def _buyer(self, buyer: dict[str, str], did: str | None) -> StoredProfile:
        known = self._people.known_by(buyer)
        if known is None and buyer:
            self._people.update(did, dict(buyer))
            known = self._people.known_by(buyer)
        return known or self._people.owner(did or "")

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
            try:
                start = int(
                    datetime.combine(
                        date.fromisoformat(since), datetime.min.time(), UTC
                    ).timestamp()
                )
            except ValueError:
                raise Refused(422, "date_from is not YYYY-MM-DD") from None
        return [self._shown(number, order) for number, order in self._store.orders(key, start)]

    def _shown(self, number: int, order: Mapping[str, Json]) -> dict[str, Json]:
        value = order.get("value")
        total = value.get("total") if isinstance(value, dict) else value
        if total is None:
            total = order.get("amount", 0)
        moment = datetime.fromtimestamp(order["date"], UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "_id": number,
            names.ID: order[names.ID],
            "date": moment,
            # The SDKs say that the real answer has money as text.
            "value": f"{float(total):.2f}",
            "value_raw": f"{float(total):.2f}",
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


def _seconds(value: Json) -> int:
    if isinstance(value, int | float):
        return int(value)
    text = str(value)
    return int(text) if text.isdecimal() else 0
