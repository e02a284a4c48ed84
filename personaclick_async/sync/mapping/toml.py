"""Mappings as people write them: TOML in, origins out, errors that name the key."""

from __future__ import annotations

import tomllib
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.update import custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.accepting import Accept, accept_custom, accept_standard
from personaclick_async.sync.mapping.kinds import STANDARD_KINDS, Case, Kind
from personaclick_async.sync.mapping.moments import check_format
from personaclick_async.sync.mapping.origin import EMPTY, Origin
from personaclick_async.sync.mapping.table import Table

_TYPES: Final = tuple(kind for kind in Kind if kind not in (Kind.AS_IT_COMES, Kind.NUMBER))
_NUMBERS: Final = (Kind.NUMBER, Kind.INTEGER, Kind.FLOAT)
_DATES: Final = (Kind.DATE, Kind.DATETIME)
_TEXTS: Final = (Kind.STRING, Kind.AS_IT_COMES, Kind.LIST)

_TOP: Final = ("absent", "custom", "fields", "required", "strip")
_OPTIONS: Final = (
    "absent",
    "case",
    "column",
    "columns",
    "decimal",
    "format",
    "join",
    "split",
    "strip",
    "values",
)


def read_toml(text: str, name: str) -> tuple[dict[str, Origin], tuple[str, ...]]:
    """Read a mapping: the fields' origins, and the fields that are required.

    :param name: what errors call the mapping.
    :raises ConfigurationError: it is not a mapping; names the key, or the line.
    """
    try:
        whole = Table(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: nested too deeply") from None
    whole.allow(_TOP)
    strip = whole.flag("strip", default=True)
    absent = EMPTY | set(whole.texts("absent"))
    fields: dict[str, Origin] = {}
    standard = whole.table("fields")
    standard.allow((*STANDARD_KINDS, ID), "field", " Other names belong under [custom]")
    for key in standard.keys:
        field = EXTERNAL_ID if key == ID else key
        if field in fields:
            raise standard.error(key, f"one of {ID} and {EXTERNAL_ID}, which are the same")
        fields[field] = _origin(standard, key, field, strip=strip, absent=absent)
    custom = whole.table("custom")
    for key in custom.keys:
        try:
            custom_name(key)
        except ValidationError as error:
            raise custom.error(key, error.rule) from None
        fields[key] = _origin(custom, key, key, strip=strip, absent=absent)
    required = tuple(EXTERNAL_ID if one == ID else one for one in whole.texts("required"))
    for field in required:
        if field not in fields:
            raise whole.error("required", f"only fields that are mapped ({field} is not)")
    return fields, required


def _origin(parent: Table, key: str, field: str, *, strip: bool, absent: frozenset[str]) -> Origin:
    standard = field in STANDARD_KINDS
    kind = STANDARD_KINDS.get(field, Kind.AS_IT_COMES)
    if parent.holds_text(key):
        return Origin(kind=kind, columns=(parent.text(key),), strip=strip, absent=absent)
    table = parent.table(key, "a column's name, or a table with column, columns or value")
    given = [one for one in ("column", "columns", "value") if one in table.keys]
    if len(given) != 1:
        raise parent.error(key, "one of column, columns and value")
    accept = accept_standard(field) if standard else accept_custom(field)
    if given == ["value"]:
        table.allow(("value",))
        if field in IDENTIFIERS:
            raise table.error("value", "a column: all rows would be the same person")
        return Origin(kind=kind, value=_fit(table, "value", accept))
    table.allow(_OPTIONS if standard else (*_OPTIONS, "type"))
    columns = table.texts("columns") if given == ["columns"] else (table.text("column"),)
    values = table.table("values")
    made = Origin(
        kind=table.one_of("type", _TYPES, kind),
        columns=columns,
        join=table.text("join", " "),
        strip=table.flag("strip", default=strip),
        absent=absent | set(table.texts("absent")),
        values={text: _fit(values, text, accept) for text in values.keys},
        case=table.one_of("case", tuple(Case), None),
        split=table.text("split", "") or None,
        formats=table.texts("format"),
        decimal=table.text("decimal", "."),
    )
    _check(table, made)
    return made


def _fit(table: Table, key: str, accept: Accept) -> Json:
    """Give a value of the mapping itself, if the field can have it."""
    value = table.get(key)
    try:
        accept(value)
    except ValidationError as error:
        raise table.error(key, error.rule) from None
    return value


def _check(table: Table, made: Origin) -> None:
    """Refuse what contradicts itself, and what would have no effect."""
    if not made.columns:
        raise table.error("columns", "at least one column")
    for key, fits, of in (
        ("join", len(made.columns) > 1, "several columns"),
        ("format", made.kind in _DATES, "dates"),
        ("decimal", made.kind in _NUMBERS, "numbers"),
        ("case", made.kind in _TEXTS, "texts"),
        ("split", made.kind is Kind.LIST, "type = 'list'"),
    ):
        if key in table.keys and not fits:
            raise table.error(key, f"this with {of} only")
    if made.decimal not in (".", ","):
        raise table.error("decimal", "'.' or ','")
    for pattern in made.formats:
        try:
            check_format(pattern)
        except ValueError:
            raise table.error("format", "formats such as '%m/%d/%Y', with the whole date") from None
