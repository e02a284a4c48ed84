"""A mapping made ready for one header: from a row's values to a record, fast.

Rows are taken by their columns, so that most of the work is one look-up per value: files repeat
themselves, and what was made of a text is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.mapping.convert import Converter, Notes
from personaclick_async.sync.mapping.origin import Changes, Invalid, Kind, Origin, rule_of
from personaclick_async.sync.records import (
    NO_IDENTIFIER,
    Fault,
    Omitted,
    Outcome,
    Record,
    Rejected,
    has_identifier,
)

_MOST_TEXTS: Final = 16_384
_LONGEST_TEXT: Final = 64
# Texts of kinds that hardly repeat, of which nothing is changed and that are no word for nothing:
# nearly all, in most files. They need nothing but the field's rule.
_USUAL: Final = {
    Kind.EMAIL: re.compile(
        r"(?=[a-z._-]{0,40}[0-9]|[ac-jlmqrtv-z])[a-z0-9._+-]+@[a-z0-9.-]+"
    ).fullmatch,
    Kind.IDENTIFIER: re.compile(r"[1-9][0-9]*").fullmatch,
}
_UNUSUAL: Final = re.compile(r"(?!)").fullmatch


class _Memory(dict[str, Any]):
    """Remembers what was made of texts."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> Any:  # noqa: ANN401 - a value of the wire, or a fault
        found = self._make(text)
        if len(text) <= _LONGEST_TEXT:
            if len(self) >= _MOST_TEXTS:
                self.clear()
            self[text] = found
        return found


class _Field:
    """One field's way from the columns to the wire.

    :ivar label: what faults call it.
    :ivar is_omitted: whether a row is sent without a value that is refused.
    """

    def __init__(self, name: str, origin: Origin, header: Sequence[str], *, required: bool) -> None:
        self.name = name
        self._convert = Converter(name, origin)
        self.label = self._convert.label
        self.is_omitted = origin.invalid is Invalid.OMIT and not required
        self._positions = [header.index(column) for column in origin.columns]
        self._absent = origin.absent
        told = origin.values or origin.case
        self._is_usual = _UNUSUAL if told else _USUAL.get(origin.kind, _UNUSUAL)
        self._recall = None if origin.kind in _USUAL else _Memory(self.convert)

    def convert(self, cell: Any, notes: Notes | None = None) -> Any:  # noqa: ANN401 - a cell has any type
        """Return a cell's value on the wire, None if it has none, or the fault."""
        try:
            return self._convert(cell, [] if notes is None else notes)
        except ValidationError as error:
            return Fault.of(error)

    def cells(self, columns: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return what the field's columns hold, for each row one cell, or those of the columns."""
        if len(self._positions) == 1:
            return columns[self._positions[0]]
        return list(zip(*(columns[position] for position in self._positions), strict=True))

    def values(self, cells: Sequence[Any]) -> list[Any]:
        """Convert the cells of many rows."""
        if set(map(type, cells)) == {str}:
            if self._recall is not None:
                return list(map(self._recall.__getitem__, cells))
            is_usual, rule, absent = self._is_usual, self._convert.rule, self._absent
            with suppress(ValidationError):
                return [
                    rule(self.label, cell)
                    if is_usual(cell) and cell not in absent
                    else self.convert(cell)
                    for cell in cells
                ]
        return list(map(self.convert, cells))


class CompiledMapping:
    """Maps rows; never raises for bad data. What it gives shares values: do not change them.

    :param origins: by field, standard ones and custom properties.
    :param required: the fields without which a row is rejected.
    :param header: the columns' names, no two the same.
    :param changes: counts what is changed, which takes longer; None counts nothing.
    """

    def __init__(
        self,
        origins: Mapping[str, Origin],
        *,
        required: Sequence[str],
        header: Sequence[str],
        changes: Changes | None = None,
    ) -> None:
        self._required = required
        self._header = header
        self._changes = changes
        self._constants: dict[str, Json] = {}
        self._fields: list[_Field] = []
        for name, origin in origins.items():
            if origin.columns:
                self._fields.append(_Field(name, origin, header, required=name in required))
            else:
                label, rule = rule_of(name, origin.kind)
                self._constants[name] = rule(label, origin.value)
        self._names = [field.name for field in self._fields]
        self._identifiers = [name for name in self._names if name in IDENTIFIERS]

    def row(self, row: int, values: Sequence[Any]) -> Outcome:
        """Map a row.

        :param row: its number.
        :param values: its values in the header's order, as many as that has.
        """
        return self.rows(row, [(value,) for value in values])[0]

    def rows(self, first: int, columns: Sequence[Sequence[Any]]) -> list[Outcome]:
        """Map rows that follow upon one another, given by their columns.

        :param first: the number of the first row.
        """
        found = [
            field.values(field.cells(columns))
            if self._changes is None
            else self._counted(first, field, field.cells(columns), self._changes)
            for field in self._fields
        ]
        wires = [
            # Not a strict zip: to ask for one costs as much as five values.
            {name: value for name, value in zip(self._names, values) if value is not None}  # noqa: B905
            for values in zip(*found, strict=True)
        ]
        if self._constants:
            wires = [self._constants | wire for wire in wires]
        outcomes: list[Outcome] = list(map(Record, range(first, first + len(wires)), wires))
        for index in self._unfit(found, wires):
            source_row = dict(zip(self._header, (column[index] for column in columns), strict=True))
            outcomes[index] = self._with_faults(first + index, wires[index], source_row)
        return outcomes

    def _counted(
        self, first: int, field: _Field, cells: Sequence[Any], changes: Changes
    ) -> list[Any]:
        values: list[Any] = []
        for row, cell in enumerate(cells, first):
            notes: Notes = []
            value = field.convert(cell, notes)
            if notes and value is not None and type(value) is not Fault:
                changes.add(field.label, row, notes)
            values.append(value)
        return values

    def _unfit(self, found: Sequence[list[Any]], wires: Sequence[Mapping[str, Any]]) -> set[int]:
        """Return the places of rows with a fault, without a required value or an identifier."""
        unfit = {
            index
            for values in found
            if Fault in set(map(type, values))
            for index, value in enumerate(values)
            if type(value) is Fault
        }
        for name in self._required:
            unfit.update(index for index, wire in enumerate(wires) if name not in wire)
        if not any(
            name in IDENTIFIERS and None not in values
            for name, values in zip(self._names, found, strict=True)
        ):
            unfit.update(index for index, wire in enumerate(wires) if not has_identifier(wire))
        return unfit

    def _with_faults(
        self, row: int, found: Mapping[str, Any], source_row: Mapping[str, object]
    ) -> Record | Rejected:
        wire = {name: value for name, value in found.items() if type(value) is not Fault}
        faulty = [field for field in self._fields if field.name in found.keys() - wire.keys()]
        faults: list[Fault] = [found[field.name] for field in faulty]
        is_fit = all(field.is_omitted for field in faulty)
        missing = [name for name in self._required if name not in found]
        if missing:
            is_fit = False
            faults += [
                Fault(one, "a value, which this mapping requires", "nothing") for one in missing
            ]
        if not has_identifier(wire, self._identifiers):
            is_fit = False
            if not any(field.name in self._identifiers for field in faulty):
                faults.insert(0, NO_IDENTIFIER)
        if is_fit:
            return Record(row, wire, Omitted(row, tuple(faults), source_row))
        return Rejected(row, tuple(faults), source_row)
