"""A mapping as a whole, and compiled for the columns of a source."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any, Final

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.update import RESERVED_NAMES, Kind, custom_name
from personaclick_async.names import EXTERNAL_ID, ID, IDENTIFIERS
from personaclick_async.sync.mapping.convert import Converter
from personaclick_async.sync.mapping.origin import STANDARD_KINDS, Origin, read_toml
from personaclick_async.sync.mapping.phones import check_country
from personaclick_async.sync.records import (
    NO_IDENTIFIER,
    Fault,
    Omitted,
    Outcome,
    Record,
    Rejected,
    has_identifier,
)

# Part of every fingerprint: to be raised when the same mapping comes to mean something else.
_VERSION: Final = "mapping 5"
_MOST_LISTED: Final = 30
_MOST_BYTES: Final = 1024 * 1024
_MOST_ROWS: Final = 3
_DATA: Final = re.compile("@|[0-9]{5}|[0-9][-/.][0-9]+[-/.][0-9]")  # an address, number or date


@attrs.define
class Change:
    """How many cells of a field were changed in one way."""

    count: int = 0
    first_rows: list[int] = attrs.field(factory=list)  # numbers of the first rows, three at most


@attrs.define
class Changes:
    """Counts what a mapping changes in the cells of a file, to be reported.

    Given to a mapping by ``attrs.evolve(mapping, changes=Changes())``, before a source is opened.
    Call :meth:`count` for each row that is used: a source may map more, or map them twice.
    """

    found: dict[tuple[str, str], Change] = attrs.field(factory=dict)  # by field and what was done
    mapped: dict[int, dict[str, list[str]]] = attrs.field(factory=dict)  # in the last rows

    def add(self, field: str, row: int, notes: Iterable[str]) -> None:
        """Count what was done to a cell."""
        for note in dict.fromkeys(notes):
            change = self.found.setdefault((field, note), Change())
            change.count += 1
            if len(change.first_rows) < _MOST_ROWS:
                change.first_rows.append(row)

    def add_column(self, first: int, field: Converter, cells: Iterable[Any]) -> None:
        """Note what is changed in a column's cells and sent, to be counted by row."""
        for row, cell in enumerate(cells, first):
            value = field.attempt(cell)
            if field.notes and value is not None and type(value) is not Fault:
                self.mapped.setdefault(row, {})[field.label] = [*field.notes]

    def count(self, row: int) -> None:
        """Count what was changed in a row that was just read."""
        for field, notes in self.mapped.pop(row, {}).items():
            self.add(field, row, notes)


