"""A shop can be loaded and looked at over HTTP, by whoever knows its secret."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from personaclick_async.emulator import Emulator


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


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": ""},
        {"Authorization": "Bearer \u00e9"},
    ],
)
async def test_nobody_loads_without_the_secret(emulator: Emulator, headers: dict[str, str]) -> None:
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
