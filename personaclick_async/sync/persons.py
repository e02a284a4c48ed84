"""Whom a record is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.names import IDENTIFIERS

NAMELESS: Final = ("user", f"at least one of {', '.join(IDENTIFIERS)}", "none of them")
"""Field, rule and given of a row that is about nobody."""


def persons_of(wire: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """Give the identifiers of a record, spelt so that spellings of one person agree."""
    persons: list[tuple[str, str]] = []
    for kind in IDENTIFIERS:
        value = wire.get(kind)
        if value is not None:
            persons.append((kind, str(value).casefold().removeprefix("+")))
    return tuple(persons)


def lanes_of(wire: Mapping[str, Json]) -> tuple[str, ...]:
    """Give the same as plain texts, which the garbage collector need not look through."""
    return tuple([f"{kind}:{value}" for kind, value in persons_of(wire)])


def is_about_somebody(wire: Mapping[str, Json], kinds: Sequence[str] = IDENTIFIERS) -> bool:
    """Whether a record has an identifier, one of these kinds."""
    for kind in kinds:  # noqa: SIM110 - any() would take three times as long
        if wire.get(kind) is not None:
            return True
    return False
