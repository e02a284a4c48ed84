"""The addresses of the page: its three files, what it shows, and what it may change."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator.admin import PREFIX
from personaclick_async.emulator.faults import Fault, Trouble
from personaclick_async.emulator.page.looking import Looking
from personaclick_async.emulator.recording import RecordedRequest, Recorder
from personaclick_async.errors import ConfigurationError

_FILES: Final = {
    PREFIX: ("page.html", "text/html"),
    f"{PREFIX}page.css": ("page.css", "text/css"),
    f"{PREFIX}page.js": ("page.js", "text/javascript"),
    f"{PREFIX}icon.svg": ("icon.svg", "image/svg+xml"),
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
_HEARTBEAT_SECONDS: Final = 15.0
_MASKED: Final = "••••"
_PRIVATE: Final = frozenset({names.SHOP_SECRET, "authorization"})
_NUMBER: Final = ((int, float), "a number")
_COUNT: Final = ((int,), "a whole number")
_SWITCH: Final = ((bool,), "true or false")
_KINDS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "probability": _NUMBER,
    "delay": _NUMBER,
    "times": _COUNT,
    "status": _COUNT,
    "retry_after": _COUNT,
    "drop": _SWITCH,
    "truncate": _SWITCH,
}
_FAULT_FIELDS: Final = frozenset({"path", "method", "error_message", *_KINDS})

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """Answers the page's addresses. Who asks by a name of this machine has been checked before.

    Whatever changes something needs the token that stands in the page, in a header. A page of
    another site can neither read that nor send it.
    """

    def __init__(
        self, looking: Looking, recorder: Recorder, trouble: Trouble, about: Mapping[str, Json]
    ) -> None:
        self._looking = looking
        self._recorder = recorder
        self._trouble = trouble
        self._about = about
        self._token = secrets.token_urlsafe(24)
        self._numbers: dict[Fault, int] = {}
        self._answers: dict[tuple[str, str], Answering] = {
            ("GET", f"{PREFIX}overview"): self._overview,
            ("GET", f"{PREFIX}profiles"): self._search(looking.profiles),
            ("GET", f"{PREFIX}devices"): self._search(looking.devices),
            ("GET", f"{PREFIX}orders"): self._search(looking.orders),
            ("GET", f"{PREFIX}profile"): self._profile,
            ("GET", f"{PREFIX}requests"): self._requests,
            ("GET", f"{PREFIX}stream"): self._stream,
            ("POST", f"{PREFIX}faults"): self._add_fault,
            ("DELETE", f"{PREFIX}faults"): self._remove_faults,
            ("DELETE", f"{PREFIX}requests"): self._clear,
        }

    def serves(self, method: str, path: str) -> bool:
        """Whether the page has such an address."""
        return (method == "GET" and path in _FILES) or (method, path) in self._answers

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to one of its addresses."""
        if request.path in _FILES:
            return self._file(request.path)
        if request.method != "GET":
            given = request.headers.get(_TOKEN, "")
            if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
                return _json({"error": "the page's token is needed: reload the page"}, 403)
        return await self._answers[request.method, request.path](request)

    def _file(self, path: str) -> web.Response:
        name, kind = _FILES[path]
        body = files(__package__).joinpath(name).read_bytes()
        return web.Response(
            body=body.replace(_TOKEN_IN_PAGE, self._token.encode()),
            content_type=kind,
            charset="utf-8",
            headers=_GUARDS,
        )

    async def _overview(self, _: web.Request) -> web.Response:
        return _json({**self._about, "faults": self._faults()})

    def _search(self, look: Callable[[str, int], list[Json]]) -> Answering:
        async def answer(request: web.Request) -> web.Response:
            return _json(look(request.query.get("search", "").strip(), _MOST_SHOWN))

        return answer

    async def _profile(self, request: web.Request) -> web.Response:
        key = request.query.get("key", "")
        found = self._looking.profile(int(key)) if key.isdecimal() and len(key) < 19 else None  # noqa: PLR2004
        return _json(found) if found else _json({"error": "no such profile"}, 404)

    async def _requests(self, _: web.Request) -> web.Response:
        return _json([_shown(one) for one in self._recorder.latest(_MOST_SHOWN)])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**_GUARDS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        coming: asyncio.Queue[RecordedRequest] = asyncio.Queue(_MOST_WAITING)

        def put(recorded: RecordedRequest) -> None:
            # A browser that falls behind misses some; holding the emulator up would be worse.
            if not coming.full():
                coming.put_nowait(recorded)

        with self._recorder.listening(put):
            await response.write(b": listening\n\n")
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT_SECONDS):
                        some = [await coming.get()]
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                while not coming.empty():
                    some.append(coming.get_nowait())
                for one in some:
                    await response.write(b"data: " + codec.encode(_shown(one)) + b"\n\n")

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            wanted = codec.decode(await request.read())
            if not isinstance(wanted, dict) or not wanted.keys() <= _FAULT_FIELDS:
                return _json({"error": f"fault: takes {', '.join(sorted(_FAULT_FIELDS))}"}, 422)
            fault = Fault(**_checked(wanted))
        except (ConfigurationError, ValueError) as error:
            said = str(error) if isinstance(error, ConfigurationError) else "fault: can't be read"
            return _json({"error": said}, 422)
        self._trouble.add(fault)
        return _json(self._faults())

    async def _remove_faults(self, request: web.Request) -> web.Response:
        number = request.query.get("number")
        for fault in self._trouble.faults():
            if number is None or str(self._number(fault)) == number:
                fault.remove()
        return _json(self._faults())

    async def _clear(self, _: web.Request) -> web.Response:
        self._recorder.clear()
        return _json([])

    def _faults(self) -> Json:
        faults = self._trouble.faults()
        self._numbers = {fault: self._number(fault) for fault in faults}
        return [
            {
                "number": self._number(fault),
                "hits": fault.hits,
                **{name: getattr(fault, name) for name in sorted(_FAULT_FIELDS)},
            }
            for fault in faults
        ]

    def _number(self, fault: Fault) -> int:
        return self._numbers.setdefault(fault, max(self._numbers.values(), default=0) + 1)


def _checked(wanted: dict[str, Json]) -> dict[str, Any]:
    """Check what the rules of a fault take for granted: that each value is of its kind."""
    given = {name: value for name, value in wanted.items() if value is not None}
    for name, value in given.items():
        kinds, said = _KINDS.get(name, ((str,), "a text"))
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigurationError(f"{name}: expected {said}")
    return given


def _shown(recorded: RecordedRequest) -> Json:
    return {
        "number": recorded.number,
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


def _masked(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            name: _MASKED if name.lower() in _PRIVATE else _masked(inner)
            for name, inner in value.items()
        }
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


def _json(value: Json, status: int = 200) -> web.Response:
    return web.Response(
        body=codec.encode(value), status=status, content_type="application/json", headers=_GUARDS
    )
