"""Why rows would be rejected, added up: what is to be mended before anything is sent."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator
from typing import Final

import attrs

from personaclick_async.codec import Json
from personaclick_async.sync import Rejected, Result

_MOST: Final = 100
_OTHERS: Final = ("other fields", "other values")


@attrs.define
class _Rows:
    first: int
    count: int = 0


class Reasons:
    """The rules that were broken, the most broken first. No value is kept, only where it stood.

    Rows may have any fields, so a file can break any number of rules: what the first hundred do
    not cover is counted together.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Rows] = {}

    async def gather(self, results: AsyncIterable[Result]) -> None:
        """Take the reasons from the results of a sync."""
        async for result in results:
            if isinstance(result, Rejected):
                reason = (result.field, result.rule)
                if reason not in self._rows and len(self._rows) >= _MOST:
                    reason = _OTHERS
                rows = self._rows.setdefault(reason, _Rows(result.row))
                rows.count += 1

    def as_json(self) -> list[Json]:
        """Give them for a script."""
        return [
            {"field": field, "rule": rule, "rows": rows.count, "first_row": rows.first}
            for (field, rule), rows in self._sorted()
        ]

    def as_text(self) -> Iterator[str]:
        """Give a line for each."""
        for (field, rule), rows in self._sorted():
            times = (
                f"once, in row {rows.first:,}"
                if rows.count == 1
                else f"{rows.count:,} times, first in row {rows.first:,}"
            )
            yield f"{times}: {field}: expected {rule}"

    def _sorted(self) -> list[tuple[tuple[str, str], _Rows]]:
        return sorted(self._rows.items(), key=lambda one: (-one[1].count, one[1].first))
