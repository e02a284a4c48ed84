"""Whom a record is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.protocol.names import IDENTIFIERS

NAMELESS: Final = ("user", f"at least one of {', '.join(IDENTIFIERS)}", "none of them")
"""Field, rule and given of a row that is about nobody."""


def persons_of(
    wire: Mapping[str, Json], kinds: Sequence[str] = IDENTIFIERS
) -> tuple[tuple[str, str], ...]:
    """Give the identifiers of a record, spelt so that spellings of one person agree.

    :param kinds: those to look for; a file's columns say which it can't have.
    """
    return tuple(
        [
            (kind, str(value).casefold().removeprefix("+"))
            for kind in kinds
            if (value := wire.get(kind)) is not None
        ]
    )
