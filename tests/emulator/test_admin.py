"""A shop can be loaded and looked at over HTTP, by whoever knows its secret."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from personaclick_async.emulator import Emulator, EmulatorSettings


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        base_url=emulator.url, headers={"Authorization": f"Bearer {emulator.shop_secret}"}
    ) as session:
        yield session


async def test_a_shop_is_loaded_as_an_array_or_as_lines(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    loads = {
        "products": b'[{"id": "a", "name": "Apple"}, {"id": "b"}]',
        "profiles": b'{"external_id": 7, "first_name": "Ada"}\n\n{"email": "eve@shop.example"}\n',
        "orders": b'{"id": 1, "external_id": 7, "items": [{"id": "a"}]}\n{"id": 2}',
    }
    counts = {}
    for name, body in loads.items():
        async with http.post(f"/_emulator/{name}", data=body) as answer:
            assert answer.status == 200
            counts[name] = (await answer.json())["count"]
    assert counts == {"products": 2, "profiles": 2, "orders": 1}

    query = {"shop_id": emulator.shop_id, "external_id": "7"}
    async with http.get("/orders/last_for_user", params=query) as answer:
        [apple] = await answer.json()
    assert apple["name"] == "Apple"

    async with http.get("/_emulator/status") as answer:
        status = await answer.json()
    assert status["stored"]["products"] == 2
    assert status["stored"]["orders"] == 1
    assert status["requests"] == [
        {"method": "GET", "path": "/orders/last_for_user", "status": 200, "count": 1}
    ]
    assert emulator.shop_secret not in str(status)
    assert [one.path for one in emulator.requests] == ["/orders/last_for_user"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/_emulator/nowhere", b"", 404),
        ("GET", "/_emulator/computed", b"", 405),
        ("POST", "/_emulator/status", b"", 405),
        ("POST", "/_emulator/products", b"[", 400),
        ("POST", "/_emulator/products", b"5", 400),
        ("POST", "/_emulator/products", b"[5]", 400),
        ("POST", "/_emulator/products", b'[{"name": "no id"}]', 422),
        ("POST", "/_emulator/profiles", b'[{"email": "a@shop.example", "age": "old"}]', 422),
    ],
)
async def test_what_can_not_be_loaded_is_named(
    http: aiohttp.ClientSession, method: str, path: str, body: bytes, status: int
) -> None:
    async with http.request(method, path, data=body) as answer:
        assert answer.status == status
        assert (await answer.json())["payload"]["message"]


async def test_the_documented_addresses_are_answered(http: aiohttp.ClientSession) -> None:
    page = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()
    rows = re.findall(r"^\| (`\w+.*?/_emulator/.*?) \|", page, re.MULTILINE)
    asked = [
        (method, path)
        for row in rows
        for method in re.findall("GET|POST|DELETE", row)
        for path in re.findall(r"/(?!_emulator)(\w+)", row)
    ]
    assert len(asked) > 15
    for method, path in asked:
        async with http.request(method, f"/_emulator/{path}", data=b"{}") as answer:
            assert answer.status != 405, (method, path)
            assert "Not found" not in await answer.text(), (method, path)


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/_emulator/status", 200), ("/_emulator/stream", 405)]
)
async def test_what_can_be_read_can_be_asked_for_by_head(
    emulator: Emulator, path: str, status: int
) -> None:
    # As curl -I and the health checks of containers do.
    async with (
        aiohttp.ClientSession(base_url=emulator.url) as browser,
        browser.head(path, allow_redirects=True) as answer,
    ):
        assert answer.status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": ""},
        {"Authorization": "Bearer \u00e9"},
    ],
)
async def test_loading_needs_the_secret(emulator: Emulator, headers: dict[str, str]) -> None:
    async with (
        aiohttp.ClientSession(base_url=emulator.url) as http,
        http.post("/_emulator/products", data=b'[{"id": "a"}]', headers=headers) as answer,
    ):
        assert answer.status == 401


async def test_a_page_elsewhere_can_not_look(http: aiohttp.ClientSession) -> None:
    async with http.get("/_emulator/status", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403


async def test_faults_and_holds_leave_the_admin_alone(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    with emulator.fault(drop=True):
        async with http.get("/_emulator/status") as answer:
            assert answer.status == 200


async def test_computed_blocks_are_loaded_and_are_no_custom_properties(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    blocks = {"income_level": "premium", "children": [{"gender": "m"}], "computed_gender": "f"}
    realty = {"floor": {"current": 3, "total": 9}}
    body = [{"external_id": "7", "first_name": "Ada", **blocks}, {"did": "d", "realty": realty}]
    async with http.post("/_emulator/profiles", json=body) as answer:
        assert answer.status == 200

    stored = emulator.profile(external_id="7")
    assert stored.items() >= {"first_name": "Ada", **blocks}.items()
    assert stored["custom_properties"] == {}
    query = {"shop_id": emulator.shop_id, "did": "d"}
    async with http.get("/profile", params=query) as answer:
        profile = await answer.json()
    assert profile["realty"] == realty
    assert profile["custom_properties"] == {}


async def test_computed_blocks_are_replaced_as_a_whole(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    emulator.set_computed(external_id="7", income_level="premium", allergy=True)
    async with http.get("/_emulator/profiles") as answer:
        [found] = await answer.json()
    path = f"/_emulator/computed?key={found['key']}"
    async with http.post(path, data='{\n  "income_level": "cheap",\n  "vds": null\n}\n') as answer:
        assert (await answer.json())["computed"] == {"income_level": "cheap"}
    assert "allergy" not in emulator.profile(external_id="7")
    for where, body, status in ((path, "[5]", 400), ("/_emulator/computed?key=x", "{}", 404)):
        async with http.post(where, data=body) as answer:
            assert answer.status == status


async def test_faults_and_reset_over_http(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    emulator.add_profiles([{"email": "ada@shop.example"}])
    async with http.post("/_emulator/faults", json={"status": 503, "times": 2}) as answer:
        [fault] = await answer.json()
    assert (fault["status"], fault["times"], fault["hits"]) == (503, 2, 0)
    async with http.get("/profile") as answer:
        assert answer.status == 503
    async with http.get("/_emulator/faults") as answer:
        assert (await answer.json())[0]["hits"] == 1

    async with http.post("/_emulator/reset") as answer:
        assert answer.status == 200
    assert emulator.count_profiles() == 0
    assert emulator.requests == []
    async with http.get("/_emulator/faults") as answer:
        assert await answer.json() == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "evil"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "status"), ("GET", ""), ("GET", "stream"), ("POST", "reset")]
)
async def test_the_origin_of_another_site_is_refused(
    http: aiohttp.ClientSession, emulator: Emulator, method: str, path: str, origin: str
) -> None:
    emulator.add_profiles([{"email": "ada@shop.example"}])
    async with http.request(method, f"/_emulator/{path}", headers={"Origin": origin}) as answer:
        assert answer.status == 403
    assert emulator.count_profiles() == 1


async def test_its_own_origin_is_not(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    headers = {"Origin": emulator.url.rstrip("/")}
    async with http.post("/_emulator/reset", headers=headers) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "length"),
    [("products", 33 * 1024 * 1024), ("faults", 65 * 1024), ("computed?key=1", 65 * 1024)],
)
async def test_a_body_that_says_that_it_is_too_large_is_not_read(
    emulator: Emulator, path: str, length: int
) -> None:
    emulator.add_profiles([{"email": "ada@shop.example"}])
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    head = (
        f"POST /_emulator/{path} HTTP/1.1\r\nHost: 127.0.0.1:{emulator.port}\r\n"
        f"Authorization: Bearer {emulator.shop_secret}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode())
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()


async def test_two_hundred_half_open_connections_do_not_stop_it(
    http: aiohttp.ClientSession, emulator: Emulator
) -> None:
    writers = []
    for number in range(200):
        _, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
        head = f"POST /profile/set HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {number}\r\n"
        writer.write((head + ("\r\n" if number % 2 else "")).encode())
        await writer.drain()
        writers.append(writer)
    query = {"shop_id": emulator.shop_id, "did": "d"}
    async with http.get("/profile", params=query) as answer:
        assert answer.status == 200
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def test_pages_of_other_sites_may_call_the_service_if_told() -> None:
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    for cors in (True, False):
        async with (
            Emulator(EmulatorSettings(cors=cors)) as emulator,
            aiohttp.ClientSession(emulator.url) as http,
        ):
            async with http.options("/profile/set", headers=headers) as answer:
                assert answer.status == (204 if cors else 405)
                assert ("Access-Control-Allow-Headers" in answer.headers) == cors
            query = {"shop_id": emulator.shop_id, "did": "d"}
            async with http.get("/profile", params=query, headers=headers) as answer:
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                assert allowed == (headers["Origin"] if cors else None)
            async with http.get("/profile", headers=headers) as answer:
                assert answer.status == 401
                assert ("Access-Control-Allow-Origin" in answer.headers) == cors
            async with http.get("/_emulator/status", headers=headers) as answer:
                assert answer.status == 403
