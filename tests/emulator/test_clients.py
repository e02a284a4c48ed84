"""The official clients' requests, byte for byte as they were observed (protocol, section 8)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from personaclick_async.emulator import Emulator

REACT_NATIVE = (
    "User-Agent: ReactNative Android SDK v4.0.18\r\n"
    "Accept: application/json, text/plain, */*\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n"
)
ANDROID = "User-Agent: Personalizatio SDK PERSONACLICK, v2.36.0\r\n"
JSON = "Content-Type: application/json\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


async def ask(emulator: Emulator, line: str, headers: str = "", body: str = "") -> tuple[int, Any]:
    """Send a request as it stands, and return the status and the JSON of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    length = f"Content-Length: {len(body.encode())}\r\n" if body else ""
    head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{emulator.port}\r\nConnection: close\r\n"
    writer.write(f"{head}{headers}{length}\r\n{body}".encode())
    whole = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, rest = whole.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest) if rest else None


async def test_react_native(emulator: Emulator) -> None:
    shop = emulator.shop_id
    status, said = await ask(emulator, f"GET /init?shop_id={shop}&stream=android", REACT_NATIVE)
    assert status == 200
    did, seance = said["did"], said["seance"]
    ids = f"did={did}&seance={seance}&sid={seance}"
    update = {
        "shop_id": shop,
        "stream": None,
        "email": "ada@shop.example",
        "kids": '[{"gender":"m","birthday":"2001-04-12"}]',
        "wishes": '{"colour":"red"}',
        "location": "null",
        "did": did,
        "seance": seance,
        "sid": seance,
    }
    headers = REACT_NATIVE.replace("x-www-form-urlencoded", "json")
    body = json.dumps(update, separators=(",", ":"))
    assert await ask(emulator, "POST /profile/set", headers, body) == (200, {"status": "success"})
    line = f"GET /profile?shop_id={shop}&stream=null&{ids}"
    status, profile = await ask(emulator, line, REACT_NATIVE)
    assert profile["has_email"] is True
    assert profile["custom_properties"] == {"wishes": {"colour": "red"}}
    stored = emulator.profile(email="ada@shop.example")
    assert stored["kids"] == [{"gender": "m", "birthday": "2001-04-12"}]
    assert "location" not in stored


async def test_react_native_encodes_twice_and_adds_its_own_device(emulator: Emulator) -> None:
    emulator.add_orders(
        [
            {"id": "1", "email": "a+b@shop.example", "date": 100},
            {"id": "2", "phone": "+79990001122", "date": 200},
            {"id": "3", "did": "mine", "date": 300},
        ]
    )
    shop = f"shop_id={emulator.shop_id}&shop_secret={emulator.shop_secret}"
    for named, order in {
        "email=a%252Bb%2540shop.example": "1",
        "phone=%252B79990001122": "2",
        "email=nobody%2540shop.example": "3",  # nobody's: the device's own
        "external_id=none": "3",
    }.items():
        line = f"GET /orders/by_user?{shop}&{named}&did=mine&seance=X&sid=X"
        status, said = await ask(emulator, line, REACT_NATIVE)
        assert status == 200
        assert [one["id"] for one in said["data"]["orders"]] == [order]


async def test_a_value_that_only_looks_encoded_is_what_it_is(emulator: Emulator) -> None:
    emulator.add_orders([{"id": "1", "external_id": "50%25off"}, {"id": "2", "external_id": "a%b"}])
    shop = f"shop_id={emulator.shop_id}&shop_secret={emulator.shop_secret}"
    for sent, order in {"50%2525off": "1", "a%25b": "2"}.items():
        _, said = await ask(emulator, f"GET /orders/by_user?{shop}&external_id={sent}")
        assert [one["id"] for one in said["data"]["orders"]] == [order]


async def test_what_is_not_in_a_query_is_encoded_once(emulator: Emulator) -> None:
    emulator.add_profiles([{"external_id": "50%off", "first_name": "Ada"}, {"did": "a b"}])
    emulator.add_orders([{"id": "1", "external_id": "50%25off"}])
    shop = f"shop_id={emulator.shop_id}&shop_secret={emulator.shop_secret}"
    _, said = await ask(emulator, f"GET /orders/by_user?{shop}&external_id=50%25off")
    assert said["data"]["orders"] == []

    whole = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    body = json.dumps({**whole, "external_id": "50%2525off"})
    assert (await ask(emulator, "DELETE /profile/purge", JSON, body))[0] == 404
    body = json.dumps({**whole, "did": "a%20b", "first_name": "Eve"})
    assert (await ask(emulator, "POST /profile/set", JSON, body))[0] == 200
    assert emulator.profile(external_id="50%off")["first_name"] == "Ada"
    assert "first_name" not in emulator.profile(did="a b")
    assert emulator.find_profile(external_id="50%2525off") is None


