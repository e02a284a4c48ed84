"""Every request that the service would refuse is refused with the documented status."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async.emulator import Behaviour, Emulator, EmulatorSettings

UNKNOWN = "f" * 30


def shop(emulator: Emulator, **more: Any) -> dict[str, Any]:
    return {"shop_id": emulator.shop_id, **more}


def secret(emulator: Emulator, **more: Any) -> dict[str, Any]:
    return shop(emulator, shop_secret=emulator.shop_secret, **more)


@pytest.mark.parametrize(
    ("method", "path", "parameters", "status"),
    [
        ("GET", "/profile", {"did": "d"}, 401),
        ("GET", "/profile", {"shop_id": "", "did": "d"}, 422),
        ("GET", "/profile", {"shop_id": "xyz", "did": "d"}, 422),
        ("GET", "/profile", {"shop_id": UNKNOWN, "did": "d"}, 404),
        ("GET", "/init", {"shop_id": UNKNOWN}, 403),
        ("GET", "/init", {}, 403),
        ("POST", "/import/audience", {"shop_id": UNKNOWN, "audience": []}, 400),
        ("GET", "/nowhere", {}, 404),
        ("POST", "/profile", {}, 405),
        ("GET", "/profile/set", {}, 405),
        ("POST", "/profile/purge", {}, 405),
    ],
)
async def test_wrong_credentials_and_methods(
    http: aiohttp.ClientSession, method: str, path: str, parameters: dict[str, Any], status: int
) -> None:
    sent: dict[str, Any] = {"params": parameters} if method == "GET" else {"json": parameters}
    async with http.request(method, path, **sent) as answer:
        assert answer.status == status
        body = await answer.json()
    assert body["status"] == "error"
    assert body["payload"]["message"]


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("/profile", {}, 401),
        ("/profile", {"did": ""}, 401),
        ("/profile", {"email": "a@shop.example"}, 403),
        ("/profile", {"did": "d", "shop_secret": "wrong"}, 401),
        ("/profile", {"did": "d", "sid": ""}, 422),
        ("/profile", {"did": "d", "stream": ""}, 422),
        ("/profile", {"did": "d", "segment": "C"}, 422),
        ("/profile", {"did": "null"}, 401),
        ("/profile", {"did": "a\nb"}, 422),
        ("/init", {"did": "a\r\nSet-Cookie: b=c"}, 422),
        ("/orders/last_for_user", {}, 401),
        ("/orders/by_user", {"did": "d"}, 403),
        ("/profile", {"did": "d"}, 200),
        ("/orders/last_for_user", {"did": "d", "segment": "A"}, 200),
        ("/init", {"did": "", "sid": "x", "seance": "x", "segment": "A", "tz": "3"}, 200),
    ],
)
async def test_what_a_query_must_have(
    http: aiohttp.ClientSession,
    emulator: Emulator,
    path: str,
    parameters: dict[str, str],
    status: int,
) -> None:
    async with http.get(path, params=shop(emulator, **parameters)) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"first_name": "", "gender": "", "age": "", "custom_one": ""}, 200),
        ({"gender": "male"}, 422),
        ({"birthday": "1990-02-30"}, 422),
        ({"birthday": "19900211"}, 422),
        ({"age": "old"}, 422),
        ({"age": True}, 422),
        ({"kids": "no json"}, 422),
        ({"kids": [1]}, 422),
        ({"bought_something": "perhaps"}, 422),
        ({"first_name": {"a": 1}}, 422),
        ({"kids": '[{"gender":"m"}]', "age": "31", "bought_something": "1"}, 200),
        ({"stream": None, "first_name": "null"}, 200),
    ],
)
async def test_what_a_profile_takes(
    http: aiohttp.ClientSession, emulator: Emulator, fields: dict[str, Any], status: int
) -> None:
    async with http.post("/profile/set", json=shop(emulator, did="d", **fields)) as answer:
        assert answer.status == status


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b"\xff", b'"x"', b'{"did": "\\ud800"}'])
async def test_a_body_that_is_no_object(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.post("/profile/set", data=body) as answer:
        assert answer.status == 400


async def test_a_body_that_is_not_what_its_encoding_says(http: aiohttp.ClientSession) -> None:
    async with http.post(
        "/profile/set", data=b"no gzip", headers={"Content-Encoding": "gzip"}
    ) as answer:
        assert answer.status == 400
        assert (await answer.json())["status"] == "error"


async def test_a_parameter_that_comes_twice(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    query = [*shop(emulator).items(), ("did", "a"), ("did", "b")]
    async with http.get("/profile", params=query) as answer:
        assert answer.status == 400
        assert (await answer.json())["status"] == "error"
    assert emulator.devices() == []


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("application/json, text/plain, */*", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("Application/*", 200),
        ("", 200),
        ("application/xml", 406),
        ("text/html;q=1, text/plain", 406),
    ],
)
async def test_only_json_can_be_asked_for(
    http: aiohttp.ClientSession, emulator: Emulator, accept: str, status: int
) -> None:
    async with http.get(
        "/profile", params=shop(emulator, did="d"), headers={"Accept": accept}
    ) as answer:
        assert answer.status == status
        assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 401),
        ({"email": "unknown@shop.example"}, 404),
        ({"email": "unknown@shop.example", "did": "d"}, 200),
        ({"did": "d", "date_from": "01.02.2024"}, 422),
        ({"did": "d", "date_from": "2024-W01-1"}, 422),
        ({"did": "d", "date_from": "9999-12-31"}, 200),
    ],
)
async def test_whose_orders_and_since_when(
    http: aiohttp.ClientSession, emulator: Emulator, query: dict[str, str], status: int
) -> None:
    async with http.get("/orders/by_user", params=secret(emulator, **query)) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"email": "unknown@shop.example"}, 404), ({"email": "ada@shop.example"}, 200)],
)
async def test_a_purge_needs_somebody(
    http: aiohttp.ClientSession, emulator: Emulator, body: dict[str, str], status: int
) -> None:
    emulator.add_profiles([{"email": "ada@shop.example", "gender": "f", "hobby": "chess"}])
    async with http.delete("/profile/purge", json=secret(emulator, **body)) as answer:
        assert answer.status == status
    assert emulator.count_profiles() == 1
    assert (emulator.find_profile(email="ada@shop.example") is None) == (status == 200)


async def test_a_purge_needs_the_secret(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    body = shop(emulator, email="ada@shop.example")
    async with http.delete("/profile/purge", json=body) as answer:
        assert answer.status == 403


async def test_the_flag_of_a_forced_change_and_its_404(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    emulator.add_profiles(
        [{"email": "old@shop.example", "first_name": "Ada"}, {"email": "other@shop.example"}]
    )
    change = secret(emulator, old_email="old@shop.example", new_email="other@shop.example")
    sentence = "believe me I know what I am doing"
    for more, status in (
        ({}, 422),
        ({"i_understand_what_i_am_doing": sentence, "old_email": "no@shop.example"}, 404),
        ({"i_understand_what_i_am_doing": sentence}, 200),
    ):
        async with http.post("/profile/force_change_email", data={**change, **more}) as answer:
            assert answer.status == status
    found = emulator.profile(email="other@shop.example")
    assert found["first_name"] == "Ada"
    assert emulator.find_profile(email="old@shop.example") is None


@pytest.mark.parametrize(
    ("segment", "status"),
    [(2**63, 422), (str(2**64), 422), (10**30, 422), ("x", 422), (True, 422), (2**63 - 1, 200)],
)
async def test_a_segment_is_an_integer_of_64_bits(
    http: aiohttp.ClientSession, emulator: Emulator, segment: Any, status: int
) -> None:
    body = secret(emulator, segment_id=segment, audience=[{"email": "ada@shop.example"}])
    async with http.post("/import/audience", json=body) as answer:
        assert answer.status == status


async def test_an_inactive_shop_is_forbidden() -> None:
    with Emulator(EmulatorSettings(active=False)) as emulator:
        async with (
            aiohttp.ClientSession(base_url=emulator.url) as http,
            http.get("/profile", params=shop(emulator, did="d")) as answer,
        ):
            assert answer.status == 403


async def test_strict_devices_must_have_been_seen_by_init() -> None:
    with Emulator(behaviour=Behaviour(device_unknown=404)) as emulator:
        async with aiohttp.ClientSession(base_url=emulator.url) as http:
            async with http.get("/profile", params=shop(emulator, did="d")) as answer:
                assert answer.status == 404
            async with http.get("/init", params=shop(emulator, did="d")) as answer:
                assert (await answer.json())["did"] == "d"
            async with http.get("/profile", params=shop(emulator, did="d")) as answer:
                assert answer.status == 200


async def test_a_page_elsewhere_can_not_use_the_emulator(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "evil:1:2", "127.0.0.1:x", "["):
        async with http.get(
            "/profile", params=shop(emulator, did="d"), headers={"Host": host}
        ) as answer:
            assert answer.status == 403
    for host in ("LOCALHOST:99", "[::1]", "127.0.0.5"):
        async with http.get(
            "/profile", params=shop(emulator, did="d"), headers={"Host": host}
        ) as answer:
            assert answer.status == 200


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["did", "sid", "email", "phone", "id", "kids", "auto", "age", "gender", "birthday", "custom_a"]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fields=st.dictionaries(NAMES | st.text(min_size=1), Json, max_size=5),
    path=st.sampled_from(["/profile/set", "/import/audience", "/sync/orders", "/profile/purge"]),
)
async def test_no_input_makes_the_emulator_fail(
    emulator: Emulator, fields: dict[str, Any], path: str
) -> None:
    method = "DELETE" if path.endswith("purge") else "POST"
    entries = {"audience": [fields, 5], "orders": [fields, {"id": 1, "items": fields, **fields}]}
    async with (
        aiohttp.ClientSession(base_url=emulator.url) as http,
        http.request(method, path, json={**fields, **secret(emulator), **entries}) as answer,
    ):
        # 400: the client sends Infinity, which is no JSON.
        assert answer.status in (200, 400, 401, 404, 422, 429)
    emulator.drain()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=60), form=st.booleans())
async def test_no_bytes_make_the_emulator_fail(emulator: Emulator, body: bytes, form: bool) -> None:
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    async with (
        aiohttp.ClientSession(base_url=emulator.url) as http,
        http.post("/profile/set", data=body, headers={"Content-Type": kind}) as answer,
    ):
        assert answer.status in (400, 401, 422)
