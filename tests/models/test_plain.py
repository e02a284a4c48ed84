"""Updates that msgspec recognises as plain are those that the rules give back as they stand."""

from __future__ import annotations

import json
from collections import UserString
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import Gender, Kid, ProfileUpdate, ValidationError
from personaclick_async.codec import encode
from personaclick_async.models import rules
from personaclick_async.models.plain import plain
from personaclick_async.models.update import RULES


class Tier(str, Enum):  # noqa: UP042 - a StrEnum's str() is its value
    """Its str() is its name, and not what it is equal to."""

    GOLD = "gold"


class Loud(str):
    """A text that says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


ORDINARY = {
    "email": "ada@shop.example",
    "phone": "+79990001122",
    "external_id": 7,
    "loyalty_id": "000123",
    "first_name": "Ада",
    "gender": "f",
    "age": 33.5,
    "birthday": "1990-12-31",
    "bought_something": True,
    "loyalty_bonuses": 0,
    "kids": [{"gender": "m", "birthday": "2015-02-28"}, {}],
    "auto": [{"brand": "Nissan", "vds": "BP8AN5"}],
}

texts = st.one_of(
    st.text(max_size=12),
    st.text("+0123456789- ", max_size=17),
    st.text("ab.@-_'ü ", max_size=20).map(lambda text: f"{text}@shop.example"),
    st.dates().map(str),
    st.dates(date(1, 1, 1), date(9, 12, 31)).map(lambda day: str(day).lstrip("0")),
    st.sampled_from(["m", "f", "male", "Female", "", " ", "\x1f", "2023-02-29", "2024-02-29"]),
    st.sampled_from(
        [
            "2023-04-31",
            "0000-01-01",
            "1990-1-1",
            "\u0662\u0660\u0662\u0663-\u0660\u0661-\u0660\u0661",
            "\ud800",
            "a\n",
        ]
    ),
    st.sampled_from(["ada@shop.example\n", "a@b", "a@b..c", "a" * 65 + "@b.co", "7" * 16]),
)
odd = st.one_of(
    st.sampled_from([Tier.GOLD, Loud("gold"), UserString("gold"), Gender.FEMALE, b"gold", None]),
    st.dates(),
    st.datetimes(),
    st.decimals(),
    st.builds(Kid),
    st.builds(object),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.sampled_from([2**63, -(2**63)])
)
parts = st.dictionaries(
    st.sampled_from(["gender", "birthday", "brand", "model", "vds", "name"]),
    st.one_of(texts, odd),
    max_size=3,
)
values = st.one_of(texts, numbers, odd, st.lists(parts, max_size=3), st.tuples(parts), parts)
names = st.sampled_from([*RULES[ProfileUpdate], "custom", "nickname"])


def by_rules(fields: dict[str, Any]) -> dict[str, Any]:
    known = RULES[ProfileUpdate]
    return {name: known[name](name, value) for name, value in fields.items()}


def exact(value: object) -> Any:
    """Give a value with the type of each part, where equality would pass 1 for True."""
    match value:
        case dict():
            return {exact(key): exact(item) for key, item in value.items()}
        case list():
            return [exact(item) for item in value]
        case _:
            return type(value), repr(value)


@given(fields=st.dictionaries(names, values, max_size=3))
def test_what_is_plain_is_what_the_rules_make_of_it(fields: dict[str, Any]) -> None:
    found = plain(fields)

    if found is not None:
        assert exact(found) == exact(by_rules(fields))


def test_an_ordinary_update_is_plain() -> None:
    found = plain(ORDINARY)

    assert exact(found) == exact(ORDINARY)
    assert found is not ORDINARY


@pytest.mark.parametrize("field", [at.name for at in attrs.fields(ProfileUpdate)][:-2])
def test_every_field_has_a_plain_form(field: str) -> None:
    forms = [*ORDINARY.values(), "gold"]

    assert any(plain({field: form}) == {field: form} for form in forms)


@pytest.mark.parametrize("value", [Tier.GOLD, Loud("gold")])
def test_a_text_in_disguise_becomes_a_text(value: str) -> None:
    [name] = ProfileUpdate(first_name=value).mentioned.values()

    assert (type(name), str(name)) == (str, "gold")


@pytest.mark.parametrize(
    "fields",
    [
        {"nickname": "Ada"},
        {"first_name": b"Ada"},
        {"first_name": date(1990, 3, 11)},
        {"first_name": "half of a letter: \ud83d"},
        {"bought_something": 1},
        {"age": True},
        {"age": float("nan")},
        {"loyalty_bonuses": float("inf")},
        {"loyalty_bonuses": 2**63},
        {"loyalty_bonuses": Decimal(7)},
        {"kids": ({"gender": "m"},)},
        {"kids": [{"gender": "m", "name": "Bob"}]},
        {"birthday": "1990-02-30"},
        {"email": "ada@shop.example\n"},
        {"phone": "+7 999 000-11-22"},
        {"external_id": " "},
    ],
)
def test_what_needs_a_second_look_is_not_plain(fields: dict[str, Any]) -> None:
    assert plain(fields) is None


def test_what_refers_to_itself_is_not_plain() -> None:
    kids: list[Any] = []
    kids.append({"gender": kids})

    assert plain({"kids": kids}) is None
    with pytest.raises(ValidationError, match="gender"):
        ProfileUpdate(kids=kids)


@given(fields=st.dictionaries(names, values, max_size=3))
def test_a_plain_update_can_always_be_encoded(fields: dict[str, Any]) -> None:
    found = plain(fields)

    assert found is None or json.loads(encode(found)) == found


def test_an_unusual_address_is_plain_too() -> None:
    for address in ("o'neil+shop@mail-1.example", "x@1.co"):
        assert plain({"email": address}) == {"email": rules.email("email", address)}
