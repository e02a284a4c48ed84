"""The account of a sync, for people and for scripts, and why rows would be rejected."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
from rich.table import Table

from personaclick_async.cli.outcome import cell, console, print_json, say
from personaclick_async.codec import Json
from personaclick_async.sync import Rejected, Report, Result

_MOST: Final = 100
_OTHERS: Final = ("other fields", "other values")


@attrs.define
class _Rows:
    first: int
    count: int = 0


class Reasons:
    """The rules that were broken, the most broken first. No value is kept, only its row.

    Rows may have any fields, so a file can break any number of rules: what the first hundred do
    not cover is counted together.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Rows] = {}

    async def gather(self, results: AsyncIterable[Result]) -> None:
        """Collect the reasons from the results of a sync."""
        async for result in results:
            if isinstance(result, Rejected):
                reason = (result.field, result.rule)
                if reason not in self._rows and len(self._rows) >= _MOST:
                    reason = _OTHERS
                rows = self._rows.setdefault(reason, _Rows(result.row))
                rows.count += 1

    def as_json(self) -> list[Json]:
        """Return them for a script."""
        return [
            {"field": field, "rule": rule, "rows": rows.count, "first_row": rows.first}
            for (field, rule), rows in self._sorted()
        ]

    def as_text(self) -> Iterator[str]:
        """Return a line for each."""
        for (field, rule), rows in self._sorted():
            times = (
                f"once, in row {rows.first:,}"
                if rows.count == 1
                else f"{rows.count:,} times, first in row {rows.first:,}"
            )
            yield f"{times}: {field}: expected {rule}"

    def _sorted(self) -> list[tuple[tuple[str, str], _Rows]]:
        return sorted(self._rows.items(), key=lambda one: (-one[1].count, one[1].first))


def show(
    report: Report,
    rejects: Path,
    reasons: Reasons | None,
    notices: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Show the account; a dry run has reasons."""
    if as_json:
        print_json({**_as_json(report, rejects, reasons), "notices": list(notices)})
        return
    now = datetime.now(UTC)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()

    def row(title: str, number: str | int, remark: str = "") -> None:
        shown = number if isinstance(number, str) else f"{number:,}"
        table.add_row(title, shown, cell(remark))

    if reasons is not None:
        row("read", report.read)
        row("fit to be sent", report.checked, "nothing was sent")
        row("rejected", report.rejected)
    else:
        row("read", report.read, f"from {report.source}")
        how = "queued by the service, to be applied in the background" if report.queued else ""
        row("sent", report.sent, how)
        row("unchanged", report.unchanged)
        row("rejected", report.rejected, f"see {rejects}" if report.rejected else "")
        row("failed", report.failed, "the next run tries these again" if report.failed else "")
        row("requests", report.requests, f"{report.retries:,} sent again")
        row("time", f"{report.elapsed(now):,.1f} s", f"{report.rate(now):,.0f} rows/s")
    console.print(table)
    for line in reasons.as_text() if reasons is not None else ():
        say(line)


def _as_json(report: Report, rejects: Path, reasons: Reasons | None) -> dict[str, Json]:
    account: dict[str, Json] = {
        "source": report.source,
        "route": report.route,
        "read": report.read,
        "sent": report.sent,
        "queued": report.queued,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "failed": report.failed,
        "requests": report.requests,
        "retries": report.retries,
        "bytes_sent": report.bytes_sent,
        "seconds": round(report.elapsed(datetime.now(UTC)), 3),
    }
    if reasons is not None:
        account["checked"] = report.checked
        account["reasons"] = reasons.as_json()
    elif report.rejected:
        account["rejects"] = str(rejects)
    return account
