"""Profiles are set and read through a real socket, for devices and for customers."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from personaclick_async import (
    CLEAR,
    ConfigurationError,
    FullProfile,
    Gender,
    Kid,
    NotFound,
    PersonaClick,
    ProfileUpdate,
    ValidationError,
    Vehicle,
)
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient

EVERY_FIELD: dict[str, Any] = {
    "external_id": 100500,
    "email": "john.doe@shop.example",
    "phone": "4400114527199",
    "first_name": "John",
    "last_name": "Doe",
    "middle_name": "Quincy",
    "birthday": date(1990, 3, 11),
    "age": 31,
    "gender": Gender.MALE,
    "location": "NY",
    "bought_something": True,
    "loyalty_id": "000001234567",
    "loyalty_card_location": "NY",
    "loyalty_status": "5% discount",
    "loyalty_bonuses": Decimal("1123.50"),
    "loyalty_bonuses_to_next_level": 1877,
    "fb_id": "000000000354677",
    "vk_id": "vk031845",
    "telegram_id": "0125762968357835",
    "kids": [Kid(gender="m", birthday="2001-04-12"), {"gender": "f", "birthday": "2015-07-28"}],
    "auto": [Vehicle(brand="Nissan", model="Qashqai", vds="TM7N243E4G0BJG978")],
}
CUSTOM: dict[str, Any] = {
    "text_property": "a text",
    "integer_property": 100500,
    "float_property": 7.62,
    "list_property": ["value1", "value2"],
    "object_property": {"key1": "value1", "key2": [1, None, ""]},
    "moment_property": datetime(2021, 12, 31, 23, 55),  # noqa: DTZ001 - zone-less, as the service
}


async def test_every_documented_field_arrives_and_comes_back(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(external_id=100500)
    await user.profile.set(**EVERY_FIELD, custom=CUSTOM)

    profile = await user.profile.full()

    assert isinstance(profile, FullProfile)
    for name in ("email", "phone", "first_name", "last_name", "location", "loyalty_id", "vk_id"):
        assert getattr(profile, name) == EVERY_FIELD[name]
    assert profile.birthday == date(1990, 3, 11)
    assert profile.gender == "m"
    assert profile.age == 31
    assert profile.bought_something is True
    assert profile.loyalty_bonuses == Decimal("1123.5")
    assert profile.custom_properties == {
        **CUSTOM,
        "moment_property": "2021-12-31 23:55:00",
    }
    stored = emulator.profile(email="john.doe@shop.example")
    assert stored["kids"] == [
        {"gender": "m", "birthday": "2001-04-12"},
        {"gender": "f", "birthday": "2015-07-28"},
    ]
    assert stored["auto"] == [{"brand": "Nissan", "model": "Qashqai", "vds": "TM7N243E4G0BJG978"}]


async def test_the_shops_user_id_is_sent_as_id_and_asked_for_as_external_id(
    client: PersonaClick, emulator: Emulator
) -> None:
    await client.user(external_id=7).profile.set(first_name="Ada")
    await client.user(external_id=7).profile.get()

    [sent] = emulator.requests_to("/profile/set")
    assert sent.body["id"] == "7"
    assert "external_id" not in sent.body
    [asked] = emulator.requests_to("/profile")
    assert asked.query["external_id"] == "7"


async def test_a_device_needs_no_secret(make_client: MakeClient, emulator: Emulator) -> None:
    client = make_client(shop_secret=None)
    user = await client.init()

    await user.profile.set(custom={"colour": "red"})
    profile = await user.profile.get()

    assert profile.custom_properties == {"colour": "red"}
    assert all("shop_secret" not in request.query for request in emulator.requests)
    assert all("shop_secret" not in (request.body or {}) for request in emulator.requests)


async def test_a_customer_needs_the_secret(make_client: MakeClient) -> None:
    client = make_client(shop_secret=None)

    with pytest.raises(ConfigurationError, match="shop_secret is needed to name a user by email"):
        client.user(email="ada@shop.example")
    with pytest.raises(ConfigurationError, match="shop_secret is needed to read a full profile"):
        await client.user(did="device0001").profile.full()


async def test_a_device_moves_to_the_profile_of_the_identifier_it_sends(
    client: PersonaClick,
) -> None:
    await client.user(email="ada@shop.example").profile.set(custom={"colour": "red"})
    visitor = await client.init()

    await visitor.profile.set(email="ada@shop.example")

    assert (await visitor.profile.get()).custom_properties == {"colour": "red"}


async def test_what_is_not_mentioned_stays_and_clear_removes(client: PersonaClick) -> None:
    user = client.user(email="ada@shop.example")
    await user.profile.set(first_name="Ada", last_name="Lovelace", location="London")

    await user.profile.set(first_name="Augusta", location=CLEAR, last_name=None)

    profile = await user.profile.full()
    assert (profile.first_name, profile.last_name) == ("Augusta", "Lovelace")
    assert profile.location is None


async def test_an_update_can_be_made_beforehand(client: PersonaClick) -> None:
    update = ProfileUpdate(first_name="Ada")
    user = client.user(email="ada@shop.example")

    await user.profile.set(update)

    assert (await user.profile.full()).first_name == "Ada"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "not an address"}, "email"),
        ({"birthday": "1990-02-30"}, "birthday"),
        ({"kids": [{"gender": "x"}]}, r"kids\[0\].gender"),
        ({"age": -1}, "age"),
        ({"custom": {"email": "x"}}, "custom.email"),
        ({}, "profile update"),
    ],
)
async def test_bad_input_is_refused_before_anything_is_sent(
    client: PersonaClick, emulator: Emulator, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError, match=f"^{field}: expected "):
        await client.user(did="device0001").profile.set(**fields)

    assert emulator.requests == []


async def test_an_update_is_no_dictionary(client: PersonaClick, emulator: Emulator) -> None:
    calls = client.user(did="device0001").profile
    for set_profile in (calls.set, calls.raw.set):
        with pytest.raises(ValidationError, match=r"a ProfileUpdate, or .* got dict"):
            await set_profile({"first_name": "Ada"})  # type: ignore[arg-type]
    assert emulator.requests == []


async def test_a_second_name_for_the_user_in_the_update_is_refused(client: PersonaClick) -> None:
    with pytest.raises(ValidationError, match=r"^email: expected the one that names the user"):
        await client.user(email="ada@shop.example").profile.set(email="eve@shop.example")


async def test_purge_removes_what_names_the_person(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(email="ada@shop.example")
    await user.profile.set(first_name="Ada", gender="f")

    await user.profile.purge()

    assert emulator.find_profile(email="ada@shop.example") is None
    with pytest.raises(NotFound):
        await user.profile.get()


async def test_purging_a_device_is_refused(client: PersonaClick) -> None:
    with pytest.raises(ValidationError, match="to purge a profile"):
        await client.user(did="device0001").profile.purge()


async def test_computed_blocks_are_typed_and_unknown_fields_kept(
    client: PersonaClick, emulator: Emulator
) -> None:
    await client.user(external_id="7").profile.set(first_name="Ada")
    emulator.set_computed(
        external_id="7",
        computed_gender="female",
        fashion_sizes={"shoe": [38, "39"]},
        cosmetic_skin={"face": {"type": "dry", "condition": ["sensitive"]}},
        children=[{"gender": "m", "age": {"min": 1.5, "max": 2}}],
        income_level="regal",
        shoe_smell={"strength": 3},
    )

    profile = await client.user(external_id="7").profile.get()

    assert profile.computed_gender == "f"
    assert profile.fashion_sizes == {"shoe": (38, "39")}
    assert profile.cosmetic_skin is not None
    assert profile.cosmetic_skin.face is not None
    assert profile.cosmetic_skin.face.type == ("dry",)
    assert profile.children is not None
    assert profile.children[0].age is not None
    assert profile.children[0].age.max == 2
    assert profile.income_level == "regal"
    assert profile.extra["shoe_smell"] == {"strength": 3}
    assert profile.raw["computed_gender"] == "female"


async def test_an_answer_inside_an_envelope_of_success_is_the_same(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(did="device0001")
    inside = b'{"status": "success", "payload": {"id": "7", "gender": "f"}}'
    with emulator.fault(path="/profile", body=inside):
        profile = await user.profile.get()
    assert (profile.id, profile.gender, profile.raw) == ("7", "f", {"id": "7", "gender": "f"})
    assert await user.profile.get() == profile  # from the cache

    products = b'{"status": "success", "payload": [{"id": "665"}]}'
    with emulator.fault(path="/orders/last_for_user", body=products):
        assert [one.id for one in await user.orders.last_for_user()] == ["665"]
