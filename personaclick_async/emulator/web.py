"""The HTTP side: requests in, the service's answers out, with faults on the way."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

import attrs
from aiohttp import web
from yarl import URL

from personaclick_async import codec, names
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import JsonObject, Refused
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.traffic import Fault, RecordedRequest
from personaclick_async.names import Endpoint

Request = web.BaseRequest

PREFIX: Final = "/_emulator/"
_ENDPOINTS: Final = {one.path: one for one in vars(names).values() if isinstance(one, Endpoint)}
# A quality of zero means "anything but this", which no client sends of JSON.
_JSON_RANGE: Final = re.compile(r"(?i)(^|,)\s*(\*/\*|application/(\*|json))\s*(;|,|$)")
_MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_RECORDED_BYTES: Final = 64 * 1024
_LIMIT_HEADERS: Final = {"X-RateLimit-Limit": "40", "X-RateLimit-Remaining": "39"}
_CORS: Final = {
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Content-Type",
    "Vary": "Origin",
}


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, as 127.0.0.1 is."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@attrs.define(eq=False, repr=False)
class Front:
    """Turns HTTP into calls of the service and back."""

    service: Service
    admin: Callable[[Request], Awaitable[web.StreamResponse]]  # answers below PREFIX
    own_names: frozenset[str] | None  # to answer to beside loopback addresses; None for any

    async def handle(self, request: Request) -> web.StreamResponse:
        """Answer any request."""
        if not self._is_own_name(request.headers.get("Host", "")):
            # A web page elsewhere can make a browser ask a local server under a name of its own.
            return json_response(Refused(403, "The Host is not this machine's").envelope(), 403)
        if request.path.startswith(PREFIX):
            return await self.admin(request)
        if request.path in ("/", PREFIX.rstrip("/")) and request.method in ("GET", "HEAD"):
            return web.Response(status=302, headers={"Location": PREFIX})
        cors = {}
        if self.service.settings.cors and "Origin" in request.headers:
            # The asking page may read the answer.
            cors = {"Access-Control-Allow-Origin": request.headers["Origin"], **_CORS}
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=cors)
        query, headers = dict(request.query), request.headers.copy()
        recorded = RecordedRequest(request.method, request.path, query, headers)
        self.service.traffic.begin(recorded)
        try:
            response = await self._answer(request, recorded)
        finally:
            self.service.traffic.end(recorded)
        if not response.prepared:
            response.headers.update(cors)
        return response

    def _is_own_name(self, host: str) -> bool:
        if self.own_names is None:
            return True
        try:
            name = URL.build(authority=host).host or ""
        except ValueError:
            return False
        # What stands before an @ is no part of a host's name.
        return "@" not in host and (is_loopback(name) or name in self.own_names)

    async def _answer(self, request: Request, recorded: RecordedRequest) -> web.StreamResponse:
        behaviour, traffic = self.service.behaviour, self.service.traffic
        fault = traffic.strike(request.method, request.path)
        if fault and fault.delay:
            await asyncio.sleep(fault.delay)
        response = web.Response()
        try:
            endpoint, parameters = await self._read(request, recorded)
            if not (fault and (fault.drop or fault.answers)):
                answer = self.service.answer(endpoint, parameters)
                response = json_response(codec.encode(answer))
                if endpoint is names.INIT and behaviour.init_cookie:
                    response.set_cookie(names.DID, answer[names.DID], httponly=True)
        except Refused as refused:
            response = self._refusal(refused)
        if fault and fault.drop:
            return _hang_up(request)
        if fault and fault.answers:
            # The injected answer replaces a refusal, too.
            response = _injected(fault)
        recorded.status = response.status
        if isinstance(response.body, bytes):
            recorded.answer = response.body[:_MAX_RECORDED_BYTES]
        for held in traffic.holds.copy():
            await held.hold(request.method, request.path)
        if fault and fault.truncate:
            return await _truncated(request, recorded)
        if behaviour.limit_headers:
            response.headers.update(_LIMIT_HEADERS)
        if behaviour.compression:
            response.enable_compression()
        if not behaviour.keep_alive:
            response.force_close()
        return response

    async def _read(self, request: Request, record: RecordedRequest) -> tuple[Endpoint, JsonObject]:
        behaviour = self.service.behaviour
        endpoint = _ENDPOINTS.get(request.path)
        if endpoint is None:
            raise Refused(behaviour.path_unknown, "Not found")
        if request.method != endpoint.method:
            raise Refused(behaviour.method_wrong, "Method not allowed")
        accepted = ",".join(request.headers.getall("Accept", []))
        if accepted and not _JSON_RANGE.search(accepted):
            raise Refused(406, "Only JSON is answered")
        imports = endpoint.family is names.Family.IMPORT
        limit = self.service.settings.max_import_bytes if imports else _MAX_BODY_BYTES
        body = await body_of(request, limit, oversize=behaviour.oversize)
        record.size = len(body)
        if endpoint.method == "GET":
            body = b""  # React Native sends a form's content type there
        parameters = read.from_request(
            request.query.items(), request.content_type, body, twice=behaviour.parameter_twice
        )
        if body and not imports:
            # A copy: what came is not changed by how it is understood.
            record.body = dict(parameters)
        cookie = request.cookies.get(names.DID)
        is_back_office = names.SHOP_SECRET in parameters and read.identifiers(parameters)
        if cookie and not parameters.get(names.DID) and not is_back_office:
            # The service reads the cookie that init set where the parameter is missing (6.1).
            parameters[names.DID] = cookie
        return endpoint, parameters

    def _refusal(self, refused: Refused) -> web.Response:
        behaviour, wait = self.service.behaviour, refused.retry_after
        status = 200 if behaviour.errors_at_200 else refused.status
        response = json_response(refused.envelope(behaviour.envelope), status)
        if wait is not None and behaviour.retry_after != "absent":
            date = format_datetime(datetime.now(UTC) + timedelta(seconds=wait), usegmt=True)
            response.headers["Retry-After"] = date if behaviour.retry_after == "date" else str(wait)
        return response


async def body_of(request: Request, limit: int, *, oversize: int = 413) -> bytes:
    """Read a request's body, but no more of it than ``limit`` bytes."""
    body, too_large = bytearray(), (request.content_length or 0) > limit
    if not too_large and request.headers.get("Expect", "").lower() == "100-continue":
        # curl, and with it PHP, waits a second for this before it sends a large body.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        while not too_large and (piece := await request.content.readany()):
            body += piece
            too_large = len(body) > limit
    except web.RequestPayloadError:
        raise Refused(400, "The body can not be decoded") from None
    if too_large:
        raise Refused(oversize, "The body is too large")
    return bytes(body)


def json_response(body: bytes, status: int = 200) -> web.Response:
    """Make a response of JSON."""
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def _hang_up(request: Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _injected(fault: Fault) -> web.Response:
    body = fault.body
    if body is None:
        body = Refused(0, fault.error_message or "The emulator was asked to fail").envelope()
    headers = {"Content-Type": fault.content_type}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return web.Response(body=body, status=fault.status or 200, headers=headers)


async def _truncated(request: Request, recorded: RecordedRequest) -> web.StreamResponse:
    response = web.StreamResponse(status=recorded.status or 200)
    response.content_type = "application/json"
    response.content_length = len(recorded.answer)
    await response.prepare(request)
    await response.write(recorded.answer[: len(recorded.answer) // 2])
    return _hang_up(request)
