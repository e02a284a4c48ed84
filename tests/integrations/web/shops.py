"""One shop in each framework, with the same pages; what they promise is tested on all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import django
import litestar
from aiohttp import web
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path
from fastapi import BackgroundTasks, FastAPI
from litestar.background_tasks import BackgroundTask as LitestarTask
from litestar.params import FromQuery
from litestar.response import Stream
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from personaclick_async import PersonaClick
from personaclick_async.integrations import aiohttp_web
from personaclick_async.integrations.django import LifespanMiddleware
from personaclick_async.integrations.django import current_user as django_user
from personaclick_async.integrations.fastapi import (
    Client,
    CurrentUser,
    CurrentUserOrNone,
    VisitorMiddleware,
    lifespan,
)
from personaclick_async.integrations.litestar import Client as LitestarClient
from personaclick_async.integrations.litestar import CurrentUser as LitestarUser
from personaclick_async.integrations.litestar import CurrentUserOrNone as LitestarUserOrNone
from personaclick_async.integrations.litestar import PersonaClickPlugin
from personaclick_async.integrations.visitors import VisitorPolicy
from tests.integrations.web.serving import serve, serve_aiohttp

Open: TypeAlias = Callable[[PersonaClick, VisitorPolicy | None], AbstractAsyncContextManager[str]]


class Work:
    """The shop's pages, framework apart; every one asks the client, none is told the visitor."""

    def __init__(self, client: PersonaClick) -> None:
        self.client = client
        self.done_in_background: asyncio.Queue[object] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()

    async def write(self, number: str) -> dict[str, Any]:
        await self.client.profile.set(custom={"number": int(number)})
        return {"number": int(number)}

    async def read(self) -> dict[str, Any]:
        profile = await self.client.profile.get(force=True)
        return {"number": profile.custom_properties.get("number")}

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield json.dumps(await self.read()).encode() + b"\n"

    async def in_background(self) -> None:
        self.done_in_background.put_nowait((await self.read())["number"])


works: dict[int, Work] = {}
"""The shop of each client, for Django, whose views are found by the process's settings."""


@asynccontextmanager
async def starlette_shop(client: PersonaClick, policy: VisitorPolicy | None) -> AsyncIterator[str]:
    work = works[id(client)] = Work(client)

    async def static(request: Request) -> PlainTextResponse:
        return PlainTextResponse("shoes", headers={"Cache-Control": "no-cache"})

    async def write(request: Request) -> JSONResponse:
        return JSONResponse(await work.write(request.query_params["number"]))

    async def read(request: Request) -> JSONResponse:
        return JSONResponse(await work.read(), background=BackgroundTask(work.in_background))

    async def public(request: Request) -> JSONResponse:
        return JSONResponse(await work.read(), headers={"Cache-Control": "public, max-age=60"})

    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(work.pieces())

    async def talk(socket: WebSocket) -> None:
        if "begin" in socket.query_params:
            await work.write("1")
        await socket.accept()
        async for _ in socket.iter_text():
            await socket.send_json(await work.read())

    app = Starlette(
        routes=[
            Route("/static", static),
            Route("/write", write, methods=["POST"]),
            Route("/read", read),
            Route("/public", public),
            Route("/stream", stream),
            WebSocketRoute("/talk", talk),
        ],
        lifespan=lifespan(client),
    )
    app.add_middleware(VisitorMiddleware, client=client, policy=policy)
    async with serve(app) as url:
        yield url


@asynccontextmanager
async def fastapi_shop(client: PersonaClick, policy: VisitorPolicy | None) -> AsyncIterator[str]:
    work = works[id(client)] = Work(client)
    app = FastAPI(lifespan=lifespan(client))
    app.add_middleware(VisitorMiddleware, client=client, policy=policy)

    @app.get("/static")
    async def static(someone: CurrentUserOrNone) -> str:
        return "shoes"

    @app.post("/write")
    async def write(number: str, visitor: CurrentUser, given: Client) -> dict[str, Any]:
        assert given is client
        assert visitor is client.current_user
        return await work.write(number)

    @app.get("/read")
    async def read(tasks: BackgroundTasks) -> dict[str, Any]:
        tasks.add_task(work.in_background)
        return await work.read()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(work.pieces())

    async with serve(app) as url:
        yield url


