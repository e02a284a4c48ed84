"""A mapping made ready for one header: from a row's values to a record, many rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.mapping.convert import Converter, Notes
from personaclick_async.sync.mapping.origin import Changes, Invalid, Origin
from personaclick_async.sync.records import (
    NO_IDENTIFIER,
    Fault,
    Omitted,
    Outcome,
    Record,
    Rejected,
    has_identifier,
)


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
        self._origins = {name: origin for name, origin in origins.items() if origin.columns}
        self._required = required
        self._header = header
        self._changes = changes
        self._converters = [Converter(name, origin) for name, origin in self._origins.items()]
        self._places = [list(map(header.index, one.columns)) for one in self._origins.values()]
        self._constants: dict[str, Json] = {}
        for name, origin in origins.items():
            if not origin.columns:
                field = Converter(name, origin)
                self._constants[name] = field.rule(field.label, origin.value)

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
        found: dict[str, list[Any]] = {}
        for name, places, field in zip(self._origins, self._places, self._converters, strict=True):
            cells = columns[places[0]]
            if len(places) > 1:
                cells = list(zip(*map(columns.__getitem__, places), strict=True))
            if self._changes is not None:
                _count(self._changes, first, field, cells)
            found[name] = field.column(cells)
        wires = [
            # Not a strict zip: to ask for one costs as much as five values.
            {name: value for name, value in zip(found, values) if value is not None}  # noqa: B905
            for values in zip(*found.values(), strict=True)
        ]
        if self._constants:
            wires = [self._constants | wire for wire in wires]
        outcomes: list[Outcome] = list(map(Record, range(first, first + len(wires)), wires))
        for index in self._unfit(found, wires):
            source_row = dict(zip(self._header, (column[index] for column in columns), strict=True))
            outcomes[index] = self._with_faults(first + index, wires[index], source_row)
        return outcomes

    def _unfit(
        self, found: Mapping[str, Sequence[Any]], wires: Sequence[Mapping[str, Any]]
    ) -> set[int]:
        """Return the places of rows with a fault, without a required value or an identifier."""
        unfit: set[int] = set()
        for values in found.values():
            if Fault in set(map(type, values)):
                unfit.update(index for index, one in enumerate(values) if type(one) is Fault)
        for name in self._required:
            unfit.update(index for index, wire in enumerate(wires) if name not in wire)
        if not any(name in IDENTIFIERS and None not in found[name] for name in found):
            unfit.update(index for index, wire in enumerate(wires) if not has_identifier(wire))
        return unfit

    def _with_faults(
        self, row: int, found: Mapping[str, Any], source_row: Mapping[str, object]
    ) -> Record | Rejected:
        """Return a row's record without the faulty values, or its rejection."""
        faults = {name: one for name, one in found.items() if type(one) is Fault}
        wire = {name: value for name, value in found.items() if name not in faults}
        is_fit = faults.keys().isdisjoint(self._required) and all(
            self._origins[name].invalid is Invalid.OMIT for name in faults
        )
        for name in self._required:
            if name not in found:
                is_fit = False
                faults[name] = Fault(name, "a value, which this mapping requires", "nothing")
        told = list(faults.values())
        if not has_identifier(wire):
            is_fit = False
            if faults.keys().isdisjoint(IDENTIFIERS):
                told.insert(0, NO_IDENTIFIER)
        if is_fit:
            return Record(row, wire, Omitted(row, tuple(told), source_row))
        return Rejected(row, tuple(told), source_row)


def _count(changes: Changes, first: int, field: Converter, cells: Sequence[Any]) -> None:
    """Count what is changed in a column's cells and sent."""
    for row, cell in enumerate(cells, first):
        notes: Notes = []
        try:
            value = field.convert(cell, notes)
        except ValidationError:
            continue
        if notes and value is not None:
            changes.add(field.label, row, notes)
