"""The HTTP side: requests in, the service's answers out, with faults on the way."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.resources import files
from typing import Final

from aiohttp import web
from yarl import URL

from personaclick_async import codec, names
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.admin import METHODS, MOST_SHOWN, PAGE, Admin, shown
from personaclick_async.emulator.parameters import Parameters, Refused
from personaclick_async.emulator.service import LOADED, Service
from personaclick_async.emulator.traffic import Fault, RecordedRequest
from personaclick_async.names import Endpoint

Request = web.BaseRequest

_ENDPOINTS: Final = {one.path: one for one in vars(names).values() if isinstance(one, Endpoint)}
# A quality of zero means "anything but this", which no client sends of JSON.
_JSON_RANGE: Final = re.compile(r"(?i)(^|,)\s*(\*/\*|application/(\*|json))\s*(;|,|$)")
_MAX_BODY_BYTES: Final = 1024 * 1024
_PREFIX: Final = "/_emulator/"
_SMALL_BYTES: Final = 64 * 1024
_LOOK_SECONDS: Final = 0.25
_TOKEN: Final = "X-Emulator-Token"  # noqa: S105 - the header's name
_TOKEN_IN_PAGE: Final = b"{{token}}"
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


class Front:
    """Turns HTTP into calls of the service and back."""

    def __init__(self, service: Service, *, local_only: bool) -> None:
        self._service = service
        self._admin = Admin(service)
        self._token = secrets.token_urlsafe(24)
        self._local_only = local_only

    async def handle(self, request: Request) -> web.StreamResponse:
        """Answer any request."""
        if not self._is_named(request.headers.get("Host", "")):
            # A web page elsewhere can make a browser ask a local server under a name of its own.
            return _json(Refused(403, "The Host header is not this machine's").envelope(), 403)
        if request.path.startswith(_PREFIX):
            return await self._steer(request)
        if request.path in ("/", _PREFIX.rstrip("/")) and request.method == "GET":
            return web.Response(status=302, headers={"Location": _PREFIX})
        cors = {}
        if self._service.settings.cors and "Origin" in request.headers:
            # The asking page may read the answer.
            cors = {"Access-Control-Allow-Origin": request.headers["Origin"], **_CORS}
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=cors)
        recorded = RecordedRequest(
            request.method, request.path, dict(request.query), request.headers.copy()
        )
        self._service.traffic.begin(recorded)
        body = b""
        try:
            response = await self._answer(request, recorded)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                body = response.body
            if not response.prepared:
                response.headers.update(cors)
            return response
        finally:
            self._service.traffic.end(recorded, body)

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

    # The emulator's own addresses

    async def _steer(self, request: Request) -> web.StreamResponse:
        name = request.path.removeprefix(_PREFIX)
        try:
            self._check(request, name)
            if name in PAGE:
                page = files(__package__).joinpath("page", name or "page.html").read_bytes()
                page = page.replace(_TOKEN_IN_PAGE, self._token.encode())
                return web.Response(body=page, headers={**_GUARDS, "Content-Type": PAGE[name]})
            if name == "stream":
                return await self._stream(request)
            loads = request.method == "POST" and name in LOADED
            most = self._service.settings.max_import_bytes if loads else _SMALL_BYTES
            body = await _body_of(request, most)
            with self._service.store.lock:
                answer = self._admin.answer(request.method, name, request.query, body)
            response = _json(codec.encode(answer))
        except Refused as refused:
            response = _json(refused.envelope(), refused.status)
        response.headers.update(_GUARDS)
        return response

    def _check(self, request: Request, name: str) -> None:
        """Check a request before its body is read.

        Whatever changes something needs the shop's secret (``Authorization: Bearer …``), or the
        token that stands in the page. A page of another site can neither read nor send these, and
        is told nothing: its ``Origin`` is refused.
        """
        headers = request.headers
        if "Origin" in headers and headers["Origin"].partition("://")[2] != headers.get("Host"):
            raise Refused(403, "Pages of other sites may not ask")
        if name not in METHODS:
            raise Refused(404, "Not found")
        if request.method not in METHODS[name]:
            raise Refused(405, "Method not allowed")
        if request.method == "GET":
            return
        bearer = f"Bearer {self._service.settings.shop_secret}"
        if _TOKEN in headers:
            if not _is_same(headers[_TOKEN], self._token):
                raise Refused(403, "The page's token is needed: reload the page")
        elif not _is_same(headers.get("Authorization", ""), bearer):
            raise Refused(401, "Authorization: Bearer with the shop_secret is needed")

    async def _stream(self, request: Request) -> web.StreamResponse:
        """Tell a browser each request that has ended, and the faults and counts as they change."""
        response = web.StreamResponse(headers={**_GUARDS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        traffic = self._service.traffic
        seen = {one.number for one in traffic.latest(MOST_SHOWN)}
        told = b""
        with suppress(ConnectionResetError):
            while True:
                await response.write(b": still here\n\n")
                await asyncio.sleep(_LOOK_SECONDS)
                latest = traffic.latest(MOST_SHOWN)
                for recorded in reversed(latest):
                    if recorded.number not in seen:
                        await response.write(b"data: %b\n\n" % codec.encode(shown(recorded)))
                seen = {one.number for one in latest}
                with self._service.store.lock:
                    state = b"event: state\ndata: %b\n\n" % codec.encode(self._admin.state())
                if state != told:
                    told = state
                    await response.write(state)
        return response

    # The service's

    async def _answer(self, request: Request, recorded: RecordedRequest) -> web.StreamResponse:
        behaviour, traffic = self._service.behaviour, self._service.traffic
        fault = traffic.strike(request.method, request.path)
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        response = web.Response()
        try:
            endpoint, parameters = await self._read(request, recorded)
            if fault is None or not (fault.drop or fault.answers):
                answer = self._service.answer(endpoint, parameters)
                response = _json(codec.encode(answer))
                if endpoint is names.INIT and behaviour.init_cookie:
                    response.set_cookie(names.DID, answer[names.DID], httponly=True)
        except Refused as refused:
            response = self._refusal(refused)
        if fault is not None and fault.drop:
            return _hang_up(request)
        if fault is not None and fault.answers:
            # What was asked for comes first, whatever is wrong with the request.
            response = _faulty(fault)
        recorded.status = response.status
        held = traffic.holding(request.method, request.path)
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
        self, request: Request, recorded: RecordedRequest
    ) -> tuple[Endpoint, Parameters]:
        behaviour = self._service.behaviour
        endpoint = _ENDPOINTS.get(request.path)
        if endpoint is None:
            raise Refused(behaviour.path_unknown, "Not found")
        if request.method != endpoint.method:
            raise Refused(behaviour.method_wrong, "Method not allowed")
        accepted = ",".join(request.headers.getall("Accept", []))
        if accepted and not _JSON_RANGE.search(accepted):
            raise Refused(406, "Only JSON is answered")
        imports = endpoint.family is names.Family.IMPORT
        limit = self._service.settings.max_import_bytes if imports else _MAX_BODY_BYTES
        body = await _body_of(request, limit, oversize=behaviour.oversize)
        recorded.size = len(body)
        if endpoint.method == "GET":
            body = b""  # React Native sends a form's content type there
        parameters = read.from_request(
            request.query.items(), request.content_type, body, twice=behaviour.parameter_twice
        )
        if body and not imports:
            # A copy: what came is not changed by how it is understood.
            recorded.body = dict(parameters)
        cookie = request.cookies.get(names.DID)
        if cookie and not parameters.get(names.DID) and not read.identifiers(parameters):
            # The service reads the cookie that init set where the parameter is missing (6.1).
            parameters[names.DID] = cookie
        return endpoint, parameters

    def _refusal(self, refused: Refused) -> web.Response:
        behaviour, after = self._service.behaviour, refused.retry_after
        status = 200 if behaviour.errors_at_200 else refused.status
        response = _json(refused.envelope(behaviour.envelope), status)
        if after is not None and behaviour.retry_after != "absent":
            date = format_datetime(datetime.now(UTC) + timedelta(seconds=after), usegmt=True)
            response.headers["Retry-After"] = (
                date if behaviour.retry_after == "date" else str(after)
            )
        return response


async def _body_of(request: Request, limit: int, *, oversize: int = 413) -> bytes:
    """Read a request's body, but no more of it than ``limit`` bytes."""
    body, too_large = bytearray(), (request.content_length or 0) > limit
    try:
        while not too_large and (piece := await request.content.readany()):
            body += piece
            too_large = len(body) > limit
    except web.RequestPayloadError:
        raise Refused(400, "The body can not be decoded") from None
    if too_large:
        raise Refused(oversize, "The body is too large")
    return bytes(body)


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def _hang_up(request: Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _faulty(fault: Fault) -> web.Response:
    body = fault.body
    if body is None:
        body = Refused(0, fault.error_message or "The emulator was asked to fail").envelope()
    headers = {"Content-Type": fault.content_type}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return web.Response(body=body, status=fault.status or 200, headers=headers)


async def _cut(request: Request, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)
