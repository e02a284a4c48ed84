"""What kinds of values fields hold, as far as reading them from columns goes."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final

from personaclick_async.models.fields import Kind as FieldKind
from personaclick_async.models.update import FIELDS


class Kind(StrEnum):
    """What a column's value is turned into; the ``type`` of a custom property in a mapping."""

    AS_IT_COMES = "any"
    """Text stays text and a number stays a number: for a property without a ``type``."""
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    NUMBER = "number"
    """An integer or a float, as it is written."""
    BOOLEAN = "boolean"
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


class Absent(Enum):
    """The type of :data:`ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""A column says nothing about a field: it is not sent, and stays as it is at the service."""

_COLUMN_KINDS: Final[dict[FieldKind, Kind]] = {
    FieldKind.NUMBER: Kind.NUMBER,
    FieldKind.FLAG: Kind.BOOLEAN,
    FieldKind.DAY: Kind.DATE,
    FieldKind.OBJECTS: Kind.JSON,
}

STANDARD_KINDS: Final[dict[str, Kind]] = {
    name: _COLUMN_KINDS.get(field.kind, Kind.STRING) for name, field in FIELDS.items()
}
"""How a column is read for each standard field."""
