"""A mapping made ready for one header: from a row's values to a record, fast.

The order of things is read, accept, put into a plain dict; no ProfileUpdate is made. Many rows
are taken by their columns, so that most of the work is one look-up per value. When anything is
wrong with a row it is done again by way of ProfileUpdate, whose word is final: what is refused,
and with which words, is the same as everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models.update import FIELDS, ProfileUpdate, to_wire
from personaclick_async.names import EXTERNAL_ID, IDENTIFIERS
from personaclick_async.sync.mapping.accepting import (
    Accept,
    accept_custom,
    accept_standard,
    whole_identifiers,
)
from personaclick_async.sync.mapping.kinds import ABSENT
from personaclick_async.sync.mapping.memo import Memo
from personaclick_async.sync.mapping.origin import Origin
from personaclick_async.sync.mapping.reading import any_reader, join_reader, text_reader
from personaclick_async.sync.records import (
    NO_IDENTIFIER,
    Fault,
    Outcome,
    Record,
    Rejected,
    has_identifier,
)


@attrs.frozen
class _Step:
    """One field's way from the columns to the wire."""

    name: str
    get: Callable[[Sequence[Any]], Any]
    read: Callable[[Any], object]
    accept: Accept

    def from_column(self, value: object) -> Json:
        """Read and accept at once."""
        found = self.read(value)
        return ABSENT if found is ABSENT else self.accept(found)

    def from_row(self, values: Sequence[object]) -> Json:
        """Do the same for a field of several columns."""
        return self.from_column(self.get(values))


@attrs.frozen
class _Single:
    """A field of one column.

    :ivar fused: reads and accepts a value.
    :ivar whole: takes a column of which every value is accepted as it stands, None if not all are.
    """

    position: int
    name: str
    fused: Callable[[Any], Json]
    whole: Callable[[Sequence[Any]], Sequence[Json] | None] | None

    def values(self, column: Sequence[Any], unfit: set[int]) -> Sequence[Json]:
        """Read and accept a column; the rows whose value is refused are noted."""
        if self.whole is not None and (whole := self.whole(column)) is not None:
            return whole
        with suppress(ValidationError):
            return list(map(self.fused, column))
        values: list[Json] = []
        for index, value in enumerate(column):
            try:
                values.append(self.fused(value))
            except ValidationError:
                values.append(ABSENT)
                unfit.add(index)
        return values


class CompiledMapping:
    """Maps rows; never raises for bad data. What it gives shares values: do not change them.

    :param origins: by field, standard ones and custom properties.
    :param required: the fields without which a row is rejected.
    :param header: the columns' names, as the origins have them.
    :param columns: the columns' names for rejected rows, where no two are the same.
    :param only_text: whether all values are text.
    """

    def __init__(
        self,
        origins: Mapping[str, Origin],
        *,
        required: Sequence[str],
        header: Sequence[str],
        columns: Sequence[str],
        only_text: bool,
    ) -> None:
        self._required = required
        self._columns = columns
        self._constants: dict[str, Json] = {}
        self._single: list[_Single] = []
        self._joined: list[tuple[str, Callable[[Sequence[Any]], Json]]] = []
        self._steps: list[_Step] = []
        for name, origin in origins.items():
            standard = name in FIELDS
            accept = accept_standard(name) if standard else accept_custom(name)
            field = name if standard else f"custom.{name}"
            positions = [header.index(column) for column in origin.columns]
            if not positions:
                self._constants[name] = accept(origin.value)
            elif len(positions) == 1:
                [position] = positions
                read = text_reader(field, origin) if only_text else any_reader(field, origin)
                step = _Step(name, itemgetter(position), read, accept)
                self._steps.append(step)
                if name in IDENTIFIERS:
                    # Nearly every one is seen once; the rest repeats.
                    whole = whole_identifiers(name, origin) if only_text else None
                    self._single.append(_Single(position, name, step.from_column, whole))
                else:
                    recall = _recalling(step, only_text=only_text)
                    self._single.append(_Single(position, name, recall, None))
            else:
                step = _Step(name, itemgetter(*positions), join_reader(field, origin), accept)
                self._steps.append(step)
                self._joined.append((name, step.from_row))
        self._identifiers = [name for name in IDENTIFIERS if name in origins]

    def row(self, row: int, values: Sequence[Any]) -> Outcome:
        """Map a row.

        :param row: its number.
        :param values: its values in the header's order, as many as that has.
        """
        wire = self._constants.copy()
        try:
            for one in self._single:
                if (value := one.fused(values[one.position])) is not ABSENT:
                    wire[one.name] = value
            for name, from_row in self._joined:
                if (value := from_row(values)) is not ABSENT:
                    wire[name] = value
        except ValidationError:
            try:
                wire = self._through_model(values)
            except ValidationError as error:
                return self._reject(row, values, Fault.of(error))
        for name in self._required:
            if name not in wire:
                rule = "a value, which this mapping requires"
                return self._reject(row, values, Fault(name, rule, "nothing"))
        if not has_identifier(wire, self._identifiers):
            return self._reject(row, values, NO_IDENTIFIER)
        return Record(row, wire)

    def rows(self, first: int, columns: Sequence[Sequence[Any]]) -> list[Outcome]:
        """Map rows that follow upon one another, given by their columns.

        :param first: the number of the first row.
        """
        if self._joined or not self._single:
            return [
                self.row(number, values)
                for number, values in enumerate(zip(*columns, strict=True), first)
            ]
        doubtful: set[int] = set()
        names = [one.name for one in self._single]
        found = [one.values(columns[one.position], doubtful) for one in self._single]
        wires = [
            # Not a strict zip: to ask for one costs as much as five values.
            {name: value for name, value in zip(names, values) if value is not ABSENT}  # noqa: B905
            for values in zip(*found, strict=True)
        ]
        if self._constants:
            wires = [self._constants | wire for wire in wires]
        doubtful.update(
            index for name in self._required for index, wire in enumerate(wires) if name not in wire
        )
        if not any(
            one.name in IDENTIFIERS and ABSENT not in values and None not in values
            for one, values in zip(self._single, found, strict=True)
        ):
            doubtful.update(index for index, wire in enumerate(wires) if not has_identifier(wire))
        outcomes: list[Outcome] = list(map(Record, range(first, first + len(wires)), wires))
        for index in doubtful:
            given = [column[index] for column in columns]
            outcomes[index] = self.row(first + index, given)
        return outcomes

    def _reject(self, row: int, values: Sequence[Any], fault: Fault) -> Rejected:
        by_column = dict(zip(self._columns, values, strict=True))
        return Rejected(row, (fault,), by_column)

    def _through_model(self, values: Sequence[Any]) -> dict[str, Json]:
        flat = dict(self._constants)
        for step in self._steps:
            if (value := step.read(step.get(values))) is not ABSENT:
                flat[step.name] = value
        return to_wire(ProfileUpdate.from_flat(flat), user_id_name=EXTERNAL_ID)


def _recalling(step: _Step, *, only_text: bool) -> Callable[[Any], Json]:
    recall = Memo(step.from_column).__getitem__
    if only_text:
        return recall

    def recall_text(value: object) -> Json:
        # 1 and True are equal and would be taken for each other; texts are safe.
        return recall(value) if type(value) is str else step.from_column(value)

    return recall_text
