"""Whom a record is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.protocol.names import IDENTIFIERS

NAMELESS: Final = ("user", f"at least one of {', '.join(IDENTIFIERS)}", "none of them")
"""Field, rule and given of a row that is about nobody."""


def persons_among(wire: Mapping[str, Json], kinds: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Give the identifiers of these kinds that a record has.

    They are spelt as ``routes.persons_of`` spells them, which looks for all kinds and does not
    expect to be called for every row of a file.
    """
    return tuple(
        [(kind, str(wire[kind]).casefold().removeprefix("+")) for kind in kinds if kind in wire]
    )
