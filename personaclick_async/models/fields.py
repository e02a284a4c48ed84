"""What a field of an update is: its facts, which everything else reads, and how classes keep it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum, StrEnum
from functools import partial
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar, cast, dataclass_transform

import attrs

from personaclick_async.errors import ValidationError
from personaclick_async.models.rules import Rule
from personaclick_async.names import Gender

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])
C = TypeVar("C", bound="type[Fields]")


class Clear(Enum):
    """The type of :data:`CLEAR`."""

    CLEAR = None  # what goes over the wire

    def __repr__(self) -> str:
        return "CLEAR"


CLEAR: Final = Clear.CLEAR
"""Send this for a field that the service shall forget; None only leaves the field out."""

Sent: TypeAlias = T | Literal[Clear.CLEAR] | None
"""A field of an update: a value, :data:`CLEAR`, or None to leave it out."""


class Kind(StrEnum):
    """What a field holds; called as in the mapping of a file."""

    TEXT = "string"
    EMAIL = "email"
    PHONE = "phone"
    IDENTIFIER = "identifier"
    """A text that may be given as a number: ``"A-7"``, 100500."""
    GENDER = "gender"
    NUMBER = "number"
    FLAG = "boolean"
    DAY = "birthday"
    OBJECTS = "json"
    """A list of JSON objects, such as ``kids``."""


@attrs.frozen
class Field:
    """The facts of one field.

    :ivar rule: accepts a value, and returns it in the wire's form.
    :ivar kind: what the field holds.
    :ivar in_full_answer: whether the full profile has it (protocol, section 4.2).
    :ivar column_names: what columns of files that hold it are called, besides its own name: in
        small letters, without spaces and signs; the surest first.
    :ivar part: the class of the objects in a list of them.
    """

    rule: Rule[Any]
    kind: Kind
    in_full_answer: bool = True
    column_names: tuple[str, ...] = ()
    part: type | None = None


_FACTS: Final = "facts"


def sent(
    rule: Rule[object],
    kind: Kind,
    column_names: str = "",
    *,
    in_full_answer: bool = True,
    part: type | None = None,
) -> Any:  # noqa: ANN401 - a field of any type
    """Declare a field with its facts; see :class:`Field`."""
    facts = Field(rule, kind, in_full_answer, tuple(column_names.split()), part)
    return attrs.field(default=None, metadata={_FACTS: facts})


def names_fields(fields: type) -> Callable[[F], F]:
    """Write each field into the signature that a function shows, in place of ``**fields``.

    Type checkers know the fields from the annotation; consoles and notebooks ask the signature.
    """

    def write(function: F) -> F:
        shown = inspect.signature(function)
        own = [one for one in shown.parameters.values() if one.kind is not one.VAR_KEYWORD]
        keywords = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=of.__forward_arg__
            )
            for name, of in fields.__annotations__.items()
        ]
        function.__signature__ = shown.replace(parameters=[*own, *keywords])  # type: ignore[attr-defined]
        return function

    return write


class Fields:
    """Fields that are kept in the wire's form and read in Python's.

    Its classes have no slots, for those of the fields would all be empty.

    :cvar facts: of each field, by name.
    """

    facts: ClassVar[Mapping[str, Field]]
    mentioned: Mapping[str, Any]

    @classmethod
    def checked(cls, given: Mapping[str, object], owner: str) -> dict[str, Any]:
        """Run each field's rule; None stays out."""
        facts = cls.facts
        made: dict[str, Any] = {}
        for name, value in given.items():
            field = facts.get(name)
            if field is None:
                raise ValidationError(owner, f"one of {', '.join(facts)}", "an unknown field name")
            if value is not None:
                made[name] = cls.cleared(name) if value is CLEAR else field.rule(name, value)
        return made

    @classmethod
    def cleared(cls, name: str) -> Clear:  # noqa: ARG003 - not all classes allow it for each field
        """Return what is kept of a field that is to be cleared."""
        return CLEAR

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {', '.join(self.mentioned) or 'nothing'}>"


@dataclass_transform(frozen_default=True)
def with_fields(cls: C) -> C:
    """Make an attrs class whose ``__init__`` takes the fields of its TypedDict.

    Editors show the fields of the class as keywords, type checkers those of the TypedDict.
    """
    made = attrs.frozen(init=False, repr=False, slots=False)(cls)
    declared = attrs.fields_dict(cast("type[attrs.AttrsInstance]", made))
    made.facts = {name: at.metadata[_FACTS] for name, at in declared.items() if at.metadata}
    for name, field in made.facts.items():
        setattr(made, name, property(partial(_in_python, name, field), doc=""))
    return made


def _in_python(name: str, field: Field, owner: Fields) -> object:
    value = owner.mentioned.get(name)
    if value is None or value is CLEAR:
        return value
    match field.kind, field.part:
        case Kind.GENDER, _:
            return Gender(value)
        case Kind.DAY, _:
            return date.fromisoformat(value)
        case Kind.OBJECTS, type() as part:
            return tuple(part(**one) for one in value)
        case _:
            return value
