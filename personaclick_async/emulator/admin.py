"""The emulator's own addresses: its page, and loading, watching and steering it over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator.orders import Orders
from personaclick_async.emulator.parameters import Refused, json_lines, strict_json
from personaclick_async.emulator.service import LOADED, Service
from personaclick_async.emulator.traffic import FAULT_FIELDS, Fault, RecordedRequest
from personaclick_async.errors import ConfigurationError

PAGE: Final = {
    "": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of the page, and what they are."""
MOST_SHOWN: Final = 200
_MASKED: Final = "••••"
_PRIVATE: Final = frozenset({names.SHOP_SECRET, "authorization"})

_COUNTED: Final = ("devices", "products", "orders", "suppressed", "queue")
_SEARCHES: Final = {
    "profiles": ("profile AS key FROM known", "texts", "profile DESC"),
    "devices": ("did, profile, seance FROM devices", "did", "profile DESC, did"),
    "orders": ('number, profile, body AS "order" FROM orders', "body", "number DESC"),
    "products": ("product FROM products", "product", "id"),
}
"""What is shown, where a text is looked for, and the order."""
METHODS: Final = {
    **dict.fromkeys((*PAGE, *_SEARCHES, "stream", "status", "profile"), ("GET",)),
    **dict.fromkeys(LOADED, ("GET", "POST")),
    **dict.fromkeys(("computed", "reset"), ("POST",)),
    "requests": ("GET", "DELETE"),
    "faults": ("GET", "POST", "DELETE"),
}
"""What can be done with each address."""


class Admin:
    """Answers the addresses under ``/_emulator/``, once it is sure who asks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store
        self._shop = service.settings.shop_id
        self._profiles = service.profiles()

    def answer(self, method: str, name: str, query: Mapping[str, str], body: bytes) -> Json:
        """Carry out what is asked of an address, and return the answer, or raise Refused."""
        traffic = self._service.traffic
        match method, name:
            case "GET", "status":
                counts = sorted(traffic.counts.items(), key=str)
                answered = [
                    {"method": method, "path": path, names.STATUS: status, "count": count}
                    for (method, path, status), count in counts
                ]
                return {**self.state(), "requests": answered}
            case _, "profile":
                return self._profile(self._key(query))
            case _, "computed":
                key = self._key(query)
                computed = dict.fromkeys(self._profiles.load(key)[2])
                for blocks in _objects(body):
                    computed.update(blocks)
                self._profiles.change(key, {}, {}, computed)
                return self._profile(key)
            case "GET", "requests":
                return [shown(one) for one in traffic.latest(MOST_SHOWN)]
            case "DELETE", "requests":
                traffic.clear()
                return []
            case _, "faults":
                if method == "POST":
                    traffic.add_fault(_fault(body))
                if method == "DELETE":
                    traffic.remove_faults(query.get("number"))
                return self._shown_faults()
            case "POST", "products" | "profiles" | "orders":
                try:
                    count = self._service.load(name, _objects(body))
                except ValueError as error:
                    raise Refused(422, str(error)) from None
                return {names.STATUS: names.STATUS_SUCCESS, "count": count}
            case _, "reset":
                self._service.reset()
                return {names.STATUS: names.STATUS_SUCCESS}
        return self._search(name, query.get("search", "").strip())

    def state(self) -> dict[str, Json]:
        """Return the counts of what is stored and was ignored, and the faults."""
        ignored = self._service.ignored
        count = "SELECT count(*) FROM {} WHERE shop = ?"
        tables = {"profiles": "known", **{table: table for table in _COUNTED}}
        return {
            names.SHOP_ID: self._shop,
            "stored": {
                k: self._store.value(count.format(v), self._shop) for k, v in tables.items()
            },
            "ignored_entries": sum(ignored.values()),
            "ignored": ignored,
            "faults": self._shown_faults(),
        }

    def _search(self, kind: str, text: str) -> list[Json]:
        """Return what the shop has of a kind, the newest first, if a text occurs in it."""
        what, where, order = _SEARCHES[kind]
        query = f"SELECT {what} WHERE shop = ? AND instr(lower({where}), lower(?)) ORDER BY {order}"
        found = self._store.objects(f"{query} LIMIT ?", self._shop, text, MOST_SHOWN)
        match kind:
            case "profiles":
                return [{**one, "stored": self._profiles.everything(one["key"])} for one in found]
            case "orders":
                return [self._with_products(order) for order in found]
            case "products":
                return [one["product"] for one in found]
        return found

    def _key(self, query: Mapping[str, str]) -> int:
        known = "SELECT profile FROM profiles WHERE shop = ? AND profile = ?"
        key = self._store.value(known, self._shop, query.get("key", ""))
        if key is None:
            raise Refused(404, "no such profile")
        return int(key)

    def _profile(self, key: int) -> dict[str, Json]:
        """Return all that is known of a profile."""
        orders = 'SELECT number, profile, body AS "order" FROM orders WHERE profile = ? '
        newest = self._store.objects(orders + "ORDER BY date DESC, number DESC", key)
        devices = "SELECT did, seance FROM devices WHERE profile = ?"
        return {
            "key": key,
            "stored": self._profiles.everything(key),
            "computed": self._profiles.load(key)[2],
            "devices": self._store.objects(devices, key),
            "orders": [self._with_products(order) for order in newest],
        }

    def _with_products(self, order: dict[str, Json]) -> dict[str, Json]:
        orders = Orders(self._profiles)
        ids = [str(item.get(names.ID)) for item in order["order"]["items"]]
        return {**order, "products": {one: (orders.product(one) or {}).get("name") for one in ids}}

    def _shown_faults(self) -> list[Json]:
        shown, faults = (
            ("number", "hits", *sorted(FAULT_FIELDS)),
            self._service.traffic.faults.copy(),
        )
        return [{name: getattr(one, name) for name in shown} for one in faults]


def _fault(body: bytes) -> Fault:
    try:
        return Fault.from_json(strict_json(body))
    except ConfigurationError as error:
        raise Refused(422, str(error)) from None
    except ValueError:
        raise Refused(422, "fault: can't be read") from None


def _objects(body: bytes) -> list[dict[str, Any]]:
    try:
        if body.lstrip()[:1] != b"[":
            return list(json_lines(body.splitlines()))
        items = strict_json(body)
    except ValueError:
        raise Refused(400, "The body is neither a JSON array nor a JSON object a line") from None
    if not all(isinstance(item, dict) for item in items):
        raise Refused(400, "The body has something else than JSON objects")
    return list(items)


def shown(recorded: RecordedRequest) -> dict[str, Any]:
    """Return a request as the page shows it, without the secret."""
    as_they_are = ("number", "method", "path", "status", "size")
    return {
        **{name: getattr(recorded, name) for name in as_they_are},
        "at": recorded.at.isoformat(timespec="milliseconds"),
        "milliseconds": None if recorded.seconds is None else round(recorded.seconds * 1000, 2),
        "query": _masked(dict(recorded.query)),
        "headers": _masked(dict(recorded.headers)),
        "body": _masked(recorded.body),
        "answer": recorded.answer.decode(errors="replace"),
    }


def _masked(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {
            name: _MASKED if name.lower() in _PRIVATE else _masked(inner)
            for name, inner in value.items()
        }
    return [_masked(inner) for inner in value] if isinstance(value, list) else value