@attrs.frozen(kw_only=True)
class FieldMapping:
    """Which column of a source becomes which field, and how."""

    fields: Mapping[str, Origin] = attrs.field(hash=False)  # of standard fields and properties
    required: tuple[str, ...] = ()  # the fields without which a row is rejected
    changes: Changes | None = attrs.field(default=None, eq=False, repr=False)  # to count into

    def __attrs_post_init__(self) -> None:
        if self.fields.keys().isdisjoint(IDENTIFIERS):
            raise ConfigurationError(
                f"mapping: expected a column for at least one of {', '.join(IDENTIFIERS)}"
            )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> FieldMapping:
        """Read a mapping from a TOML file.

        :raises ConfigurationError: there is no such file, or it is not a mapping; names the key.
        """
        name = Path(path).name or str(path)
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
            fields, required = read_toml(text)
            return cls(fields=fields, required=required)
        except (ConfigurationError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{name}: {error}") from None
        except RecursionError:
            raise ConfigurationError(f"{name}: nested too deeply") from None

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
            try:
                if name not in STANDARD_KINDS:
                    custom_name(name)
            except ValidationError:
                # Else the column is not named: without a header it is somebody's data.
                raise ConfigurationError(
                    f"column {name!r}: expected another name, as this one is reserved; "
                    "a mapping can give it one"
                    if name in RESERVED_NAMES
                    else "mapping: expected a mapping, or columns named as the fields are"
                    f" (letters, digits and _); column {number} is not"
                ) from None
            fields[name] = Origin(kind=STANDARD_KINDS.get(name, Kind.ANY), columns=column)
        return cls(fields=fields)

    def with_country(self, country: str) -> FieldMapping:
        """Return the mapping with a country for the phone numbers of which it says none.

        :param country: two capital letters, such as ``CH``.
        :raises ConfigurationError: there is no such country, or the extra ``phones`` is missing.
        """
        check_country(country)
        fields = {**self.fields}
        for name, origin in self.fields.items():
            if origin.kind is Kind.PHONE:
                fields[name] = attrs.evolve(origin, country=origin.country or country)
        return attrs.evolve(self, fields=fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the mapping reads, once."""
        read = chain.from_iterable(origin.columns for origin in self.fields.values())
        return tuple(dict.fromkeys(read))

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
        whole = codec.encode([_VERSION, fields, sorted(self.required)])
        return hashlib.sha256(whole).hexdigest()

    def compile(self, header: Sequence[str]) -> CompiledMapping:
        """Prepare the mapping for rows whose columns are those of a header.

        :raises ConfigurationError: a column of the mapping is not there.
        """
        return CompiledMapping(self, header)


def _why_not_there(column: str, header: Sequence[str]) -> str:
    if looks_like_data(header):
        return f"not in the source; there are {len(header)} others"
    close = get_close_matches(column, header, n=1)
    nearest = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(map(repr, header[:_MOST_LISTED]))
    more = ", …" if len(header) > _MOST_LISTED else ""
    return f"not in the source{nearest} (columns: {listed}{more})"


def looks_like_data(header: Iterable[str]) -> bool:
    """Return whether names of columns are somebody's data, so that they must not be shown."""
    return any(_DATA.search(name) or not name.isprintable() for name in header)


class CompiledMapping:
    """Maps rows; never raises for bad data. Outcomes share values, which must not be changed."""

    def __init__(self, mapping: FieldMapping, header: Sequence[str]) -> None:
        self.header = header
        self._changes = mapping.changes
        self._required = mapping.required
        # Without these, or where theirs is a fault, a row is rejected.
        self._needed = {*mapping.required}
        self._constants: dict[str, Json] = {}
        self._fields: list[tuple[str, Converter, list[int]]] = []
        index_of = {name: index for index, name in enumerate(header)}
        for name, origin in mapping.fields.items():
            for column in origin.columns:
                if column not in index_of:
                    why = _why_not_there(column, header)
                    raise ConfigurationError(f"column {column!r} (for {name}): {why}")
            field = Converter(name, origin)
            if origin.columns:
                self._fields.append((name, field, [index_of[column] for column in origin.columns]))
            else:
                self._constants[name] = field.rule(field.label, origin.value)
            if origin.invalid == "reject":
                self._needed.add(name)

    def row(self, row: int, values: Sequence[Any]) -> Outcome:
        """Map the row of a number; its values are in the header's order, as many as that has."""
        return self.rows(row, [(value,) for value in values])[0]

    def rows(self, first: int, columns: Sequence[Sequence[Any]]) -> list[Outcome]:
        """Map rows, given by their columns, which are numbered from ``first`` on."""
        found: dict[str, list[Any]] = {}
        if self._changes is not None:
            self._changes.mapped.clear()
        for name, field, indexes in self._fields:
            cells = columns[indexes[0]]
            if len(indexes) > 1:
                cells = list(zip(*map(columns.__getitem__, indexes), strict=True))
            found[name] = field.column(cells)
            if self._changes is not None:
                self._changes.add_column(first, field, cells)
        types = {name: set(map(type, values)) for name, values in found.items()}
        # Not strict zips of a row: to ask for one costs as much as five values.
        wires: list[dict[str, Any]] = [
            dict(zip(found, values))  # noqa: B905
            for values in zip(*found.values(), strict=True)
        ]
        if any(NoneType in of_column for of_column in types.values()):
            wires = [
                {name: value for name, value in wire.items() if value is not None} for wire in wires
            ]
        if self._constants:
            wires = [self._constants | wire for wire in wires]
        outcomes: list[Outcome] = list(map(Record, range(first, first + len(wires)), wires))
        # Those with a fault, or without a required value or an identifier.
        unfit: set[int] = set()
        for name, values in found.items():
            if Fault in types[name]:
                unfit.update(index for index, one in enumerate(values) if type(one) is Fault)
        for name in self._required:
            unfit.update(index for index, wire in enumerate(wires) if name not in wire)
        if not any(name in IDENTIFIERS and NoneType not in types[name] for name in found):
            unfit.update(index for index, wire in enumerate(wires) if not has_identifier(wire))
        for index in unfit:
            source_row = dict(zip(self.header, (column[index] for column in columns), strict=True))
            outcomes[index] = self._with_faults(first + index, wires[index], source_row)
        return outcomes

    def _with_faults(
        self, row: int, found: Mapping[str, Any], source_row: Mapping[str, object]
    ) -> Record | Rejected:
        """Return a row's record without the faulty values, or its rejection."""
        faults = {name: one for name, one in found.items() if type(one) is Fault}
        wire = {name: value for name, value in found.items() if name not in faults}
        for name in self._required:
            if name not in found:
                faults[name] = Fault(name, "a value, which this mapping requires", "nothing")
        listed = tuple(faults.values())
        if has_identifier(wire) and self._needed.isdisjoint(faults):
            return Record(row, wire, Omitted(row, listed, source_row))
        if not has_identifier(wire) and faults.keys().isdisjoint(IDENTIFIERS):
            listed = (NO_IDENTIFIER, *listed)
        return Rejected(row, listed, source_row)
