"""Faults strike what they match, as often as they say, the same way for the same seed."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import aiohttp
import pytest

from personaclick_async import ConfigurationError
from personaclick_async.emulator import Emulator, EmulatorSettings, Fault


async def statuses(emulator: Emulator, count: int, path: str = "/profile") -> list[int]:
    found = []
    async with aiohttp.ClientSession(base_url=emulator.url) as http:
        for _ in range(count):
            query = {"shop_id": emulator.shop_id, "did": "d"}
            async with http.get(path, params=query) as answer:
                found.append(answer.status)
    return found


async def test_a_fault_strikes_its_path_as_often_as_it_says(emulator: Emulator) -> None:
    fault = emulator.fault(path="/profile", status=500, times=2)

    assert await statuses(emulator, 1, "/orders/last_for_user") == [200]
    assert await statuses(emulator, 3) == [500, 500, 200]
    assert fault.hits == 2


async def test_an_error_can_pretend_to_be_a_success(emulator: Emulator) -> None:
    emulator.fault(status=200, error_message="Identifier is not valid")
    async with (
        aiohttp.ClientSession(base_url=emulator.url) as http,
        http.get("/profile") as answer,
    ):
        assert answer.status == 200
        assert await answer.json() == {
            "status": "error",
            "payload": {"message": "Identifier is not valid"},
        }


@pytest.mark.parametrize(
    ("fault", "carried_out"), [({"drop": True}, False), ({"truncate": True}, True)]
)
async def test_a_connection_can_break_before_or_within_the_answer(
    emulator: Emulator, fault: dict[str, Any], carried_out: bool
) -> None:
    emulator.fault(**fault, times=1)
    body = {"shop_id": emulator.shop_id, "did": "d", "first_name": "Ada"}
    async with aiohttp.ClientSession(base_url=emulator.url) as http:
        with pytest.raises(aiohttp.ClientError):
            async with http.post("/profile/set", json=body) as answer:
                await answer.read()
    assert (emulator.find_profile(did="d") is not None) == carried_out
    [request] = emulator.requests
    assert request.body == body
    assert request.status == (200 if carried_out else None)


async def test_a_truncated_error_keeps_its_status(emulator: Emulator) -> None:
    emulator.fault(truncate=True)
    async with (
        aiohttp.ClientSession(base_url=emulator.url) as http,
        http.get("/profile") as answer,
    ):
        assert answer.status == 401
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize("content_type", ["text/html\r\nX: y", "text/html\n"])
def test_a_content_type_is_one_line(content_type: str) -> None:
    with pytest.raises(ConfigurationError, match="content_type: expected a single line"):
        Fault(body=b"<html>", content_type=content_type)


async def test_a_fault_strikes_its_method_in_any_spelling(emulator: Emulator) -> None:
    emulator.fault(method="post", status=500)
    assert await statuses(emulator, 1) == [200]
    emulator.fault(method="get", delay=0.01, times=1)
    assert await statuses(emulator, 1) == [200]
    emulator.clear_faults()
    with emulator.fault(method="get", status=500) as fault:
        assert await statuses(emulator, 1) == [500]
        assert fault.hits == 1


async def test_what_is_held_was_carried_out_when_it_came(emulator: Emulator) -> None:
    emulator.add_profiles([{"email": "ada@shop.example", "first_name": "old"}])
    query = {
        "shop_id": emulator.shop_id,
        "shop_secret": emulator.shop_secret,
        "email": "ada@shop.example",
    }

    async def read(http: aiohttp.ClientSession) -> Any:
        async with http.get("/profile", params=query) as answer:
            return (await answer.json())["first_name"]

    async with aiohttp.ClientSession(base_url=emulator.url) as http:
        with emulator.hold("get", "/profile") as held:
            reads = [asyncio.create_task(read(http)) for _ in range(2)]
            await held.arrived(2)
            async with http.post("/profile/set", json={**query, "first_name": "new"}) as answer:
                assert answer.status == 200
            assert not any(task.done() for task in reads)
        assert await asyncio.gather(*reads) == ["old", "old"]
        assert await read(http) == "new"


async def test_the_answer_of_a_fault_is_held_back_too(emulator: Emulator) -> None:
    with emulator.fault(status=503), emulator.hold("GET", "/profile") as held:
        asked = asyncio.create_task(statuses(emulator, 1))
        await held.arrived()
        assert not asked.done()
        held.release()
        assert await asked == [503]


def test_waiting_for_requests_that_do_not_come_times_out(emulator: Emulator) -> None:
    with emulator.hold("GET", "/profile") as held, pytest.raises(TimeoutError, match="0 of 1"):
        held.wait(timeout=0.01)


async def test_a_fault_ends_with_its_block(emulator: Emulator) -> None:
    with emulator.fault(status=500):
        assert await statuses(emulator, 1) == [500]
    assert await statuses(emulator, 1) == [200]


async def test_chance_repeats_with_the_seed() -> None:
    async def run(seed: int) -> list[int]:
        with Emulator(EmulatorSettings(seed=seed)) as emulator:
            emulator.fault(status=500, probability=0.5)
            return await statuses(emulator, 30)

    first = await run(1)
    assert first == await run(1)
    assert first != await run(2)
    assert {200, 500} == set(first)


async def test_retry_after_and_bodies_are_as_asked(emulator: Emulator) -> None:
    emulator.fault(status=429, retry_after=7, times=1)
    emulator.fault(body=b"<html>", content_type="text/html", status=502, times=1)
    async with aiohttp.ClientSession(base_url=emulator.url) as http:
        async with http.get("/profile") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        async with http.get("/profile") as answer:
            assert (answer.status, answer.content_type) == (502, "text/html")
            assert await answer.read() == b"<html>"


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"status": 500, "drop": True},
        {"drop": True, "truncate": True},
        {"status": 99},
        {"probability": 2, "drop": True},
        {"times": 0, "drop": True},
        {"delay": -1},
        {"retry_after": 5, "drop": True},
        {"path": "profile", "drop": True},
    ],
)
def test_a_fault_that_contradicts_itself_is_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Fault(**fault)


def test_stopping_does_not_wait_for_held_or_delayed_answers(emulator: Emulator) -> None:
    def ask(path: str) -> None:
        async def go() -> None:
            async with aiohttp.ClientSession(base_url=emulator.url) as http:
                query = {"shop_id": emulator.shop_id, "did": "d"}
                try:
                    async with http.get(path, params=query) as answer:
                        await answer.read()
                except aiohttp.ClientError:
                    pass

        asyncio.run(go())

    emulator.fault(path="/orders/last_for_user", delay=60)
    held = emulator.hold("GET", "/profile")
    threads = [
        threading.Thread(target=ask, args=(path,)) for path in ("/profile", "/orders/last_for_user")
    ]
    for thread in threads:
        thread.start()
    held.wait()
    while not emulator.requests_to("/orders/last_for_user"):
        time.sleep(0.01)
    emulator.stop()
    emulator.stop()
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_a_taken_port_is_an_error_at_the_start(emulator: Emulator) -> None:
    with pytest.raises(OSError, match="address already in use"):
        Emulator(port=emulator.port).start()


def test_a_public_address_must_be_allowed() -> None:
    with pytest.raises(ConfigurationError, match="host: expected a loopback address"):
        Emulator(host="0.0.0.0")
    with Emulator(host="0.0.0.0", allow_public=True) as emulator:
        assert emulator.port


def test_the_repr_of_a_request_has_no_personal_data(emulator: Emulator) -> None:
    emulator.add_profiles([{"email": "ada@shop.example"}])
    asyncio.run(statuses(emulator, 1))
    [request] = emulator.requests
    assert repr(request) == "<GET /profile -> 200>"
    assert emulator.counts == {("GET", "/profile", 200): 1}
    assert emulator.shop_secret not in repr(emulator.settings)


def test_requests_that_are_no_longer_kept_still_count() -> None:
    with Emulator(EmulatorSettings(recorded=1)) as emulator:
        asyncio.run(statuses(emulator, 3))
        assert len(emulator.requests) == 1
        assert emulator.counts == {("GET", "/profile", 200): 3}
        emulator.clear_requests()
        assert not emulator.counts
