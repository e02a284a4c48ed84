"""Where a field's value comes from and how it is read; the mapping's TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.rules import Rule, refuse
from personaclick_async.models.update import FIELDS, Kind, custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.dates import is_whole_date
from personaclick_async.sync.mapping.phones import check_country

Case: TypeAlias = Literal["lower", "upper", "title", "name", "turkish"]
"""How letters are changed; ``name`` is as ``title``, but ``McDonald``, or ``Şahin`` for
``ŞAHİN`` with ``turkish``: for the names of people."""

Part: TypeAlias = Literal["first", "last"]
"""Which part of a whole name: the first word, or all after it; ``Lovelace, Ada`` is read too."""

Invalid: TypeAlias = Literal["omit", "reject"]
"""What becomes of a row with an invalid value: ``omit`` sends it without the value, as long as it
has another identifier."""

STANDARD_KINDS: Final = {name: field.kind for name, field in FIELDS.items()}
"""How a column is read for each standard field."""

_NUMBERS: Final = (Kind.NUMBER, Kind.INTEGER, Kind.FLOAT)
_DATES: Final = (Kind.DAY, Kind.DATE, Kind.DATETIME)
_OLDEST: Final = 130


def _listed(texts: str | Iterable[str]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _folded(texts: str | Iterable[str]) -> frozenset[str]:
    return frozenset(text.strip().casefold() for text in _listed(texts)) - {""}


@attrs.frozen(kw_only=True)
class Origin:
    """A field's columns, or its constant, and how its value is made of them.

    More of the options is in :ref:`the mapping reference <mapping-reference>`.
    """

    kind: Kind = Kind.ANY  # what the field holds
    columns: tuple[str, ...] = attrs.field(default=(), converter=_listed)  # none for a constant
    value: Json = None  # the constant
    values: Mapping[str, Json] = attrs.field(factory=dict, hash=False)  # sent for whole texts
    join: str = " "  # what stands between the texts of several columns
    absent: frozenset[str] = attrs.field(default=(), converter=_folded)  # texts for no value
    part: Part | None = None  # which part of a whole name is taken
    case: Case | None = None  # how letters are changed
    split: str | None = None  # what stands between the items of a list
    format: tuple[str, ...] = attrs.field(default=(), converter=_listed)  # how dates are written
    decimal: str | None = None  # what stands before the decimals of a number; None if unknown
    country: str | None = None  # whose national phone numbers are read, or ``none``
    invalid: Invalid = "omit"  # what becomes of a row with an invalid value


def rule_of(name: str, kind: Kind) -> tuple[str, Rule[Any]]:
    """Return what errors call a field, and its rule."""
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


def _are_texts(value: object) -> bool:
    return isinstance(value, list | str) and all(isinstance(one, str) for one in value)


def _one_of(words: Iterable[str]) -> tuple[str, Callable[[Any], bool]]:
    known = tuple(words)
    return f"one of {', '.join(known)}", known.__contains__


_TEXT: Final = ("a text that is not empty", lambda it: isinstance(it, str) and it != "")
_TEXTS: Final = ("a text or a list of texts", _are_texts)
_TABLE: Final = ("a table", lambda it: isinstance(it, dict))
# Kinds of standard fields only, which no custom property can ask for.
_NO_TYPES: Final = (Kind.ANY, Kind.EMAIL, Kind.PHONE, Kind.GENDER, Kind.NUMBER, Kind.DAY)
# The rule of each key's value, as errors name it, and its test.
_SHAPES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "absent": _TEXTS,
    "case": _one_of(get_args(Case)),
    "column": _TEXT,
    "columns": ("at least one column", lambda it: bool(it) and _are_texts(it)),
    "country": _TEXT,
    "custom": _TABLE,
    "decimal": ("'.' or ','", (".", ",").__contains__),
    "fields": _TABLE,
    "format": (
        "formats such as '%m/%d/%Y', with the whole date, or 'excel', 'unix', 'unix ms'",
        lambda it: _are_texts(it) and all(map(is_whole_date, _listed(it))),
    ),
    "invalid": _one_of(get_args(Invalid)),
    "join": _TEXT,
    "part": _one_of(get_args(Part)),
    "required": _TEXTS,
    "split": _TEXT,
    "type": _one_of(kind for kind in Kind if kind not in _NO_TYPES),
    "values": _TABLE,
}
# Keys outside of any field, which hold for all of them.
_COMMON: Final = {"absent", "country", "invalid"}
_SECTIONS: Final = {"custom", "fields", "required"}
# Options of some kinds of values only, and how errors name these.
_ONLY: Final = {
    "part": ((Kind.TEXT, Kind.ANY), "texts"),
    "case": (tuple({*Kind} - {*_NUMBERS, *_DATES, Kind.FLAG, Kind.OBJECTS}), "texts"),
    "split": ((Kind.LIST,), "type = 'list'"),
    "format": (_DATES, "dates"),
    "decimal": (_NUMBERS, "numbers"),
    "country": ((Kind.PHONE,), "phone numbers"),
}
_OTHER_NAMES: Final = {ID: EXTERNAL_ID}


def read_toml(text: str) -> tuple[dict[str, Origin], tuple[str, ...]]:
    """Read a mapping: the fields' origins, and the fields that are required.

    :raises ConfigurationError: it is not a mapping; names the key.
    :raises tomllib.TOMLDecodeError: it is not TOML; names the line.
    """
    whole = tomllib.loads(text)
    _check(whole, _COMMON | _SECTIONS)
    common = {key: value for key, value in whole.items() if key in _COMMON}
    standard, custom = whole.get("fields", {}), whole.get("custom", {})
    origins: dict[str, Origin] = {}
    with _inside("fields"):
        _check(standard, {*STANDARD_KINDS, ID}, hint=" Other names belong under [custom]")
        if {ID, EXTERNAL_ID} <= standard.keys():
            raise _expected(EXTERNAL_ID, f"one of {ID} and {EXTERNAL_ID}, which are the same")
        for key, entry in standard.items():
            origins[_OTHER_NAMES.get(key, key)] = _origin(key, entry, common)
    with _inside("custom"):
        for key, entry in custom.items():
            with _inside(key):
                custom_name(key)
            origins[key] = _origin(key, entry, common)
    required = tuple(_OTHER_NAMES.get(key, key) for key in _listed(whole.get("required", ())))
    for field in required:
        if field not in origins:
            raise _expected("required", f"only fields that are mapped ({field} is not)")
    return origins, required


@contextmanager
def _inside(place: str) -> Iterator[None]:
    """Prefix errors with the place in the mapping where they arise."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}.{error}") from None
    except ValidationError as error:
        raise _expected(place, error.rule) from None


