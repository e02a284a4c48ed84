"""The current user belongs to a task, and never leaks into another request."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from personaclick_async import (
    ConfigurationError,
    NoCurrentUser,
    PersonaClick,
    Session,
    ValidationError,
)
from personaclick_async.emulator import Emulator
from personaclick_async.facade import create_personaclick
from tests.conftest import MakeClient


async def test_concurrent_requests_never_see_each_others_user(
    client: PersonaClick, emulator: Emulator
) -> None:
    async def handle(number: int) -> str | None:
        client.set_current_user(client.user(external_id=number))
        await client.profile.set(first_name=f"Visitor {number}")
        await asyncio.sleep(0)
        return (await client.profile.get()).first_name

    names = await asyncio.gather(*(asyncio.create_task(handle(n)) for n in range(100)))

    assert names == [f"Visitor {n}" for n in range(100)]
    assert client.current_user is None


async def test_a_task_started_inside_has_the_same_user(client: PersonaClick) -> None:
    user = client.user(external_id=1)
    with client.as_user(user):

        async def inner() -> bool:
            return client.current_user is user

        assert await asyncio.create_task(inner())


async def test_blocks_nest(client: PersonaClick) -> None:
    ada, eve = client.user(external_id=1), client.user(external_id=2)
    with client.as_user(ada):
        with client.as_user(eve):
            assert client.current_user is eve
        assert client.current_user is ada
    assert client.current_user is None


async def test_without_a_current_user_the_error_says_what_to_do(client: PersonaClick) -> None:
    for call in (client.profile.get(), client.orders.last_for_user()):
        with pytest.raises(NoCurrentUser, match="set_current_user"):
            await call


async def test_two_shops_have_a_current_user_each(make_client: MakeClient) -> None:
    one, other = make_client(), make_client()
    user = one.user(external_id=1)
    with one.as_user(user):
        assert other.current_user is None
        with other.as_user(other.user(external_id=2)):
            assert one.current_user is user


async def test_a_view_of_the_client_has_the_same_current_user(
    client: PersonaClick, emulator: Emulator
) -> None:
    with client.as_user(client.user(did="device0001")):
        await client.with_options(stream="mail").profile.get()

    assert emulator.requests_to("/profile")[0].query["stream"] == "mail"


def test_outside_a_task_only_a_block_can_set_the_user(
    emulator: Emulator, make_client: MakeClient
) -> None:
    client = PersonaClick(emulator.shop_id, api_url=emulator.url)
    user = client.user(did="device0001")
    with pytest.raises(ConfigurationError, match="as_user"):
        client.set_current_user(user)
    client.set_current_user(None)
    with client.as_user(user):
        assert client.current_user is user
    assert client.current_user is None


def test_a_worker_thread_forgets_the_user_with_the_request(emulator: Emulator) -> None:
    client = PersonaClick(emulator.shop_id, api_url=emulator.url)

    async def by_a_visitor() -> None:
        client.set_current_user(client.user(did="device0001"))
        assert await asyncio.to_thread(lambda: client.current_user) is client.current_user
        await client.profile.get()

    async def by_nobody() -> object:
        return client.current_user

    with ThreadPoolExecutor(1) as worker:
        # Django's way from WSGI to coroutines, which hands context back to the thread.
        worker.submit(async_to_sync(by_a_visitor)).result(10)
        assert worker.submit(lambda: client.current_user).result(10) is None
        assert worker.submit(async_to_sync(by_nobody)).result(10) is None
    asyncio.run(client.close())


@pytest.mark.parametrize("wrong", ["device0001", Session(did="device0001")])
def test_what_is_no_user_is_refused_at_once(client: PersonaClick, wrong: Any) -> None:
    for make_current in (
        client.as_user,
        client.set_current_user,
        create_personaclick(client).for_user,
    ):
        with pytest.raises(ValidationError, match=r"user: expected a User, as client\.user"):
            make_current(wrong)
