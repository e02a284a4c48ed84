"""What a sync shows: its progress, its account, and of a dry run what the rows hold and lack."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from personaclick_async.cli.outcome import cell, console, print_json, say, stderr, table_of
from personaclick_async.codec import Json, printable
from personaclick_async.names import EXTERNAL_ID
from personaclick_async.sync import FaultyRow, Outcome, Record, Rejected, Report, Result
from personaclick_async.sync.mapping import Change, Changes

_TICK_SECONDS: Final = 0.2

# Rows may have any fields, and a file can break any number of rules: the rest is counted together.
_MOST: Final = 100
_OTHER_FIELDS: Final = "other fields"
_OTHER_VALUES: Final = "other values"
_EXAMPLES: Final = 3
_LONGEST_EXAMPLE: Final = 40
_MOST_REMEMBERED: Final = 100_000

_COUNTS: Final = ("values", "left out", "changes", "refused")
_TOLD: Final = (
    *("source", "route", "read", "sent", "queued", "unchanged", "incomplete", "rejected"),
    *("failed", "requests", "retries", "bytes_sent"),
)


class SharedIds:
    """Counts rows that have the user id of a row before, of the first hundred thousand ids."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._shared = Changes()

    def see(self, outcome: Outcome) -> None:
        """Look at a row's user id; only its hash is kept."""
        own = outcome.wire.get(EXTERNAL_ID) if isinstance(outcome, Record) else None
        if own is not None and hash(own) in self._seen:
            self._shared.add(EXTERNAL_ID, outcome.row, ("shared",))
        elif own is not None and len(self._seen) < _MOST_REMEMBERED:
            self._seen.add(hash(own))

    @property
    def notices(self) -> tuple[str, ...]:
        """What should make one look at the mapping again."""
        return tuple(
            f"{'1 row shares' if shared.count == 1 else f'{shared.count:,} rows share'} "
            f"an {EXTERNAL_ID} with a row before: one person? ({_where(shared)})"
            for shared in self._shared.found.values()
        )