def _expected(key: str, rule: str) -> ConfigurationError:
    return ConfigurationError(f"{key}: expected {rule}")


def _check(
    table: Mapping[str, Any], known: Collection[str], kind: object = None, *, hint: str = ""
) -> None:
    """Make sure that a table's keys are known and fit the kind, and that their values are valid."""
    for key, value in table.items():
        if key not in known:
            close = get_close_matches(key, sorted(known), n=1)
            meant = f"expected one of {', '.join(sorted(known))}"
            meant = f'did you mean "{close[0]}"?' if close else meant
            noun = "field" if hint else "key"
            raise ConfigurationError(f'{key}: unknown {noun} "{key}"; {meant}{hint}')
        if kind is not None and key in _ONLY and kind not in _ONLY[key][0]:
            raise _expected(key, f"this with {_ONLY[key][1]} only")
        if key in _SHAPES and not _SHAPES[key][1](value):
            raise _expected(key, _SHAPES[key][0])
    if "country" in table:
        check_country(table["country"])


def _origin(key: str, entry: Any, common: Mapping[str, Any]) -> Origin:  # noqa: ANN401 - any TOML
    field = _OTHER_NAMES.get(key, key)
    kind = STANDARD_KINDS.get(field, Kind.ANY)
    table = {"column": entry} if isinstance(entry, str) and entry else entry
    if not isinstance(table, dict):
        raise _expected(key, "a column's name, or a table with column, columns or value")
    if len(table.keys() & {"column", "columns", "value"}) != 1:
        raise _expected(key, "one of column, columns and value")
    kind = table.get("type", kind)
    with _inside(key):
        keys = {"value"} if "value" in table else _SHAPES.keys() - _SECTIONS
        _check(table, keys - {"type"} if field in STANDARD_KINDS else keys, kind)
        if "value" in table and field in IDENTIFIERS:
            raise _expected("value", "a column: all rows would be the same person")
        columns = _listed(table.get("columns") or table.get("column", ()))
        if "join" in table and len(columns) == 1:
            raise _expected("join", "this with several columns only")
        label, rule = rule_of(field, kind)
        sent = {f"values.{text}": value for text, value in table.get("values", {}).items()}
        if "value" in table:
            sent["value"] = table["value"]
        for place, value in sent.items():
            with _inside(place):
                rule(label, value)
    options = {**common, **table, "columns": columns, "kind": Kind(kind)}
    options["absent"] = [*_listed(common.get("absent", ())), *_listed(table.get("absent", ()))]
    unused = {"column", "type"} if kind is Kind.PHONE else {"column", "type", "country"}
    return Origin(**{key: option for key, option in options.items() if key not in unused})
