"""A mapping made ready for one header: from a row's values to a record, fast.

Many rows are taken by their columns, so that most of the work is one look-up per value: files
repeat themselves, and what was made of a text is remembered. A row with anything wrong is done
again by itself, to tell all its faults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.mapping.changes import Changes
from personaclick_async.sync.mapping.convert import (
    Convert,
    converter,
    join_converter,
    rule_of,
    usual_of,
)
from personaclick_async.sync.mapping.origin import ABSENT, Invalid, Kind, Origin
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
# Nearly every one is seen once.
_NOT_REPEATED: Final = (Kind.EMAIL, Kind.IDENTIFIER)


@attrs.frozen
class _Field:
    """One field's way from the columns to the wire.

    :ivar label: what faults call it.
    :ivar positions: where its columns stand.
    :ivar recall: the same as ``convert``, for one text, with a memory; None has none.
    :ivar is_usual: whether ``rule`` alone takes a text, if it is no absent one.
    """

    name: str
    label: str
    positions: tuple[int, ...]
    convert: Convert
    recall: Callable[[str], Json] | None
    is_usual: Callable[[str], object]
    rule: Callable[[str], Json]
    absent: frozenset[str]
    is_omitted: bool

    def cell(self, values: Sequence[Any]) -> Any:  # noqa: ANN401 - whatever a source has
        """Return what a row has for the field: one cell, or those of several columns."""
        if len(self.positions) == 1:
            return values[self.positions[0]]
        return [values[position] for position in self.positions]

    def column(self, columns: Sequence[Sequence[Any]], faulty: set[int]) -> list[Json]:
        """Convert a column; the rows whose value is refused are noted."""
        if len(self.positions) == 1:
            cells = columns[self.positions[0]]
            if set(map(type, cells)) == {str}:
                if self.recall is None:
                    if all(map(self.is_usual, cells)) and self.absent.isdisjoint(cells):
                        return _each(self.rule, cells, faulty)
                elif max(map(len, cells)) <= _LONGEST_TEXT:
                    return _each(self.recall, cells, faulty)
        else:
            cells = list(zip(*(columns[position] for position in self.positions), strict=True))
        return _each(partial(self.convert, notes=[]), cells, faulty)


def _each(convert: Callable[[Any], Json], cells: Sequence[Any], faulty: set[int]) -> list[Json]:
    try:
        return list(map(convert, cells))
    except ValidationError:
        values: list[Json] = []
    for index, cell in enumerate(cells):
        try:
            values.append(convert(cell))
        except ValidationError:
            values.append(ABSENT)
            faulty.add(index)
    return values


class CompiledMapping:
    """Maps rows; never raises for bad data. What it gives shares values: do not change them.

    :param origins: by field, standard ones and custom properties.
    :param required: the fields without which a row is rejected.
    :param header: the columns' names, as the origins have them.
    :param columns: the columns' names for rejected rows, where no two are the same.
    :param changes: counts what is changed, which takes longer; None counts nothing.
    """

    def __init__(
        self,
        origins: Mapping[str, Origin],
        *,
        required: Sequence[str],
        header: Sequence[str],
        columns: Sequence[str],
        changes: Changes | None = None,
    ) -> None:
        self._required = required
        self._columns = columns
        self._changes = changes
        self._constants: dict[str, Json] = {}
        self._fields: list[_Field] = []
        for name, origin in origins.items():
            label, rule = rule_of(name, origin.kind)
            if not origin.columns:
                self._constants[name] = rule(label, origin.value)
                continue
            convert = (converter if len(origin.columns) == 1 else join_converter)(name, origin)
            self._fields.append(
                _Field(
                    name,
                    label,
                    tuple(header.index(column) for column in origin.columns),
                    convert,
                    None if origin.kind in _NOT_REPEATED else _remembering(convert),
                    usual_of(origin),
                    partial(rule, label),
                    origin.absent,
                    origin.invalid is Invalid.OMIT and name not in required,
                )
            )
        self._names = [field.name for field in self._fields]
        self._identifiers = [name for name in self._names if name in IDENTIFIERS]

    def row(self, row: int, values: Sequence[Any]) -> Outcome:
        """Map a row.

        :param row: its number.
        :param values: its values in the header's order, as many as that has.
        """
        wire = self._constants.copy()
        faults: list[Fault] = []
        is_fit = True
        for field in self._fields:
            notes: list[str] = []
            try:
                value = field.convert(field.cell(values), notes)
            except ValidationError as error:
                faults.append(Fault.of(error))
                is_fit = is_fit and field.is_omitted
                continue
            if value is not ABSENT:
                wire[field.name] = value
                if notes and self._changes is not None:
                    self._changes.add(field.label, row, notes)
        at_fault = {fault.field for fault in faults}
        for name in self._required:
            if name not in wire and name not in at_fault:
                faults.append(Fault(name, "a value, which this mapping requires", "nothing"))
                is_fit = False
        if not has_identifier(wire, self._identifiers):
            is_fit = False
            if at_fault.isdisjoint(self._identifiers):
                faults.insert(0, NO_IDENTIFIER)
        if not faults:
            return Record(row, wire)
        source_row = dict(zip(self._columns, values, strict=True))
        if not is_fit:
            return Rejected(row, tuple(faults), source_row)
        return Record(row, wire, Omitted(row, tuple(faults), source_row))

    def rows(self, first: int, columns: Sequence[Sequence[Any]]) -> list[Outcome]:
        """Map rows that follow upon one another, given by their columns.

        :param first: the number of the first row.
        """
        if self._changes is not None:
            return [
                self.row(number, values)
                for number, values in enumerate(zip(*columns, strict=True), first)
            ]
        again: set[int] = set()
        names = self._names
        found = [field.column(columns, again) for field in self._fields]
        wires = [
            # Not a strict zip: to ask for one costs as much as five values.
            {name: value for name, value in zip(names, values) if value is not ABSENT}  # noqa: B905
            for values in zip(*found, strict=True)
        ]
        if self._constants:
            wires = [self._constants | wire for wire in wires]
        for name in self._required:
            again.update(index for index, wire in enumerate(wires) if name not in wire)
        if not any(
            name in IDENTIFIERS and ABSENT not in values
            for name, values in zip(names, found, strict=True)
        ):
            again.update(index for index, wire in enumerate(wires) if not has_identifier(wire))
        outcomes: list[Outcome] = list(map(Record, range(first, first + len(wires)), wires))
        for index in again:
            outcomes[index] = self.row(first + index, [column[index] for column in columns])
        return outcomes


def _remembering(convert: Convert) -> Callable[[str], Json]:
    return lru_cache(_MOST_TEXTS)(partial(convert, notes=[]))
