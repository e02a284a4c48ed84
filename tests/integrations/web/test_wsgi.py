"""Visitors of synchronous applications: Flask and plain WSGI, under real threaded servers."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import aiohttp
import pytest
from flask import Flask, Response, request, stream_with_context
from werkzeug.serving import make_server as make_flask_server

from personaclick_async import ConfigurationError, PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.facade import create_personaclick
from personaclick_async.integrations.wsgi import (
    CookiePolicy,
    IncomingRequest,
    NoConsent,
    VisitorMiddleware,
    VisitorPolicy,
    current_user,
    current_user_or_none,
)
from tests.integrations.web.serving import browser


class ThreadedServer(socketserver.ThreadingMixIn, WSGIServer):
    """What gunicorn's threads are, in the standard library."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing to the screen."""


@contextmanager
def serving(server: Any) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def flask_shop(client: PersonaClick, policy: VisitorPolicy | None = None) -> Flask:
    personaclick = create_personaclick(client)
    app = Flask(__name__)
    app.wsgi_app = VisitorMiddleware(app.wsgi_app, client, policy=policy)  # type: ignore[method-assign]

    def number() -> Any:
        profile = personaclick("profile", "get", None, True).result(timeout=10)
        return profile["custom_properties"].get("number")

    @app.get("/static")
    def static_page() -> str:
        return "shoes"

    @app.post("/write")
    def write() -> dict[str, object]:
        wanted = int(request.args["number"])
        personaclick("profile", "set", {"number": wanted}).result(timeout=10)
        assert current_user(request.environ) is client.current_user
        return {"number": wanted}

    @app.get("/read")
    def read() -> dict[str, object]:
        return {"number": number()}

    @app.get("/coroutine")
    async def coroutine() -> dict[str, object]:
        profile = await client.profile.get(force=True)
        return {"number": profile.custom_properties.get("number")}

    @app.get("/stream")
    def stream() -> Response:
        pieces = (json.dumps({"number": number()}) + "\n" for _ in range(3))
        return Response(stream_with_context(pieces))

    return app


@asynccontextmanager
async def flask_served(
    emulator: Emulator, policy: VisitorPolicy | None = None
) -> AsyncIterator[str]:
    client = PersonaClick(
        emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url, cache=None
    )
    app = flask_shop(client, policy)
    with serving(make_flask_server("127.0.0.1", 0, app, threaded=True)) as url:
        yield url
    await client.close()


async def number_of(visitor: aiohttp.ClientSession, path: str = "/read") -> Any:
    async with visitor.get(path) as response:
        assert response.status == 200
        return json.loads((await response.text()).splitlines()[-1])["number"]


async def write(visitor: aiohttp.ClientSession, number: int) -> None:
    async with visitor.post("/write", params={"number": number}) as response:
        assert response.status == 200


async def test_a_visitor_is_the_same_one_over_requests(emulator: Emulator) -> None:
    async with flask_served(emulator) as url, browser(url) as visitor:
        await write(visitor, 7)
        assert await number_of(visitor) == 7
        assert await number_of(visitor, "/stream") == 7
        assert await number_of(visitor, "/coroutine") == 7

    assert len(emulator.requests_to("/init")) == 1


async def test_visitors_at_once_never_see_each_other(emulator: Emulator) -> None:
    async def visit(url: str, number: int) -> None:
        async with browser(url) as visitor:
            await write(visitor, number)
            assert await number_of(visitor) == number
        async with browser(url) as stranger:
            assert await number_of(stranger) is None

    async with flask_served(emulator) as url:
        await asyncio.gather(*(visit(url, number) for number in range(40)))


async def test_a_page_without_calls_costs_nothing_and_sets_nothing(emulator: Emulator) -> None:
    async with (
        flask_served(emulator) as url,
        browser(url) as visitor,
        visitor.get("/static") as response,
    ):
        assert "Set-Cookie" not in response.headers
    assert emulator.requests == []


async def test_on_arrival_a_session_is_there_before_the_view(emulator: Emulator) -> None:
    policy = VisitorPolicy(start="on arrival", start_timeout=5)
    async with flask_served(emulator, policy) as url:
        async with browser(url) as visitor, visitor.get("/static") as response:
            assert len(response.headers.getall("Set-Cookie")) == 2
            assert response.headers["Vary"] == "Cookie"
            assert response.headers["Cache-Control"] == "private"
        with emulator.fault(path="/init", status=403):
            async with browser(url) as visitor, visitor.get("/static") as response:
                assert (response.status, "Set-Cookie" in response.headers) == (200, False)


async def test_without_consent_nothing_is_asked_and_nothing_stored(emulator: Emulator) -> None:
    policy = VisitorPolicy(consent=lambda request: request.cookies.get("agreed") == "yes")
    async with flask_served(emulator, policy) as url, browser(url) as visitor:
        async with visitor.get("/read") as response:
            assert response.status == 500
        assert emulator.requests == []
        visitor.cookie_jar.update_cookies({"agreed": "yes"})
        await write(visitor, 7)


