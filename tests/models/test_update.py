"""What a caller may send: what is taken, in which form it leaves, and how no is said."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_type_hints

import jedi
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from personaclick_async import CLEAR, Gender, Kid, ProfileUpdate, ValidationError, Vehicle
from personaclick_async.models import ProfileFields
from personaclick_async.models.update import FIELDS, RESERVED_NAMES, to_wire
from personaclick_async.user import ProfileCalls, RawProfileCalls


def wire(**fields: Any) -> dict[str, Any]:
    return to_wire(ProfileUpdate(**fields))


def test_every_documented_field_can_be_sent() -> None:
    takes = set(get_type_hints(ProfileFields)) - {"custom"}

    assert takes == {*FIELDS, "id"}


@pytest.mark.parametrize("call", [ProfileUpdate, ProfileCalls.set, RawProfileCalls.set])
def test_a_console_is_shown_every_field(call: Callable[..., object]) -> None:
    shown = inspect.signature(call).parameters.values()

    keywords = {one.name for one in shown if one.kind is one.KEYWORD_ONLY}
    assert keywords == {*FIELDS, "id", "custom"}
    assert not any(one.kind is one.VAR_KEYWORD for one in shown)


@pytest.mark.parametrize("call", ["ProfileUpdate", "client.profile.set", "client.profile.raw.set"])
def test_an_editor_is_shown_every_field(call: str) -> None:
    lines = [
        "from personaclick_async import PersonaClick, ProfileUpdate",
        "def handler(client: PersonaClick):",
        f"    {call}(",
    ]
    (shown,) = jedi.Script("\n".join(lines)).get_signatures(3, len(lines[-1]))

    assert {one.name for one in shown.params} - {"update"} == {*FIELDS, "id", "custom"}


def test_the_other_name_of_the_external_id_reads_as_it() -> None:
    assert ProfileUpdate(id="A-7").id == ProfileUpdate(external_id="A-7").id == "A-7"
    assert ProfileUpdate(id="A-7") == ProfileUpdate(external_id="A-7")
    assert ProfileUpdate(id=CLEAR).external_id is CLEAR
    assert ProfileUpdate(age=3).id is None


@pytest.mark.parametrize(
    ("field", "given", "sent"),
    [
        ("email", "john.doe@examplemail.com", "john.doe@examplemail.com"),
        ("email", "björn@größe.example", "björn@größe.example"),
        ("phone", "4400114527199", "4400114527199"),
        ("phone", "+1 (11) 500 555-0162", "+1115005550162"),
        ("phone", "398-555-0132", "3985550132"),
        ("phone", "22 33 44 55", "22334455"),
        ("email", "Ada@Shop.EXAMPLE", "Ada@shop.example"),
        ("email", "jose\u0301@shop.example", "jos\xe9@shop.example"),
        ("external_id", 100500, 100500),
        ("external_id", "A-7", "A-7"),
        ("loyalty_id", "000001234567", "000001234567"),
        ("loyalty_id", 5, "5"),
        ("telegram_id", 125762968357835, "125762968357835"),
        ("first_name", " Ada ", " Ada "),
        ("gender", "f", "f"),
        ("gender", "male", "m"),
        ("gender", Gender.FEMALE, "f"),
        ("age", 31, 31),
        ("age", 31.5, 31.5),
        ("age", Decimal(31), 31),
        ("birthday", "1990-03-11", "1990-03-11"),
        ("birthday", date(1990, 3, 11), "1990-03-11"),
        ("birthday", datetime(1990, 3, 11, 15, tzinfo=UTC), "1990-03-11"),
        ("bought_something", False, False),
        ("loyalty_bonuses", Decimal("7.25"), 7.25),
        ("loyalty_bonuses", -3, -3),
        ("kids", [], []),
        ("kids", ({"gender": "m", "birthday": "2001-04-12"},), None),
        ("kids", iter([Kid(birthday=date(2001, 4, 12))]), [{"birthday": "2001-04-12"}]),
        ("auto", [Vehicle(brand="Nissan"), {"vds": "X"}], [{"brand": "Nissan"}, {"vds": "X"}]),
        ("location", CLEAR, None),
        ("kids", CLEAR, None),
    ],
)
def test_values_are_sent_in_the_wire_format(field: str, given: object, sent: object) -> None:
    found = wire(**{field: given})

    name = "id" if field == "external_id" else field
    if field == "kids" and sent is None and given is not CLEAR:
        sent = [{"gender": "m", "birthday": "2001-04-12"}]
    assert found == {name: sent}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("text", "text"),
        (100500, 100500),
        (7.62, 7.62),
        (True, True),
        (Decimal("7.5"), 7.5),
        (["value1", "value2"], ["value1", "value2"]),
        (("a", 1, 2.5, True), ["a", 1, 2.5, True]),
        ([date(2021, 12, 31)], ["2021-12-31"]),
        ({"key1": "v", "key2": None, "key3": ""}, {"key1": "v", "key2": None, "key3": ""}),
        ([{"a": [1]}], [{"a": [1]}]),
        (date(2021, 12, 31), "2021-12-31"),
        (datetime(2021, 12, 31, 23, 55), "2021-12-31 23:55:00"),  # noqa: DTZ001
        (datetime(999, 1, 2, 3, 4, 5), "0999-01-02 03:04:05"),  # noqa: DTZ001
        (
            datetime(2021, 12, 31, 23, 55, tzinfo=timezone(timedelta(hours=3))),
            "2021-12-31 20:55:00",
        ),
        (CLEAR, None),
    ],
)
def test_custom_properties_have_every_documented_type(value: Any, sent: object) -> None:
    assert wire(custom={"a_property": value}) == {"a_property": sent}


@pytest.mark.parametrize(
    ("fields", "field", "rule", "given"),
    [
        ({"email": "x"}, "email", "an e-mail address", "str of 1 character"),
        ({"email": "a@b"}, "email", "an e-mail address", "str of 3 characters"),
        ({"email": "a b@c.co"}, "email", "an e-mail address", "str of 8 characters"),
        ({"email": "a@b@c.co"}, "email", "an e-mail address", "str"),
        ({"email": "a" * 255 + "@b.co"}, "email", "an e-mail address", "str of 260"),
        ({"email": 5}, "email", "an e-mail address as str", "int"),
        ({"phone": "12"}, "phone", "5 to 15 digits", "str of 2 characters"),
        ({"phone": "call me"}, "phone", "5 to 15 digits", "str"),
        ({"phone": 79990001122}, "phone", "as str", "int"),
        ({"phone": "٧٩٩٩٠٠٠١١٢٢"}, "phone", "5 to 15 digits", "str"),
        ({"gender": "x"}, "gender", "'m' or 'f'", "str of 1 character"),
        ({"gender": 1}, "gender", "'m' or 'f'", "int"),
        ({"age": -1}, "age", "0 or more", "a negative int"),
        ({"age": "31"}, "age", "a finite number", "str of 2 characters"),
        ({"age": True}, "age", "a finite number", "bool"),
        ({"age": float("nan")}, "age", "a finite number", "float"),
        ({"age": Decimal("Infinity")}, "age", "a finite number", "Decimal"),
        ({"birthday": "11.03.1990"}, "birthday", "YYYY-MM-DD", "str of 10 characters"),
        ({"birthday": "1990-02-30"}, "birthday", "a day of the calendar", "str"),
        ({"birthday": 5}, "birthday", "a date", "int"),
        ({"bought_something": 1}, "bought_something", "a bool", "int"),
        ({"first_name": ""}, "first_name", "leave the field out, or pass CLEAR", "an empty str"),
        ({"email": ""}, "email", "leave the field out, or pass CLEAR", "an empty str"),
        ({"gender": ""}, "gender", "leave the field out, or pass CLEAR", "an empty str"),
        ({"first_name": b"Ada"}, "first_name", "a non-empty str", "bytes of 3 bytes"),
        ({"first_name": "\ud800x"}, "first_name", "UTF-8", "a lone surrogate"),
        ({"external_id": " "}, "external_id", "non-blank", "str of 1 character"),
        ({"external_id": 1.5}, "external_id", "non-blank", "float"),
        ({"external_id": True}, "external_id", "non-blank", "bool"),
        ({"external_id": 2**63}, "external_id", "64 bits", "a larger int"),
        ({"id": 1, "external_id": 2}, "id", "one value", "two different values"),
        ({"loyalty_bonuses": 10**30}, "loyalty_bonuses", "64 bits", "a larger int"),
        ({"kids": {"gender": "m"}}, "kids", "a list", "dict of 1 item"),
        ({"kids": "m"}, "kids", "a list", "str"),
        ({"kids": [5]}, "kids[0]", "a Kid or a mapping", "int"),
        ({"kids": [{}, {"birthday": 5}]}, "kids[1].birthday", "a date", "int"),
        ({"kids": [{"name": "x"}]}, "kids[0]", "one of gender, birthday", "unknown"),
        ({"kids": [{"Ada": CLEAR}]}, "kids[0]", "one of gender, birthday", "unknown"),
        ({"kids": [{"gender": CLEAR}]}, "kids[0].gender", "a value", "Clear"),
        ({"auto": [{"brand": ""}]}, "auto[0].brand", "a non-empty str", "an empty str"),
        ({"nickname": "x"}, "profile update", "one of email", "an unknown field"),
        ({"custom": [1]}, "custom", "a mapping", "list of 1 item"),
        ({"custom": {1: 2}}, "custom", "names as str", "int"),
        ({"custom": {"a-b": 1}}, "custom", "Latin letters", "a name of 3 characters"),
        ({"custom": {"ä": 1}}, "custom", "Latin letters", "a name of 1 character"),
        ({"custom": {"a": ""}}, "custom.a", "leave the field out, or pass CLEAR", "an empty str"),
        ({"custom": {"a": {1, 2}}}, "custom.a", "text, a number", "set of 2 items"),
        ({"custom": {"a": {1: 2}}}, "custom.a", "str keys", "int"),
        ({"custom": {"a": [float("inf")]}}, "custom.a[0]", "a finite number", "float"),
        ({"custom": {"a": {"b": {"c": b""}}}}, "custom.a.b.c", "text", "bytes"),
    ],
)
def test_errors_name_the_field_the_rule_and_the_type(
    fields: dict[str, Any], field: str, rule: str, given: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ProfileUpdate(**fields)

    error = caught.value
    assert error.field == field
    assert rule in error.rule
    assert given in error.given
    assert str(error) == f"{error.field}: expected {error.rule}, got {error.given}"


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_reserved_names_are_refused_as_custom_properties(name: str) -> None:
    with pytest.raises(ValidationError, match=f"^custom.{name}: expected a name that is not"):
        ProfileUpdate(custom={name: "value"})


def test_endless_nesting_is_refused() -> None:
    deep: Any = []
    deep.append(deep)
    with pytest.raises(ValidationError, match="at most 32 levels"):
        ProfileUpdate(custom={"a": deep})


# No word of a message itself: nothing shown by chance is taken for something given away.
PRIVATE = st.text().map(lambda text: f"{text}canary")


@given(
    name=st.sampled_from([name for name in FIELDS if name not in ("kids", "auto")]),
    value=PRIVATE | st.binary().map(lambda some: some + b"canary") | st.lists(PRIVATE, min_size=1),
)
def test_no_error_shows_the_value(name: str, value: Any) -> None:
    refused: ValidationError | None = None
    try:
        ProfileUpdate(**{name: value})
    except ValidationError as error:
        refused = error
    assume(refused is not None)
    shown = f"{refused} {refused!r}"
    assert "canary" not in shown


def test_none_is_not_mentioned_and_id_is_external_id() -> None:
    update = ProfileUpdate(email=None, id=7, external_id="7", custom=None)

    assert update.mentioned == {"external_id": "7"}
    assert to_wire(update, user_id_name="external_id") == {"external_id": "7"}
    assert not ProfileUpdate(email=None, custom={"a": None})


def test_a_flat_mapping_is_split_into_fields_and_custom_properties() -> None:
    update = ProfileUpdate.from_flat({"id": 5, "first_name": "Ada", "colour": "red", "x": None})

    assert update == ProfileUpdate(external_id=5, first_name="Ada", custom={"colour": "red"})


def test_reprs_show_no_values() -> None:
    update = ProfileUpdate(
        email="ada@shop.example", kids=[Kid(birthday="2001-02-03")], custom={"colour": "crimson"}
    )

    assert repr(update) == "<ProfileUpdate of email, kids, custom.colour>"
    assert repr(update.kids) == "(<Kid with birthday>,)"
    assert repr(Vehicle(vds="X")) == "<Vehicle with vds>"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
VISIBLE = TEXT.filter(
    lambda text: text.isprintable() and text == text.strip() and "\ufffd" not in text
)
BIRTHDAYS = st.dates(date(1930, 1, 1), date(2025, 12, 31))
UPDATES = st.fixed_dictionaries(
    {},
    optional={
        "email": st.emails().filter(
            lambda text: len(text) < 250 and text[0] != "'" and text[0] != "="
        ),
        "phone": st.from_regex(r"\+?[0-9]{5,15}", fullmatch=True).filter(
            lambda phone: len(set(phone.lstrip("+"))) > 1
        ),
        "external_id": st.integers(-(2**63), 2**63 - 1) | VISIBLE,
        "first_name": TEXT,
        "gender": st.sampled_from(Gender),
        "age": st.integers(0, 150) | st.floats(0, 150),
        "birthday": BIRTHDAYS,
        "bought_something": st.booleans(),
        "loyalty_bonuses": st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False),
        "kids": st.lists(
            st.fixed_dictionaries(
                {}, optional={"gender": st.sampled_from(Gender), "birthday": BIRTHDAYS}
            ),
            max_size=3,
        ),
        "auto": st.lists(st.fixed_dictionaries({}, optional={"brand": TEXT, "vds": TEXT})),
        "custom": st.dictionaries(
            st.from_regex(r"[A-Za-z0-9_]+", fullmatch=True).filter(
                lambda name: name not in RESERVED_NAMES
            ),
            TEXT | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.lists(TEXT),
            max_size=4,
        ),
    },
)


@given(fields=UPDATES)
def test_updates_round_trip_through_the_wire_format(fields: dict[str, Any]) -> None:
    update = ProfileUpdate(**fields)

    assert ProfileUpdate.from_flat(to_wire(update)) == update
    assert pickle.loads(pickle.dumps(update)) == copy.deepcopy(update) == update
    assert to_wire(pickle.loads(pickle.dumps(update))) == to_wire(update)