@asynccontextmanager
async def litestar_shop(client: PersonaClick, policy: VisitorPolicy | None) -> AsyncIterator[str]:
    work = works[id(client)] = Work(client)

    @litestar.get("/static")
    async def static(current_user_or_none: LitestarUserOrNone) -> str:
        return "shoes"

    @litestar.post("/write")
    async def write(
        number: FromQuery[str], current_user: LitestarUser, personaclick: LitestarClient
    ) -> dict[str, Any]:
        assert personaclick is client
        assert current_user is client.current_user
        return await work.write(number)

    @litestar.get("/read")
    async def read() -> litestar.Response[dict[str, Any]]:
        return litestar.Response(
            await work.read(),
            background=LitestarTask(work.in_background),
        )

    @litestar.get("/stream")
    async def stream() -> Stream:
        return Stream(work.pieces())

    app = litestar.Litestar(
        route_handlers=[static, write, read, stream],
        plugins=[PersonaClickPlugin(client, policy=policy)],
        logging_config=None,
    )
    async with serve(app) as url:
        yield url


def _work() -> Work:
    return works[id(settings.PERSONACLICK_CLIENT)]


async def _django_static(request: HttpRequest) -> HttpResponse:
    return HttpResponse("shoes")


async def _django_write(request: HttpRequest) -> HttpResponse:
    assert django_user(request) is _work().client.current_user
    return JsonResponse(await _work().write(request.GET["number"]))


async def _django_read(request: HttpRequest) -> HttpResponse:
    work = _work()
    answer = await work.read()
    # Django has no tasks of a response; an application starts its own.
    work.tasks.add(asyncio.create_task(work.in_background()))
    return JsonResponse(answer)


async def _django_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_work().pieces())


urlpatterns = [
    path("static", _django_static),
    path("write", _django_write),
    path("read", _django_read),
    path("stream", _django_stream),
]

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["personaclick_async.integrations.django.VisitorMiddleware"],
    )
    django.setup()


@asynccontextmanager
async def django_shop(client: PersonaClick, policy: VisitorPolicy | None) -> AsyncIterator[str]:
    works[id(client)] = Work(client)
    with override_settings(PERSONACLICK_CLIENT=client, PERSONACLICK_POLICY=policy):
        app = LifespanMiddleware(get_asgi_application(), client)
        async with serve(app) as url:
            yield url


@asynccontextmanager
async def aiohttp_shop(client: PersonaClick, policy: VisitorPolicy | None) -> AsyncIterator[str]:
    work = works[id(client)] = Work(client)

    async def static(request: web.Request) -> web.Response:
        return web.Response(text="shoes")

    async def write(request: web.Request) -> web.Response:
        assert aiohttp_web.current_user(request) is client.current_user
        assert request.app[aiohttp_web.CLIENT] is client
        return web.json_response(await work.write(request.query["number"]))

    async def read(request: web.Request) -> web.Response:
        answer = web.json_response(await work.read())
        work.tasks.add(asyncio.create_task(work.in_background()))
        return answer

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for piece in work.pieces():
            await response.write(piece)
        return response

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        if "begin" in request.query:
            await work.write("1")
        await socket.prepare(request)
        async for _ in socket:
            await socket.send_json(await work.read())
        return socket

    app = web.Application()
    aiohttp_web.setup(app, client, policy=policy)
    app.add_routes(
        [
            web.get("/static", static),
            web.post("/write", write),
            web.get("/read", read),
            web.get("/stream", stream),
            web.get("/talk", talk),
        ]
    )
    async with serve_aiohttp(app) as url:
        yield url


SHOPS: dict[str, Open] = {
    "starlette": starlette_shop,
    "fastapi": fastapi_shop,
    "litestar": litestar_shop,
    "django": django_shop,
    "aiohttp.web": aiohttp_shop,
}
