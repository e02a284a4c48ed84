"""The ASGI middleware at its edges: websockets, streams, caches, and the application's life."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from personaclick_async import ClientClosed, ConfigurationError, PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.aiohttp_web import current_user as aiohttp_user
from personaclick_async.integrations.asgi import (
    LifespanMiddleware,
    VisitorMiddleware,
    VisitorPolicy,
    lifespan,
    visitor_of,
)
from tests.conftest import MakeClient
from tests.integrations.web.serving import browser, serve, serve_aiohttp
from tests.integrations.web.shops import aiohttp_shop, starlette_shop


async def test_a_response_for_shared_caches_goes_out_without_cookies(
    client: PersonaClick,
) -> None:
    async with (
        starlette_shop(client, None) as url,
        browser(url) as visitor,
        visitor.get("/public") as response,
    ):
        assert response.status == 200
        assert "Set-Cookie" not in response.headers
        assert response.headers["Cache-Control"] == "public, max-age=60"


@pytest.mark.parametrize("open_shop", [starlette_shop, aiohttp_shop])
async def test_a_websocket_knows_its_visitor_by_the_cookies_of_the_page(
    client: PersonaClick, open_shop: Any, emulator: Emulator
) -> None:
    async with open_shop(client, None) as url, browser(url) as visitor:
        await visitor.post("/write", params={"number": 7})
        async with visitor.ws_connect("/talk") as socket:
            for _ in range(2):
                await socket.send_str("who am I?")
                assert await socket.receive_json() == {"number": 7}

    assert len(emulator.devices()) == 1


@pytest.mark.parametrize("open_shop", [starlette_shop, aiohttp_shop])
async def test_a_websocket_that_begins_a_session_before_it_accepts_sets_the_cookies(
    client: PersonaClick, open_shop: Any
) -> None:
    async with open_shop(client, None) as url, browser(url) as visitor:
        async with visitor.ws_connect("/talk?begin=yes") as socket:
            await socket.send_str("who am I?")
            assert await socket.receive_json() == {"number": 1}
        async with visitor.get("/read") as response:
            assert await response.json() == {"number": 1}


@pytest.mark.parametrize("open_shop", [starlette_shop, aiohttp_shop])
async def test_a_newcomers_websocket_is_one_visitor_for_its_whole_life(
    client: PersonaClick, open_shop: Any, emulator: Emulator
) -> None:
    async with (
        open_shop(client, None) as url,
        browser(url) as visitor,
        visitor.ws_connect("/talk") as socket,
    ):
        for _ in range(3):
            await socket.send_str("who am I?")
            assert await socket.receive_json() == {"number": None}

    assert len(emulator.devices()) == 1


@pytest.mark.parametrize("open_shop", [starlette_shop, aiohttp_shop])
@pytest.mark.parametrize(
    "cookie",
    [
        b"personaclick_did=\xff\xfe\xd0\xb4",
        b"personaclick_did=" + b"a" * 3000,
        b"personaclick_did=a\tb; personaclick_sid=\t",
        b"personaclick_did",
        b"=;=;;;personaclick_did==",
        b'personaclick_did="device\\0001"',
        b"; " * 500,
    ],
)
async def test_hostile_bytes_get_a_page_and_a_device_of_their_own(
    client: PersonaClick, open_shop: Any, emulator: Emulator, cookie: bytes
) -> None:
    async with open_shop(client, None) as url:
        address = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(address[0], int(address[1]))
        writer.write(b"GET /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: ")
        writer.write(cookie + b"\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200")
    [device] = [one["did"] for one in emulator.devices()]
    assert re.search(rb"(?i)set-cookie: personaclick_did=" + str(device).encode() + b";", answer)


async def test_a_response_whose_headers_are_a_generator_keeps_them(client: PersonaClick) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await client.profile.set(gender="f")
        headers = ((name, b"1") for name in (b"x-first", b"x-second"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "headers": []}
    await VisitorMiddleware(page, client)(scope, _nothing, send)

    names = [name for name, _ in sent[0]["headers"]]
    assert names[:4] == [b"x-first", b"x-second", b"set-cookie", b"set-cookie"]


async def test_a_page_that_fails_leaves_no_visitor_behind(client: PersonaClick) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    app = VisitorMiddleware(broken, client)
    scope = {"type": "http", "path": "/", "headers": []}
    with pytest.raises(ZeroDivisionError):
        await app(scope, _nothing, _nothing)

    assert client.current_user is None
    assert visitor_of(scope).client is client


async def _nothing(*_: object) -> Any:
    raise AssertionError("not asked for")


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    """Serve requests as an application does that knows no lifespan."""
    if scope["type"] != "http":
        raise ValueError("only HTTP here")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_an_application_without_a_lifespan_has_its_client_closed(
    client: PersonaClick,
) -> None:
    app = LifespanMiddleware(VisitorMiddleware(_plain, client), client)
    async with serve(app) as url, aiohttp.ClientSession() as visitor, visitor.get(url) as response:
        assert await response.text() == "hello"
        await client.init()

    with pytest.raises(ClientClosed):
        await client.init()


async def test_the_middleware_for_visitors_closes_nothing(client: PersonaClick) -> None:
    async with serve(VisitorMiddleware(_plain, client), lifespan="off"):
        pass

    await client.init()


async def test_the_client_is_closed_before_the_server_hears_of_the_end(
    client: PersonaClick,
) -> None:
    sent: list[str] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(events)}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "lifespan.shutdown.complete":
            with pytest.raises(ClientClosed):
                await client.init()

    await LifespanMiddleware(_plain, client)({"type": "lifespan"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_failing_start_of_the_application_is_its_own(client: PersonaClick) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ZeroDivisionError

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    with pytest.raises(ZeroDivisionError):
        await LifespanMiddleware(failing, client)({"type": "lifespan"}, receive, _nothing)
    with pytest.raises(ClientClosed):
        await client.init()


async def test_the_applications_own_lifespan_lies_within_the_clients(
    client: PersonaClick,
) -> None:
    @asynccontextmanager
    async def mine(app: object) -> AsyncIterator[dict[str, str]]:
        await client.init()
        yield {"catalogue": "shoes"}
        await client.init()

    async with lifespan(client, mine)(None) as state:
        assert state == {"catalogue": "shoes"}
    with pytest.raises(ClientClosed):
        await client.init()


async def test_two_shops_in_one_application_have_a_visitor_each(
    make_client: MakeClient, emulator: Emulator
) -> None:
    one, other = make_client(), make_client()
    seen: list[object] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([one.current_user, other.current_user])
        await _plain(scope, receive, send)

    policy = VisitorPolicy(start="on arrival")
    app = VisitorMiddleware(VisitorMiddleware(page, one, policy=policy), other, policy=policy)
    async with serve(app, lifespan="off") as url, aiohttp.ClientSession() as visitor:
        await visitor.get(url)

    assert None not in seen
    assert len(set(seen)) == 2


def test_without_the_middleware_the_error_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="VisitorMiddleware"):
        visitor_of({"type": "http"})


async def test_without_setup_aiohttp_says_what_to_do() -> None:
    async def page(request: web.Request) -> web.Response:
        with pytest.raises(ConfigurationError, match="setup"):
            aiohttp_user(request)
        return web.Response(text="told")

    app = web.Application()
    app.router.add_get("/", page)
    async with serve_aiohttp(app) as url, browser(url) as visitor, visitor.get("/") as response:
        assert await response.text() == "told"
