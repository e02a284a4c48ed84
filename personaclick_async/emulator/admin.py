"""The emulator's own addresses: its page, and loading, watching and steering it over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final, NamedTuple

from aiohttp import web

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.faults import FAULT_FIELDS, Fault, Faults
from personaclick_async.emulator.imports import Item, Loader, in_slices
from personaclick_async.emulator.queries import Queries
from personaclick_async.emulator.recording import RecordedRequest, Recorder
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store
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
_MOST_WAITING: Final = 1000
_HEARTBEAT_SECONDS: Final = 1.0
_SMALL_BYTES: Final = 64 * 1024
_MASKED: Final = "••••"
_PRIVATE: Final = frozenset({names.SHOP_SECRET, "authorization"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read_body(request: web.Request, limit: int, *, oversize: int = 413) -> bytes:
    """Read a request's body, but no more of it than ``limit`` bytes.

    :raises Refused: it is larger, which its header may say before it is read, or can't be decoded.
    """
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


class Watched(NamedTuple):
    """What a running emulator is watched and steered by."""

    recorder: Recorder
    faults: Faults
    reset: Callable[[], None]


class Admin:
    """Answers the addresses under ``/_emulator/``.

    Whatever changes something needs the shop's secret (``Authorization: Bearer …``), or the token
    that stands in the page. A page of another site can neither read nor send these, and is told
    nothing: its ``Origin`` is refused.
    """

    def __init__(
        self,
        store: Store,
        service: Service,
        loader: Loader,
        settings: EmulatorSettings,
        watched: Watched,
    ) -> None:
        self._store = store
        self._service = service
        self._settings = settings
        self._recorder = watched.recorder
        self._faults = watched.faults
        self._reset = watched.reset
        self._token = secrets.token_urlsafe(24)
        self._numbers: dict[Fault, int] = {}
        queries = Queries(store, service.profiles(settings.shop_id), settings.shop_id)
        self._profile_of = queries.profile
        self._handlers: dict[tuple[str, str], Handler] = {
            ("GET", "status"): self._status,
            ("GET", "profile"): self._profile,
            ("GET", "requests"): self._requests,
            ("GET", "stream"): self._stream,
            ("GET", "profiles"): self._search(queries.profiles),
            ("GET", "devices"): self._search(queries.devices),
            ("GET", "orders"): self._search(queries.orders),
            ("GET", "products"): self._search(queries.products),
            ("GET", "faults"): self._list_faults,
            ("POST", "products"): self._load(loader.products),
            ("POST", "orders"): self._load(loader.orders),
            ("POST", "profiles"): self._load(loader.profiles),
            ("POST", "computed"): self._compute,
            ("POST", "faults"): self._add_fault,
            ("POST", "reset"): self._forget,
            ("DELETE", "faults"): self._remove_faults,
            ("DELETE", "requests"): self._clear,
            **{("GET", name): self._file for name in _FILES},
        }
        self._names = {name for _, name in self._handlers}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to one of the addresses."""
        try:
            name = self._checked(request)
            return await self._handlers[request.method, name](request)
        except Refused as refused:
            payload = {names.MESSAGE: refused.message}
            return _json({names.STATUS: names.STATUS_ERROR, names.PAYLOAD: payload}, refused.status)

    def _checked(self, request: web.Request) -> str:
        """Check a request before its body is read, and return the name that it asks for."""
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
            raise Refused(403, "Pages of other sites may not ask")
        name = request.path.removeprefix(PREFIX)
        if name not in self._names:
            raise Refused(404, "Not found")
        if (request.method, name) not in self._handlers:
            raise Refused(405, "Method not allowed")
        if request.method != "GET":
            bearer = request.headers.get("Authorization", "")
            token = request.headers.get(_TOKEN)
            if token is not None and not _is_same(token, self._token):
                raise Refused(403, "The page's token is needed: reload the page")
            if token is None and not _is_same(bearer, f"Bearer {self._settings.shop_secret}"):
                raise Refused(401, "Authorization: Bearer with the shop_secret is needed")
        return name

    async def _file(self, request: web.Request) -> web.Response:
        name, kind = _FILES[request.path.removeprefix(PREFIX)]
        body = files(__package__).joinpath("page", name).read_bytes()
        return web.Response(
            body=body.replace(_TOKEN_IN_PAGE, self._token.encode()),
            content_type=kind,
            charset="utf-8",
            headers=_GUARDS,
        )

    # Watching

    async def _status(self, _: web.Request) -> web.Response:
        counts = sorted(self._recorder.counts().items(), key=str)
        answered = [
            {"method": method, "path": path, names.STATUS: status, "count": count}
            for (method, path, status), count in counts
        ]
        return _json({**self._stored(), "requests": answered, "faults": self._shown_faults()})

    def _stored(self) -> dict[str, Json]:
        ignored = self._service.imports.ignored
        return {
            names.SHOP_ID: self._settings.shop_id,
            "stored": self._store.count_all(self._settings.shop_id),
            "ignored_entries": sum(ignored.values()),
            "ignored": ignored,
        }

    def _search(self, find: Callable[[str, int], list[Json]]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            return _json(find(request.query.get("search", "").strip(), _MOST_SHOWN))

        return answer

    async def _profile(self, request: web.Request) -> web.Response:
        return _json(self._found(request))

    def _found(self, request: web.Request) -> dict[str, Json]:
        key = request.query.get("key", "")
        found = self._profile_of(int(key)) if key.isdecimal() and len(key) < 19 else None  # noqa: PLR2004
        if found is None:
            raise Refused(404, "no such profile")
        return found

    async def _requests(self, _: web.Request) -> web.Response:
        return _json([_shown(one) for one in self._recorder.latest(_MOST_SHOWN)])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Tell a browser each request as it ends, and the faults and counts as they change."""
        response = web.StreamResponse(headers={**_GUARDS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        coming: asyncio.Queue[RecordedRequest] = asyncio.Queue(_MOST_WAITING)

        def put(recorded: RecordedRequest) -> None:
            # A browser that falls behind misses some; holding the emulator up would be worse.
            if not coming.full():
                coming.put_nowait(recorded)

        with self._recorder.listening(put), suppress(ConnectionResetError):
            await response.write(b": listening\n\n")
            told: dict[str, bytes] = {}
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_HEARTBEAT_SECONDS):
                        await response.write(_event("", _shown(await coming.get())))
                while not coming.empty():
                    await response.write(_event("", _shown(coming.get_nowait())))
                await response.write(b": still here\n\n")
                for name, value in (("faults", self._shown_faults()), ("stored", self._stored())):
                    event = _event(f"event: {name}\n", value)
                    if told.get(name) != event:
                        told[name] = event
                        await response.write(event)
        return response

    # Changing

    def _load(self, load: Callable[[Sequence[Item]], int]) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            items = _objects(await read_body(request, self._settings.max_import_bytes))
            count = 0
            for some in in_slices(items):
                try:
                    count += load(some)
                except ValueError as error:
                    raise Refused(422, str(error)) from None
                await asyncio.sleep(0)
            return _json({names.STATUS: names.STATUS_SUCCESS, "count": count})

        return answer

    async def _compute(self, request: web.Request) -> web.Response:
        """Replace what the service has computed for the profile ``?key=``."""
        found = self._found(request)
        [blocks] = _objects(await read_body(request, _SMALL_BYTES)) or [{}]
        profile = self._store.profile(found["key"])
        profile.computed = {name: value for name, value in blocks.items() if value is not None}
        with self._store.transaction():
            self._store.save(profile)
        return _json(self._found(request))

    async def _list_faults(self, _: web.Request) -> web.Response:
        return _json(self._shown_faults())

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = Fault.from_json(read.strict_json(await read_body(request, _SMALL_BYTES)))
        except ConfigurationError as error:
            raise Refused(422, str(error)) from None
        except ValueError:
            raise Refused(422, "fault: can't be read") from None
        self._faults.add(fault)
        return _json(self._shown_faults())

    async def _remove_faults(self, request: web.Request) -> web.Response:
        number = request.query.get("number")
        for fault in self._faults.in_force():
            if number is None or str(self._number(fault)) == number:
                fault.remove()
        return _json(self._shown_faults())

    async def _clear(self, _: web.Request) -> web.Response:
        self._recorder.clear()
        return _json([])

    async def _forget(self, _: web.Request) -> web.Response:
        self._reset()
        return _json({names.STATUS: names.STATUS_SUCCESS})

    def _shown_faults(self) -> list[Json]:
        faults = self._faults.in_force()
        self._numbers = {fault: self._number(fault) for fault in faults}
        return [
            {
                "number": self._number(fault),
                "hits": fault.hits,
                **{name: getattr(fault, name) for name in sorted(FAULT_FIELDS)},
            }
            for fault in faults
        ]

    def _number(self, fault: Fault) -> int:
        return self._numbers.setdefault(fault, max(self._numbers.values(), default=0) + 1)


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _objects(body: bytes) -> list[Item]:
    try:
        if body.lstrip()[:1] == b"[":
            items = read.strict_json(body)
        else:
            items = [read.strict_json(line) for line in body.splitlines() if line.strip()]
    except ValueError:
        raise Refused(400, "The body is neither a JSON array nor a JSON object a line") from None
    if not all(isinstance(item, dict) for item in items):
        raise Refused(400, "The body has something else than JSON objects")
    return list(items)


def _shown(recorded: RecordedRequest) -> dict[str, Any]:
    return {
        "number": recorded.number,
        "at": recorded.at.isoformat(timespec="milliseconds"),
        "method": recorded.method,
        "path": recorded.path,
        "status": recorded.status,
        "milliseconds": None if recorded.seconds is None else round(recorded.seconds * 1000, 2),
        "size": recorded.size,
        "query": _masked(dict(recorded.query)),
        "headers": _masked(dict(recorded.headers)),
        "body": _masked(recorded.body),
        "answer": recorded.answer.decode(errors="replace"),
    }


def _event(head: str, value: Json) -> bytes:
    return b"%bdata: %b\n\n" % (head.encode(), codec.encode(value))


def _masked(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {
            name: _MASKED if name.lower() in _PRIVATE else _masked(inner)
            for name, inner in value.items()
        }
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


def _json(value: Json, status: int = 200) -> web.Response:
    return web.Response(
        body=codec.encode(value), status=status, content_type="application/json", headers=_GUARDS
    )
