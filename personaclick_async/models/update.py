"""What a caller sends about a user: the profile update, with children and vehicles."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from operator import attrgetter
from typing import Any, Final, Never, TypeAlias, TypedDict, TypeVar, Unpack, dataclass_transform

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.rules import CustomValue, Number, Rule
from personaclick_async.names import EXTERNAL_ID, ID, RESERVED_PARAMETERS, Gender

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

_NOT_EMPTY: Final = "a non-empty str; leave the field out, or pass CLEAR to erase it"
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z0-9_]+")


class Clear(Enum):
    """The type of :data:`CLEAR`."""

    CLEAR = None  # what goes over the wire

    def __repr__(self) -> str:
        return "CLEAR"


CLEAR: Final = Clear.CLEAR
"""Send this for a field that the service shall forget; None only leaves the field out."""

Sent: TypeAlias = T | Clear | None
"""A field of an update: a value, :data:`CLEAR`, or None to leave it out."""


class Kind(StrEnum):
    """What a field holds, or a custom property; called as in the mapping of a file."""

    ANY = "any"  # text stays text and a number stays a number
    TEXT = "string"
    IDENTIFIER = "identifier"  # a text that may be given as a number: "A-7", 100500
    EMAIL = "email"
    PHONE = "phone"
    GENDER = "gender"
    INTEGER = "integer"
    FLOAT = "float"
    NUMBER = "number"  # an integer or a float
    FLAG = "boolean"
    DAY = "birthday"
    DATE = "date"
    DATETIME = "datetime"
    LIST = "list"
    OBJECTS = "json"  # such as the list of objects in ``kids``


@attrs.define(eq=False)
class Field:
    """The facts of one field, which everything else reads; as an attribute, the field's value.

    :ivar rule: accepts a value, and returns it in the wire's form.
    :ivar kind: what the field holds.
    :ivar column_names: names of columns that hold it, besides its own, the surest first: in lower
        case, without signs, a space between two. ``sync/mapping/words.toml`` has those of other
        languages.
    :ivar in_full_answer: whether the full profile has it (protocol, section 4.2).
    :ivar part: the class of the objects in a list of them.
    """

    rule: Rule[Any]
    kind: Kind
    column_names: str = ""
    in_full_answer: bool = attrs.field(default=True, kw_only=True)
    part: type[Any] | None = attrs.field(default=None, kw_only=True)
    name: str = attrs.field(init=False)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Fields | None, _: type | None = None) -> object:
        if instance is None:
            return self
        value = instance.mentioned.get(self.name)
        if value is None:
            return CLEAR if self.name in instance.mentioned else None
        if self.kind is Kind.GENDER:
            return Gender(value)
        if self.kind is Kind.DAY:
            return date.fromisoformat(value)
        return tuple(self.part(**one) for one in value) if self.part else value


sent: Final[Any] = Field
"""Declares a field; Any, because its attribute has the type that stands before it."""


@dataclass_transform(frozen_default=True)  # editors show the fields as keywords
class Fields:
    """Fields that are kept in the wire's form and read in Python's."""

    __slots__ = ("mentioned",)
    mentioned: Mapping[str, Any]  # those that are given, by name; None for CLEAR
    facts: Mapping[str, Field]
    can_clear = True  # whether a field may be CLEAR

    def __init_subclass__(cls) -> None:
        cls.facts = {name: one for name, one in vars(cls).items() if isinstance(one, Field)}

    @classmethod
    def checked(cls, given: Mapping[str, object], owner: str) -> dict[str, Any]:
        """Run each field's rule; None stays out."""
        facts = cls.facts
        made: dict[str, Any] = {}
        for name, value in given.items():
            field = facts.get(name)
            if field is None:
                raise ValidationError(owner, f"one of {', '.join(facts)}", "an unknown field name")
            if value is CLEAR:
                if not cls.can_clear:
                    raise rules.refuse(name, "a value, or the field left out", value)
                made[name] = None
            elif value is not None:
                made[name] = field.rule(name, value)
        return made

    def __eq__(self, other: object) -> bool:
        # The state that pickle takes along is all that an update holds.
        return type(other) is type(self) and other.__getstate__() == self.__getstate__()

    def __hash__(self) -> int:
        return hash(frozenset(self.mentioned))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {', '.join(self.mentioned) or 'nothing'}>"


class _Part(Fields):
    """A part of an update, whose fields can't be cleared one by one."""

    __slots__ = ()
    can_clear = False

    @classmethod
    def rule(cls) -> Rule[list[Mapping[str, Any]]]:
        """Return the rule of a list of such parts."""

        def part(field: str, value: object) -> Mapping[str, Any]:
            if isinstance(value, cls):
                return value.mentioned
            if not isinstance(value, dict | Mapping):
                raise rules.refuse(field, f"a {cls.__name__} or a mapping", value)
            try:
                return cls.checked(value, field)
            except ValidationError as error:
                if error.field == field:
                    raise
                raise error.within(field) from None

        rule = rules.each(part)
        rule.__doc__ = (
            f"Accept an iterable of :class:`{cls.__name__}`, or of mappings of its fields;"
            " it replaces what was there."
        )
        return rule


