"""What the page shows of the store: profiles, devices, orders and products, found by any text."""

from __future__ import annotations

from typing import Any, Final

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.emulator.profiles import Profiles
from personaclick_async.emulator.store import Store

_PROFILES: Final = """
SELECT p.profile FROM profiles AS p WHERE p.shop = :shop
AND (p.fields <> '{}' OR p.custom <> '{}' OR p.computed <> '{}'
     OR EXISTS (SELECT 1 FROM identifiers AS i WHERE i.profile = p.profile))
AND (:text = '%%' OR p.fields LIKE :text ESCAPE '!' OR p.custom LIKE :text ESCAPE '!'
     OR p.computed LIKE :text ESCAPE '!'
     OR EXISTS (SELECT 1 FROM identifiers AS i
                WHERE i.profile = p.profile AND i.shown LIKE :text ESCAPE '!')
     OR EXISTS (SELECT 1 FROM devices AS d
                WHERE d.profile = p.profile AND d.did LIKE :text ESCAPE '!'))
ORDER BY p.profile DESC LIMIT :most
"""
_DEVICES: Final = """
SELECT did, profile, seance FROM devices WHERE shop = :shop
AND did LIKE :text ESCAPE '!' ORDER BY profile DESC, did LIMIT :most
"""
_ORDERS: Final = """
SELECT number, profile, body FROM orders WHERE shop = :shop
AND (:text = '%%' OR body LIKE :text ESCAPE '!') ORDER BY number DESC LIMIT :most
"""
_PRODUCTS: Final = """
SELECT product FROM products WHERE shop = :shop
AND (:text = '%%' OR product LIKE :text ESCAPE '!') ORDER BY id LIMIT :most
"""


class Queries:
    """Runs the page's searches, on the server's thread."""

    def __init__(self, store: Store, profiles: Profiles, shop: str) -> None:
        self._store = store
        self._profiles = profiles
        self._shop = shop

    def profiles(self, text: str, most: int) -> list[Json]:
        """Return the newest profiles in which a text occurs."""
        return [self._profile(key) for (key,) in self._rows(_PROFILES, text, most)]

    def profile(self, key: int) -> dict[str, Json] | None:
        """Return all that is known of one profile: fields, computed blocks, devices and orders."""
        if not self._store.select("SELECT 1 FROM profiles WHERE profile = ?", (key,)):
            return None
        devices = self._store.select("SELECT did, seance FROM devices WHERE profile = ?", (key,))
        orders = [self._order(number, key, body) for number, body in self._store.orders(key)]
        return {
            **self._profile(key),
            "computed": self._store.profile(key).computed,
            "devices": [{"did": did, "seance": seance} for did, seance in devices],
            "orders": orders[::-1],
        }

    def devices(self, text: str, most: int) -> list[Json]:
        """Return devices in whose id a text occurs."""
        return [
            {"did": did, "profile": key, "seance": seance}
            for did, key, seance in self._rows(_DEVICES, text, most)
        ]

    def orders(self, text: str, most: int) -> list[Json]:
        """Return the newest orders in which a text occurs."""
        return [
            self._order(number, key, codec.decode(body.encode()))
            for number, key, body in self._rows(_ORDERS, text, most)
        ]

    def products(self, text: str, most: int) -> list[Json]:
        """Return products in which a text occurs."""
        rows = self._rows(_PRODUCTS, text, most)
        return [codec.decode(product.encode()) for (product,) in rows]

    def _profile(self, key: int) -> dict[str, Json]:
        return {"key": key, "stored": self._profiles.stored(self._store.profile(key))}

    def _order(self, number: int, key: int, body: dict[str, Json]) -> Json:
        names = {}
        for item in body.get("items") or []:
            product = self._store.product(self._shop, str(item.get("id")))
            names[str(item.get("id"))] = (product or {}).get("name")
        return {"number": number, "profile": key, "order": body, "products": names}

    def _rows(self, query: str, text: str, most: int) -> list[tuple[Any, ...]]:
        for special in "!%_":
            text = text.replace(special, f"!{special}")
        return self._store.select(query, {"shop": self._shop, "text": f"%{text}%", "most": most})
