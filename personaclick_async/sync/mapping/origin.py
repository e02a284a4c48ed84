"""Where one field's value comes from, and how it is read; and what is changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeAlias

import attrs

from personaclick_async.codec import Json
from personaclick_async.models import fields, rules
from personaclick_async.models.rules import refuse
from personaclick_async.models.update import FIELDS

Rule: TypeAlias = Callable[[str, object], Any]

_MOST_ROWS: Final = 3
_OLDEST: Final = 130


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


_KINDS: Final = {
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

STANDARD_KINDS: Final = {name: _KINDS[field.kind] for name, field in FIELDS.items()}
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

    kind: Kind = Kind.ANY
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


@attrs.define
class Change:
    """How many cells of a field were changed in one way.

    :ivar count: how many.
    :ivar first_rows: the numbers of the first rows, three at most.
    """

    count: int = 0
    first_rows: list[int] = attrs.field(factory=list)


@attrs.define
class Changes:
    """Counts what a mapping changes in the cells of a file; without it nobody would see it.

    To be used by ``attrs.evolve(mapping, changes=Changes())``, before a source is opened.

    :ivar found: by the field's name and what was done, such as ``invisible characters removed``.
    """

    found: dict[tuple[str, str], Change] = attrs.field(factory=dict)

    def add(self, field: str, row: int, notes: Iterable[str]) -> None:
        """Count what was done to a cell."""
        for note in dict.fromkeys(notes):
            change = self.found.setdefault((field, note), Change())
            change.count += 1
            if len(change.first_rows) < _MOST_ROWS:
                change.first_rows.append(row)


def rule_of(name: str, kind: Kind) -> tuple[str, Rule]:
    """Return how errors call a field, and its rule."""
    if name == "age":
        return name, _age
    if name in FIELDS:
        return name, FIELDS[name].rule
    return f"custom.{name}", rules.identifier if kind is Kind.IDENTIFIER else rules.custom_value


def _age(field: str, value: object) -> rules.Number:
    age: rules.Number = FIELDS[field].rule(field, value)
    if not 0 < age < _OLDEST:  # what a file has for an age that nobody knows
        raise refuse(field, f"an age above 0 and below {_OLDEST}", value)
    return age
