"""The emulator's own addresses: its page, and loading, watching and steering it over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator.faults import FAULT_FIELDS, Fault
from personaclick_async.emulator.orders import Orders
from personaclick_async.emulator.parameters import Refused, strict_json
from personaclick_async.emulator.recording import RecordedRequest
from personaclick_async.emulator.service import LOADED, Service
from personaclick_async.errors import ConfigurationError

PREFIX: Final = "/_emulator/"

_FILES: Final = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
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
_TOKEN_IN_PAGE: Final = b"{{token}}"
_MOST_SHOWN: Final = 200
_LOOK_SECONDS: Final = 0.25
_SMALL_BYTES: Final = 64 * 1024
_MASKED: Final = "••••"
_PRIVATE: Final = frozenset({names.SHOP_SECRET, "authorization"})
_SUCCESS: Final = {names.STATUS: names.STATUS_SUCCESS}

_COUNTED: Final = {"profiles": "known"} | {
    table: table for table in ("devices", "products", "orders", "suppressed", "queue")
}
_SEARCHES: Final = {
    # What is shown, of which table, where a text occurs in it, and the order.
    "profiles": ("profile", "known", "texts", "profile DESC"),
    "devices": ("did, profile, seance", "devices", "did", "profile DESC, did"),
    "orders": ("number, profile, body", "orders", "body", "number DESC"),
    "products": ("product", "products", "product", "id"),
}
_METHODS: Final = {
    **dict.fromkeys((*_FILES, *_SEARCHES, "stream", "status", "profile"), ("GET",)),
    **dict.fromkeys(LOADED, ("GET", "POST")),
    **dict.fromkeys(("computed", "reset"), ("POST",)),
    "requests": ("GET", "DELETE"),
    "faults": ("GET", "POST", "DELETE"),
}
"""What can be done with each address."""


async def read_body(request: web.BaseRequest, limit: int, *, oversize: int = 413) -> bytes:
    """Read a request's body, but no more of it than ``limit`` bytes."""
    too_large = Refused(oversize, "The body is too large")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > limit:
                raise too_large
    except web.RequestPayloadError:
        raise Refused(400, "The body can not be decoded") from None
    return bytes(body)


