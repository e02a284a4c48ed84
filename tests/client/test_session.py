"""Sessions start, go on, and end after two hours; a device id is asked for once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from personaclick_async import PersonaClick, Session, ValidationError
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient


class Clock:
    """A time of day that the test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


async def test_init_gives_a_new_visitor_a_device_and_a_session(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = await client.init()

    assert user.session is not None
    assert user.session.seance
    assert user.session.sid == user.session.seance
    [asked] = emulator.requests_to("/init")
    assert not {"did", "sid", "seance"} & asked.query.keys()


async def test_init_keeps_the_device_and_the_live_session(
    client: PersonaClick, emulator: Emulator
) -> None:
    first = (await client.init()).session
    assert first is not None

    again = (await client.init(first)).session

    assert again is not None
    assert (again.did, again.seance) == (first.did, first.seance)
    asked = emulator.requests_to("/init")[1].query
    assert (asked["did"], asked["sid"], asked["seance"]) == (
        first.did,
        first.seance,
        first.seance,
    )


async def test_init_renews_a_session_that_is_over(
    make_client: MakeClient, emulator: Emulator
) -> None:
    clock = Clock()
    client = make_client(now=clock)
    first = (await client.init()).session
    assert first is not None
    clock.time += timedelta(hours=2)

    again = (await client.init(first)).session

    assert again is not None
    assert again.did == first.did
    assert again.seance != first.seance
    assert "sid" not in emulator.requests_to("/init")[1].query


async def test_every_call_keeps_the_session_alive(
    make_client: MakeClient, emulator: Emulator
) -> None:
    clock = Clock()
    client = make_client(now=clock, cache=None)
    user = await client.init()
    before = user.session
    assert before is not None
    for _ in range(3):
        clock.time += timedelta(minutes=119)
        await user.profile.get()

    assert user.session is not None
    assert user.session.seance == before.seance
    assert user.session.expires_at == clock.time + timedelta(hours=2)


async def test_a_call_after_the_end_starts_a_new_session_and_stays_with_it(
    make_client: MakeClient, emulator: Emulator
) -> None:
    clock = Clock()
    client = make_client(now=clock, cache=None)
    user = await client.init()
    old = user.session
    assert old is not None
    clock.time += timedelta(hours=2)

    await user.profile.get()
    await user.profile.get()

    first, second = (request.query["sid"] for request in emulator.requests_to("/profile"))
    assert first == second != old.seance
    assert user.session is not None
    assert user.session.seance == first
    assert user.session.did == old.did


async def test_a_users_own_init_adopts_what_the_service_says(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(did="device0001")

    settings = await user.init()

    assert settings.did == "device0001"
    assert user.session is not None
    assert user.session.seance == settings.seance
    assert emulator.requests_to("/init")[0].query["did"] == "device0001"


async def test_a_customer_without_a_device_has_no_session(client: PersonaClick) -> None:
    user = client.user(email="ada@shop.example")

    assert user.session is None
    with pytest.raises(ValidationError, match="a device, for a session, got one by email"):
        await user.init()


async def test_a_kept_session_names_the_user(client: PersonaClick, emulator: Emulator) -> None:
    await client.user(Session(did="device0001", seance="abc")).profile.get()

    asked = emulator.requests_to("/profile")[0].query
    assert (asked["did"], asked["sid"], asked["seance"]) == ("device0001", "abc", "abc")


@pytest.mark.parametrize(
    "named",
    [{}, {"did": "device0001", "email": "ada@shop.example"}, {"did": " "}, {"email": "nobody"}],
)
async def test_a_user_is_named_in_exactly_one_way(
    client: PersonaClick, named: dict[str, str]
) -> None:
    with pytest.raises(ValidationError):
        client.user(**named)


@pytest.mark.parametrize(("tz", "sent"), [(3, "3"), (-3.5, "-3.5"), (0, "0")])
async def test_the_offset_of_the_visitor_is_sent_if_asked_to(
    client: PersonaClick, emulator: Emulator, tz: float, sent: str
) -> None:
    await client.init()
    await client.init(tz=tz)
    assert [request.query.get("tz") for request in emulator.requests] == [None, sent]


@pytest.mark.parametrize(
    "others", [{"did": "other"}, {"seance": "s"}, {"email": "ada@shop.example"}, {"phone": ""}]
)
async def test_a_session_and_what_would_be_ignored_beside_it_are_refused(
    client: PersonaClick, others: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="user: expected a session or"):
        client.user(Session(did="d1"), **others)


async def test_a_session_is_started_for_one_device(
    client: PersonaClick, emulator: Emulator
) -> None:
    with pytest.raises(ValidationError, match="user: expected a session or"):
        await client.init(Session(did="d1"), did="other")
    with pytest.raises(ValidationError, match="user: expected a session or"):
        await client.init(Session(did="d1"), seance="s")
    with pytest.raises(ValidationError, match="did: expected the device that the seance"):
        await client.init(seance="s")
    assert emulator.requests == []


@pytest.mark.parametrize("name", ["did", "seance"])
@pytest.mark.parametrize("value", ["", " ", "canary\n", 1.5, True, b"canary", ["canary"]])
async def test_ids_that_cannot_be_sent_are_refused_wherever_they_are_passed(
    client: PersonaClick, emulator: Emulator, name: str, value: Any
) -> None:
    ids: dict[str, Any] = {"did": "d1", name: value}
    for make in (client.init, client.user):
        for arguments, named in (((), ids), ((Session(**ids),), {})):
            with pytest.raises(ValidationError, match=f"{name}: expected") as caught:
                await make(*arguments, **named)  # type: ignore[misc]  # a user is never made
            assert "canary" not in str(caught.value)
    assert emulator.requests == []


async def test_a_session_is_not_taken_for_a_device_id(client: PersonaClick) -> None:
    with pytest.raises(ValidationError, match=r"session: expected .* did, got str"):
        await client.init("d1")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"session: expected .* did, got str"):
        client.user("d1")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["2026-01-01T12:00:00+00:00", 5, datetime(2026, 1, 1)])  # noqa: DTZ001
def test_the_end_of_a_session_is_a_date_time_with_a_time_zone(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="expires_at: expected a date-time with a time zone"):
        Session(did="device0001", expires_at=wrong)
