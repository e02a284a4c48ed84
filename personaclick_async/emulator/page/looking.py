"""What the page shows of the store: people, devices and orders, found by any text in them."""

from __future__ import annotations

from typing import Any, Final

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.emulator.people import People
from personaclick_async.emulator.store import Store

_PROFILES: Final = """
SELECT p.profile FROM profiles AS p WHERE p.shop = :shop
AND (p.fields <> '{}' OR p.custom <> '{}'
     OR EXISTS (SELECT 1 FROM identifiers AS i WHERE i.profile = p.profile))
AND (:text = '%%' OR p.fields LIKE :text ESCAPE '!' OR p.custom LIKE :text ESCAPE '!'
     OR EXISTS (SELECT 1 FROM identifiers AS i
                WHERE i.profile = p.profile AND i.value LIKE :text ESCAPE '!')
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


class Looking:
    """Answers the page's questions, on the server's thread."""

    def __init__(self, store: Store, people: People, shop: str) -> None:
        self._store = store
        self._people = people
        self._shop = shop

    def profiles(self, text: str, most: int) -> list[Json]:
        """Give the newest profiles in which a text occurs."""
        return [self._profile(key) for (key,) in self._rows(_PROFILES, text, most)]

    def profile(self, key: int) -> dict[str, Json] | None:
        """Give all that is known of one profile: fields, devices and orders."""
        if not self._store.select("SELECT 1 FROM profiles WHERE profile = ?", (key,)):
            return None
        devices = self._store.select("SELECT did, seance FROM devices WHERE profile = ?", (key,))
        orders = [self._order(number, key, body) for number, body in self._store.orders(key)]
        return {
            **self._profile(key),
            "devices": [{"did": did, "seance": seance} for did, seance in devices],
            "orders": orders[::-1],
        }

    def devices(self, text: str, most: int) -> list[Json]:
        """Give devices in whose id a text occurs."""
        return [
            {"did": did, "profile": key, "seance": seance}
            for did, key, seance in self._rows(_DEVICES, text, most)
        ]

    def orders(self, text: str, most: int) -> list[Json]:
        """Give the newest orders in which a text occurs."""
        return [
            self._order(number, key, codec.decode(body.encode()))
            for number, key, body in self._rows(_ORDERS, text, most)
        ]

    def _profile(self, key: int) -> dict[str, Json]:
        return {"key": key, "stored": self._people.stored(self._store.profile(key))}

    def _order(self, number: int, key: int, body: dict[str, Json]) -> Json:
        names = {}
        for item in body.get("items") or []:
            product = self._store.product(self._shop, str(item.get("id")))
            names[str(item.get("id"))] = (product or {}).get("name")
        return {"number": number, "profile": key, "order": body, "products": names}

    def _rows(self, question: str, text: str, most: int) -> list[tuple[Any, ...]]:
        for special in "!%_":
            text = text.replace(special, f"!{special}")
        return self._store.select(question, {"shop": self._shop, "text": f"%{text}%", "most": most})
