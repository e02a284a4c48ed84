"""The emulator understands the official mobile SDKs as they were observed (protocol, 8)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from personaclick_async.emulator import Emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        base_url=emulator.url, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session


async def test_react_native(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    query = {"shop_id": emulator.shop_id, "stream": "android"}
    async with http.get("/init", params=query, headers=form) as answer:
        said = await answer.json()
    ids = {"did": said["did"], "seance": said["seance"], "sid": said["seance"]}
    update = {
        **query,
        "email": "ada@shop.example",
        "kids": '[{"gender":"m","birthday":"2001-04-12"}]',
        "wishes": '{"colour":"red"}',
        "location": "null",
        **ids,
    }
    async with http.post("/profile/set", json=update) as answer:
        assert await answer.json() == {"status": "success"}
    async with http.get("/profile", params={**query, **ids}, headers=form) as answer:
        profile = await answer.json()

    assert profile["has_email"] is True
    assert profile["custom_properties"] == {"wishes": {"colour": "red"}}
    stored = emulator.profile(email="ada@shop.example")
    assert stored["kids"] == [{"gender": "m", "birthday": "2001-04-12"}]
    assert "location" not in stored


async def test_android(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    first = {
        "tz": "3",
        "stream": "android",
        "shop_id": emulator.shop_id,
        "did": "",
        "sid": "mySession1",
        "seance": "mySession1",
        "segment": "A",
    }
    async with http.get("/init", params=first) as answer:
        said = await answer.json()
    assert len(said["did"]) == 10
    assert said["seance"] == "mySession1"

    later = {**first, "did": said["did"]}
    async with http.post("/profile/set", json={**later, "bought_something": "1"}) as answer:
        assert answer.status == 200
    async with http.get("/profile", params=later) as answer:
        assert (await answer.json())["bought_something"] is True


async def test_ios(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    pretty = '{\n  "shop_id" : "%s",\n  "did" : "iosdevice1",\n  "id" : "7",\n  "gender" : "f"\n}'
    async with http.post(
        "/profile/set",
        data=pretty % emulator.shop_id,
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    ) as answer:
        assert answer.status == 200
    query = {"did": "iosdevice1", "shop_id": emulator.shop_id, "stream": "ios"}
    async with http.get("/profile", params=query) as answer:
        assert (await answer.json())["gender"] == "f"
    assert emulator.profile(external_id="7") is not None


async def test_a_form_is_as_good_as_json(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    fields = {"shop_id": emulator.shop_id, "did": "d", "first_name": "Ada", "age": "36"}
    async with http.post("/profile/set", data=fields) as answer:
        assert answer.status == 200
    stored = emulator.profile(did="d")
    assert (stored["first_name"], stored["age"]) == ("Ada", 36)


async def test_a_browser_is_known_by_its_cookie(emulator: Emulator) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    query = {"shop_id": emulator.shop_id}
    async with aiohttp.ClientSession(base_url=emulator.url, cookie_jar=jar) as browser:
        async with browser.get("/init", params=query) as answer:
            did = (await answer.json())["did"]
        async with browser.post("/profile/set", json={**query, "first_name": "Ada"}) as answer:
            assert answer.status == 200
    stored = emulator.profile(did=did)
    assert stored["first_name"] == "Ada"


async def test_external_id_wins_over_id(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    fields = {"shop_id": emulator.shop_id, "did": "d", "id": 1, "external_id": 2}
    async with http.post("/profile/set", json=fields) as answer:
        assert answer.status == 200
    assert emulator.profile(external_id="2") is not None
    assert emulator.find_profile(external_id="1") is None
