"""Mappings: which column of a source becomes which field, and how; written as TOML."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.update import RESERVED_NAMES, custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.compiled import CompiledMapping
from personaclick_async.sync.mapping.dates import is_whole_date
from personaclick_async.sync.mapping.origin import (
    STANDARD_KINDS,
    Case,
    Changes,
    Invalid,
    Kind,
    Origin,
    Part,
    rule_of,
)
from personaclick_async.sync.mapping.phones import check_country

# Part of every fingerprint: to be raised when the same mapping comes to mean something else.
_MEANING: Final = "mapping 3"
_MOST_LISTED: Final = 30
_MOST_BYTES: Final = 1024 * 1024
# An address, a phone number, a date.
_DATA: Final = re.compile(r"@|[0-9]{5}|[0-9][-/.][0-9]+[-/.][0-9]")


@attrs.frozen(kw_only=True)
class FieldMapping:
    """Which column of a source becomes which field, and how.

    :ivar fields: the origin of each field, by name: standard fields and custom properties.
    :ivar required: the fields without which a row is rejected.
    :ivar changes: counts what the mapping changes in the rows; no part of what it means.
    """

    fields: Mapping[str, Origin] = attrs.field(hash=False)
    required: tuple[str, ...] = ()
    changes: Changes | None = attrs.field(default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not any(name in self.fields for name in IDENTIFIERS):
            raise ConfigurationError(
                f"mapping: expected a column for at least one of {', '.join(IDENTIFIERS)}"
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FieldMapping:
        """Read a mapping from a TOML file.

        :raises ConfigurationError: there is no such file, or it is not a mapping; names the key.
        """
        name = Path(path).name
        try:
            with Path(path).open("rb") as file:  # perhaps a device, which never ends
                content = file.read(_MOST_BYTES + 1)
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise ConfigurationError(f"{name}: can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{name}: expected TOML in UTF-8") from None
        if len(content) > _MOST_BYTES:
            raise ConfigurationError(f"{name}: expected a mapping, got more than 1 MiB")
        return cls.parse(text, name=name)

    @classmethod
    def parse(cls, text: str, *, name: str = "mapping") -> FieldMapping:
        """Read a mapping from TOML.

        :param name: what errors call it.
        :raises ConfigurationError: it is not a mapping; names the key, or the line.
        """
        try:
            fields, required = _read(_Table(tomllib.loads(text), f"{name}: "))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{name}: {error}") from None
        except RecursionError:
            raise ConfigurationError(f"{name}: nested too deeply") from None
        try:
            return cls(fields=fields, required=required)
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from None

    @classmethod
    def by_name(cls, columns: Iterable[str]) -> FieldMapping:
        """Map columns that are called as the fields are; all others are custom properties.

        :raises ConfigurationError: a column's name is not one that a custom property can have.
        """
        fields: dict[str, Origin] = {}
        for number, column in enumerate(columns, 1):
            name = EXTERNAL_ID if column == ID else column
            if name in fields:
                raise ConfigurationError(f"mapping: expected one column for {name}, found two")
            if name in RESERVED_NAMES - STANDARD_KINDS.keys():
                raise ConfigurationError(
                    f"column {name!r}: expected another name, as this one is reserved; "
                    "a mapping can give it one"
                )
            if name not in STANDARD_KINDS:
                try:
                    custom_name(name)
                except ValidationError:
                    # The column is not named: in a file without a header it is somebody's data.
                    raise ConfigurationError(
                        "mapping: expected a mapping, or columns named as the fields are"
                        f" (letters, digits and _); column {number} is not"
                    ) from None
            fields[name] = Origin(kind=STANDARD_KINDS.get(name, Kind.ANY), columns=(column,))
        return cls(fields=fields)

    def with_country(self, country: str) -> FieldMapping:
        """Return the mapping with a country for the phone numbers of which it says none.

        :param country: two capital letters, such as ``CH``.
        :raises ConfigurationError: there is no such country, or the extra ``phones`` is missing.
        """
        check_country(country)
        fields = {
            name: attrs.evolve(origin, country=origin.country or country)
            for name, origin in self.fields.items()
        }
        return attrs.evolve(self, fields=fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the mapping reads, once."""
        return tuple(
            dict.fromkeys(one for origin in self.fields.values() for one in origin.columns)
        )

    @property
    def fingerprint(self) -> str:
        """A hash that changes when the mapping comes to mean something else.

        The order of its lines, its comments and its spelling do not count.
        """
        fields = {
            name: attrs.asdict(origin, recurse=False)
            | {"absent": sorted(origin.absent), "values": sorted(origin.values.items())}
            for name, origin in sorted(self.fields.items())
        }
        whole = codec.encode([_MEANING, fields, sorted(self.required)])
        return hashlib.sha256(whole).hexdigest()

    def compile(self, header: Sequence[str]) -> CompiledMapping:
        """Make what turns rows under this header into outcomes.

        :param header: the columns' names.
        :raises ConfigurationError: a column of the mapping is not there, or twice.
        """
        for name, origin in self.fields.items():
            for column in origin.columns:
                count = header.count(column)
                if count == 1:
                    continue
                found = f"expected once, found {count} times" if count else _missing(column, header)
                raise ConfigurationError(f"column {column!r} (for {name}): {found}")
        return CompiledMapping(
            self.fields, required=self.required, header=header, changes=self.changes
        )


