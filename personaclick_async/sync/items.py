"""Records from what callers have at hand: updates, flat mappings, records made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.update import ProfileUpdate, to_wire
from personaclick_async.names import EXTERNAL_ID
from personaclick_async.sync.records import Fault, Outcome, Record, Rejected

Item: TypeAlias = ProfileUpdate | Mapping[str, object] | Record | Rejected
"""What an iterable may give: an update, a flat mapping of its fields, or what a source gives."""


def outcome_of(item: Item, row: int) -> Outcome:
    """Make a record of an item, or its rejection; ``row`` is for items that have none.

    A flat mapping has custom properties beside the standard fields, as the wire has them.
    """
    match item:
        case Record() | Rejected():
            return item
        case ProfileUpdate():
            return _record(item, row, {})
        case dict() | Mapping():  # the first is told apart several times as fast
            try:
                return _record(ProfileUpdate.from_flat(item), row, item)
            except ValidationError as error:
                return Rejected(row, (Fault.of(error),), item)
            except TypeError:
                fault = Fault("record", "a mapping with str keys", "other keys")
                return Rejected(row, (fault,), {})
        case _:
            rule = "a ProfileUpdate, a mapping or a Record"
            return Rejected(row, (Fault("record", rule, rules.given(item)),), {})


def _record(update: ProfileUpdate, row: int, source_row: Mapping[str, object]) -> Outcome:
    if not update:
        return Rejected(row, (Fault("record", "at least one field", "none"),), source_row)
    return Record(row, to_wire(update, user_id_name=EXTERNAL_ID))
