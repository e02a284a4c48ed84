"""What kinds of values fields hold, as far as reading them from columns goes."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, Final

import attrs

from personaclick_async.models import rules
from personaclick_async.models.update import ProfileUpdate


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

# The model says which rule a field keeps; this says how a column is read for each rule. A field
# added to the model needs no change here unless it comes with a new rule.
_KIND_OF_RULE: Final[dict[Any, Kind]] = {
    rules.text: Kind.STRING,
    rules.email: Kind.STRING,
    rules.phone: Kind.STRING,
    rules.gender: Kind.STRING,
    rules.identifier: Kind.STRING,
    rules.user_id: Kind.STRING,
    rules.number: Kind.NUMBER,
    rules.age: Kind.NUMBER,
    rules.boolean: Kind.BOOLEAN,
    rules.day_text: Kind.DATE,
}

STANDARD_RULES: Final[dict[str, rules.Rule[Any]]] = {
    name: at.metadata["rule"]
    for name, at in attrs.fields_dict(ProfileUpdate).items()
    if "rule" in at.metadata
}
"""The rule of each standard field, as the model has it."""

STANDARD_KINDS: Final[dict[str, Kind]] = {
    # What is left are the lists of objects, kids and auto: in a text column they are JSON.
    name: _KIND_OF_RULE.get(rule, Kind.JSON)
    for name, rule in STANDARD_RULES.items()
}
"""How a column is read for each standard field."""
