"""The HTTP side: requests in, the service's answers out, with faults on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import web
from yarl import URL

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.admin import PREFIX, Admin, Watched, read_body
from personaclick_async.emulator.behaviour import Behaviour
from personaclick_async.emulator.faults import Fault
from personaclick_async.emulator.recording import RecordedRequest
from personaclick_async.emulator.refusals import Quota, Refused, envelope
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import EmulatorSettings, is_loopback

_ENDPOINTS: Final[Mapping[str, names.Endpoint]] = {
    endpoint.path: endpoint
    for endpoint in vars(names).values()
    if isinstance(endpoint, names.Endpoint)
}
_JSON_RANGES: Final = frozenset({"*/*", "application/*", "application/json"})
_MAX_BODY_BYTES: Final = 1024 * 1024
_LIMIT_HEADERS: Final = {"X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "39"}


class Front:
    """Turns HTTP into calls of the service and back."""

    def __init__(
        self,
        service: Service,
        admin: Admin,
        settings: EmulatorSettings,
        behaviour: Behaviour,
        watched: Watched,
        *,
        local_only: bool,
    ) -> None:
        clock = asyncio.get_running_loop().time
        self._service = service
        self._admin = admin
        self._settings = settings
        self._behaviour = behaviour
        self._recorder = watched.recorder
        self._faults = watched.faults
        self._local_only = local_only
        over = behaviour.over_limit
        self._imports = Quota(settings.import_limit, settings.import_window, clock, status=over)
        self._others = Quota(settings.request_limit, settings.request_window, clock, status=over)

    def application(self) -> web.Application:
        """Make the web application."""
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    def forget(self) -> None:
        """Start with empty windows."""
        self._imports.forget()
        self._others.forget()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not self._is_named(request.headers.get("Host", "")):
            # A web page elsewhere can make a browser ask a local server under a name of its own.
            return _text_response(envelope("The Host header is not this machine's"), 403)
        if request.path.startswith(PREFIX):
            return await self._admin.answer(request)
        if request.path in ("/", PREFIX.rstrip("/")) and request.method == "GET":
            return web.Response(status=302, headers={"Location": PREFIX})
        cors = self._settings.cors and _cors(request)
        if cors and request.method == "OPTIONS":
            return web.Response(status=204, headers=cors)
        recorded = RecordedRequest(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=request.headers.copy(),
        )
        self._recorder.add(recorded)
        body = b""
        try:
            response = await self._answer(request, recorded, cors or {})
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                body = response.body
            return response
        finally:
            self._recorder.end(recorded, body)

    def _is_named(self, host: str) -> bool:
        known = self._settings.host_names
        if not self._local_only and not known:
            return True
        try:
            name = URL.build(authority=host).host or ""
        except ValueError:
            return False
        # What stands before an @ is no part of a host's name.
        return "@" not in host and (is_loopback(name) or name in known)

    async def _answer(
        self, request: web.Request, recorded: RecordedRequest, headers: dict[str, str]
    ) -> web.StreamResponse:
        fault = self._faults.strike(request.method, request.path)
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        cookies: Mapping[str, str] = {}
        if fault is not None and (fault.answers or fault.drop):
            await self._record_body(request, recorded)
            if fault.drop:
                return _hang_up(request)
            return _faulty(fault, recorded, headers)
        try:
            answer, cookies = await self._call(request, recorded)
            status, body = 200, codec.encode(answer)
        except Refused as refused:
            status, body, more = refused.answer(self._behaviour)
            headers = {**headers, **more}
        recorded.status = status
        held = self._faults.holding(request.method, request.path)
        if held is not None:
            await held.hold()
        if fault is not None and fault.truncate:
            return await _cut(request, status, body)
        if self._behaviour.limit_headers:
            headers = {**headers, **_LIMIT_HEADERS}
        response = _text_response(body, status, headers)
        for name, value in cookies.items():
            response.set_cookie(name, value, httponly=True)
        if self._behaviour.compression:
            response.enable_compression()
        if not self._behaviour.keep_alive:
            response.force_close()
        return response

    async def _call(
        self, request: web.Request, recorded: RecordedRequest
    ) -> tuple[Json, Mapping[str, str]]:
        behaviour = self._behaviour
        endpoint = _ENDPOINTS.get(request.path)
        if endpoint is None:
            raise Refused(behaviour.path_unknown, "Not found")
        if request.method != endpoint.method:
            raise Refused(behaviour.method_wrong, "Method not allowed")
        if not _takes_json(request.headers.getall("Accept", [])):
            raise Refused(406, "Only JSON is answered")
        imports = endpoint.family is names.Family.IMPORT
        limit = self._settings.max_import_bytes if imports else _MAX_BODY_BYTES
        body = await read_body(request, limit, oversize=behaviour.oversize)
        recorded.size = len(body)
        parameters = read.from_request(
            request.query.items(),
            request.content_type,
            body,
            has_body=endpoint.method != "GET",
            twice=behaviour.parameter_twice,
        )
        if not imports:
            # A copy: what came is not changed by how it is understood.
            recorded.body = dict(parameters) if endpoint.method != "GET" else None
        if not parameters.get(names.DID):
            # The service reads the cookie that init set where the parameter is missing (6.1).
            cookie = request.cookies.get(names.DID)
            if cookie and not read.identifiers(parameters):
                parameters[names.DID] = cookie
        shop = self._service.shop_of(endpoint, parameters)
        (self._imports if imports else self._others).take(shop)
        return self._service.answer(endpoint, shop, parameters)

    async def _record_body(self, request: web.Request, recorded: RecordedRequest) -> None:
        endpoint = _ENDPOINTS.get(request.path)
        try:
            body = await read_body(request, self._settings.max_import_bytes)
            recorded.size = len(body)
            if body and endpoint is not None and endpoint.family is not names.Family.IMPORT:
                recorded.body = read.from_request((), request.content_type, body, has_body=True)
        except Refused:
            # The fault that was asked for comes first, whatever is wrong with the request.
            return


def _text_response(
    body: bytes, status: int, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=body, status=status, content_type="application/json", charset="utf-8", headers=headers
    )


def _cors(request: web.Request) -> dict[str, str]:
    """Return the headers that let the asking page read the answer; none for a plain request."""
    origin = request.headers.get("Origin")
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": "Content-Type",
        "Vary": "Origin",
    }


def _takes_json(accepts: Iterable[str]) -> bool:
    ranges = [one.partition(";") for line in accepts for one in line.split(",") if one.strip()]
    # A quality of zero means "anything but this", which no client sends of JSON.
    return not ranges or any(kind.strip().lower() in _JSON_RANGES for kind, _, _ in ranges)


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _faulty(fault: Fault, recorded: RecordedRequest, headers: Mapping[str, str]) -> web.Response:
    recorded.status = status = fault.status or 200
    body = fault.body
    if body is None:
        body = envelope(fault.error_message or "The emulator was asked to fail")
    if fault.retry_after is not None:
        headers = {**headers, "Retry-After": str(fault.retry_after)}
    return web.Response(
        body=body, status=status, headers={**headers, "Content-Type": fault.content_type}
    )


async def _cut(request: web.Request, status: int, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)