def _missing(column: str, header: Sequence[str]) -> str:
    if looks_like_data(header):
        return f"not in the source; there are {len(header)} others"
    close = get_close_matches(column, header, n=1)
    nearest = f"; did you mean {close[0]!r}?" if close else ""
    more = ", …" if len(header) > _MOST_LISTED else ""
    listed = ", ".join(map(repr, header[:_MOST_LISTED])) + more
    return f"not in the source{nearest} (columns: {listed})"


def looks_like_data(header: Iterable[str]) -> bool:
    """Return whether names of columns are somebody's data, so that they must not be shown."""
    return any(_DATA.search(name) or not name.isprintable() for name in header)


_TYPES: Final = (
    *(Kind.STRING, Kind.IDENTIFIER, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.DATE),
    *(Kind.DATETIME, Kind.LIST, Kind.JSON),
)
_NUMBERS: Final = (Kind.NUMBER, Kind.INTEGER, Kind.FLOAT)
_DATES: Final = (Kind.BIRTHDAY, Kind.DATE, Kind.DATETIME)
_LETTERS: Final = (
    *(Kind.STRING, Kind.ANY, Kind.LIST, Kind.IDENTIFIER, Kind.EMAIL, Kind.PHONE, Kind.GENDER),
)

_Shape: TypeAlias = tuple[str, Callable[[Any], bool]]


def _word(words: Iterable[str]) -> _Shape:
    known = tuple(words)
    return f"one of {', '.join(known)}", known.__contains__


_TEXT: Final[_Shape] = ("a text that is not empty", lambda it: isinstance(it, str) and it != "")
_TEXTS: Final[_Shape] = (
    "a text or a list of texts",
    lambda it: isinstance(it, list | str) and all(isinstance(one, str) for one in it),
)
_FLAG: Final[_Shape] = ("true or false", lambda it: isinstance(it, bool))
_TABLE: Final[_Shape] = ("a table", lambda it: isinstance(it, dict))

_SHAPES: Final[dict[str, _Shape]] = {
    "absent": _TEXTS,
    "case": _word(Case),
    "column": _TEXT,
    "columns": ("at least one column", lambda it: bool(it) and _TEXTS[1](it)),
    "country": _TEXT,
    "custom": _TABLE,
    "decimal": ("'.' or ','", (".", ",").__contains__),
    "fields": _TABLE,
    "format": _TEXTS,
    "invalid": _word(Invalid),
    "join": _TEXT,
    "part": _word(Part),
    "required": _TEXTS,
    "split": _TEXT,
    "strip": _FLAG,
    "type": _word(_TYPES),
    "values": _TABLE,
}
"""What may stand behind each key of a mapping: for errors, and as a test."""

