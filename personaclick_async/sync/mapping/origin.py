"""Where each field's value comes from, and how it is read: as Python has it, and from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, TypeAlias

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models import fields, rules
from personaclick_async.models.rules import refuse
from personaclick_async.models.update import FIELDS, custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.dates import is_whole_date
from personaclick_async.sync.mapping.phones import check_country

Rule: TypeAlias = Callable[[str, object], Any]

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


# Fields call other kinds as mappings do.
_KINDS: Final = {
    fields.Kind.TEXT: Kind.STRING,
    fields.Kind.FLAG: Kind.BOOLEAN,
    fields.Kind.DAY: Kind.BIRTHDAY,
    fields.Kind.OBJECTS: Kind.JSON,
}

STANDARD_KINDS: Final = {
    name: _KINDS.get(field.kind) or Kind(field.kind.value) for name, field in FIELDS.items()
}
"""How a column is read for each standard field."""


@attrs.frozen
class _Shape:
    """What may stand behind a key of a mapping.

    :ivar rule: for errors.
    :ivar made: makes of it what an origin has.
    """

    rule: str
    fits: Callable[[Any], bool]
    made: Callable[[Any], Any] | None = None


def _one_of(words: type[StrEnum]) -> _Shape:
    known = tuple(words)
    return _Shape(
        f"one of {', '.join(known)}", known.__contains__, attrs.converters.optional(words)
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list | str) and all(isinstance(one, str) for one in value)


def _listed(texts: str | Iterable[str]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _folded(texts: str | Iterable[str]) -> frozenset[str]:
    return frozenset(text.strip().casefold() for text in _listed(texts)) - {""}


_TEXT: Final = _Shape("a text that is not empty", lambda it: isinstance(it, str) and it != "")
_TEXTS: Final = _Shape("a text or a list of texts", _are_texts, _listed)
_FLAG: Final = _Shape("true or false", lambda it: isinstance(it, bool))
_TABLE: Final = _Shape("a table", lambda it: isinstance(it, dict))
_WORDS: Final = attrs.evolve(_TEXTS, made=_folded)
_MARK: Final = _Shape("'.' or ','", (".", ",").__contains__)
_FORMATS: Final = _Shape(
    "formats such as '%m/%d/%Y', with the whole date, or 'excel', 'unix', 'unix ms'",
    lambda it: _are_texts(it) and all(map(is_whole_date, _listed(it))),
    _listed,
)
_PART, _CASE, _INVALID = map(_one_of, (Part, Case, Invalid))

_TYPES: Final = (
    *(Kind.STRING, Kind.IDENTIFIER, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.DATE),
    *(Kind.DATETIME, Kind.LIST, Kind.JSON),
)
_NUMBERS: Final = ((Kind.NUMBER, Kind.INTEGER, Kind.FLOAT), "numbers")
_DATES: Final = ((Kind.BIRTHDAY, Kind.DATE, Kind.DATETIME), "dates")
_PHONES: Final = ((Kind.PHONE,), "phone numbers")
_LISTS: Final = ((Kind.LIST,), "type = 'list'")
_WHOLE_TEXTS: Final = ((Kind.STRING, Kind.ANY), "texts")
_ANY_TEXTS: Final = (
    (*_WHOLE_TEXTS[0], *(Kind.LIST, Kind.IDENTIFIER, Kind.EMAIL, Kind.PHONE, Kind.GENDER)),
    "texts",
)
_OPTION: Final = "option"


def _option(
    shape: _Shape, default: object = None, only: tuple[Collection[Kind], str] = (tuple(Kind), "")
) -> Any:  # noqa: ANN401 - a field of any type
    """Declare a key of a field's table.

    :param only: the kinds of values for which it means something, and how errors call them.
    """
    return attrs.field(default=default, converter=shape.made, metadata={_OPTION: (shape, *only)})


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
    :ivar format: how dates are written; year first if there are none.
    :ivar decimal: what stands before the decimals of a number; None if nobody said.
    :ivar country: whose national phone numbers are read, such as ``CH``; ``none`` takes them as
        they are written.
    :ivar invalid: what a value that can't be taken does to its row.
    """

    kind: Kind = Kind.ANY
    columns: tuple[str, ...] = ()
    value: Json = None
    values: Mapping[str, Json] = attrs.field(factory=dict, hash=False)
    join: str = _option(_TEXT, " ")
    strip: bool = _option(_FLAG, default=True)
    absent: frozenset[str] = _option(_WORDS, ())
    part: Part | None = _option(_PART, only=_WHOLE_TEXTS)
    case: Case | None = _option(_CASE, only=_ANY_TEXTS)
    split: str | None = _option(_TEXT, only=_LISTS)
    format: tuple[str, ...] = _option(_FORMATS, (), _DATES)
    decimal: str | None = _option(_MARK, only=_NUMBERS)
    country: str | None = _option(_TEXT, only=_PHONES)
    invalid: Invalid = _option(_INVALID, Invalid.OMIT)


_OPTIONS: Final[dict[str, tuple[_Shape, Collection[Kind], str]]] = {
    one.name: one.metadata[_OPTION] for one in attrs.fields(Origin) if _OPTION in one.metadata
}
_SHAPES: Final = {name: shape for name, (shape, _, _) in _OPTIONS.items()} | {
    "column": _TEXT,
    "columns": _Shape("at least one column", lambda it: bool(it) and _are_texts(it)),
    "custom": _TABLE,
    "fields": _TABLE,
    "required": _TEXTS,
    "type": _Shape(f"one of {', '.join(_TYPES)}", _TYPES.__contains__),
    "values": _TABLE,
}
"""What may stand behind each key of a mapping: for errors, and as a test."""