class Summary:
    """What a dry run found: for each field how many values there are, and why rows are refused.

    :ivar changes: what the mapping changed, if it is told to count.

    :param keeps_examples: whether to keep the first values of each field, to be shown to the
        person at the terminal; else no value is kept.
    """

    def __init__(self, *, keeps_examples: bool) -> None:
        self.changes = Changes()
        self._keeps_examples = keeps_examples
        self._records = 0
        self._values: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._refused = Changes()
        self._omitted = Changes()

    def see(self, outcome: Outcome) -> None:
        """Count the values of a record."""
        if not isinstance(outcome, Record):
            return
        self._records += 1
        if outcome.omitted is not None:
            _add_faults(self._omitted, outcome.omitted)
        for name, value in outcome.wire.items():
            is_known = name in self._values or len(self._values) < _MOST
            field = name if is_known else _OTHER_FIELDS
            self._values[field] += 1
            examples = self._examples.setdefault(field, [])
            if self._keeps_examples and len(examples) < _EXAMPLES:
                text = str(value)[:_LONGEST_EXAMPLE]
                if text not in examples:
                    examples.append(text)

    async def gather(self, results: AsyncIterable[Result]) -> None:
        """Collect the reasons of rejected rows from the results of a sync."""
        async for result in results:
            if isinstance(result, Rejected):
                _add_faults(self._refused, result)

    def as_json(self) -> dict[str, Json]:
        """Return the counts for a script."""
        names = [title.replace(" ", "_") for title in _COUNTS]
        return {
            "fields": {
                name: dict(zip(names, counts, strict=True)) for name, *counts in self._fields()
            },
            "changes": _listed(self.changes.found.items(), "what"),
            "reasons": _listed(_most_first(self._refused), "rule"),
            "sent_without": _listed(_most_first(self._omitted), "rule"),
        }

    def show(self) -> None:
        """Write the table of fields and the reasons for a person."""
        table = table_of("field")
        for title in _COUNTS:
            table.add_column(title, justify="right")
        if self._keeps_examples:
            table.add_column("such as", overflow="fold")
        for name, *counts in self._fields():
            examples = [", ".join(self._examples.get(name, ()))] if self._keeps_examples else []
            table.add_row(*map(cell, (name, *(f"{count:,}" for count in counts), *examples)))
        if table.row_count:
            console.print(table)
        for (field, what), change in self.changes.found.items():
            say(f"{field}: {what} ({_where(change)})")
        for found, remark in ((self._refused, ""), (self._omitted, "; sent without it")):
            for (field, rule), rows in _most_first(found):
                say(f"{field}: expected {rule} ({_where(rows)}{remark})")

    def _fields(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Return names, and how many values there are, were left out, changed and refused."""
        refused, omitted, changed = map(_by_field, (self._refused, self._omitted, self.changes))
        for name in dict.fromkeys((*self._values, *refused, *omitted)):
            left_out = max(0, self._records - self._values[name] - omitted[name])
            refusals = refused[name] + omitted[name]
            yield name, self._values[name], left_out, changed[name], refusals


def _add_faults(found: Changes, row: FaultyRow) -> None:
    for fault in row.faults:
        is_known = (fault.field, fault.rule) in found.found or len(found.found) < _MOST
        field, rule = (fault.field, fault.rule) if is_known else (_OTHER_FIELDS, _OTHER_VALUES)
        found.add(field, row.row, (rule,))


def _where(found: Change) -> str:
    rows = ", ".join(f"{row:,}" for row in found.first_rows)
    more = ", …" if found.count > len(found.first_rows) else ""
    return f"row {rows}" if found.count == 1 else f"{found.count:,} rows: {rows}{more}"


def _by_field(found: Changes) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (field, _), rows in found.found.items():
        counted[field.removeprefix("custom.")] += rows.count
    return counted


def _most_first(found: Changes) -> list[tuple[tuple[str, str], Change]]:
    return sorted(found.found.items(), key=lambda one: (-one[1].count, one[1].first_rows))


def _listed(found: Iterable[tuple[tuple[str, str], Change]], what: str) -> list[Json]:
    return [
        {"field": field, what: text, "rows": rows.count, "first_row": rows.first_rows[0]}
        for (field, text), rows in found
    ]


def show(
    report: Report,
    rejects: Path,
    summary: Summary | None,
    notices: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Show the account of a sync; a dry run has a summary."""
    if as_json:
        account: dict[str, Json] = {name: getattr(report, name) for name in _TOLD}
        account["seconds"] = round(report.elapsed(datetime.now(UTC)), 3)
        if summary is not None:
            account |= {"checked": report.checked, **summary.as_json()}
        elif report.rejected or report.incomplete:
            account["rejects"] = str(rejects)
        print_json({**account, "notices": list(notices)})
        return
    table = table_of()
    table.add_column(justify="right")
    table.add_column()
    for title, number, remark in _account(report, f"see {rejects}", is_dry=summary is not None):
        shown = number if isinstance(number, str) else f"{number:,}"
        table.add_row(title, shown, cell(remark))
    console.print(table)
    if summary is not None:
        summary.show()


def _account(report: Report, see: str, *, is_dry: bool) -> Iterator[tuple[str, int | str, str]]:
    if is_dry:
        yield "read", report.read, ""
        yield "fit to be sent", report.checked, "nothing was sent"
        yield "sent without a value", report.incomplete, ""
        yield "rejected", report.rejected, ""
        return
    now = datetime.now(UTC)
    queued = "queued by the service, to be applied in the background" if report.queued else ""
    yield "read", report.read, f"from {report.source}"
    yield "sent", report.sent, queued
    yield "unchanged", report.unchanged, ""
    if report.incomplete:
        yield "sent without a value", report.incomplete, see
    yield "rejected", report.rejected, see if report.rejected else ""
    yield "failed", report.failed, "the next run tries these again" if report.failed else ""
    yield "requests", report.requests, f"{report.retries:,} sent again"
    yield "time", f"{report.elapsed(now):,.1f} s", f"{report.rate(now):,.0f} rows/s"


@asynccontextmanager
async def progress(report: Report, *, shown: bool) -> AsyncIterator[None]:
    """Show how far a sync is, if somebody is looking at standard error."""
    if not (shown and stderr.is_terminal):
        yield
        return
    columns = (
        TextColumn("syncing"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    )
    with Progress(*columns, console=stderr) as bar:
        line = bar.add_task("", total=None, state="")

        def update() -> None:
            total = None if report.total is None else max(report.total, report.settled)
            bar.update(line, completed=report.settled, total=total, state=_state(report))

        async def tick() -> None:
            while True:
                update()
                await asyncio.sleep(_TICK_SECONDS)

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            update()


def _state(report: Report) -> str:
    now = datetime.now(UTC)
    if report.waiting is not None:
        seconds = max(0.0, (report.waiting.until - now).total_seconds())
        return printable(f"waiting {seconds:.0f} s: {report.waiting.reason}")
    left = report.seconds_left(now)
    return f"{report.rate(now):,.0f}/s" + ("" if left is None else f", {left:,.0f} s left")
