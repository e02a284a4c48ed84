"""Any value for any field is sent as it is, or refused with our error before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import (
    Kid,
    PersonaClick,
    ProfileUpdate,
    Session,
    ValidationError,
    Vehicle,
    names,
)
from personaclick_async.emulator import Emulator
from personaclick_async.models import Identity
from personaclick_async.models.update import FIELDS
from personaclick_async.protocol.requests import RequestContext, set_profile
from tests.trust import targets
from tests.trust.found import DATA, seeds
from tests.trust.values import ANYTHING, FIELD_NAMES, JSON

NEEDS_DATA = pytest.mark.skipif(
    not DATA.exists(), reason=f"no test data at {DATA.name}: set PERSONACLICK_DATA"
)


def test_known_hostile_properties() -> None:
    for seed in seeds("properties"):
        targets.properties(seed)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(FIELD_NAMES, ANYTHING, max_size=4))
def test_any_fields(fields: dict[str, Any]) -> None:
    targets.update(fields)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,3}_x", fullmatch=True), JSON, max_size=3))
def test_custom_properties_arrive_as_they_were(properties: dict[str, Any]) -> None:
    targets.custom(properties)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FIELD_NAMES | st.integers(), ANYTHING, max_size=4))
def test_any_custom_properties_are_json_or_refused(properties: dict[Any, Any]) -> None:
    try:
        update = ProfileUpdate(custom=properties)
    except ValidationError:
        return
    call = set_profile(targets.SHOP, targets.DEVICE, update)
    assert call.body is not None
    json.loads(bytes(call.body))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*FIELDS, names.ID]), ANYTHING)
def test_what_a_field_refuses_is_not_in_the_error(field: str, value: Any) -> None:
    marked = f"canary{value}" if isinstance(value, str) else value
    error = targets.refused(lambda: ProfileUpdate.from_flat({field: marked}), ValidationError)
    assert "canary" not in str(error)
    assert error is None or str(error).startswith(field)


MAKERS: list[Callable[[Any], object]] = [
    lambda value: Kid(birthday=value),
    lambda value: Kid(gender=value),
    lambda value: Vehicle(vds=value),
    lambda value: ProfileUpdate(kids=[value]),
    lambda value: ProfileUpdate(auto=value),
    lambda value: ProfileUpdate(custom=value),
    lambda value: Identity.of(did=value),
    lambda value: Identity.of(email=value, phone=value),
    lambda value: Session(did="d", expires_at=value) if hasattr(value, "tzinfo") else None,
]


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
@pytest.mark.parametrize("make", MAKERS)
def test_parts_and_identities_of_anything(make: Callable[[Any], object], value: Any) -> None:
    assert len(str(targets.refused(lambda: make(value)))) < 1000


@pytest.mark.parametrize("depth", [30, 33, 500, 100_000])
def test_nesting_of_any_depth_is_refused_by_rule(depth: int) -> None:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    if depth < 32:
        assert ProfileUpdate(custom={"deep": value}).custom["deep"]
        return
    with pytest.raises(ValidationError, match="at most 32 levels"):
        ProfileUpdate(custom={"deep": value})


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValidationError, match="at most 32 levels"):
        ProfileUpdate(custom={"loop": loop})


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.from_regex(r"p_[a-z]{1,3}", fullmatch=True), JSON, max_size=3))
async def test_custom_properties_come_back_from_the_service_unchanged(
    client: PersonaClick, emulator: Emulator, properties: dict[str, Any]
) -> None:
    user = client.user(external_id=1)
    try:
        await user.profile.set(custom=properties)
    except ValidationError:
        return
    kept = (await user.profile.full()).custom_properties
    for name, value in properties.items():
        if value is not None:
            assert kept.get(name) == understood(value)


def understood(value: Any) -> Any:
    """What the service takes a custom property for: null and objects may come as their text."""
    if value == "null":
        return None
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


@NEEDS_DATA
async def test_hostile_strings_come_back_from_the_service_unchanged(
    client: PersonaClick, emulator: Emulator
) -> None:
    strings = json.loads((DATA / "naughty-strings" / "blns.json").read_text("utf-8"))
    assert len(strings) > 500
    # The service takes the text "null" for null, as one of its own SDKs writes it (protocol, 3.2).
    hostile = [string for string in strings if string not in ("", "null")]
    for number, string in enumerate(hostile):
        user = client.user(external_id=number)
        await user.profile.set(
            first_name=string,
            location=string,
            custom={"text": string, "list": [string], "object": {string: string}},
        )
        profile = await user.profile.full()
        assert profile.first_name == string
        assert profile.location == string
        kept = profile.custom_properties
        assert kept["text"] == understood(string)
        assert kept["list"] == [string]
        assert kept["object"] == {string: string}


@NEEDS_DATA
async def test_hostile_strings_name_users_or_are_refused(
    client: PersonaClick, emulator: Emulator
) -> None:
    strings = json.loads((DATA / "naughty-strings" / "blns.json").read_text("utf-8"))
    for string in strings:
        try:
            user = client.user(external_id=string)
        except ValidationError:
            continue
        if string == "null":
            continue
        await user.profile.set(custom={"text": string})
        kept = (await user.profile.full()).custom_properties
        assert kept["text"] == understood(string)


@NEEDS_DATA
async def test_the_json_suite_comes_back_from_the_service_unchanged(
    client: PersonaClick, emulator: Emulator
) -> None:
    sent = 0
    for number, case in enumerate(sorted((DATA / "jsontestsuite" / "test_parsing").iterdir())):
        try:
            value = json.loads(case.read_bytes())
            update = ProfileUpdate(custom={"value": value})
        except (ValueError, RecursionError):
            assert not case.name.startswith("y_") or update_is_refused(case.read_bytes()), case.name
            continue
        if value is None:
            continue
        user = client.user(external_id=number)
        await user.profile.set(update)
        kept = (await user.profile.full()).custom_properties
        assert kept["value"] == value, case.name
        sent += 1
    assert sent > 70


def update_is_refused(body: bytes) -> bool:
    """Whether it is well-formed JSON that a custom property may not be: empty, or a surrogate."""
    value = json.loads(body)
    with pytest.raises(ValidationError):
        ProfileUpdate(custom={"value": value})
    return True


async def test_a_context_of_any_labels_is_sent_whole(client: PersonaClick) -> None:
    for text in ("\u202e", "a&b=c", "a b", "%00", "\u00e9\U0001f600", "'\"<>"):
        did = text.replace("\u202e", "an id has no invisible characters")
        call = set_profile(
            targets.SHOP,
            RequestContext(identity=Identity.of(did=did), seance=text),
            ProfileUpdate(first_name=text),
        )
        assert call.body is not None
        sent = json.loads(bytes(call.body))
        assert (sent["did"], sent["seance"], sent["first_name"]) == (did, text, text)
