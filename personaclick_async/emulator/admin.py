"""The emulator's own addresses: its page, and the HTTP interface to load and control it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Final

import attrs
from aiohttp import web

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator.goods import Goods
from personaclick_async.emulator.parameters import (
    Refused,
    from_request,
    json_objects,
    strict_json,
)
from personaclick_async.emulator.service import DONE, LOADED, Service
from personaclick_async.emulator.traffic import FAULT_FIELDS, Fault, RecordedRequest
from personaclick_async.emulator.web import PREFIX, Request, body_of, json_response

_PAGE: Final = {
    "": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_GUARDS: Final = {
    # Nothing from elsewhere, nothing inline: what a profile holds can't become code.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_TOKEN: Final = "X-Emulator-Token"  # noqa: S105 - the header's name
_MAX_BODY_BYTES: Final = 64 * 1024
_POLL_SECONDS: Final = 0.25
_MOST_SHOWN: Final = 200
_MASKED: Final = "••••"
_PRIVATE: Final = frozenset({names.SHOP_SECRET, "authorization"})

_LISTS: Final = {
    "profiles": ("profile AS key FROM known", "texts", "profile DESC"),
    "devices": ("did, profile, seance FROM devices", "did", "profile DESC, did"),
    "orders": ('number, profile, body AS "order" FROM orders', "body", "number DESC"),
    "products": ("product FROM products", "product", "id"),
}
"""By kind: the columns and table, the searched text, and the order."""
_CONTROLS: Final = ("stream", "status", "profile", "computed", "reset", "requests", "faults")
_ADDRESSES: Final = {*_PAGE, *_LISTS, *_CONTROLS}


class Admin:
    """Answers the addresses under ``/_emulator/``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store
        self._traffic = service.traffic
        self._profiles = service.profiles()
        self._shop = self._profiles.shop
        self._token = secrets.token_urlsafe(24)

    async def answer(self, request: Request) -> web.StreamResponse:
        """Answer a request."""
        name = request.path.removeprefix(PREFIX)
        method = "GET" if request.method == "HEAD" else request.method
        try:
            self._check(request)
            if (request.method, name) == ("GET", "stream"):
                return await self._stream(request)
            if method == "GET" and name in _PAGE:
                page = files(__package__).joinpath("page", name or "page.html").read_bytes()
                page = page.replace(b"{{token}}", self._token.encode())
                response = web.Response(body=page, content_type=_PAGE[name], charset="utf-8")
            else:
                loads = method == "POST" and name in LOADED
                most = self._service.settings.max_import_bytes if loads else _MAX_BODY_BYTES
                body = await body_of(request, most)
                with self._store.lock:
                    answer = self._carry_out(method, name, request.query, body)
                response = json_response(codec.encode(answer))
        except ValueError as error:
            # Such as a fault's ConfigurationError.
            refused = error if isinstance(error, Refused) else Refused(422, str(error))
            response = json_response(refused.envelope(), refused.status)
        response.headers.update(_GUARDS)
        return response

    def _check(self, request: Request) -> None:
        """Check a request before its body is read.

        Changes need the shop's secret (``Authorization: Bearer …``) or the token in the page,
        which pages of other sites can't read; a request with another site's ``Origin`` is refused.
        """
        headers = request.headers
        if "Origin" in headers and headers["Origin"].partition("://")[2] != headers.get("Host"):
            raise Refused(403, "Pages of other sites may not ask")
        if request.method in ("GET", "HEAD"):
            return
        bearer = f"Bearer {self._service.settings.shop_secret}"
        if _TOKEN in headers:
            if not _is_same(headers[_TOKEN], self._token):
                raise Refused(403, "The page's token is needed: reload the page")
        elif not _is_same(headers.get("Authorization", ""), bearer):
            raise Refused(401, "Authorization: Bearer with the shop_secret is needed")

    async def _stream(self, request: Request) -> web.StreamResponse:
        """Send a browser each request that has ended, and the faults and counts as they change."""
        response = web.StreamResponse(headers={**_GUARDS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = {one.number for one in self._traffic.latest(_MOST_SHOWN)}
        sent = b""
        with suppress(ConnectionResetError):
            while True:
                await response.write(b": still here\n\n")
                await asyncio.sleep(_POLL_SECONDS)
                latest = self._traffic.latest(_MOST_SHOWN)
                for recorded in reversed(latest):
                    if recorded.number not in seen:
                        await response.write(b"data: %b\n\n" % codec.encode(_shown(recorded)))
                seen = {one.number for one in latest}
                with self._store.lock:
                    state = b"event: state\ndata: %b\n\n" % codec.encode(self._state())
                if state != sent:
                    sent = state
                    await response.write(state)
        return response

    def _carry_out(self, method: str, name: str, query: Mapping[str, str], body: bytes) -> Json:
        match method, name:
            case "GET", "status":
                answered = [
                    {"method": verb, "path": path, names.STATUS: status, "count": count}
                    for (verb, path, status), count in sorted(self._traffic.counts.items(), key=str)
                ]
                return {**self._state(), "requests": answered}
            case "GET", "profile":
                return self._profile(self._key(query))
            case "POST", "computed":
                key = self._key(query)
                before = dict.fromkeys(self._profiles.load(key)[2])
                given = from_request((), "application/json", body)
                self._profiles.change(key, {}, {}, before | given)
                return self._profile(key)
            case "GET" | "DELETE", "requests":
                if method == "DELETE":
                    self._traffic.clear_requests()
                return [_shown(one) for one in self._traffic.latest(_MOST_SHOWN)]
            case "GET" | "POST" | "DELETE", "faults":
                if method == "POST":
                    self._traffic.add_fault(Fault.from_json(strict_json(body)))
                if method == "DELETE":
                    for fault in self._traffic.faults.copy():
                        if query.get("number") in (None, str(fault.number)):
                            fault.remove()
                return self._faults()
            case "POST", "products" | "profiles" | "orders":
                return {**DONE, "count": self._service.load(name, json_objects(body))}
            case "POST", "reset":
                self._service.reset()
                return DONE
            case "GET", "profiles" | "devices" | "orders" | "products":
                where = f"shop = ? AND instr(lower({_LISTS[name][1]}), lower(?))"
                return self._listed(name, where, self._shop, query.get("search", "").strip())
        if name in _ADDRESSES:
            raise Refused(405, "Method not allowed")
        raise Refused(404, "Not found")

    def _state(self) -> dict[str, Json]:
        """Return the counts of what is stored and was ignored, and the faults."""
        ignored = dict(self._store.execute("SELECT reason, count FROM ignored"))
        counts = self._store.execute("SELECT * FROM counts WHERE shop = ?", self._shop)
        stored = dict(counts.fetchone())
        return {
            names.SHOP_ID: stored.pop("shop"),
            "stored": stored,
            "ignored_entries": sum(ignored.values()),
            "ignored": ignored,
            "faults": self._faults(),
        }

    def _faults(self) -> list[Json]:
        shown = ("number", "hits", *FAULT_FIELDS)
        faults = self._traffic.faults.copy()
        return [{name: getattr(one, name) for name in shown} for one in faults]

    def _listed(self, kind: str, where: str, *values: object) -> list[Json]:
        """Return the newest rows of a kind that meet a condition."""
        what, _, order = _LISTS[kind]
        query = f"SELECT {what} WHERE {where} ORDER BY {order} LIMIT {_MOST_SHOWN}"
        found: list[Json] = [dict(row) for row in self._store.execute(query, *values)]
        match kind:
            case "profiles":
                return [{**one, "stored": self._profiles.everything(one["key"])} for one in found]
            case "products":
                return [one["product"] for one in found]
            case "orders":
                goods = Goods(self._profiles)
                for one in found:
                    ids = [str(item.get(names.ID)) for item in one["order"]["items"]]
                    one["products"] = {of: (goods.product(of) or {}).get("name") for of in ids}
        return found

    def _key(self, query: Mapping[str, str]) -> int:
        known = "SELECT profile FROM profiles WHERE shop = ? AND profile = ?"
        key = self._store.value(known, self._shop, query.get("key", ""))
        if key is None:
            raise Refused(404, "no such profile")
        return int(key)

    def _profile(self, key: int) -> Json:
        return {
            "key": key,
            "stored": self._profiles.everything(key),
            "computed": self._profiles.load(key)[2],
            "devices": self._listed("devices", "profile = ?", key),
            "orders": self._listed("orders", "profile = ?", key),
        }


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _shown(recorded: RecordedRequest) -> Json:
    """Return a request as the page shows it, without the secret."""
    return _masked(
        {
            **attrs.asdict(recorded, recurse=False),
            "at": recorded.at.isoformat(timespec="milliseconds"),
            "milliseconds": round((recorded.seconds or 0) * 1000, 2),
            "answer": recorded.answer.decode(errors="replace"),
        }
    )


def _masked(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {
            name: _MASKED if name.lower() in _PRIVATE else _masked(inner)
            for name, inner in value.items()
        }
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # a header's bytes can be no text
    return [_masked(inner) for inner in value] if isinstance(value, list) else value
