"""The emulator's page: what it shows, what it may change, and whom it trusts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from personaclick_async import PersonaClick, RetryPolicy, ServiceUnavailable
from personaclick_async.emulator import Emulator
from personaclick_async.emulator.settings import EmulatorSettings
from tests.emulator.browser import CHROMEDRIVER, Browser, browser

HOSTILE = "<img src=x onerror=\"document.title='stolen'\">"


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[PersonaClick]:
    async with PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=RetryPolicy(attempts=1),
    ) as client:
        yield client


async def token(http: aiohttp.ClientSession) -> dict[str, str]:
    async with http.get("/_emulator/") as answer:
        found = re.search('name="emulator-token" content="([^"]+)"', await answer.text())
    assert found is not None
    return {"X-Emulator-Token": found[1]}


async def answer_of(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(f"/_emulator/{path}") as answer:
        assert answer.status == 200
        return await answer.json()


# Over HTTP


async def test_the_page_is_found_and_takes_nothing_from_elsewhere(
    http: aiohttp.ClientSession,
) -> None:
    async with http.get("/") as answer:
        assert answer.url.path == "/_emulator/"
    async with http.get("/_emulator") as answer:
        assert answer.url.path == "/_emulator/"
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    names = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sorted(names) == ["icon.svg", "page.css", "page.js"]
    for name in names:
        async with http.get(f"/_emulator/{name}") as answer:
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert not re.search(r"https?://(?!www\.w3\.org)", await answer.text())


async def test_profiles_devices_and_orders_are_found_by_what_is_in_them(
    http: aiohttp.ClientSession, client: PersonaClick, emulator: Emulator
) -> None:
    emulator.add_products([{"id": "a", "name": "Bottle cage"}])
    user = await client.init()
    await user.profile.set(email="ada@shop.example", first_name="Ada", custom={"tier": "100%"})
    await client.user(external_id="c-7").profile.set(first_name="Eve", last_name="Éluard")
    emulator.add_orders([{"id": "o1", "external_id": "c-7", "items": [{"id": "a"}]}])

    for text, names in {
        "": ["Eve", "Ada"],
        "ada": ["Ada"],
        "SHOP.example": ["Ada"],
        "100%": ["Ada"],
        "c-7": ["Eve"],
        "éLUARD": ["Eve"],
        user.identity.value: ["Ada"],
        "%": ["Ada"],
        "nobody": [],
    }.items():
        async with http.get("/_emulator/profiles", params={"search": text}) as answer:
            found = await answer.json()
        assert [one["stored"]["first_name"] for one in found] == names, text

    [eve] = await answer_of(http, "profiles?search=Eve")
    whole = await answer_of(http, f"profile?key={eve['key']}")
    assert whole["orders"][0]["order"]["id"] == "o1"
    assert whole["orders"][0]["products"] == {"a": "Bottle cage"}
    [ada] = await answer_of(http, "devices")
    assert ada["did"] == user.identity.value
    assert [one["order"]["id"] for one in await answer_of(http, "orders?search=o1")] == ["o1"]


@pytest.mark.parametrize("key", ["", "x", "-1", "999", "9" * 30, "1 OR 1=1"])
async def test_no_such_profile(http: aiohttp.ClientSession, key: str) -> None:
    async with http.get("/_emulator/profile", params={"key": key}) as answer:
        assert answer.status == 404


async def test_requests_are_shown_with_their_answers_and_without_the_secret(
    http: aiohttp.ClientSession, client: PersonaClick, emulator: Emulator
) -> None:
    await client.user(external_id=7).profile.set(first_name="Ada")
    await client.user(external_id=7).profile.full()

    read, written = await answer_of(http, "requests")

    assert (read["method"], read["path"], read["status"]) == ("GET", "/profile", 200)
    assert json.loads(read["answer"])["first_name"] == "Ada"
    assert written["body"]["first_name"] == "Ada"
    assert written["milliseconds"] > 0
    assert emulator.shop_secret not in json.dumps([read, written])


async def test_a_header_that_is_no_text_does_not_stop_the_page(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    with socket.create_connection(("127.0.0.1", emulator.port)) as connection:
        head = b"GET /profile HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: \xff\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(1000)
    [request] = await answer_of(http, "requests")
    assert request["headers"]["User-Agent"] == "?"


async def test_only_the_latest_answers_are_kept(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    for _ in range(1010):
        async with http.get("/nowhere") as answer:
            await answer.read()

    assert len(emulator.requests) == 1010
    assert sum(bool(one.answer) for one in emulator.requests) == 1000
    assert len(await answer_of(http, "requests")) == 200


async def test_requests_come_live(http: aiohttp.ClientSession, client: PersonaClick) -> None:
    async with http.get("/_emulator/stream") as stream:
        assert stream.content_type == "text/event-stream"
        assert (await stream.content.readline()).startswith(b":")
        await client.user(external_id=7).profile.set(first_name="Ada")
        line = b""
        while not line.startswith(b"data:"):
            line = await asyncio.wait_for(stream.content.readline(), 10)

    assert json.loads(line[5:])["body"]["first_name"] == "Ada"


async def test_faults_are_switched_on_and_off(
    http: aiohttp.ClientSession, client: PersonaClick, emulator: Emulator
) -> None:
    headers = await token(http)
    for fault in ({"status": 503, "path": "/profile/set"}, {"delay": 0.01}):
        async with http.post("/_emulator/faults", json=fault, headers=headers) as answer:
            assert answer.status == 200
    with pytest.raises(ServiceUnavailable):
        await client.user(external_id=7).profile.set(first_name="Ada")

    first, second = (await answer_of(http, "status"))["faults"]
    assert (first["status"], first["hits"], second["delay"]) == (503, 1, 0.01)
    async with http.delete(
        "/_emulator/faults", params={"number": first["number"]}, headers=headers
    ) as answer:
        assert [one["number"] for one in await answer.json()] == [second["number"]]
    await client.user(external_id=7).profile.set(first_name="Ada")
    async with http.delete("/_emulator/faults", headers=headers) as answer:
        assert await answer.json() == []

    async with http.delete("/_emulator/requests", headers=headers) as answer:
        assert await answer.json() == []
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "fault: takes"),
        (b"{}", "fault: expected delay or one of"),
        (b'{"status": 99}', "status: expected 200 to 599"),
        (b'{"status": "503"}', "status: expected a whole number"),
        (b'{"delay": true}', "delay: expected a number"),
        (b'{"body": "x"}', "fault: takes"),
        (b'{"drop": true, "status": 500}', "fault: expected one of"),
        (b'{"drop": true, "method": 5}', "method: expected a text"),
        (b'{"drop": true, "path": 5}', "path: expected a text"),
        (b'{"drop": 1}', "drop: expected true or false"),
    ],
)
async def test_a_fault_that_cannot_be_is_refused(
    http: aiohttp.ClientSession, body: bytes, said: str
) -> None:
    async with http.post("/_emulator/faults", data=body, headers=await token(http)) as answer:
        assert answer.status == 422
        assert (await answer.json())["payload"]["message"].startswith(said)
    assert (await answer_of(http, "status"))["faults"] == []


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "faults"), ("DELETE", "faults"), ("DELETE", "requests")]
)
async def test_changes_need_the_pages_token(
    http: aiohttp.ClientSession, method: str, path: str
) -> None:
    for headers in ({}, {"X-Emulator-Token": "guessed"}, {"X-Emulator-Token": "é"}):
        async with http.request(
            method, f"/_emulator/{path}", json={"drop": True}, headers=headers
        ) as answer:
            assert answer.status == (403 if headers else 401)
    assert (await answer_of(http, "status"))["faults"] == []


@pytest.mark.parametrize("path", ["", "page.js", "profiles", "requests", "stream", "status"])
async def test_a_name_that_is_not_this_machines_is_turned_away(
    http: aiohttp.ClientSession, path: str
) -> None:
    headers = {"Host": "shop.example"}
    async with http.get(f"/_emulator/{path}", headers=headers) as answer:
        assert answer.status == 403


async def test_each_emulator_has_a_token_of_its_own(http: aiohttp.ClientSession) -> None:
    async with Emulator(EmulatorSettings()) as other, aiohttp.ClientSession(other.url) as there:
        assert await token(http) != await token(there)


# In a browser


@pytest.fixture
async def window() -> AsyncIterator[Browser]:
    if CHROMEDRIVER is None:
        pytest.skip("no Chromium with chromedriver on this machine")
    async with browser() as window:
        yield window


async def test_a_person_watches_searches_and_lets_things_go_wrong(
    emulator: Emulator, client: PersonaClick, window: Browser
) -> None:
    await window.open(f"{emulator.url}_emulator/")
    await window.until("document.querySelector('#live.on')")
    assert emulator.url in await window.text("#snippet")

    # A request comes, and is there without a reload.
    await client.user(external_id="c7").profile.set(first_name="Ada", last_name="Lovelace")
    await window.until("document.querySelector('#requests summary')")
    summary = await window.text("#requests summary")
    assert "200" in summary
    assert "/profile/set" in summary
    assert "id c7" in summary
    await window.click("#requests summary")
    await window.until("document.querySelector('#requests .more pre')")
    assert '"first_name": "Ada"' in await window.text("#requests .more")

    # Profiles are found by what is in them; a hostile name is only text.
    await client.user(external_id="c8").profile.set(first_name=HOSTILE)
    await window.click("#tab-profiles")
    await window.until("document.querySelectorAll('#profiles > li').length == 2")
    assert HOSTILE in await window.text("#profiles")
    await window.type("#search", "lovelace")
    await window.until("document.querySelectorAll('#profiles > li').length == 1")
    await window.click("#profiles summary")
    await window.until("document.querySelector('#profiles dl')")
    assert "c7" in await window.text("#profiles dl")
    await window.type("#search", "")

    # A fault is switched on, the SDK gets it, and it is switched off again.
    await window.click("#tab-faults")
    await window.type("select[name=path]", "/profile/set")
    await window.click("#fault-form button")
    await window.until("document.querySelector('#fault-count').innerText == '1'")
    with pytest.raises(ServiceUnavailable):
        await client.user(external_id="c7").profile.set(first_name="Eve")
    await window.until("document.querySelector('#faults').innerText.includes('struck 1 time')")
    await window.click("#faults button")
    await window.until("document.querySelector('#fault-count').innerText == ''")
    await client.user(external_id="c7").profile.set(first_name="Eve")

    await window.click("#tab-requests")
    await window.until("document.querySelectorAll('#requests > li').length == 4")
    assert await window.run("return document.title") == "PersonaClick emulator"
    assert await window.run("return document.querySelectorAll('main img').length") == 0


async def test_it_fits_a_phone(emulator: Emulator, client: PersonaClick, window: Browser) -> None:
    await client.user(external_id="c" * 60).profile.set(first_name="A" * 60, location="x" * 200)
    await window.resize(375, 700)
    await window.open(f"{emulator.url}_emulator/")
    await window.until("document.querySelector('#requests summary')")
    for name in ("requests", "profiles", "devices", "orders", "products", "faults"):
        await window.click(f"#tab-{name}")
        await window.run("document.querySelector('section:not([hidden]) summary')?.click()")
        wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await window.run(f"return {wider}"), name


async def test_what_changes_elsewhere_is_seen_without_a_reload(
    emulator: Emulator, client: PersonaClick, window: Browser
) -> None:
    await window.open(f"{emulator.url}_emulator/#products")
    await window.until("document.querySelector('#live.on')")
    emulator.add_products([{"id": "a", "name": "Bottle cage", "price": 1234}])
    await window.until("document.querySelector('#count-products').innerText == '1'")
    await window.until("document.querySelector('#products summary')")
    assert "1 234.00 $" in await window.text("#products")

    emulator.add_orders([{"id": "o1", "external_id": "7", "date": 1_777_638_896}])
    await window.click("#tab-orders")
    await window.until("document.querySelector('#orders summary')")
    assert "2026-05-01" in await window.text("#orders")

    with emulator.fault(path="/profile", status=503):
        await window.until("document.querySelector('#fault-count').innerText == '1'")
    await window.until("document.querySelector('#fault-count').innerText == ''")

    keys = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    async with (
        aiohttp.ClientSession(emulator.url) as http,
        http.post("/import/audience", json={**keys, "audience": [{"age": 1}]}),
    ):
        await window.click("#tab-requests")
        await window.until("!document.querySelector('#ignored').hidden")
        assert "the entry has no identifier (1)" in await window.text("#ignored")


async def test_after_another_start_the_page_goes_on(
    emulator: Emulator, client: PersonaClick, window: Browser
) -> None:
    for name in ("Ada", "Eve"):
        await client.user(external_id="7").profile.set(first_name=name)
    await window.open(f"{emulator.url}_emulator/")
    await window.until("document.querySelectorAll('#requests > li').length == 2")
    await window.run("document.querySelector('#requests > li:last-child summary').click()")
    await asyncio.to_thread(emulator.stop)
    await window.until("document.querySelector('#live.off')")
    assert await window.run("return document.querySelectorAll('#requests > li').length") == 2

    async with Emulator(port=emulator.port):
        await client.user(did="d").orders.last_for_user()
        await window.until("document.querySelectorAll('#requests > li').length == 1")
        assert "GET" in await window.text("#requests summary")


async def test_computed_blocks_are_edited_and_all_is_reset(
    emulator: Emulator, client: PersonaClick, window: Browser
) -> None:
    await client.user(external_id="7").profile.set(first_name="Ada")
    await window.open(f"{emulator.url}_emulator/#profiles")
    await window.until("document.querySelector('#profiles summary')")
    await window.click("#profiles summary")
    await window.until("document.querySelector('#profiles textarea')")
    await window.type("#profiles textarea", '{"income_level": "premium"}')
    await window.click("#profiles .computed button")
    await window.until("document.querySelector('#profiles .computed').innerText.includes('saved')")
    assert emulator.profile(external_id="7")["income_level"] == "premium"
    await window.type("#profiles textarea", "{")
    await window.click("#profiles .computed button")
    await window.until("document.querySelector('#profiles .computed .error').innerText")

    await window.run("window.confirm = () => true")
    await window.click("#reset")
    await window.until("document.querySelector('#count-profiles').innerText == ''")
    assert emulator.count_profiles() == 0


async def test_a_request_is_copied_as_a_command_that_asks_the_same(
    emulator: Emulator, client: PersonaClick, window: Browser
) -> None:
    name = "O'Neill & Söhne $HOME"
    await window.open(f"{emulator.url}_emulator/")
    await window.until("document.querySelector('#live.on')")
    await client.user(external_id="7").profile.set(first_name=name)
    await window.until("document.querySelector('#requests summary')")
    assert re.match(r"\d\d:\d\d:\d\d", await window.text("#requests time"))
    await window.click("#requests summary")
    await window.until("document.querySelector('#requests .more button')")
    # What a person would have in the clipboard.
    await window.run(
        "Object.defineProperty(navigator, 'clipboard',"
        " {value: {writeText: async (text) => { window.copied = text; }}, configurable: true})"
    )
    await window.click("#requests .more button")
    command = await window.until("window.copied")
    assert emulator.shop_secret not in command

    emulator.reset()
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        f"{command} --silent --noproxy '*'",
        env={**os.environ, "PERSONACLICK_SHOP_SECRET": emulator.shop_secret},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await shell.communicate()
    assert json.loads(said) == {"status": "success"}
    assert emulator.profile(external_id="7")["first_name"] == name
