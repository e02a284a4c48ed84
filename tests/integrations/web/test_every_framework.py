"""What every framework's integration promises, on a real server of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http.cookies import Morsel, SimpleCookie
from typing import Any, TypeAlias

import aiohttp
import pytest
from yarl import URL

from personaclick_async import ClientClosed, PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.cookies import CookiePolicy
from personaclick_async.integrations.visitors import VisitorPolicy
from tests.conftest import MakeClient
from tests.integrations.web.serving import browser
from tests.integrations.web.shops import SHOPS, works

Shop: TypeAlias = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(params=SHOPS)
def shop(request: pytest.FixtureRequest, make_client: MakeClient) -> Shop:
    """Open the shop of one framework after the other."""

    def open_shop(
        policy: VisitorPolicy | None = None, *, client: PersonaClick | None = None
    ) -> AbstractAsyncContextManager[str]:
        return SHOPS[request.param](client or make_client(cache=None), policy)

    return open_shop


def cookies_of(response: aiohttp.ClientResponse) -> dict[str, Morsel[str]]:
    found: SimpleCookie = SimpleCookie()
    for header in response.headers.getall("Set-Cookie", []):
        found.load(header)
    return dict(found.items())


async def number_of(visitor: aiohttp.ClientSession) -> Any:
    async with visitor.get("/read") as response:
        assert response.status == 200
        return (await response.json())["number"]


async def write(visitor: aiohttp.ClientSession, number: int) -> aiohttp.ClientResponse:
    async with visitor.post("/write", params={"number": number}) as response:
        assert response.ok
        return response


async def test_a_page_that_asks_nothing_costs_nothing_and_sets_nothing(
    shop: Shop, emulator: Emulator
) -> None:
    async with shop() as url, browser(url) as visitor, visitor.get("/static") as response:
        assert "shoes" in await response.text()
        assert cookies_of(response) == {}

    assert emulator.requests == []


async def test_a_visitor_is_the_same_one_over_requests(shop: Shop, emulator: Emulator) -> None:
    async with shop() as url, browser(url) as visitor:
        await write(visitor, 7)
        assert await number_of(visitor) == 7
        assert await number_of(visitor) == 7

    assert len(emulator.requests_to("/init")) == 1
    assert len({one.query["did"] for one in emulator.requests_to("/profile")}) == 1
    [session] = {one.query["sid"] for one in emulator.requests_to("/profile")}
    written = emulator.requests_to("/profile/set")[0].body
    assert isinstance(written, dict)
    assert written["sid"] == session


async def test_the_cookies_say_how_long_and_for_whom(shop: Shop, emulator: Emulator) -> None:
    async with shop() as url, browser(url) as visitor:
        cookies = cookies_of(response := await write(visitor, 7))

    [device] = [one["did"] for one in emulator.devices()]
    assert cookies["personaclick_did"].value == device
    assert cookies["personaclick_did"]["max-age"] == str(400 * 24 * 3600)
    assert 7190 <= int(cookies["personaclick_sid"]["max-age"]) <= 7200
    for cookie in cookies.values():
        assert cookie["path"] == "/"
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"
        assert cookie["domain"] == ""
        assert cookie["secure"] is True
    assert response.headers["Vary"] == "Cookie"
    assert response.headers["Cache-Control"] == "private"


async def test_on_any_other_host_the_cookies_are_secure(shop: Shop) -> None:
    policy = VisitorPolicy(cookies=CookiePolicy(domain="shop.example"))
    there = {"Host": "www.shop.example"}
    async with shop(policy) as url, aiohttp.ClientSession(url, headers=there) as visitor:
        cookies = cookies_of(await write(visitor, 1))

    assert all(cookie["secure"] is True for cookie in cookies.values())
    assert {cookie["domain"] for cookie in cookies.values()} == {"shop.example"}


async def test_an_expired_session_is_renewed_on_the_same_device(
    shop: Shop, emulator: Emulator
) -> None:
    async with shop() as url, aiohttp.ClientSession(url) as visitor:
        first = cookies_of(await write(visitor, 7))
        # The browser has dropped the session's cookie after two hours.
        kept = {"personaclick_did": first["personaclick_did"].value}
        async with visitor.get("/read", cookies=kept) as response:
            renewed = cookies_of(response)
            assert (await response.json())["number"] == 7

    assert renewed["personaclick_did"].value == first["personaclick_did"].value
    assert renewed["personaclick_sid"].value != first["personaclick_sid"].value
    assert len(emulator.requests_to("/init")) == 1


async def test_two_hundred_visitors_at_once_never_see_each_other(
    shop: Shop, emulator: Emulator
) -> None:
    connector = aiohttp.TCPConnector(limit=50)  # connections pass from visitor to visitor

    async def visit(url: str, number: int) -> Any:
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=URL(url))
        async with aiohttp.ClientSession(
            url, cookie_jar=jar, connector=connector, connector_owner=False
        ) as visitor:
            await write(visitor, number)
            return await number_of(visitor)

    async with shop() as url, connector:
        seen = await asyncio.gather(*(visit(url, number) for number in range(200)))

    assert seen == list(range(200))
    assert len(emulator.devices()) == 200


async def test_the_next_visitor_on_a_connection_inherits_nothing(
    shop: Shop, emulator: Emulator
) -> None:
    async with shop() as url, aiohttp.TCPConnector(limit=1) as one_connection:
        for number in range(2):
            jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=URL(url))
            async with aiohttp.ClientSession(
                url, cookie_jar=jar, connector=one_connection, connector_owner=False
            ) as visitor:
                assert await number_of(visitor) is None
                await write(visitor, number)

    assert len(emulator.devices()) == 2


async def test_background_tasks_see_the_visitor(shop: Shop, client: PersonaClick) -> None:
    async with shop(client=client) as url, browser(url) as visitor:
        await write(visitor, 7)
        await number_of(visitor)
        done = await asyncio.wait_for(works[id(client)].done_in_background.get(), 5)

    assert done == 7


async def test_a_streamed_body_sees_the_visitor_piece_by_piece(
    shop: Shop, emulator: Emulator
) -> None:
    async with shop() as url, browser(url) as visitor:
        await write(visitor, 7)
        with emulator.hold("GET", "/profile") as held:
            async with visitor.get("/stream") as response:
                # The response has begun while its first piece is still being made.
                await held.arrived()
                held.release()
                lines = (await response.text()).splitlines()

    assert [json.loads(line)["number"] for line in lines] == [7, 7, 7]


async def test_started_on_arrival_a_stream_gets_its_cookies(shop: Shop, emulator: Emulator) -> None:
    async with shop(VisitorPolicy(start="on arrival")) as url, browser(url) as visitor:
        async with visitor.get("/stream") as response:
            assert set(cookies_of(response)) == {"personaclick_did", "personaclick_sid"}
            await response.read()
        async with visitor.get("/stream") as response:
            await response.read()

    assert len(emulator.requests_to("/init")) == 1
    assert len(emulator.devices()) == 1


async def test_without_consent_nothing_is_sent_and_nothing_stored(
    shop: Shop, emulator: Emulator
) -> None:
    policy = VisitorPolicy(
        consent=lambda request: request.cookies.get("consent") == "yes", start="on arrival"
    )
    async with shop(policy) as url, browser(url) as visitor:
        async with visitor.get("/static") as response:
            assert response.status == 200
            assert cookies_of(response) == {}
        async with visitor.get("/static", cookies={"personaclick_did": "device0001"}) as response:
            [gone] = cookies_of(response).values()
            assert (gone.key, gone.value, gone["max-age"]) == ("personaclick_did", "", "0")
        assert emulator.requests == []

        visitor.cookie_jar.update_cookies({"consent": "yes"})
        await write(visitor, 7)
        assert await number_of(visitor) == 7


async def test_the_applications_own_user_comes_first_and_gets_no_cookies(
    shop: Shop, emulator: Emulator, client: PersonaClick
) -> None:
    async def customer(request: Any) -> Any:
        number = request.header("X-Customer")
        return client.user(external_id=number) if number else None

    known = {"X-Customer": "100500"}
    policy = VisitorPolicy(identify=customer)
    async with (
        shop(policy, client=client) as url,
        aiohttp.ClientSession(url, headers=known) as visitor,
    ):
        assert cookies_of(await write(visitor, 7)) == {}
        assert await number_of(visitor) == 7

    assert emulator.requests_to("/init") == []
    assert emulator.profile(external_id="100500")


async def test_a_header_names_the_device(shop: Shop, emulator: Emulator) -> None:
    policy = VisitorPolicy(device_header="X-Device", session_header="X-Session")
    headers = {"X-Device": "device0001", "X-Session": "session001"}
    async with (
        shop(policy) as url,
        aiohttp.ClientSession(url, headers=headers) as visitor,
        visitor.get("/read") as response,
    ):
        assert response.ok
        assert cookies_of(response) == {}

    assert {one.query["did"] for one in emulator.requests} == {"device0001"}
    assert {one.query["sid"] for one in emulator.requests} == {"session001"}


async def test_pages_are_served_while_the_service_is_down(
    shop: Shop, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    policy = VisitorPolicy(start="on arrival", start_timeout=0.2)
    async with shop(policy) as url, browser(url) as visitor:
        with emulator.fault(path="/init", status=503):
            for _ in range(5):
                async with visitor.get("/static") as response:
                    assert response.status == 200
                    assert cookies_of(response) == {}

    tried = len(emulator.requests_to("/init"))
    assert tried > 0
    assert caplog.text.count("a visitor has no session") == 5


async def test_the_client_is_closed_with_the_application(shop: Shop, client: PersonaClick) -> None:
    async with shop(client=client) as url, browser(url) as visitor:
        await write(visitor, 7)

    with pytest.raises(ClientClosed):
        await client.init()
