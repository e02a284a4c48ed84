"""Mappings to records: flat ones, as ProfileUpdate.from_flat takes them, but faster; and others.

As for mappings: a plain dict is built by the rules' own functions, and when anything is wrong
or out of the ordinary, ProfileUpdate has the final word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.update import FIELDS, custom_name
from personaclick_async.names import EXTERNAL_ID, ID
from personaclick_async.sync.items import Item, outcome_of
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.mapping.accepting import accept_custom, accept_standard
from personaclick_async.sync.mapping.memo import Memo
from personaclick_async.sync.persons import NAMELESS, is_about_somebody
from personaclick_async.sync.records import Outcome, Record, Rejected
from personaclick_async.sync.sources.base import SENT


def _accept(name: str) -> Callable[[object], Json]:
    if name in FIELDS:
        return accept_standard(name)
    if name == ID:
        return accept_standard(EXTERNAL_ID)
    return accept_custom(custom_name(name))


_ACCEPT: Final = Memo(_accept)


def outcome_of_flat(row: int, record: Mapping[str, Any]) -> Outcome:
    """Make a record of a flat mapping, or its rejection."""
    wire: dict[str, Json] = {}
    try:
        for name, value in record.items():
            if value is not None:
                wire[name] = _ACCEPT[name](value)
    except ValidationError:
        return _outcome_of(record, row)
    if ID in wire:
        if EXTERNAL_ID in wire:
            return _outcome_of(record, row)
        wire[EXTERNAL_ID] = wire.pop(ID)
    return Record(row, wire) if is_about_somebody(wire) else Rejected(row, *NAMELESS, record)


def outcome_of_record(
    mapping: FieldMapping | None,
) -> Callable[[int, Mapping[str, Any]], Outcome]:
    """Make what turns a mapping of keys to values into an outcome."""
    if mapping is None:
        return outcome_of_flat
    columns = mapping.columns
    map_row = mapping.compile(columns).row

    def mapped(row: int, record: Mapping[str, Any]) -> Outcome:
        outcome = map_row(row, [record.get(column) for column in columns])
        if isinstance(outcome, Rejected):
            # To be mended, all of it is needed.
            return attrs.evolve(outcome, source_row=record)
        return outcome

    return mapped


def outcome_of_sent(row: int, sent: object) -> Outcome:
    """Make an outcome of the fields of a row that was sent before, as a reject file has them."""
    with suppress(ValueError):
        record = codec.decode(sent.encode(errors="replace")) if isinstance(sent, str) else sent
        if isinstance(record, dict):
            return outcome_of_flat(row, record)
    return Rejected(row, SENT, "a JSON object of fields", rules.given(sent), {SENT: sent})


def outcome_of_item(row: int, item: Item) -> Outcome:
    """Make a record of anything that an iterable may give."""
    return outcome_of_flat(row, item) if isinstance(item, Mapping) else _outcome_of(item, row)


def _outcome_of(item: Item, row: int) -> Outcome:
    outcome = outcome_of(item, row)
    if isinstance(outcome, Record) and not is_about_somebody(outcome.wire):
        return Rejected(outcome.row, *NAMELESS, dict(outcome.wire))
    return outcome
