"""The emulator keeps to its machine, keeps its secret, and what it shows stays text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from personaclick_async import ConfigurationError, Json
from personaclick_async.emulator import Emulator, EmulatorSettings
from tests.trust.canaries import CANARIES, found_in
from tests.trust.test_secrets_logs import a_client, every_call

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028'\"&lt;"
PAGES = ["", "page.js", "page.css", "icon.svg"]
SHOWS = ["status", "profiles", "devices", "orders", "products", "requests", "profile?key=1"]


def texts_of(value: Json) -> str:
    """All texts in a value, as they are."""
    if isinstance(value, dict):
        return texts_of([*value.keys(), *value.values()])
    return "\n".join(map(texts_of, value)) if isinstance(value, list) else str(value)


@pytest.fixture
def shop() -> Iterator[Emulator]:
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        yield shop


@pytest.fixture
async def http(shop: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=shop.url) as session:
        yield session


async def test_nothing_on_the_page_shows_the_secret(
    shop: Emulator, http: aiohttp.ClientSession
) -> None:
    async with a_client(shop.url) as client:
        await every_call(client)
        await client.sync_all([{"email": CANARIES["email"]}])
    shop.drain()
    seen = b""
    for path in (*PAGES, *SHOWS):
        async with http.get(f"/_emulator/{path}") as answer:
            assert answer.status == 200, path
            seen += await answer.read()
    async with http.get("/_emulator/stream") as stream:
        async with a_client(shop.url) as client:
            await client.user(email=CANARIES["email"]).profile.full()
        while b"data:" not in (line := await stream.content.readline()):
            pass
        seen += line

    assert "email" in found_in(seen)  # people are what it is there to show
    assert "shop_secret" not in found_in(seen)


async def test_a_hostile_profile_is_served_as_json_that_no_browser_takes_for_a_page(
    shop: Emulator, http: aiohttp.ClientSession
) -> None:
    async with a_client(shop.url) as client:
        user = client.user(did="device0001")
        await user.profile.set(first_name=HOSTILE, email="a@shop.example", custom={"x": HOSTILE})
    shop.add_orders([{"id": HOSTILE, "email": "a@shop.example", "items": [{"id": HOSTILE}]}])

    for path in SHOWS:
        async with http.get(f"/_emulator/{path}") as answer:
            assert answer.content_type == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-store"
            shown = HOSTILE in texts_of(await answer.json())
            assert shown is (path not in {"status", "devices", "products"})
    for path in PAGES:
        async with http.get(f"/_emulator/{path}") as answer:
            assert "alert(1)" not in await answer.text()


async def test_no_script_of_the_page_makes_markup_of_a_text(http: aiohttp.ClientSession) -> None:
    async with http.get("/_emulator/page.js") as answer:
        script = await answer.text()

    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert sink not in script
    assert "textContent" in script


@pytest.mark.parametrize(
    "path", ["_emulator/", "_emulator/profiles", "profile?did=d", "init", "nowhere"]
)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8787",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "@",
        "evil@127.0.0.1",
        "evil:pass@localhost:8787",
    ],
)
async def test_no_name_but_this_machines_is_answered(
    shop: Emulator, http: aiohttp.ClientSession, path: str, host: str
) -> None:
    async with http.get(f"/{path}", headers={"Host": host}) as answer:
        assert answer.status == 403
        assert found_in(await answer.read()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_this_machines_names_are(
    shop: Emulator, http: aiohttp.ClientSession, host: str
) -> None:
    async with http.get("/_emulator/", headers={"Host": f"{host}:{shop.port}"}) as answer:
        assert answer.status == 200


async def test_no_page_of_another_site_may_read_an_answer(
    shop: Emulator, http: aiohttp.ClientSession
) -> None:
    for path in ("_emulator/profiles", "_emulator/requests", "_emulator/stream", "_emulator/"):
        async with http.get(f"/{path}", headers={"Origin": "https://evil.example"}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
    async with http.options(
        "/_emulator/faults",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    ) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.7", "shop.example", "", "127.0.0.1.nip"]
)
def test_another_address_than_this_machines_is_refused_unless_allowed(host: str) -> None:
    with pytest.raises(ConfigurationError, match="host: expected a loopback address"):
        Emulator(host=host)


async def test_a_name_that_was_given_is_answered_and_no_other() -> None:
    with Emulator(
        EmulatorSettings(host_names=("emulator",)), host="0.0.0.0", allow_public=True
    ) as shop:
        url = f"http://127.0.0.1:{shop.port}/_emulator/status"
        async with aiohttp.ClientSession() as http:
            for host, status in {
                "emulator:8971": 200,
                "127.0.0.1": 200,
                "evil.example": 403,
                "evil@emulator": 403,
                "emulator.evil.example": 403,
            }.items():
                async with http.get(url, headers={"Host": host}) as answer:
                    assert answer.status == status, host


def test_it_may_be_allowed() -> None:
    with Emulator(host="0.0.0.0", allow_public=True) as shop:
        assert shop.port