class Kid(_Part):
    """A child of the user: ``gender`` and ``birthday``, both optional (protocol, 3.1)."""

    __slots__ = ()
    gender: Gender | None = sent(rules.gender, Kind.GENDER)
    birthday: date | None = sent(rules.birthday, Kind.DAY)

    def __init__(
        self,
        *,
        gender: Gender | str | None = None,
        birthday: date | str | None = None,
        **others: Never,  # refused by checked()
    ) -> None:
        given = {"gender": gender, "birthday": birthday, **others}
        self.mentioned = self.checked(given, "Kid")


class Vehicle(_Part):
    """A vehicle of the user: ``brand``, ``model``, ``vds`` (VDS or full VIN) (protocol, 3.1)."""

    __slots__ = ()
    brand: str | None = sent(rules.text, Kind.TEXT)
    model: str | None = sent(rules.text, Kind.TEXT)
    vds: str | None = sent(rules.text, Kind.TEXT)

    def __init__(
        self,
        *,
        brand: str | None = None,
        model: str | None = None,
        vds: str | None = None,
        **others: Never,  # refused by checked()
    ) -> None:
        given = {"brand": brand, "model": model, "vds": vds, **others}
        self.mentioned = self.checked(given, "Vehicle")


class ProfileFields(TypedDict, total=False):
    """What ``profile.set`` and :class:`ProfileUpdate` take, by keyword."""

    email: Sent[str]
    phone: Sent[str]
    external_id: Sent[str | int]
    id: Sent[str | int]
    loyalty_id: Sent[str | int]
    telegram_id: Sent[str | int]
    fb_id: Sent[str | int]
    vk_id: Sent[str | int]
    first_name: Sent[str]
    last_name: Sent[str]
    middle_name: Sent[str]
    gender: Sent[Gender | str]
    age: Sent[int | float | Decimal]
    birthday: Sent[date | str]
    location: Sent[str]
    bought_something: Sent[bool]
    loyalty_card_location: Sent[str]
    loyalty_status: Sent[str]
    loyalty_bonuses: Sent[int | float | Decimal]
    loyalty_bonuses_to_next_level: Sent[int | float | Decimal]
    google_advertising_id: Sent[str]
    apple_advertising_id: Sent[str]
    yandex_id: Sent[str | int]
    kids: Sent[Iterable[Kid | Mapping[str, object]]]
    auto: Sent[Iterable[Vehicle | Mapping[str, object]]]
    custom: Mapping[str, CustomValue | Clear | None] | None


def names_fields(function: F) -> F:
    """Write each field into the signature that a function shows, in place of ``**fields``.

    Type checkers know the fields from the annotation; consoles and notebooks ask the signature.
    """
    shown = inspect.signature(function)
    own = [one for one in shown.parameters.values() if one.kind is not one.VAR_KEYWORD]
    for name, of in ProfileFields.__annotations__.items():
        field = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        own.append(field.replace(annotation=of.__forward_arg__))
    function.__signature__ = shown.replace(parameters=own)  # type: ignore[attr-defined]
    return function


_external_id: Final[Any] = property(attrgetter(EXTERNAL_ID))  # the field by its other name


