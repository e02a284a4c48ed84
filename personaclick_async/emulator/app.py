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
from personaclick_async.emulator.addresses import is_loopback
from personaclick_async.emulator.admin import PREFIX, Admin
from personaclick_async.emulator.faults import Fault, Trouble
from personaclick_async.emulator.page.routes import Page
from personaclick_async.emulator.quota import Quota
from personaclick_async.emulator.recording import RecordedRequest, Recorder
from personaclick_async.emulator.refusals import Refused, envelope
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import EmulatorSettings

_ENDPOINTS: Final[Mapping[str, names.Endpoint]] = {
    endpoint.path: endpoint
    for endpoint in vars(names).values()
    if isinstance(endpoint, names.Endpoint)
}
_JSON_RANGES: Final = frozenset({"*/*", "application/*", "application/json"})
_MAX_BODY_BYTES: Final = 1024 * 1024


class Front:
    """Turns HTTP into calls of the service and back."""

    def __init__(
        self,
        service: Service,
        admin: Admin,
        page: Page,
        settings: EmulatorSettings,
        *,
        recorder: Recorder,
        trouble: Trouble,
        local_only: bool,
    ) -> None:
        clock = asyncio.get_running_loop().time
        self._service = service
        self._admin = admin
        self._page = page
        self._settings = settings
        self._recorder = recorder
        self._trouble = trouble
        self._local_only = local_only
        self._imports = Quota(settings.import_limit, settings.import_window, clock)
        self._others = Quota(settings.request_limit, settings.request_window, clock)
        self.import_came = asyncio.Event()

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
        if request.path.startswith(PREFIX):
            return await self._administer(request)
        if request.path == PREFIX.rstrip("/"):
            return web.Response(status=308, headers={"Location": PREFIX})
        recorded = RecordedRequest(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=request.headers.copy(),
        )
        self._recorder.add(recorded)
        body = b""
        try:
            response = await self._answer(request, recorded)
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                body = response.body
            return response
        finally:
            self._recorder.end(recorded, body)

    async def _administer(self, request: web.Request) -> web.StreamResponse:
        status = 200
        try:
            self._check_host(request)
            if self._page.serves(request.method, request.path):
                return await self._page.answer(request)
            authorization = request.headers.get("Authorization", "")
            self._admin.check(request.method, request.path, authorization)
            body = await _body(request, self._settings.max_import_bytes)
            answer = await self._admin.answer(request.path, body)
        except Refused as refused:
            answer, status = envelope(refused.message), refused.status
        return web.Response(
            body=codec.encode(answer), status=status, content_type="application/json"
        )

    async def _answer(self, request: web.Request, recorded: RecordedRequest) -> web.StreamResponse:
        fault = self._trouble.strike(request.method, request.path)
        if fault is not None and fault.delay:
            await asyncio.sleep(fault.delay)
        cookies: Mapping[str, str] = {}
        headers: dict[str, str] = {}
        try:
            self._check_host(request)
            if fault is not None and (fault.answers or fault.drop):
                await self._record_body(request, recorded)
                if fault.drop:
                    return _hang_up(request)
                return _faulty(fault, recorded)
            body, cookies = await self._call(request, recorded)
            status = 200
        except Refused as refused:
            body, status = envelope(refused.message), refused.status
            if refused.retry_after is not None:
                headers["Retry-After"] = str(refused.retry_after)
        recorded.status = status
        held = self._trouble.holding(request.method, request.path)
        if held is not None:
            await held.hold()
        if fault is not None and fault.truncate:
            return await _cut(request, status, codec.encode(body))
        response = web.Response(
            body=codec.encode(body),
            status=status,
            content_type="application/json",
            charset="utf-8",
            headers=headers,
        )
        for name, value in cookies.items():
            response.set_cookie(name, value, httponly=True)
        return response

    async def _call(
        self, request: web.Request, recorded: RecordedRequest
    ) -> tuple[Json, Mapping[str, str]]:
        endpoint = _ENDPOINTS.get(request.path)
        if endpoint is None:
            raise Refused(404, "Not found")
        if request.method != endpoint.method:
            raise Refused(405, "Method not allowed")
        if not _takes_json(request.headers.getall("Accept", [])):
            raise Refused(406, "Only JSON is answered")
        imports = endpoint.family is names.Family.IMPORT
        limit = self._settings.max_import_bytes if imports else _MAX_BODY_BYTES
        body = await _body(request, limit)
        recorded.size = len(body)
        parameters = read.from_request(
            request.query.items(),
            request.content_type,
            body,
            has_body=endpoint.method != "GET",
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
        if imports:
            answer = self._service.queue(endpoint, shop, parameters)
            self.import_came.set()
            return answer, {}
        return self._service.answer(endpoint, shop, parameters)

    async def _record_body(self, request: web.Request, recorded: RecordedRequest) -> None:
        endpoint = _ENDPOINTS.get(request.path)
        try:
            body = await _body(request, self._settings.max_import_bytes)
            recorded.size = len(body)
            if body and endpoint is not None and endpoint.family is not names.Family.IMPORT:
                recorded.body = read.from_request((), request.content_type, body, has_body=True)
        except Refused:
            # The fault that was asked for comes first, whatever is wrong with the request.
            return

    def _check_host(self, request: web.Request) -> None:
        # A web page elsewhere can make a browser ask a local server under a name of its own.
        if self._local_only and not _names_this_machine(request.headers.get("Host", "")):
            raise Refused(403, "The Host header is not this machine's")


async def _body(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > limit:
                raise Refused(413, "The body is too large")
    except web.RequestPayloadError:
        raise Refused(400, "The body can not be decoded") from None
    return bytes(body)


def _takes_json(accepts: Iterable[str]) -> bool:
    ranges = [one.partition(";") for line in accepts for one in line.split(",") if one.strip()]
    # A quality of zero says «anything but this»; nobody sends that of JSON.
    return not ranges or any(kind.strip().lower() in _JSON_RANGES for kind, _, _ in ranges)


def _names_this_machine(host: str) -> bool:
    try:
        return is_loopback(URL.build(authority=host).host or "")
    except ValueError:
        return False


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _faulty(fault: Fault, recorded: RecordedRequest) -> web.Response:
    recorded.status = status = fault.status or 200
    body = fault.body
    if body is None:
        body = codec.encode(envelope(fault.error_message or "The emulator was asked to fail"))
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return web.Response(
        body=body, status=status, headers={**headers, "Content-Type": fault.content_type}
    )


async def _cut(request: web.Request, status: int, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)
