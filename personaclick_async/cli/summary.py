"""What a dry run found: for each field how many values there are, and why rows would be refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterator, Mapping
from typing import Final

import attrs
from rich.table import Table

from personaclick_async.cli.outcome import cell, console, say
from personaclick_async.codec import Json
from personaclick_async.names import EXTERNAL_ID
from personaclick_async.sync import FaultyRow, Outcome, Record, Rejected, Result
from personaclick_async.sync.mapping import Change, Changes

# Rows may have any fields, and a file can break any number of rules: the rest is counted together.
_MOST: Final = 100
_OTHER_FIELDS: Final = "other fields"
_OTHER_VALUES: Final = "other values"
_EXAMPLES: Final = 3
_ROWS_SHOWN: Final = 3
_MOST_REMEMBERED: Final = 100_000
_LONGEST_EXAMPLE: Final = 40


@attrs.define
class _Values:
    count: int = 0
    examples: list[str] = attrs.field(factory=list)


@attrs.define
class _Refusals:
    count: int = 0
    first_rows: list[int] = attrs.field(factory=list)


class SharedIds:
    """Counts rows that have the user id of a row before, of the first hundred thousand ids."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._rows = _Refusals()

    def see(self, outcome: Outcome) -> None:
        """Look at a row's user id; only its hash is kept."""
        own = outcome.wire.get(EXTERNAL_ID) if isinstance(outcome, Record) else None
        if own is None:
            return
        if hash(own) in self._seen:
            self._rows.count += 1
            if len(self._rows.first_rows) < _ROWS_SHOWN:
                self._rows.first_rows.append(outcome.row)
        elif len(self._seen) < _MOST_REMEMBERED:
            self._seen.add(hash(own))

    @property
    def notices(self) -> tuple[str, ...]:
        """What should make one look at the mapping again."""
        if not self._rows.count:
            return ()
        rows = "1 row shares" if self._rows.count == 1 else f"{self._rows.count:,} rows share"
        return (f"{rows} an {EXTERNAL_ID} with a row before: one person? ({_where(self._rows)})",)


class Summary:
    """The counts of a dry run.

    :ivar changes: what the mapping changed, if it is told to count.

    :param keeps_examples: whether to keep the first values of each field, to be shown to the
        person at the terminal; else no value is kept.
    """

    def __init__(self, *, keeps_examples: bool) -> None:
        self.changes = Changes()
        self._keeps_examples = keeps_examples
        self._records = 0
        self._values: dict[str, _Values] = {}
        self._refusals: dict[tuple[str, str], _Refusals] = {}
        self._omissions: dict[tuple[str, str], _Refusals] = {}

    def see(self, outcome: Outcome) -> None:
        """Count the values of a record."""
        if not isinstance(outcome, Record):
            return
        self._records += 1
        if outcome.omitted is not None:
            self._refuse(outcome.omitted, self._omissions)
        for name, value in outcome.wire.items():
            known = self._values.get(name)
            if known is None:
                kept = name if len(self._values) < _MOST else _OTHER_FIELDS
                known = self._values.setdefault(kept, _Values())
            known.count += 1
            if self._keeps_examples and len(known.examples) < _EXAMPLES:
                text = str(value)[:_LONGEST_EXAMPLE]
                if text not in known.examples:
                    known.examples.append(text)

    async def gather(self, results: AsyncIterable[Result]) -> None:
        """Collect the reasons of rejected rows from the results of a sync."""
        async for result in results:
            if isinstance(result, Rejected):
                self._refuse(result, self._refusals)

    def _refuse(self, row: FaultyRow, known: dict[tuple[str, str], _Refusals]) -> None:
        for fault in row.faults:
            reason = (fault.field, fault.rule)
            if reason not in known and len(known) >= _MOST:
                reason = (_OTHER_FIELDS, _OTHER_VALUES)
            refusals = known.setdefault(reason, _Refusals())
            refusals.count += 1
            if len(refusals.first_rows) < _ROWS_SHOWN:
                refusals.first_rows.append(row.row)

    def as_json(self) -> dict[str, Json]:
        """Return the counts for a script."""
        return {
            "fields": {
                name: dict(zip(("values", "left_out", "changes", "refused"), counts, strict=True))
                for name, *counts in self._fields()
            },
            "changes": [
                {"field": field, "what": what, "rows": one.count, "first_row": one.first_rows[0]}
                for (field, what), one in self.changes.found.items()
            ],
            "reasons": _listed(self._refusals),
            "sent_without": _listed(self._omissions),
        }

    def show(self) -> None:
        """Write the table of fields and the reasons for a person."""
        table = Table("field", box=None, pad_edge=False)
        for title in ("values", "left out", "changes", "refused"):
            table.add_column(title, justify="right")
        if self._keeps_examples:
            table.add_column("such as", overflow="fold")
        for name, *counts in self._fields():
            examples = self._values[name].examples if name in self._values else []
            shown = [", ".join(examples)] if self._keeps_examples else []
            table.add_row(*map(cell, (name, *(f"{count:,}" for count in counts), *shown)))
        if table.row_count:
            console.print(table)
        for (field, what), change in self.changes.found.items():
            say(f"{field}: {what} ({_where(change)})")
        for known, remark in ((self._refusals, ""), (self._omissions, "; sent without it")):
            for (field, rule), refusals in _most_first(known):
                say(f"{field}: expected {rule} ({_where(refusals)}{remark})")

    def _fields(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Return names, and how many values there are, were left out, changed and refused."""
        refused, omitted = _by_field(self._refusals), _by_field(self._omissions)
        changed = _by_field(self.changes.found)
        for name in dict.fromkeys((*self._values, *refused, *omitted)):
            count = self._values[name].count if name in self._values else 0
            left_out = max(0, self._records - count - omitted[name])
            yield name, count, left_out, changed[name], refused[name] + omitted[name]


def _where(found: _Refusals | Change) -> str:
    rows = ", ".join(f"{row:,}" for row in found.first_rows)
    more = ", …" if found.count > len(found.first_rows) else ""
    return f"row {rows}" if found.count == 1 else f"{found.count:,} rows: {rows}{more}"


def _by_field(known: Mapping[tuple[str, str], _Refusals | Change]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (field, _), refusals in known.items():
        counted[field.removeprefix("custom.")] += refusals.count
    return counted


def _most_first(
    known: Mapping[tuple[str, str], _Refusals],
) -> list[tuple[tuple[str, str], _Refusals]]:
    return sorted(known.items(), key=lambda one: (-one[1].count, one[1].first_rows))


def _listed(known: Mapping[tuple[str, str], _Refusals]) -> list[Json]:
    return [
        {"field": field, "rule": rule, "rows": one.count, "first_row": one.first_rows[0]}
        for (field, rule), one in _most_first(known)
    ]