@contextmanager
def plain(
    client: PersonaClick,
    page: Callable[[Any, Callable[..., Any]], Iterable[bytes]],
    policy: VisitorPolicy | None = None,
) -> Iterator[str]:
    app = VisitorMiddleware(page, client, policy=policy)
    server = make_server("127.0.0.1", 0, app, ThreadedServer, Quiet)
    with serving(server) as url:
        yield url


async def test_a_generator_of_plain_wsgi_has_its_visitor_and_is_closed(
    client: PersonaClick, emulator: Emulator
) -> None:
    personaclick = create_personaclick(client)
    seen: list[object] = []

    def page(environ: Any, start: Callable[..., Any]) -> Iterator[bytes]:
        seen.append(environ["PATH_INFO"])
        personaclick("profile", "get").result(10)
        start("200 OK", [("Cache-Control", "public")])
        try:
            for _ in range(2):
                yield b"1" if client.current_user is current_user_or_none(environ) else b"0"
        finally:
            seen.append("closed")

    with plain(client, page) as url:
        async with browser(url) as visitor, visitor.get("/p") as response:
            assert await response.text() == "11"
            assert "Set-Cookie" not in response.headers  # everybody would get the same device
    assert seen == ["/p", "closed"]


async def test_visitors_in_turn_on_one_thread_never_see_each_other(
    client: PersonaClick, emulator: Emulator
) -> None:
    personaclick = create_personaclick(client)
    threads: set[int] = set()
    current_after: list[object] = []

    def page(environ: Any, start: Callable[..., Any]) -> list[bytes]:
        threads.add(threading.get_ident())
        user = current_user_or_none(environ)
        assert client.current_user is user
        start("200 OK", [])
        if environ["PATH_INFO"] == "/fails":
            raise ZeroDivisionError
        if user is None:
            with pytest.raises(NoConsent):
                personaclick("profile", "get").result(10)
            return [b"nobody"]
        return [personaclick("did").result(10).encode()]

    middleware = VisitorMiddleware(
        page, client, policy=VisitorPolicy(consent=lambda request: "device" in request.path)
    )

    def app(environ: Any, start: Callable[..., Any]) -> Iterator[bytes]:
        try:
            yield from middleware(environ, start)
        finally:
            current_after.append(client.current_user_or_reason)

    # This server has one thread, which serves one request after the other.
    with serving(make_server("127.0.0.1", 0, app, handler_class=Quiet)) as url:
        async with aiohttp.ClientSession(url) as browser:

            async def visit(path: str, did: str) -> str:
                headers = {"Cookie": f"personaclick_did={did}"}
                async with browser.get(path, headers=headers) as response:
                    return await response.text()

            assert await visit("/device", "adasdevice") == "adasdevice"
            assert await visit("/stranger", "adasdevice") == "nobody"
            assert await visit("/device", "evesdevice") == "evesdevice"
            assert "evesdevice" not in await visit("/fails", "evesdevice")
            assert await visit("/stranger", "evesdevice") == "nobody"
    assert len(threads) == 1
    assert current_after == [None] * 5


def test_a_request_below_a_prefix_is_whole(client: PersonaClick) -> None:
    seen: list[IncomingRequest] = []

    def consent(request: IncomingRequest) -> bool:
        seen.append(request)
        return True

    app = VisitorMiddleware(lambda *_: [], client, policy=VisitorPolicy(consent=consent))
    environ = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": "/shop", "PATH_INFO": "/caf\xc3\xa9"}
    list(app({**environ, "CONTENT_TYPE": "text/plain", "HTTP_HOST": "shop.example"}, print))
    assert seen[0].path == "/shop/café"
    assert seen[0].header_fields == [("content-type", "text/plain"), ("host", "shop.example")]


@pytest.mark.parametrize("waits", [False, True])
async def test_functions_of_the_policy_run_at_once(
    client: PersonaClick, emulator: Emulator, waits: bool
) -> None:
    failures: list[BaseException] = []

    async def identify(request: IncomingRequest) -> None:
        if waits:
            await _Never()

    def page(environ: Any, start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [])
        return [b"fine"]

    app = VisitorMiddleware(page, client, policy=VisitorPolicy(identify=identify))
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    try:
        body = app(environ, lambda *_: None)
        assert list(body) == [b"fine"]
    except ConfigurationError as error:
        failures.append(error)
    assert bool(failures) is waits


class _Never:
    def __await__(self) -> Generator[None, None, None]:
        yield None


def test_a_request_that_came_another_way_says_so(client: PersonaClick) -> None:
    with pytest.raises(ConfigurationError, match="VisitorMiddleware"):
        current_user({})
    denied = VisitorPolicy(consent=lambda _: False, cookies=CookiePolicy(device="d", session="s"))

    def page(environ: Any, start: Callable[..., Any]) -> list[bytes]:
        assert current_user_or_none(environ) is None
        with pytest.raises(NoConsent):
            current_user(environ)
        start("200 OK", [])
        return []

    said: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_COOKIE": "d=device0001"}
    list(VisitorMiddleware(page, client, policy=denied)(environ, lambda *told: said.append(told)))
    assert said[0][1][0] == ("Set-Cookie", "d=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax")