_ONLY_WITH: Final[dict[str, tuple[Collection[Kind], str]]] = {
    "case": (_LETTERS, "texts"),
    "country": ((Kind.PHONE,), "phone numbers"),
    "decimal": (_NUMBERS, "numbers"),
    "format": (_DATES, "dates"),
    "part": ((Kind.STRING, Kind.ANY), "texts"),
    "split": ((Kind.LIST,), "type = 'list'"),
}
"""Keys that would have no effect with values of other kinds."""

_COMMON: Final = ("absent", "country", "invalid", "strip")
_TOP: Final = (*_COMMON, "custom", "fields", "required")
_OPTIONS: Final = (
    *_COMMON,
    *("case", "column", "columns", "decimal", "format", "join", "part", "split", "values"),
)


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
        rule, is_fit = _SHAPES[key]
        if not is_fit(self.items[key]):
            raise self.error(key, rule)
        return self.items[key]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text is a list of one."""
        found = self.get(key, ())
        return (found,) if isinstance(found, str) else tuple(found)

    def table(self, key: str) -> _Table:
        """Return the table there; an empty one if there is none."""
        return self.inside(key, self.get(key, {}))

    def inside(self, key: str, items: Mapping[str, Any]) -> _Table:
        return _Table(items, f"{self.place}{key}.")


def _read(whole: _Table) -> tuple[dict[str, Origin], tuple[str, ...]]:
    """Read a mapping: the fields' origins, and the fields that are required."""
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
    required = tuple(EXTERNAL_ID if one == ID else one for one in whole.texts("required"))
    for field in required:
        if field not in origins:
            raise whole.error("required", f"only fields that are mapped ({field} is not)")
    return origins, required


def _origin(parent: _Table, key: str, field: str, common: Origin) -> Origin:
    origin = attrs.evolve(common, kind=STANDARD_KINDS.get(field, Kind.ANY))
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
        return Origin(kind=origin.kind, value=_fit(table, "value", field, origin.kind))
    table.allow(_OPTIONS if field in STANDARD_KINDS else (*_OPTIONS, "type"))
    kind = Kind(table.get("type", origin.kind))
    values = table.table("values")
    for option, (kinds, of) in _ONLY_WITH.items():
        if option in said and kind not in kinds:
            raise table.error(option, f"this with {of} only")
    columns = table.texts("columns") or table.texts("column")
    if "join" in said and len(columns) == 1:
        raise table.error("join", "this with several columns only")
    return attrs.evolve(
        _with_options(origin, table),
        kind=kind,
        columns=columns,
        values={text: _fit(values, text, field, kind) for text in values.items},
    )


def _with_options(origin: Origin, table: _Table) -> Origin:
    """Return an origin with what a table says of the way from the columns to the field."""
    country, formats = table.get("country", origin.country), table.texts("format")
    case, part = table.get("case"), table.get("part")
    if "country" in table.items:
        try:
            check_country(country)
        except ConfigurationError as error:
            raise ConfigurationError(f"{table.place}{error}") from None
    if not all(map(is_whole_date, formats)):
        rule = "formats such as '%m/%d/%Y', with the whole date, or 'excel', 'unix', 'unix ms'"
        raise table.error("format", rule)
    absent = {text.strip().casefold() for text in table.texts("absent")}
    return attrs.evolve(
        origin,
        join=table.get("join", origin.join),
        strip=table.get("strip", origin.strip),
        absent=origin.absent | absent - {""},
        part=part and Part(part),
        case=case and Case(case),
        split=table.get("split"),
        formats=formats,
        decimal=table.get("decimal"),
        country=country,
        invalid=Invalid(table.get("invalid", origin.invalid)),
    )


def _fit(table: _Table, key: str, field: str, kind: Kind) -> Json:
    """Return a value of the mapping itself, if the field can have it."""
    value = table.items[key]
    label, rule = rule_of(field, kind)
    try:
        rule(label, value)
    except ValidationError as error:
        raise table.error(key, error.rule) from None
    return value
