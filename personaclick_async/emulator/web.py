"""The HTTP side: requests in, the service's answers out, with faults on the way."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from aiohttp import web
from yarl import URL

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.admin import PREFIX, Admin, read_body
from personaclick_async.emulator.faults import Fault
from personaclick_async.emulator.parameters import Refused
from personaclick_async.emulator.recording import RecordedRequest
from personaclick_async.emulator.service import Service

_ENDPOINTS: Final[Mapping[str, names.Endpoint]] = {
    endpoint.path: endpoint
    for endpoint in vars(names).values()
    if isinstance(endpoint, names.Endpoint)
}
_JSON_RANGES: Final = frozenset({"*/*", "application/*", "application/json"})
_MAX_BODY_BYTES: Final = 1024 * 1024
_LIMIT_HEADERS: Final = {"X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "39"}


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, as 127.0.0.1 is."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Front:
    """Turns HTTP into calls of the service and back."""

    def __init__(self, service: Service, *, local_only: bool) -> None:
        self._service = service
        self._recorder = service.recorder
        self._faults = service.faults
        self._admin = Admin(service)
        self._local_only = local_only

    def application(self) -> web.Application:
        """Make the web application."""
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not self._is_named(request.headers.get("Host", "")):
            # A web page elsewhere can make a browser ask a local server under a name of its own.
            return _response(403, envelope("The Host header is not this machine's"))
        if request.path.startswith(PREFIX):
            return await self._admin.answer(request)
        if request.path in ("/", PREFIX.rstrip("/")) and request.method == "GET":
            return web.Response(status=302, headers={"Location": PREFIX})
        cors = _cors(request) if self._service.settings.cors else {}
        if cors and request.method == "OPTIONS":
            return web.Response(status=204, headers=cors)
        recorded = RecordedRequest(
            request.method, request.path, dict(request.query), request.headers.copy()
        )
        self._recorder.add(recorded)
        body = b""
        try:
            response = await self._answer(request, recorded)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                body = response.body
            if not response.prepared:
                response.headers.update(cors)
            return response
        finally:
            self._recorder.end(recorded, body)

    def _is_named(self, host: str) -> bool:
        known = self._service.settings.host_names
        if not self._local_only and not known:
            return True
        try:
            name = URL.build(authority=host).host or ""
        except ValueError:
            return False
        # What stands before an @ is no part of a host's name.
        return "@" not in host and (is_loopback(name) or name in known)

    async def _answer(self, request: web.Request, recorded: RecordedRequest) -> web.StreamResponse:
        behaviour = self._service.behaviour
        fault = self._faults.strike(request.method, request.path)
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        if fault is not None and (fault.drop or fault.answers):
            with suppress(Refused):
                # What was asked for comes first, whatever is wrong with the request.
                await self._read(request, recorded)
            if fault.drop:
                return _hang_up(request)
            recorded.status = fault.status or 200
            return _faulty(fault)
        try:
            response = self._carry_out(*await self._read(request, recorded))
        except Refused as refused:
            response = self._refusal(refused)
        recorded.status = response.status
        held = self._faults.holding(request.method, request.path)
        if held is not None:
            await held.hold()
        if fault is not None and fault.truncate:
            return await _cut(request, response)
        if behaviour.limit_headers:
            response.headers.update(_LIMIT_HEADERS)
        if behaviour.compression:
            response.enable_compression()
        if not behaviour.keep_alive:
            response.force_close()
        return response

    async def _read(
        self, request: web.Request, recorded: RecordedRequest
    ) -> tuple[names.Endpoint, read.Parameters]:
        behaviour = self._service.behaviour
        endpoint = _ENDPOINTS.get(request.path)
        if endpoint is None:
            raise Refused(behaviour.path_unknown, "Not found")
        if request.method != endpoint.method:
            raise Refused(behaviour.method_wrong, "Method not allowed")
        if not _takes_json(request.headers.getall("Accept", [])):
            raise Refused(406, "Only JSON is answered")
        imports = endpoint.family is names.Family.IMPORT
        limit = self._service.settings.max_import_bytes if imports else _MAX_BODY_BYTES
        body = await read_body(request, limit, oversize=behaviour.oversize)
        recorded.size = len(body)
        query, has_body = request.query.items(), endpoint.method != "GET"
        parameters = read.from_request(
            query, request.content_type, body, has_body=has_body, twice=behaviour.parameter_twice
        )
        if has_body and not imports:
            # A copy: what came is not changed by how it is understood.
            recorded.body = dict(parameters)
        if not parameters.get(names.DID):
            # The service reads the cookie that init set where the parameter is missing (6.1).
            cookie = request.cookies.get(names.DID)
            if cookie and not read.identifiers(parameters):
                parameters[names.DID] = cookie
        return endpoint, parameters

    def _carry_out(self, endpoint: names.Endpoint, parameters: read.Parameters) -> web.Response:
        answer = self._service.answer(endpoint, parameters)
        response = _response(200, codec.encode(answer))
        if endpoint is names.INIT and self._service.behaviour.init_cookie:
            response.set_cookie(names.DID, answer[names.DID], httponly=True)
        return response

    def _refusal(self, refused: Refused) -> web.Response:
        behaviour = self._service.behaviour
        body = envelope(refused.message, refused.status, behaviour.envelope)
        response = _response(200 if behaviour.errors_at_200 else refused.status, body)
        if refused.retry_after is not None and behaviour.retry_after != "absent":
            after = str(refused.retry_after)
            if behaviour.retry_after == "date":
                moment = datetime.now(UTC) + timedelta(seconds=refused.retry_after)
                after = format_datetime(moment, usegmt=True)
            response.headers["Retry-After"] = after
        return response


def envelope(message: str, status: int = 0, kind: str = "payload") -> bytes:
    """Return the body of an error, in one of the envelopes that were seen (section 9)."""
    said: Json = {
        "payload": {names.STATUS: names.STATUS_ERROR, names.PAYLOAD: {names.MESSAGE: message}},
        "message": {names.STATUS: names.STATUS_ERROR, names.MESSAGE: message},
        "bare message": {names.MESSAGE: message},
        "numeric status": {names.STATUS: status, names.MESSAGE: message},
        "empty": None,
    }[kind]
    return b"" if said is None else codec.encode(said)


def _response(status: int, body: bytes) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


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


def _faulty(fault: Fault) -> web.Response:
    body = fault.body
    if body is None:
        body = envelope(fault.error_message or "The emulator was asked to fail")
    headers = {"Content-Type": fault.content_type}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return web.Response(body=body, status=fault.status or 200, headers=headers)


async def _cut(request: web.Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)
