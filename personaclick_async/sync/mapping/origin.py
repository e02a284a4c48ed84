"""Where one field's value comes from, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final

import attrs

from personaclick_async.codec import Json
from personaclick_async.models import fields
from personaclick_async.models.update import FIELDS


class Kind(StrEnum):
    """What a column's value is turned into; the ``type`` of a custom property in a mapping."""

    ANY = "any"
    """Text stays text and a number stays a number: for a property without a ``type``."""
    STRING = "string"
    IDENTIFIER = "identifier"
    """Text or a number that names something: no invisible characters, no words for nothing."""
    EMAIL = "email"
    PHONE = "phone"
    GENDER = "gender"
    INTEGER = "integer"
    FLOAT = "float"
    NUMBER = "number"
    """An integer or a float, as it is written."""
    BOOLEAN = "boolean"
    BIRTHDAY = "birthday"
    DATE = "date"
    DATETIME = "datetime"
    LIST = "list"
    JSON = "json"


class Case(StrEnum):
    """How letters are changed; the ``case`` of a field in a mapping."""

    LOWER = "lower"
    UPPER = "upper"
    TITLE = "title"
    NAME = "name"
    """As ``title``, but ``McDonald``: for the names of people."""


class Part(StrEnum):
    """The part of a whole name; the ``part`` of a field in a mapping."""

    FIRST = "first"
    """The first word, or what follows the comma of ``Lovelace, Ada``."""
    LAST = "last"
    """All after the first word, or what stands before the comma."""


class Invalid(StrEnum):
    """What a value that its field can't take does to its row."""

    OMIT = "omit"
    """The row is sent without it, as long as it has another identifier."""
    REJECT = "reject"
    """The row is not sent."""


class Absent(Enum):
    """The type of :data:`ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""A column says nothing about a field: it is not sent, and stays as it is at the service."""

_COLUMN_KINDS: Final[dict[fields.Kind, Kind]] = {
    fields.Kind.TEXT: Kind.STRING,
    fields.Kind.EMAIL: Kind.EMAIL,
    fields.Kind.PHONE: Kind.PHONE,
    fields.Kind.IDENTIFIER: Kind.IDENTIFIER,
    fields.Kind.GENDER: Kind.GENDER,
    fields.Kind.NUMBER: Kind.NUMBER,
    fields.Kind.FLAG: Kind.BOOLEAN,
    fields.Kind.DAY: Kind.BIRTHDAY,
    fields.Kind.OBJECTS: Kind.JSON,
}

STANDARD_KINDS: Final[dict[str, Kind]] = {
    name: _COLUMN_KINDS[field.kind] for name, field in FIELDS.items()
}
"""How a column is read for each standard field."""


@attrs.frozen(kw_only=True)
class Origin:
    """A field's columns, or its constant, and the way from there to the field.

    :ivar kind: what the field holds.
    :ivar columns: the columns' names; none for a constant.
    :ivar join: what goes between the texts of several columns.
    :ivar value: the constant, where there are no columns.
    :ivar strip: whether white space around a text goes.
    :ivar absent: texts that say nothing, in small letters; the empty one always is such a text.
    :ivar values: what certain texts stand for.
    :ivar part: which part of a whole name.
    :ivar case: how letters are changed.
    :ivar split: what separates the items of a list.
    :ivar formats: how dates are written; year first if there are none.
    :ivar decimal: what stands before the decimals of a number; None if nobody said.
    :ivar country: whose national phone numbers are read, such as ``CH``; ``none`` takes them as
        they are written.
    :ivar invalid: what a value that can't be taken does to its row.
    """

    kind: Kind
    columns: tuple[str, ...] = ()
    join: str = " "
    value: Json = None
    strip: bool = True
    absent: frozenset[str] = frozenset()
    values: Mapping[str, Json] = attrs.field(factory=dict, hash=False)
    part: Part | None = None
    case: Case | None = None
    split: str | None = None
    formats: tuple[str, ...] = ()
    decimal: str | None = None
    country: str | None = None
    invalid: Invalid = Invalid.OMIT
