"""What a mapping changed in the cells of a file, counted; without it nobody would see it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

_MOST_ROWS: Final = 3


@attrs.define
class Change:
    """How many cells of a field were changed in one way.

    :ivar count: how many.
    :ivar first_rows: the numbers of the first rows, three at most.
    """

    count: int = 0
    first_rows: list[int] = attrs.field(factory=list)


@attrs.define
class Changes:
    """Counts changes: ``attrs.evolve(mapping, changes=Changes())``, before a source is opened.

    :ivar found: by the field's name and what was done, such as ``invisible characters removed``.
    """

    found: dict[tuple[str, str], Change] = attrs.field(factory=dict)

    def add(self, field: str, row: int, notes: Iterable[str]) -> None:
        """Count what was done to a cell."""
        for note in dict.fromkeys(notes):
            change = self.found.setdefault((field, note), Change())
            change.count += 1
            if len(change.first_rows) < _MOST_ROWS:
                change.first_rows.append(row)