_TOP: Final = ("absent", "country", "custom", "fields", "invalid", "required", "strip")


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


@attrs.frozen
class _Table:
    """A table of TOML, and where it stands, for errors."""

    items: Mapping[str, Any]
    place: str

    def error(self, key: str, rule: str) -> ConfigurationError:
        return ConfigurationError(f"{self.place}{key}: expected {rule}")

    def allow(self, known: Iterable[str], noun: str = "key", otherwise: str = "") -> None:
        """Refuse keys that are not known."""
        known = sorted(known)
        for key in self.items.keys() - known:
            meant = f"expected one of {', '.join(known)}"
            if close := get_close_matches(key, known, n=1):
                meant = f'did you mean "{close[0]}"?'
            raise ConfigurationError(
                f'{self.place}{key}: unknown {noun} "{key}"; {meant}{otherwise}'
            )

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as its shape says
        """Return what stands behind a key of a mapping."""
        if key not in self.items:
            return default
        if not _SHAPES[key].fits(self.items[key]):
            raise self.error(key, _SHAPES[key].rule)
        return self.items[key]

    def table(self, key: str) -> _Table:
        """Return the table there; an empty one if there is none."""
        return self.inside(key, self.get(key, {}))

    def inside(self, key: str, items: Mapping[str, Any]) -> _Table:
        return _Table(items, f"{self.place}{key}.")


def read_toml(text: str, name: str) -> tuple[dict[str, Origin], tuple[str, ...]]:
    """Read a mapping: the fields' origins, and the fields that are required.

    :param name: what errors call it.
    :raises ConfigurationError: it is not a mapping; names the key, or the line.
    """
    try:
        whole = _Table(tomllib.loads(text), f"{name}: ")
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: nested too deeply") from None
    whole.allow(_TOP)
    common = _with_options(Origin(), whole)
    standard, custom = whole.table("fields"), whole.table("custom")
    standard.allow((*STANDARD_KINDS, ID), "field", " Other names belong under [custom]")
    if {ID, EXTERNAL_ID} <= standard.items.keys():
        raise standard.error(EXTERNAL_ID, f"one of {ID} and {EXTERNAL_ID}, which are the same")
    origins: dict[str, Origin] = {}
    for key in standard.items:
        field = EXTERNAL_ID if key == ID else key
        origins[field] = _origin(standard, key, field, common)
    for key in custom.items:
        try:
            custom_name(key)
        except ValidationError as error:
            raise custom.error(key, error.rule) from None
        origins[key] = _origin(custom, key, key, common)
    required = _listed(whole.get("required", ()))
    required = tuple(EXTERNAL_ID if field == ID else field for field in required)
    for field in required:
        if field not in origins:
            raise whole.error("required", f"only fields that are mapped ({field} is not)")
    return origins, required


def _origin(parent: _Table, key: str, field: str, common: Origin) -> Origin:
    kind = STANDARD_KINDS.get(field, Kind.ANY)
    country = common.country if kind is Kind.PHONE else None
    origin = attrs.evolve(common, kind=kind, country=country)
    said = parent.items[key]
    if not isinstance(said, str | dict) or said == "":
        raise parent.error(key, "a column's name, or a table with column, columns or value")
    if isinstance(said, str):
        return attrs.evolve(origin, columns=(said,))
    table = parent.inside(key, said)
    if len(said.keys() & {"column", "columns", "value"}) != 1:
        raise parent.error(key, "one of column, columns and value")
    if "value" in said:
        table.allow(("value",))
        if field in IDENTIFIERS:
            raise table.error("value", "a column: all rows would be the same person")
        return Origin(kind=kind, value=_fit(table, "value", field, kind))
    known = (*_OPTIONS, "column", "columns", "values")
    table.allow(known if field in STANDARD_KINDS else (*known, "type"))
    kind = Kind(table.get("type", kind))
    for option, (_, kinds, noun) in _OPTIONS.items():
        if option in said and kind not in kinds:
            raise table.error(option, f"this with {noun} only")
    columns = _listed(table.get("columns", ())) or (table.get("column"),)
    if "join" in said and len(columns) == 1:
        raise table.error("join", "this with several columns only")
    values = table.table("values")
    fit = {text: _fit(values, text, field, kind) for text in values.items}
    origin = attrs.evolve(origin, kind=kind, columns=columns, values=fit)
    return _with_options(origin, table)


def _with_options(origin: Origin, table: _Table) -> Origin:
    """Return an origin with what a table says of the way from the columns to the field."""
    said = {key: table.get(key) for key in _OPTIONS if key in table.items}
    if "country" in said:
        try:
            check_country(said["country"])
        except ConfigurationError as error:
            raise ConfigurationError(f"{table.place}{error}") from None
    said["absent"] = origin.absent | _folded(said.get("absent", ()))
    return attrs.evolve(origin, **said)


def _fit(table: _Table, key: str, field: str, kind: Kind) -> Json:
    """Return a value of the mapping itself, if the field can have it."""
    value = table.items[key]
    label, rule = rule_of(field, kind)
    try:
        rule(label, value)
    except ValidationError as error:
        raise table.error(key, error.rule) from None
    return value
