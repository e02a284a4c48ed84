"""From a field's value to what goes on the wire, by the rules of the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from personaclick_async.codec import Json
from personaclick_async.models import rules
from personaclick_async.models.update import FIELDS
from personaclick_async.sync.mapping.origin import Origin

Accept: TypeAlias = Callable[[object], Json]
"""Gives a value in the wire's form, or raises ValidationError."""

_ALL_ACCEPTED: Final[Mapping[object, Callable[[Sequence[str]], bool]]] = {
    rules.email: rules.are_emails,
    rules.phone: rules.are_phones,
    rules.identifier: rules.are_identifiers,
    rules.user_id: rules.are_identifiers,
}


def accept_standard(name: str) -> Accept:
    """Make what accepts a value for a standard field: what ProfileUpdate accepts, no more."""
    return partial(FIELDS[name].rule, name)


def whole_identifiers(
    name: str, origin: Origin
) -> Callable[[Sequence[str]], Sequence[Json] | None] | None:
    """Make what takes a column of identifiers as it stands, white space around them gone.

    It gives None unless every one of them is accepted like that. None in its place: they are to
    be changed on the way.
    """
    all_accepted = _ALL_ACCEPTED.get(FIELDS[name].rule)
    if all_accepted is None or origin.values or origin.case or origin.split:
        return None
    strip, absent = origin.strip, origin.absent

    def whole(column: Sequence[str]) -> Sequence[Json] | None:
        texts = list(map(str.strip, column)) if strip else column
        return texts if absent.isdisjoint(texts) and all_accepted(texts) else None

    return whole


def accept_custom(name: str) -> Accept:
    """Make what accepts a value for a custom property."""
    return partial(rules.custom_value, f"custom.{name}")
