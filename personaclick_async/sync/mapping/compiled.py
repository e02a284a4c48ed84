"""A mapping made ready for one header: from a row's values to a record, fast.

The order of things is read, accept, put into a plain dict; no ProfileUpdate is made. When
anything is wrong with a row it is done again by way of ProfileUpdate, whose word is final: what
is refused, and with which words, is the same as everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models.converter import to_wire
from personaclick_async.models.update import ProfileUpdate
from personaclick_async.protocol.names import EXTERNAL_ID, IDENTIFIERS
from personaclick_async.sync.mapping.accepting import Accept, accept_custom, accept_standard
from personaclick_async.sync.mapping.kinds import ABSENT, STANDARD_RULES
from personaclick_async.sync.mapping.memo import Memo
from personaclick_async.sync.mapping.origin import Origin
from personaclick_async.sync.mapping.reading import any_reader, join_reader, text_reader
from personaclick_async.sync.persons import NAMELESS, persons_of
from personaclick_async.sync.records import Outcome, Record, Rejected

MapRow: TypeAlias = Callable[[int, Sequence[Any]], Outcome]
"""Takes a row's number and its values in the header's order."""


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


def compile_rows(
    origins: Mapping[str, Origin],
    *,
    required: Sequence[str],
    header: Sequence[str],
    columns: Sequence[str],
    only_text: bool,
) -> MapRow:
    """Make the function that maps a row.

    :param origins: by field, standard ones and custom properties.
    :param required: the fields without which a row is rejected.
    :param header: the columns' names, as the origins have them.
    :param columns: the columns' names for rejected rows, where no two are the same.
    :param only_text: whether all values are text.
    """
    constants: dict[str, Json] = {}
    single: list[tuple[int, str, Callable[[Any], Json]]] = []
    joined: list[tuple[str, Callable[[Sequence[Any]], Json]]] = []
    steps: list[_Step] = []
    for name, origin in origins.items():
        standard = name in STANDARD_RULES
        accept = accept_standard(name) if standard else accept_custom(name)
        field = name if standard else f"custom.{name}"
        positions = [header.index(column) for column in origin.columns]
        if not positions:
            constants[name] = accept(origin.value)
        elif len(positions) == 1:
            read = text_reader(field, origin) if only_text else any_reader(field, origin)
            step = _Step(name, itemgetter(positions[0]), read, accept)
            steps.append(step)
            # Nearly every identifier is seen once; the rest repeats.
            fused = (
                step.from_column if name in IDENTIFIERS else _recalling(step, only_text=only_text)
            )
            single.append((positions[0], name, fused))
        else:
            step = _Step(name, itemgetter(*positions), join_reader(field, origin), accept)
            steps.append(step)
            joined.append((name, step.from_row))

    identifiers = [name for name in IDENTIFIERS if name in origins]

    def map_row(row: int, values: Sequence[Any]) -> Outcome:
        wire = constants.copy()
        try:
            for position, name, fused in single:
                if (value := fused(values[position])) is not ABSENT:
                    wire[name] = value
            for name, from_row in joined:
                if (value := from_row(values)) is not ABSENT:
                    wire[name] = value
        except ValidationError:
            try:
                wire = _through_model(steps, constants, values)
            except ValidationError as error:
                return reject(row, values, error.field, error.rule, error.given)
        for name in required:
            if name not in wire:
                return reject(row, values, name, "a value, which this mapping requires", "nothing")
        persons = persons_of(wire, identifiers)
        if not persons:
            return reject(row, values, *NAMELESS)
        return Record(row, wire, persons)

    def reject(row: int, values: Sequence[Any], field: str, rule: str, given: str) -> Rejected:
        return Rejected(row, field, rule, given, dict(zip(columns, values, strict=True)))

    return map_row


def _recalling(step: _Step, *, only_text: bool) -> Callable[[Any], Json]:
    recall = Memo(step.from_column).__getitem__
    if only_text:
        return recall

    def recall_text(value: object) -> Json:
        # 1 and True are equal and would be taken for each other; texts are safe.
        return recall(value) if type(value) is str else step.from_column(value)

    return recall_text


def _through_model(
    steps: Sequence[_Step], constants: Mapping[str, Json], values: Sequence[Any]
) -> dict[str, Json]:
    flat = dict(constants)
    for step in steps:
        if (value := step.read(step.get(values))) is not ABSENT:
            flat[step.name] = value
    return to_wire(ProfileUpdate.from_flat(flat), user_id_name=EXTERNAL_ID)
