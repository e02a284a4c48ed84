"""Mappings as people write them: TOML in, origins out, errors that name the key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, TypeVar

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.update import custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.convert import rule_of
from personaclick_async.sync.mapping.dates import check_format
from personaclick_async.sync.mapping.origin import (
    STANDARD_KINDS,
    Case,
    Invalid,
    Kind,
    Origin,
    Part,
)
from personaclick_async.sync.mapping.phones import check_country

E = TypeVar("E", bound=StrEnum)

_TYPES: Final = (
    *(Kind.STRING, Kind.IDENTIFIER, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.DATE),
    *(Kind.DATETIME, Kind.LIST, Kind.JSON),
)
_NUMBERS: Final = (Kind.NUMBER, Kind.INTEGER, Kind.FLOAT)
_DATES: Final = (Kind.BIRTHDAY, Kind.DATE, Kind.DATETIME)
_TEXTS: Final = (
    *(Kind.STRING, Kind.ANY, Kind.LIST, Kind.IDENTIFIER, Kind.EMAIL, Kind.PHONE, Kind.GENDER),
)

_TOP: Final = ("absent", "country", "custom", "fields", "invalid", "required", "strip")
_OPTIONS: Final = (
    *("absent", "case", "column", "columns", "country", "decimal", "format", "invalid", "join"),
    *("part", "split", "strip", "values"),
)


@attrs.frozen
class _Common:
    """What holds for every field of a mapping that does not say otherwise."""

    strip: bool
    absent: frozenset[str]
    country: str | None
    invalid: Invalid


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
    common = _Common(
        whole.flag("strip", default=True),
        _small(whole.texts("absent")),
        _country(whole, None),
        whole.one_of("invalid", tuple(Invalid), Invalid.OMIT),
    )
    fields: dict[str, Origin] = {}
    standard = whole.table("fields")
    standard.allow((*STANDARD_KINDS, ID), "field", " Other names belong under [custom]")
    for key in standard.keys:
        field = EXTERNAL_ID if key == ID else key
        if field in fields:
            raise standard.error(key, f"one of {ID} and {EXTERNAL_ID}, which are the same")
        fields[field] = _origin(standard, key, field, common)
    custom = whole.table("custom")
    for key in custom.keys:
        try:
            custom_name(key)
        except ValidationError as error:
            raise custom.error(key, error.rule) from None
        fields[key] = _origin(custom, key, key, common)
    required = tuple(EXTERNAL_ID if one == ID else one for one in whole.texts("required"))
    for field in required:
        if field not in fields:
            raise whole.error("required", f"only fields that are mapped ({field} is not)")
    return fields, required


def _small(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text.strip().casefold() for text in texts) - {""}


def _country(table: Table, default: str | None) -> str | None:
    if "country" not in table.keys:
        return default
    country = table.text("country")
    try:
        check_country(country)
    except ConfigurationError as error:
        raise table.error("country", str(error).removeprefix("country: expected ")) from None
    return country


def _origin(parent: Table, key: str, field: str, common: _Common) -> Origin:
    standard = field in STANDARD_KINDS
    kind = STANDARD_KINDS.get(field, Kind.ANY)
    made = Origin(
        kind=kind,
        strip=common.strip,
        absent=common.absent,
        country=common.country if kind is Kind.PHONE else None,
        invalid=common.invalid,
    )
    if parent.holds_text(key):
        return attrs.evolve(made, columns=(parent.text(key),))
    table = parent.table(key, "a column's name, or a table with column, columns or value")
    given = [one for one in ("column", "columns", "value") if one in table.keys]
    if len(given) != 1:
        raise parent.error(key, "one of column, columns and value")
    if given == ["value"]:
        table.allow(("value",))
        if field in IDENTIFIERS:
            raise table.error("value", "a column: all rows would be the same person")
        return Origin(kind=kind, value=_fit(table, "value", field, kind))
    table.allow(_OPTIONS if standard else (*_OPTIONS, "type"))
    values = table.table("values")
    kind = table.one_of("type", _TYPES, kind)
    made = attrs.evolve(
        made,
        kind=kind,
        columns=table.texts("columns") if given == ["columns"] else (table.text("column"),),
        join=table.text("join", " "),
        strip=table.flag("strip", default=common.strip),
        absent=common.absent | _small(table.texts("absent")),
        values={text: _fit(values, text, field, kind) for text in values.keys},
        part=table.one_of("part", tuple(Part), None),
        case=table.one_of("case", tuple(Case), None),
        split=table.text("split", "") or None,
        formats=table.texts("format"),
        decimal=table.text("decimal", "") or None,
        country=_country(table, made.country),
        invalid=table.one_of("invalid", tuple(Invalid), common.invalid),
    )
    _check(table, made)
    return made


def _fit(table: Table, key: str, field: str, kind: Kind) -> Json:
    """Return a value of the mapping itself, if the field can have it."""
    value = table.get(key)
    label, rule = rule_of(field, kind)
    try:
        rule(label, value)
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
        ("part", made.kind in (Kind.STRING, Kind.ANY), "texts"),
        ("country", made.kind is Kind.PHONE, "phone numbers"),
        ("split", made.kind is Kind.LIST, "type = 'list'"),
    ):
        if key in table.keys and not fits:
            raise table.error(key, f"this with {of} only")
    if made.decimal not in (None, ".", ","):
        raise table.error("decimal", "'.' or ','")
    for pattern in made.formats:
        try:
            check_format(pattern)
        except ValueError:
            rule = "formats such as '%m/%d/%Y', with the whole date, or 'excel', 'unix', 'unix ms'"
            raise table.error("format", rule) from None


@attrs.frozen
class Table:
    """A table, the file's name, and the path of keys that leads to it."""

    _items: Mapping[str, Json]
    _file: str
    _path: str = ""

    @property
    def keys(self) -> Iterable[str]:
        """The keys that are there."""
        return self._items.keys()

    def error(self, key: str, rule: str) -> ConfigurationError:
        """Make the error for a key whose value breaks a rule."""
        return ConfigurationError(f"{self._file}: {self._path}{key}: expected {rule}")

    def allow(self, known: Iterable[str], noun: str = "key", otherwise: str = "") -> None:
        """Refuse keys that are not known.

        :param noun: what the keys are.
        :param otherwise: what to add to the error.
        """
        known = tuple(known)
        for key in self._items:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                meant = (
                    f'did you mean "{close[0]}"?'
                    if close
                    else f"expected one of {', '.join(sorted(known))}"
                )
                raise ConfigurationError(
                    f'{self._file}: {self._path}{key}: unknown {noun} "{key}"; {meant}{otherwise}'
                )

    def get(self, key: str) -> Json:
        """Return what is there, or None."""
        return self._items.get(key)

    def holds_text(self, key: str) -> bool:
        """Return whether there is a text."""
        return isinstance(self._items.get(key), str)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value = self._items.get(key, default)
        # The default may be empty, what is written may not.
        if not isinstance(value, str) or (not value and key in self._items):
            raise self.error(key, "a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text is a list of one, and no key an empty list."""
        value = self._items.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise self.error(key, "a text or a list of texts")
        return tuple(listed)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._items.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def one_of(self, key: str, known: Sequence[E], default: Any) -> Any:  # noqa: ANN401 - E or the default
        """Return a word of a list."""
        value = self._items.get(key)
        if value is None:
            return default
        for one in known:
            if one == value:
                return one
        raise self.error(key, f"one of {', '.join(known)}")

    def table(self, key: str, rule: str = "a table") -> Table:
        """Return the table there; an empty one if there is none."""
        value = self._items.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, rule)
        return Table(value, self._file, f"{self._path}{key}.")
