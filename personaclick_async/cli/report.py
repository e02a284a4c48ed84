"""What a sync shows: its progress, its account, and the summary of a dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from personaclick_async.cli.outcome import Output, cell, stderr, table
from personaclick_async.codec import Json
from personaclick_async.names import EXTERNAL_ID
from personaclick_async.sync import FaultyRow, Outcome, Record, Rejected, Report, Result
from personaclick_async.sync.mapping import Change, Changes

# Files may have any number of fields and of broken rules: beyond these, they are counted together.
_MAX_COUNTED: Final = 100
_OTHER_FIELDS: Final = "other fields"
_OTHER_VALUES: Final = "other values"
_MAX_EXAMPLES: Final = 3
_MAX_EXAMPLE_CHARACTERS: Final = 40
_MAX_IDS: Final = 100_000

_COUNTS: Final = ("values", "left_out", "changes", "refused")
_REPORTED: Final = (
    *("source", "route", "read", "sent", "queued", "unchanged", "incomplete", "rejected"),
    *("failed", "requests", "retries", "bytes_sent"),
)


class Summary:
    """What the rows hold: ids that are shared, and of a dry run each field's values and faults.

    No value is kept, of an id only its hash, unless ``keeps_examples``.
    """

    def __init__(self, *, is_dry_run: bool, keeps_examples: bool = False) -> None:
        self.is_dry_run = is_dry_run
        self.changes = Changes()
        self._keeps_examples = keeps_examples
        self._ids: set[int] = set()
        self._shared = Changes()
        self._records = 0
        self._values: Counter[str] = Counter()
        self._examples: dict[str, dict[str, None]] = {}  # in their order, each once
        self._refused = Changes()
        self._omitted = Changes()

    def see(self, outcome: Outcome) -> Outcome:
        """Look at a row as it is read, and return it."""
        if self.is_dry_run:
            self.changes.count(outcome.row)
        if not isinstance(outcome, Record):
            return outcome
        own = outcome.wire.get(EXTERNAL_ID)
        if own is not None and hash(own) in self._ids:
            self._shared.add(EXTERNAL_ID, outcome.row, ("shared",))
        elif own is not None and len(self._ids) < _MAX_IDS:
            self._ids.add(hash(own))
        if self.is_dry_run:
            self._count(outcome)
        return outcome

    def _count(self, record: Record) -> None:
        self._records += 1
        if record.omitted is not None:
            _add_faults(self._omitted, record.omitted)
        for name, value in record.wire.items():
            is_known = name in self._values or len(self._values) < _MAX_COUNTED
            field = name if is_known else _OTHER_FIELDS
            self._values[field] += 1
            examples = self._examples.setdefault(field, {})
            if self._keeps_examples and len(examples) < _MAX_EXAMPLES:
                examples[str(value)[:_MAX_EXAMPLE_CHARACTERS]] = None

    async def gather(self, results: AsyncIterable[Result]) -> None:
        """Collect the reasons of rejected rows from the results of a sync."""
        async for result in results:
            if isinstance(result, Rejected):
                _add_faults(self._refused, result)

    def show(self, report: Report, rejects: Path, notices: Sequence[str], output: Output) -> None:
        """Show the account of a sync, and of a dry run this summary."""
        account: dict[str, Json] = {name: getattr(report, name) for name in _REPORTED}
        account["seconds"] = round(report.elapsed(datetime.now(UTC)), 3)
        if self.is_dry_run:
            account |= {"checked": report.checked, **self.as_json()}
        elif report.rejected or report.incomplete:
            account["rejects"] = str(rejects)
        shared = [
            f"{'1 row shares' if shared.count == 1 else f'{shared.count:,} rows share'} "
            f"an {EXTERNAL_ID} with a row before: one person? ({_where(shared)})"
            for shared in self._shared.found.values()
        ]
        account["notices"] = [*notices, *shared]
        account["warnings"] = [record.getMessage() for record in output.log.buffer]
        rows = _checked(report) if self.is_dry_run else _account(report, f"see {rejects}")
        shown = table(rows, Column(style="bold"), Column(justify="right"), Column())
        output.show(account, shown, *(self.as_text() if self.is_dry_run else ()))
        output.note(*shared)

    def as_json(self) -> dict[str, Json]:
        """Return the counts for a script."""
        return {
            "fields": {
                name: dict(zip(_COUNTS, counts, strict=True)) for name, *counts in self._fields()
            },
            "changes": [_listed("what", *one) for one in self.changes.found.items()],
            "reasons": [_listed("rule", *one) for one in _most_first(self._refused)],
            "sent_without": [_listed("rule", *one) for one in _most_first(self._omitted)],
        }

    def as_text(self) -> Iterator[str | Table]:
        """Return the table of fields and the reasons for a person."""
        rows: list[tuple[object, ...]] = list(self._fields())
        titles = (count.replace("_", " ") for count in _COUNTS)
        columns = [Column("field"), *(Column(title, justify="right") for title in titles)]
        if self._keeps_examples:
            columns.append(Column("such as", overflow="fold"))
            rows = [(*row, ", ".join(self._examples.get(str(row[0]), ()))) for row in rows]
        if rows:
            yield table(rows, *columns)
        for (field, what), change in self.changes.found.items():
            yield f"{field}: {what} ({_where(change)})"
        for found, remark in ((self._refused, ""), (self._omitted, "; sent without it")):
            for (field, rule), change in _most_first(found):
                yield f"{field}: expected {rule} ({_where(change)}{remark})"

    def _fields(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Return names, and how many values there are, were left out, changed and refused."""
        refused, omitted, changed = map(_by_field, (self._refused, self._omitted, self.changes))
        for name in dict.fromkeys((*self._values, *refused, *omitted)):
            left_out = max(0, self._records - self._values[name] - omitted[name])
            refusals = refused[name] + omitted[name]
            yield name, self._values[name], left_out, changed[name], refusals


def _add_faults(found: Changes, row: FaultyRow) -> None:
    for fault in row.faults:
        is_known = (fault.field, fault.rule) in found.found or len(found.found) < _MAX_COUNTED
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


def _listed(what: str, key: tuple[str, str], rows: Change) -> Json:
    return {"field": key[0], what: key[1], "rows": rows.count, "first_row": rows.first_rows[0]}


def _checked(report: Report) -> Iterator[tuple[str, int | str, str]]:
    yield "read", report.read, ""
    yield "fit to be sent", report.checked, "nothing was sent"
    yield "sent without a value", report.incomplete, ""
    yield "rejected", report.rejected, ""


def _account(report: Report, see: str) -> Iterator[tuple[str, int | str, str]]:
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


def progress(report: Report, output: Output) -> AbstractContextManager[object]:
    """Show how far a sync is, if somebody is looking at standard error."""

    def line() -> Table:
        now = datetime.now(UTC)
        if report.waiting is not None:
            seconds = max(0.0, (report.waiting.until - now).total_seconds())
            state = f"waiting {seconds:.0f} s: {report.waiting.reason}"
        else:
            left = report.seconds_left(now)
            state = f"{report.rate(now):,.0f}/s" + ("" if left is None else f", {left:,.0f} s left")
        done, total = report.settled, report.total and max(report.total, report.settled)
        bar = ProgressBar(total, done, width=30)
        shown = Table.grid(padding=(0, 1))
        shown.add_row("syncing", bar, f"{done:,}/{f'{total:,}' if total else '?'}", cell(state))
        return shown

    is_watched = stderr.is_terminal and not output.as_json
    return Live(get_renderable=line, console=stderr) if is_watched else nullcontext()
