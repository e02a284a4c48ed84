"""From a field's value to what goes on the wire, by the rules of the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.update import FIELDS
from personaclick_async.sync.mapping.origin import Origin

Accept: TypeAlias = Callable[[object], Json]
"""Gives a value in the wire's form, or raises ValidationError."""


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
    rule = FIELDS[name].rule
    if origin.values or origin.case or origin.split:
        return None
    strip, absent = origin.strip, origin.absent

    def whole(column: Sequence[str]) -> Sequence[Json] | None:
        texts = list(map(str.strip, column)) if strip else column
        if not absent.isdisjoint(texts):
            return None
        try:
            return [rule(name, text) for text in texts]
        except ValidationError:
            return None

    return whole


def accept_custom(name: str) -> Accept:
    """Make what accepts a value for a custom property."""
    return partial(rules.custom_value, f"custom.{name}")