class Admin:
    """Answers the addresses under ``/_emulator/``.

    Whatever changes something needs the shop's secret (``Authorization: Bearer …``), or the token
    that stands in the page. A page of another site can neither read nor send these, and is told
    nothing: its ``Origin`` is refused.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = service.store
        self._profiles = service.profiles()
        self._orders = Orders(self._profiles)
        self._recorder = service.recorder
        self._faults = service.faults
        self._token = secrets.token_urlsafe(24)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to one of the addresses."""
        method, name = request.method, request.path.removeprefix(PREFIX)
        try:
            self._check(request, name)
            if name in _FILES:
                file, kind = _FILES[name]
                body = files(__package__).joinpath("page", file).read_bytes()
                return _response(body.replace(_TOKEN_IN_PAGE, self._token.encode()), kind)
            if name == "stream":
                return await self._stream(request)
            loads = method == "POST" and name in LOADED
            most = self._service.settings.max_import_bytes if loads else _SMALL_BYTES
            body = await read_body(request, most)
            if loads:
                return _response(codec.encode(await self._load(name, body)))
            with self._store.lock:
                return _response(codec.encode(self._answer(method, name, request.query, body)))
        except Refused as refused:
            return _response(refused.envelope(), status=refused.status)

    def _answer(self, method: str, name: str, query: Mapping[str, str], body: bytes) -> Json:
        match method, name:
            case "GET", "status":
                return self._status()
            case "GET", "profile":
                return self._profile(self._key(query))
            case "POST", "computed":
                return self._compute(self._key(query), body)
            case "GET", "requests":
                return [_shown(one) for one in self._recorder.latest(_MOST_SHOWN)]
            case "DELETE", "requests":
                self._recorder.clear()
                return []
            case _, "faults":
                if method == "POST":
                    self._faults.add(_fault(body))
                if method == "DELETE":
                    self._faults.remove(query.get("number"))
                return self._shown_faults()
            case "POST", "reset":
                self._service.reset()
                return _SUCCESS
        return self._search(name, query.get("search", "").strip())

    def _check(self, request: web.BaseRequest, name: str) -> None:
        """Check a request before its body is read."""
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
            raise Refused(403, "Pages of other sites may not ask")
        if name not in _METHODS:
            raise Refused(404, "Not found")
        if request.method not in _METHODS[name]:
            raise Refused(405, "Method not allowed")
        if request.method != "GET":
            bearer = request.headers.get("Authorization", "")
            token = request.headers.get(_TOKEN)
            secret = self._service.settings.shop_secret
            if token is not None and not _is_same(token, self._token):
                raise Refused(403, "The page's token is needed: reload the page")
            if token is None and not _is_same(bearer, f"Bearer {secret}"):
                raise Refused(401, "Authorization: Bearer with the shop_secret is needed")

    # Watching

    def _status(self) -> Json:
        counts = sorted(self._recorder.counts.items(), key=str)
        answered = [
            {"method": method, "path": path, names.STATUS: status, "count": count}
            for (method, path, status), count in counts
        ]
        return {**self._stored(), "requests": answered, "faults": self._shown_faults()}

    def _stored(self) -> dict[str, Json]:
        shop, ignored = self._service.settings.shop_id, self._service.ignored
        count = "SELECT count(*) FROM {} WHERE shop = ?"
        return {
            names.SHOP_ID: shop,
            "stored": {
                name: self._store.value(count.format(table), shop)
                for name, table in _COUNTED.items()
            },
            "ignored_entries": sum(ignored.values()),
            "ignored": ignored,
        }

    def _search(self, kind: str, text: str) -> list[Json]:
        """Return what the shop has of a kind, the newest first, if a text occurs in it."""
        shown: dict[str, Callable[..., Json]] = {
            "profiles": self._shown_profile,
            "devices": lambda did, key, seance: {"did": did, "profile": key, "seance": seance},
            "orders": self._shown_order,
            "products": lambda product: product,
        }
        columns, table, where, order = _SEARCHES[kind]
        found = self._store.execute(
            f"SELECT {columns} FROM {table} WHERE shop = ? AND "  # noqa: S608 - names of our own
            f"instr(lower({where}), lower(?)) ORDER BY {order} LIMIT ?",
            *(self._service.settings.shop_id, text, _MOST_SHOWN),
        )
        return [shown[kind](*row) for row in found.fetchall()]

    def _profile(self, key: int) -> dict[str, Json]:
        devices = self._store.execute("SELECT did, seance FROM devices WHERE profile = ?", key)
        orders = [self._shown_order(number, key, body) for number, body in self._orders.of(key)]
        return {
            **self._shown_profile(key),
            "computed": self._profiles.load(key)[2],
            "devices": [{"did": did, "seance": seance} for did, seance in devices],
            "orders": orders[::-1],
        }

    def _key(self, query: Mapping[str, str]) -> int:
        known = "SELECT profile FROM profiles WHERE shop = ? AND profile = ?"
        key = self._store.value(known, self._service.settings.shop_id, query.get("key", ""))
        if key is None:
            raise Refused(404, "no such profile")
        return int(key)

    def _shown_profile(self, key: int) -> dict[str, Json]:
        return {"key": key, "stored": self._profiles.everything(key)}

    def _shown_order(self, number: int, key: int, body: dict[str, Json]) -> Json:
        ids = [str(item.get(names.ID)) for item in body.get("items") or []]
        products = {one: (self._orders.product(one) or {}).get("name") for one in ids}
        return {"number": number, "profile": key, "order": body, "products": products}

    def _shown_faults(self) -> list[Json]:
        shown = ("number", "hits", *sorted(FAULT_FIELDS))
        return [{name: getattr(one, name) for name in shown} for one in self._faults.in_force()]

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell a browser each request that has ended, and the faults and counts as they change."""
        response = web.StreamResponse(headers={**_GUARDS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        seen = self._recorder.ended
        told: dict[str, bytes] = {}
        with suppress(ConnectionResetError):
            while True:
                await response.write(b": still here\n\n")
                await asyncio.sleep(_LOOK_SECONDS)
                ended = self._recorder.ended
                for recorded in reversed(self._recorder.latest(ended - seen)):
                    await response.write(_event("", _shown(recorded)))
                seen = ended
                with self._store.lock:
                    stored = self._stored()
                for name, value in (("faults", self._shown_faults()), ("stored", stored)):
                    event = _event(f"event: {name}\n", value)
                    if told.get(name) != event:
                        told[name] = event
                        await response.write(event)
        return response

    # Changing

    async def _load(self, kind: str, body: bytes) -> Json:
        count = 0
        try:
            for taken in self._service.load(kind, _objects(body)):
                count += taken
                await asyncio.sleep(0)  # requests are answered in between
        except ValueError as error:
            raise Refused(422, str(error)) from None
        return {**_SUCCESS, "count": count}

    def _compute(self, key: int, body: bytes) -> Json:
        """Replace what the service has computed for a profile."""
        computed = dict.fromkeys(self._profiles.load(key)[2])
        for blocks in _objects(body):
            computed.update(blocks)
        self._profiles.change(key, computed=computed)
        return self._profile(key)


def _fault(body: bytes) -> Fault:
    try:
        return Fault.from_json(strict_json(body))
    except ConfigurationError as error:
        raise Refused(422, str(error)) from None
    except ValueError:
        raise Refused(422, "fault: can't be read") from None


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _objects(body: bytes) -> list[dict[str, Any]]:
    try:
        if body.lstrip()[:1] == b"[":
            items = strict_json(body)
        else:
            items = [strict_json(line) for line in body.splitlines() if line.strip()]
    except ValueError:
        raise Refused(400, "The body is neither a JSON array nor a JSON object a line") from None
    if not all(isinstance(item, dict) for item in items):
        raise Refused(400, "The body has something else than JSON objects")
    return list(items)


def _shown(recorded: RecordedRequest) -> dict[str, Any]:
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


def _event(head: str, value: Json) -> bytes:
    return b"%bdata: %b\n\n" % (head.encode(), codec.encode(value))


def _response(body: bytes, kind: str = "application/json", status: int = 200) -> web.Response:
    # The page and what it reads are UTF-8, as the type of JSON implies.
    return web.Response(
        body=body, status=status, content_type=kind, charset="utf-8", headers=_GUARDS
    )
