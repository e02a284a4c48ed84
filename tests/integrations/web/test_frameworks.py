"""What is special to one framework: imports, Django under WSGI, refusals as the shop words them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client as Browser
from django.test.utils import override_settings
from django.urls import path
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from personaclick_async import ConfigurationError, PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.integrations import aiohttp_web
from personaclick_async.integrations.django import current_user, current_user_or_none, get_client
from personaclick_async.integrations.fastapi import (
    CurrentUser,
    NoConsent,
    VisitorMiddleware,
    VisitorPolicy,
)
from tests.conftest import MakeClient
from tests.integrations.web import shops
from tests.integrations.web.serving import browser, serve, serve_aiohttp


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("module", "framework"),
    [("fastapi", "fastapi"), ("litestar", "litestar"), ("django", "django")],
)
def test_a_framework_that_is_not_there_is_named_with_its_extra(module: str, framework: str) -> None:
    done = run(
        f"import sys; sys.modules[{framework!r}] = None\n"
        f"import personaclick_async.integrations.{module}"
    )

    assert done.returncode == 1
    assert f"personaclick-async[{framework}]" in done.stderr.splitlines()[-1]


def test_the_asgi_middleware_needs_no_framework() -> None:
    done = run(
        "import sys, personaclick_async.integrations.asgi\n"
        "print([name for name in ('django', 'fastapi', 'litestar', 'starlette') "
        "if name in sys.modules])"
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


async def test_a_visitor_who_has_not_agreed_gets_the_shops_own_answer(
    client: PersonaClick, emulator: Emulator
) -> None:
    app = FastAPI()
    policy = VisitorPolicy(consent=lambda request: "agreed" in request.cookies)
    app.add_middleware(VisitorMiddleware, client=client, policy=policy)

    @app.exception_handler(NoConsent)
    async def ask(_: Request, __: Exception) -> PlainTextResponse:
        return PlainTextResponse("may we?", 403)

    @app.get("/")
    async def page(visitor: CurrentUser) -> str:
        return "hello"

    async with serve(app) as url, aiohttp.ClientSession(url) as visitor:
        async with visitor.get("/") as response:
            assert (response.status, await response.text()) == (403, "may we?")
        async with visitor.get("/", cookies={"agreed": "1"}) as response:
            assert response.status == 200

    assert emulator.requests == []


def _sync_page(request: HttpRequest) -> HttpResponse:
    """Ask as a synchronous view does."""
    client = get_client()
    async_to_sync(client.profile.set)(gender="f")
    profile = async_to_sync(client.profile.get)(force=True)
    assert current_user(request) is client.current_user
    return JsonResponse({"gender": profile.gender}, headers={"Cache-Control": "max-age=60"})


async def _may_be_nobody(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"known": current_user_or_none(request) is not None})


urlpatterns = [path("sync", _sync_page), path("nobody", _may_be_nobody)]


async def test_django_under_wsgi_serves_synchronous_views_too(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client()

    def visit() -> tuple[list[Any], list[str]]:
        with override_settings(ROOT_URLCONF=__name__, PERSONACLICK_CLIENT=client):
            visitor = Browser()
            answers = [visitor.get("/sync") for _ in range(2)]
            assert visitor.cookies["personaclick_did"]["httponly"]
            return [one.json() for one in answers], [one["Cache-Control"] for one in answers]

    assert await sync_to_async(visit)() == ([{"gender": "f"}] * 2, ["max-age=60, private"] * 2)
    assert len(emulator.devices()) == 1


async def test_django_views_may_ask_whether_anybody_is_known(client: PersonaClick) -> None:
    policy = VisitorPolicy(consent=lambda request: request.native.path == "/somewhere/else")
    with override_settings(ROOT_URLCONF=__name__):
        async with (
            shops.django_shop(client, policy) as url,
            browser(url) as visitor,
            visitor.get("/nobody") as response,
        ):
            assert await response.json() == {"known": False}


mine = PersonaClick("e0" * 15)


def test_django_settings_may_name_the_client_by_its_path() -> None:
    with override_settings(PERSONACLICK_CLIENT=f"{__name__}.mine"):
        assert get_client() is mine


def test_django_without_the_setting_makes_one_client_of_the_environment(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not hasattr(settings, "PERSONACLICK_CLIENT")
    monkeypatch.setenv("PERSONACLICK_SHOP_ID", emulator.shop_id)
    assert get_client() is get_client()


def test_django_settings_that_name_something_else_are_refused() -> None:
    with (
        override_settings(PERSONACLICK_CLIENT="sys.path"),
        pytest.raises(ConfigurationError, match="PERSONACLICK_CLIENT"),
    ):
        get_client()


@pytest.mark.parametrize("where", ["twice on one application", "on a sub-application, too"])
async def test_an_aiohttp_page_behind_two_setups_sets_the_cookies_of_one_visitor(
    make_client: MakeClient, emulator: Emulator, where: str
) -> None:
    client = make_client(cache=None)

    async def page(request: web.Request) -> web.Response:
        await aiohttp_web.current_user(request).profile.set(gender="f")
        return web.Response()

    app = web.Application()
    aiohttp_web.setup(app, client)
    inner = app if where == "twice on one application" else web.Application()
    aiohttp_web.setup(inner, client)
    inner.add_routes([web.get("/page", page)])
    if inner is not app:
        app.add_subapp("/inner/", inner)

    async with serve_aiohttp(app) as url, browser(url) as visitor:
        for _ in range(2):
            address = "/page" if inner is app else "/inner/page"
            async with visitor.get(address) as response:
                assert response.ok
                cookies = response.headers.getall("Set-Cookie")
                assert len(cookies) == len({one.partition("=")[0] for one in cookies})

    assert len(emulator.devices()) == 1
