"""Devices and identifiers move between profiles as the service's documents describe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from personaclick_async import PersonaClick
from personaclick_async.emulator import Behaviour, Emulator

Set = Callable[..., Awaitable[None]]


@pytest.fixture
def put(client: PersonaClick) -> Set:
    """Set fields for a device, or for nobody's device with identifiers alone."""

    async def put(did: str | None = None, /, **fields: Any) -> None:
        if did is not None:
            await client.user(did=did).profile.set(**fields)
        else:
            email = fields.pop("email")
            await client.user(email=email).profile.set(**fields)

    return put


async def test_several_devices_of_one_person_share_the_profile(
    put: Set, emulator: Emulator
) -> None:
    await put("phone", email="ada@shop.example", first_name="Ada")
    await put("laptop", email="ada@shop.example", last_name="Lovelace")

    for did in ("phone", "laptop"):
        stored = emulator.profile(did=did)
        assert (stored["first_name"], stored["last_name"]) == ("Ada", "Lovelace")
    assert emulator.count_profiles() == 1


async def test_a_device_follows_the_customer_who_logs_in(put: Set, emulator: Emulator) -> None:
    await put("shared", email="ada@shop.example", first_name="Ada")
    await put("shared", email="eve@shop.example", first_name="Eve")

    stored = emulator.profile(did="shared")
    ada = emulator.profile(email="ada@shop.example")
    assert stored["first_name"] == "Eve"
    assert ada["first_name"] == "Ada"


async def test_the_email_decides_where_identifiers_disagree(put: Set, emulator: Emulator) -> None:
    await put("one", email="ada@shop.example", first_name="Ada")
    await put("two", phone="79990001122", first_name="Eve")

    await put("three", email="ada@shop.example", phone="79990001122", location="NY")

    ada = emulator.profile(email="ada@shop.example")
    eve = emulator.profile(phone="79990001122")
    assert (ada["first_name"], ada["location"]) == ("Ada", "NY")
    assert eve["first_name"] == "Eve"
    assert "location" not in eve


async def test_customers_known_by_the_shop_alone_are_told_apart(
    put: Set, emulator: Emulator
) -> None:
    await put("shared", external_id="1", first_name="Ada")
    await put("shared", external_id="2", first_name="Eve")
    await put("shared", external_id="1", last_name="Lovelace")
    await put("shared", external_id="3", email="new@shop.example", first_name="Mallory")

    one, two = emulator.profile(external_id="1"), emulator.profile(external_id="2")
    assert (one["first_name"], one["last_name"]) == ("Ada", "Lovelace")
    assert (two["first_name"], two.get("last_name")) == ("Eve", None)


@pytest.mark.parametrize("spelling", ["id", "external_id"])
async def test_null_takes_an_identifier_away(emulator: Emulator, spelling: str) -> None:
    emulator.add_profiles([{"external_id": "7", "email": "ada@shop.example", "first_name": "Ada"}])
    emulator.add_profiles([{"email": "ada@shop.example", spelling: None, "first_name": None}])

    assert emulator.find_profile(external_id="7") is None
    stored = emulator.profile(email="ada@shop.example")
    assert "first_name" not in stored


async def test_computed_blocks_are_what_was_given_and_null_where_nothing_was(
    client: PersonaClick, emulator: Emulator
) -> None:
    emulator.set_computed(did="d", income_level="premium", fashion_sizes={"shoe": [38]})
    emulator.set_computed(external_id="7", pets=[{"type": "cat"}])

    profile = await client.user(did="d").profile.get()
    assert profile.income_level == "premium"
    assert profile.pets is None
    stored = emulator.profile(external_id="7")
    assert stored["pets"] == [{"type": "cat"}]


def test_a_profile_that_can_not_be_one_is_named_and_changes_nothing(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="age is not a number"):
        emulator.add_profiles([{"email": "ada@shop.example"}, {"email": "b@b.example", "age": "x"}])
    assert emulator.count_profiles() == 0


def test_a_profile_of_nobody_is_refused(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="no identifier"):
        emulator.add_profiles([{"email": "ada@shop.example"}, {"first_name": "Eve"}])
    assert emulator.count_profiles() == 0


async def test_people_who_share_a_phone_stay_two(emulator: Emulator) -> None:
    emulator.add_profiles(
        [
            {"external_id": "1", "email": "a@shop.example", "phone": "5550100", "first_name": "A"},
            {"external_id": "2", "email": "b@shop.example", "phone": "5550100", "first_name": "B"},
        ]
    )

    one, two = emulator.profile(external_id="1"), emulator.profile(external_id="2")
    assert (one["first_name"], two["first_name"]) == ("A", "B")


async def test_a_customer_can_get_a_new_address(emulator: Emulator) -> None:
    emulator.add_profiles([{"external_id": "1", "email": "old@shop.example", "first_name": "A"}])
    emulator.add_profiles([{"external_id": "1", "email": "new@shop.example"}])

    stored = emulator.profile(email="new@shop.example")
    assert stored["first_name"] == "A"
    assert emulator.find_profile(email="old@shop.example") is None


async def test_properties_can_be_strict_and_hidden(client: PersonaClick) -> None:
    with Emulator(behaviour=Behaviour(undeclared_property="ignored")) as emulator:
        emulator.declare_property("colour")
        emulator.declare_property("margin", public=False)
        async with PersonaClick(
            emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url
        ) as strict:
            user = strict.user(did="d")
            await user.profile.set(custom={"colour": "red", "margin": 3, "other": 1})

            assert (await user.profile.get()).custom_properties == {"colour": "red"}
            full = await user.profile.full()
            assert full.custom_properties == {"colour": "red", "margin": 3}


async def test_shops_share_nothing(emulator: Emulator) -> None:
    other = "ab" * 15
    emulator.add_shop(other, "another-secret")
    async with (
        PersonaClick(
            emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url
        ) as one,
        PersonaClick(other, shop_secret="another-secret", api_url=emulator.url) as two,
    ):
        await one.user(did="d").profile.set(custom={"colour": "red"})
        assert (await two.user(did="d").profile.get()).custom_properties == {}