class ProfileUpdate(Fields):
    """A change of a user's profile; fields that are not mentioned stay as they are.

    Every field is checked when the update is made. A second ``kids`` or ``auto`` replaces the
    first. ``id`` is another name for ``external_id``. Custom properties go into ``custom`` and
    must exist in the account first (Settings > Profile Property).

    :ivar mentioned: the standard fields that are given, by name, in the wire's form; None clears.
    :raises ValidationError: a value breaks its field's rule.
    """

    __slots__ = ("custom",)
    custom: Mapping[str, Json]
    email: Sent[str] = sent(rules.email, Kind.EMAIL, "emailaddress mail mailaddress useremail")
    phone: Sent[str] = sent(
        rules.phone,
        Kind.PHONE,
        "phonenumber mobile mobilephone mobilenumber telephone telephonenumber",
    )
    external_id: Sent[str | int] = sent(
        rules.user_id, Kind.IDENTIFIER, "customerid customerkey customernumber customerno"
    )
    id: Sent[str | int] = _external_id
    loyalty_id: Sent[str] = sent(
        rules.identifier, Kind.IDENTIFIER, "loyaltycard loyaltycardnumber loyaltynumber"
    )
    telegram_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, "telegram tgid")
    fb_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, "facebookid")
    vk_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, "vkontakteid")
    first_name: Sent[str] = sent(rules.text, Kind.TEXT, "givenname forename fname")
    last_name: Sent[str] = sent(rules.text, Kind.TEXT, "surname familyname lname")
    middle_name: Sent[str] = sent(rules.text, Kind.TEXT, "patronymic secondname")
    gender: Sent[Gender] = sent(rules.gender, Kind.GENDER, "sex")
    age: Sent[Number] = sent(rules.age, Kind.NUMBER)
    birthday: Sent[date] = sent(rules.birthday, Kind.DAY, "birthdate dateofbirth dob bday birth")
    location: Sent[str] = sent(rules.text, Kind.TEXT, "locationid")
    bought_something: Sent[bool] = sent(rules.boolean, Kind.FLAG)
    loyalty_card_location: Sent[str] = sent(rules.text, Kind.TEXT)
    loyalty_status: Sent[str] = sent(rules.text, Kind.TEXT)
    loyalty_bonuses: Sent[Number] = sent(
        rules.number, Kind.NUMBER, "bonuses bonuspoints loyaltypoints"
    )
    loyalty_bonuses_to_next_level: Sent[Number] = sent(rules.number, Kind.NUMBER)
    google_advertising_id: Sent[str] = sent(rules.text, Kind.TEXT, "gaid", in_full_answer=False)
    apple_advertising_id: Sent[str] = sent(rules.text, Kind.TEXT, "idfa", in_full_answer=False)
    yandex_id: Sent[str] = sent(rules.identifier, Kind.IDENTIFIER, in_full_answer=False)
    kids: Sent[tuple[Kid, ...]] = sent(Kid.rule(), Kind.OBJECTS, in_full_answer=False, part=Kid)
    auto: Sent[tuple[Vehicle, ...]] = sent(
        Vehicle.rule(), Kind.OBJECTS, in_full_answer=False, part=Vehicle
    )

    @names_fields
    def __init__(self, **fields: Unpack[ProfileFields]) -> None:
        _fill(self, fields)

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> ProfileUpdate:
        """Return the update with these keywords; cheaper than passing them by ``**``."""
        update = cls.__new__(cls)
        _fill(update, fields)
        return update

    @classmethod
    def from_flat(cls, fields: Mapping[str, object]) -> ProfileUpdate:
        """Return the update of one flat mapping, as the JavaScript call and the wire have it.

        A name that is not of a standard field is a custom property's.
        """
        if fields.keys() <= FIELDS.keys():
            return cls.of(fields)
        standard: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        for name, value in fields.items():
            (standard if name in FIELDS or name == ID else custom)[name] = value
        return cls.of(standard | {"custom": custom} if custom else standard)

    def __bool__(self) -> bool:
        return bool(self.mentioned or self.custom)

    def __repr__(self) -> str:
        names = [*self.mentioned, *(f"custom.{name}" for name in self.custom)]
        return f"<ProfileUpdate of {', '.join(names) or 'nothing'}>"


FIELDS: Final[Mapping[str, Field]] = ProfileUpdate.facts
"""The facts of every field of ``profile/set`` (protocol, section 3.1), by name."""

RESERVED_NAMES: Final = frozenset(FIELDS) | RESERVED_PARAMETERS
"""What a custom property can't be called (protocol, section 3.2)."""


def _fill(update: ProfileUpdate, given: Mapping[str, object]) -> None:
    custom = None
    if "custom" in given:
        given = {**given}
        custom = given.pop("custom")
    try:
        if ID in given:
            given = _with_one_user_id(given)
        update.mentioned = ProfileUpdate.checked(given, "profile update")
        update.custom = {} if custom is None else _custom(custom)  # type: ignore[misc]  # it is new
    except ValidationError as error:
        if error.given == rules.given("") and "[" not in error.field:
            raise ValidationError(error.field, _NOT_EMPTY, error.given) from None
        raise


def _with_one_user_id(given: Mapping[str, object]) -> Mapping[str, object]:
    ids = [
        value if value is CLEAR else rules.user_id(name, value)
        for name in (EXTERNAL_ID, ID)
        if (value := given.get(name)) is not None
    ]
    if len({str(value) for value in ids}) > 1:
        raise ValidationError(
            ID, f"one value for {ID} and {EXTERNAL_ID}, which are the same", "two different values"
        )
    standard = {name: value for name, value in given.items() if name != ID}
    return standard | {EXTERNAL_ID: ids[0]} if ids else standard


def custom_name(name: object) -> str:
    """Accept Latin letters, digits and ``_``, except the reserved names (protocol, 3.2)."""
    if not isinstance(name, str):
        raise rules.refuse("custom", "names as str", name)
    if not _CUSTOM_NAME.fullmatch(name):
        raise ValidationError(
            "custom", "names of Latin letters, digits and _", f"a name of {len(name)} characters"
        )
    if name in RESERVED_NAMES:
        raise ValidationError(f"custom.{name}", "a name that is not reserved", "a reserved name")
    return name


def _custom(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise rules.refuse("custom", "a mapping of property names to values", value)
    return {
        (name := custom_name(key)): (
            None if item is CLEAR else rules.custom_value(f"custom.{name}", item)
        )
        for key, item in value.items()
        if item is not None
    }


def to_wire(update: ProfileUpdate, *, user_id_name: str = ID) -> dict[str, Json]:
    """Return the update as the service takes it: flat, custom properties beside the fields.

    :param user_id_name: what the wire calls the shop's own user id (``id`` or ``external_id``).
    """
    wire = {**update.mentioned, **update.custom}
    if EXTERNAL_ID in wire:
        wire[user_id_name] = wire.pop(EXTERNAL_ID)
    return wire
