"""Endpoints that the package has no method for are one call away."""

from __future__ import annotations

import pytest

from personaclick_async import (
    ConnectionFailed,
    Family,
    MalformedAnswer,
    NotFound,
    PersonaClick,
    RateLimit,
    ServiceUnavailable,
    TimedOut,
)
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient


async def test_a_post_sends_json_with_the_credentials(
    client: PersonaClick, emulator: Emulator
) -> None:
    await client.user(email="ada@shop.example").profile.set(first_name="Ada")
    answer = await client.request(
        "POST",
        "/profile/force_change_email",
        {
            "old_email": "ada@shop.example",
            "new_email": "ada@new.example",
            "i_understand_what_i_am_doing": True,
        },
    )

    assert answer.status == 200
    assert answer.json() == answer.parse() == {"status": "success"}
    assert answer.endpoint == "profile/force_change_email"
    body = emulator.requests[-1].body
    assert body is not None
    assert body["shop_secret"] == emulator.shop_secret
    assert (await client.user(email="ada@new.example").profile.full()).first_name == "Ada"


async def test_a_get_sends_a_query(client: PersonaClick, emulator: Emulator) -> None:
    answer = await client.request("GET", "orders/last_for_user", {"did": "device0001", "n": 5})
    assert answer.json() == []
    query = emulator.requests[-1].query
    assert (query["did"], query["n"], query["shop_id"]) == ("device0001", "5", emulator.shop_id)


async def test_a_client_without_a_secret_sends_none(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(shop_secret=None)
    await client.request("GET", "/orders/last_for_user", {"did": "device0001"})
    assert "shop_secret" not in emulator.requests[-1].query


async def test_errors_are_those_of_every_other_call(
    client: PersonaClick, emulator: Emulator
) -> None:
    with pytest.raises(NotFound):
        await client.request("POST", "/nothing/here", {})
    with emulator.fault(body=b"<html>"):
        answer = await client.request("GET", "/profile", {"did": "device0001"})
    with pytest.raises(MalformedAnswer):
        answer.json()
    with emulator.fault(delay=5), pytest.raises(TimedOut):
        await client.with_options(timeout=0.05).request("GET", "/profile", {"did": "d1"})


async def test_it_is_sent_once_unless_told_otherwise(
    client: PersonaClick, emulator: Emulator
) -> None:
    with emulator.fault(status=503), pytest.raises(ServiceUnavailable) as caught:
        await client.request("POST", "/profile/set", {"did": "device0001", "age": 7})
    assert caught.value.attempts == 1
    with emulator.fault(drop=True), pytest.raises(ConnectionFailed) as broken:
        await client.request("POST", "/profile/set", {"did": "device0001", "age": 7})
    assert broken.value.attempts == 1
    with emulator.fault(status=503, times=1):
        answer = await client.request(
            "POST", "/profile/set", {"did": "device0001", "age": 7}, repeat=True
        )
    assert answer.attempts == 2


async def test_a_limit_holds_it_back_as_the_family_of_its_path(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(limits={Family.IMPORT: RateLimit(1, 60), Family.OTHER: RateLimit(1, 60)})
    for path in ("/import/suppressed", "/segments/add"):
        if path.startswith("/import"):
            await client.request("POST", path, {"audience": [{"email": "ada@shop.example"}]})
        else:
            with pytest.raises(NotFound):
                await client.request("POST", path)
        with pytest.raises(TimedOut, match="the client's own limit"):
            await client.with_options(timeout=0.1).request("POST", path)


async def test_a_change_drops_the_cached_profiles(client: PersonaClick) -> None:
    user = client.user(did="device0001")
    await user.profile.get()
    await client.request("POST", "/profile/set", {"did": "device0001", "gender": "f"})
    assert (await user.profile.get()).gender == "f"


async def test_no_secret_is_shown_by_an_error(client: PersonaClick, emulator: Emulator) -> None:
    with (
        emulator.fault(status=422, error_message=f"no {emulator.shop_secret} of Canary"),
        pytest.raises(Exception, match="message withheld") as caught,
    ):
        await client.request("POST", "/segments/add", {"name": "Canary"})
    assert str(emulator.shop_secret) not in str(caught.value)


async def test_paths_with_ids_in_them_are_not_all_remembered(make_client: MakeClient) -> None:
    client = make_client()
    for number in range(250):
        with pytest.raises(NotFound):
            await client.request("GET", f"/segments/{number}")
    assert len(client._core.transport._routes) <= 100