async def test_android(emulator: Emulator) -> None:
    shop = emulator.shop_id
    same = "sid=mySession1&seance=mySession1&segment=A"
    line = f"GET /init?tz=3&stream=android&shop_id={shop}&did=&{same}"
    _, said = await ask(emulator, line, ANDROID)
    assert len(said["did"]) == 10
    assert said["seance"] == "mySession1"
    body = json.dumps(
        {"shop_id": shop, "did": said["did"], "segment": "A", "bought_something": "1"}
    )
    status, _ = await ask(emulator, "POST /profile/set", ANDROID + JSON, body)
    assert status == 200
    line = f"GET /profile?shop_id={shop}&did={said['did']}&{same}&stream=android"
    assert (await ask(emulator, line, ANDROID))[1]["bought_something"] is True


async def test_ios(emulator: Emulator) -> None:
    body = (
        f'{{\n  "shop_id" : "{emulator.shop_id}",\n  "did" : "iosdevice1",\n'
        '  "id" : "7",\n  "gender" : "f",\n  "bought_something" : "0"\n}'
    )
    headers = f"{JSON}Accept: application/json\r\n"
    assert (await ask(emulator, "POST /profile/set", headers, body))[0] == 200
    line = f"GET /profile?did=iosdevice1&shop_id={emulator.shop_id}&stream=ios"
    assert (await ask(emulator, line))[1]["gender"] == "f"
    assert emulator.profile(external_id="7")["bought_something"] is False


async def test_the_web_names_its_stream_empty_on_init_alone(emulator: Emulator) -> None:
    shop = emulator.shop_id
    assert (await ask(emulator, f"GET /init?shop_id={shop}&v=3&stream=&referrer=x"))[0] == 200
    assert (await ask(emulator, f"GET /profile?shop_id={shop}&did=d&stream="))[0] == 422


async def test_shop_modules_send_empty_strings_for_what_they_do_not_know(
    emulator: Emulator,
) -> None:
    entry = {"email": "ada@shop.example", "gender": "", "birthday": "", "first_name": "Ada"}
    emulator.add_profiles([{"email": "ada@shop.example", "gender": "f"}])
    whole = {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}
    body = json.dumps({**whole, "segment_id": "123", "audience": [{**entry, "email_bulk": ""}]})
    assert (await ask(emulator, "POST /import/audience", JSON, body))[0] == 200
    emulator.drain()
    stored = emulator.profile(email="ada@shop.example")
    assert (stored["first_name"], stored["gender"]) == ("Ada", "f")
    assert stored["segment_ids"] == [123]
    assert emulator.ignored == {}

    body = json.dumps({**whole, **entry, "last_name": "Lovelace", "phone": ""})
    assert (await ask(emulator, "POST /profile/set", JSON, body))[0] == 200
    assert emulator.profile(email="ada@shop.example")["last_name"] == "Lovelace"


@pytest.mark.parametrize(
    "kids",
    [
        "kids[0][gender]=m&kids[0][birthday]=2001-04-12&kids[1][gender]=f",
        "kids%5B0%5D%5Bgender%5D=m&kids%5B0%5D%5Bbirthday%5D=2001-04-12&kids%5B1%5D%5Bgender%5D=f",
        "kids[][gender]=m&kids[][birthday]=2001-04-12&kids[][gender]=f",
    ],
)
async def test_a_form_may_hold_arrays(emulator: Emulator, kids: str) -> None:
    body = f"shop_id={emulator.shop_id}&did=d&first_name=Ada&age=36&{kids}&sizes[]=S&sizes[]=M"
    assert (await ask(emulator, "POST /profile/set", FORM, body))[0] == 200
    stored = emulator.profile(did="d")
    assert (stored["first_name"], stored["age"]) == ("Ada", 36)
    assert stored["kids"] == [{"gender": "m", "birthday": "2001-04-12"}, {"gender": "f"}]


@pytest.mark.parametrize("more", ["kids=1&kids[0]=2", "kids[0]=1&kids[0][a]=2", "a" + "[b]" * 9])
async def test_a_form_that_contradicts_itself_is_no_failure(emulator: Emulator, more: str) -> None:
    body = f"shop_id={emulator.shop_id}&did=d&{more}=3"
    assert (await ask(emulator, "POST /profile/set", FORM, body))[0] in (200, 400, 422)


async def test_a_browser_is_known_by_its_cookie(emulator: Emulator) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    query = {"shop_id": emulator.shop_id}
    async with aiohttp.ClientSession(base_url=emulator.url, cookie_jar=jar) as browser:
        async with browser.get("/init", params=query) as answer:
            did = (await answer.json())["did"]
        for fields in ({"first_name": "Ada"}, {"email": "ada@shop.example"}):
            async with browser.post("/profile/set", json={**query, **fields}) as answer:
                assert answer.status == 200
        named = {**query, "shop_secret": emulator.shop_secret, "email": "eve@shop.example"}
        async with browser.post("/profile/set", json=named) as answer:
            assert answer.status == 200
    stored = emulator.profile(did=did)
    assert (stored["first_name"], stored["email"]) == ("Ada", "ada@shop.example")


async def test_external_id_wins_over_id(emulator: Emulator) -> None:
    body = json.dumps({"shop_id": emulator.shop_id, "did": "d", "id": 1, "external_id": 2})
    assert (await ask(emulator, "POST /profile/set", JSON, body))[0] == 200
    assert emulator.profile(external_id="2")
    assert emulator.find_profile(external_id="1") is None
