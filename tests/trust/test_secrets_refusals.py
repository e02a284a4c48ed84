"""What is refused before it is sent is refused by name, type and size, and never shown."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from personaclick_async import (
    ConfigurationError,
    Kid,
    PersonaClick,
    PersonaClickError,
    ProfileUpdate,
    Session,
    ValidationError,
    Vehicle,
)
from personaclick_async.facade import WrongCall, create_personaclick
from personaclick_async.models import Identity, ProfileFields
from tests.trust.canaries import CANARIES, found_in, shown_by

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(PersonaClickError) as caught:
        make()
    return shown_by(caught.value)


@pytest.mark.parametrize("field", list(ProfileFields.__annotations__))
def test_no_field_shows_what_it_refuses(field: str) -> None:
    bad = " ".join(CANARIES.values())
    values: list[Any] = [[bad], {bad: bad}, bad.encode(), {1: bad}, [{bad: bad}], object()]
    refusals: list[PersonaClickError] = []
    makers: list[Callable[..., object]] = [
        ProfileUpdate,
        lambda **fields: ProfileUpdate.from_flat(fields),
    ]
    for value in values:
        for make in makers:
            try:
                make(**{field: value})
            except PersonaClickError as error:
                refusals.append(error)
    assert len(refusals) > 5
    for refusal in refusals:
        assert found_in(shown_by(refusal)) == []


NOT_ENCODABLE = " ".join(CANARIES.values()) + "\ud800"


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Kid(birthday=bad),
        lambda bad: Kid(gender=bad),
        lambda bad: Kid(**{bad: bad}),
        lambda bad: ProfileUpdate(kids=[{bad: bad}]),
        lambda bad: ProfileUpdate(kids=[{"birthday": bad}]),
        lambda bad: ProfileUpdate(custom={"note": {"a": [object(), bad]}}),
        lambda bad: Identity.of(email=bad),
        lambda bad: Identity.of(phone=bad),
        lambda bad: Identity.of(did=[bad]),
        lambda bad: Identity.of(did=bad, email=bad),
        lambda bad: Session(did=bad, expires_at=NAIVE),
        PersonaClick,
        lambda bad: PersonaClick("e0" * 15, shop_secret=bad),
        lambda bad: PersonaClick("e0" * 15, api_url=f"https://{bad}:{bad}@host/"),
        lambda bad: PersonaClick("e0" * 15, stream=bad),
        lambda bad: PersonaClick("e0" * 15, set_user_id_name=bad),
        lambda bad: PersonaClick("e0" * 15, limits={bad: bad}),
        lambda bad: PersonaClick("e0" * 15).user(email=bad),
    ],
)
def test_nothing_that_is_made_shows_what_it_refuses(make: Callable[[str], object]) -> None:
    assert found_in(refused(lambda: make(" ".join(CANARIES.values())))) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vehicle(vds=NOT_ENCODABLE),
        lambda: ProfileUpdate(first_name=NOT_ENCODABLE),
        lambda: ProfileUpdate(custom={"note": NOT_ENCODABLE}),
        lambda: ProfileUpdate(custom={"note": {NOT_ENCODABLE: 1}}),
        lambda: ProfileUpdate(birthday="1987-03-99"),
        lambda: PersonaClick("e0" * 15).user(did="d", segment=CANARIES["did"]),
    ],
)
def test_nothing_that_python_refused_first_is_chained_to_what_we_raise(
    make: Callable[[], object],
) -> None:
    with pytest.raises(ValidationError) as caught:
        make()
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "call",
    [
        ("profile", "set", {"email": CANARIES["email"]}, CANARIES["email"]),
        ("profile", "set", CANARIES["email"]),
        ("profile", CANARIES["email"]),
        (CANARIES["email"], CANARIES["phone"]),
        ("profile", "get", CANARIES["email"], CANARIES["phone"]),
        ("init", CANARIES["shop_secret"], {CANARIES["did"]: CANARIES["did"]}),
        ("orders", CANARIES["did"]),
    ],
)
def test_a_wrong_call_of_the_facade_shows_none_of_its_arguments(call: tuple[Any, ...]) -> None:
    with pytest.raises(WrongCall) as caught:
        create_personaclick()(*call)

    assert found_in(shown_by(caught.value)) == []


def test_a_variable_of_the_environment_that_is_wrong_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SHOP_ID", "SHOP_SECRET", "TIMEOUT_SECONDS", "RETRIES", "API_URL"):
        with monkeypatch.context() as environment:
            environment.setenv("PERSONACLICK_SHOP_ID", "e0" * 15)
            environment.setenv(f"PERSONACLICK_{name}", f" {CANARIES['shop_secret']}")
            with pytest.raises(ConfigurationError) as caught:
                PersonaClick()
        assert name in str(caught.value)
        assert found_in(shown_by(caught.value)) == []


def test_validation_errors_travel_without_what_they_refuse() -> None:
    with pytest.raises(ValidationError) as caught:
        ProfileUpdate(email=" ".join(CANARIES.values()))
    assert found_in(pickle.dumps(caught.value)) == []
