"""A visitor without a device costs nothing until their first call, which starts one session."""

from __future__ import annotations

import asyncio

import pytest

from personaclick_async import (
    NoCurrentUser,
    PersonaClick,
    ServiceError,
    Session,
    ValidationError,
)
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient


async def test_nothing_is_sent_until_the_first_call(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = client.new_visitor()
    assert visitor.session is None
    assert emulator.requests == []

    await visitor.profile.set(first_name="Ada")

    assert [one.path for one in emulator.requests] == ["/init", "/profile/set"]
    assert visitor.session is not None
    profile = emulator.profile(did=visitor.session.did)
    assert profile["first_name"] == "Ada"


async def test_first_calls_made_at_once_share_one_device(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = client.new_visitor()

    await asyncio.gather(
        visitor.profile.get(), visitor.orders.last_for_user(), visitor.profile.set(age=30)
    )

    assert len(emulator.requests_to("/init")) == 1
    assert len(emulator.devices()) == 1


async def test_two_new_visitors_are_two_people(client: PersonaClick) -> None:
    ada, eve = client.new_visitor(), client.new_visitor()

    await ada.profile.set(gender="f")
    await eve.profile.set(gender="m")

    assert (await ada.profile.get()).gender == "f"
    assert (await eve.profile.get()).gender == "m"


async def test_a_refused_start_is_raised_and_tried_again_by_the_next_call(
    make_client: MakeClient, emulator: Emulator
) -> None:
    visitor = make_client().new_visitor()
    with emulator.fault(path="/init", status=403), pytest.raises(ServiceError):
        await visitor.profile.get()
    assert visitor.session is None

    await visitor.profile.get()

    assert visitor.session is not None


async def test_init_gives_the_shops_settings_and_makes_one_device(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = client.new_visitor()

    answer = await visitor.init()
    await visitor.profile.get()

    assert visitor.settings is answer
    assert visitor.session is not None
    assert visitor.session.did == answer.did
    assert len(emulator.requests_to("/init")) == 1


async def test_the_application_may_give_the_session(
    client: PersonaClick, emulator: Emulator
) -> None:
    async def mine() -> Session:
        return Session(did="fromMyShop")

    visitor = client.new_visitor(mine)
    await visitor.profile.get()

    assert [one.query["did"] for one in emulator.requests] == ["fromMyShop"]


async def test_a_wrong_update_starts_nothing(client: PersonaClick, emulator: Emulator) -> None:
    with pytest.raises(ValidationError):
        await client.new_visitor().profile.set(birthday="soon")

    assert emulator.requests == []


async def test_as_the_current_user(client: PersonaClick) -> None:
    with client.as_user(client.new_visitor()) as visitor:
        await client.profile.set(gender="f")
        assert (await visitor.profile.get()).gender == "f"


async def test_nobody_is_the_current_user_for_a_reason(client: PersonaClick) -> None:
    user = client.user(did="device0001")
    with client.as_user(user):
        with client.as_nobody(NoCurrentUser("closed on Sundays")):
            assert client.current_user is None
            for _ in range(2):
                with pytest.raises(NoCurrentUser, match="closed on Sundays"):
                    await client.profile.get()
        assert client.current_user is user
