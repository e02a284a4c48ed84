"""Records of mappings: through a FieldMapping, or flat ones whose keys are the fields' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import attrs

from personaclick_async import codec
from personaclick_async.models import rules
from personaclick_async.sync.admission import Item, outcome_of
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import (
    NO_IDENTIFIER,
    Fault,
    Outcome,
    Record,
    Rejected,
    has_identifier,
)

SENT: Final = "_sent"
"""The column of a reject file with a row's fields as JSON, where no more is known of it."""


def outcome_of_item(row: int, item: Item) -> Outcome:
    """Make a record of anything that an iterable may give, or its rejection."""
    outcome = outcome_of(item, row)
    if isinstance(outcome, Record) and not has_identifier(outcome.wire):
        return Rejected(outcome.row, (NO_IDENTIFIER,), dict(outcome.wire))
    return outcome


def outcome_of_record(
    mapping: FieldMapping | None,
) -> Callable[[int, Mapping[str, Any]], Outcome]:
    """Return what turns a mapping of keys to values into an outcome."""
    if mapping is None:
        return outcome_of_item
    columns = mapping.columns
    map_row = mapping.compile(columns).row

    def mapped(row: int, record: Mapping[str, Any]) -> Outcome:
        outcome = map_row(row, [value_at(record, column) for column in columns])
        # To correct it, all of it is needed.
        if isinstance(outcome, Rejected):
            return attrs.evolve(outcome, source_row=record)
        if outcome.omitted is not None:
            return attrs.evolve(outcome, omitted=attrs.evolve(outcome.omitted, source_row=record))
        return outcome

    return mapped


def value_at(record: Mapping[str, Any], path: str) -> object:
    """Return the value of a key; ``address.city`` is also the key ``city`` inside ``address``."""
    if path in record:
        return record[path]
    outer, dot, inner = path.partition(".")
    nested = record.get(outer) if dot else None
    return value_at(nested, inner) if isinstance(nested, Mapping) else None


def flattened(record: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Return a record's values by path, as a mapping may name them."""
    found: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def outcome_of_sent(row: int, sent: object) -> Outcome:
    """Make an outcome of the fields of a row that was sent before, as a reject file has them."""
    with suppress(ValueError):
        record = codec.decode(sent.encode(errors="replace")) if isinstance(sent, str) else sent
        if isinstance(record, dict):
            return outcome_of_item(row, record)
    fault = Fault(SENT, "a JSON object of fields", rules.given(sent))
    return Rejected(row, (fault,), {SENT: sent})
