"""The account of a sync, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from personaclick_async.cli.outcome import cell, console, print_json
from personaclick_async.cli.summary import Summary
from personaclick_async.codec import Json
from personaclick_async.sync import Report


def show(
    report: Report,
    rejects: Path,
    summary: Summary | None,
    notices: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Show the account; a dry run has a summary."""
    if as_json:
        print_json({**_as_json(report, rejects, summary), "notices": list(notices)})
        return
    now = datetime.now(UTC)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()

    def row(title: str, number: str | int, remark: str = "") -> None:
        shown = number if isinstance(number, str) else f"{number:,}"
        table.add_row(title, shown, cell(remark))

    if summary is not None:
        row("read", report.read)
        row("fit to be sent", report.checked, "nothing was sent")
        row("sent without a value", report.incomplete)
        row("rejected", report.rejected)
    else:
        row("read", report.read, f"from {report.source}")
        how = "queued by the service, to be applied in the background" if report.queued else ""
        row("sent", report.sent, how)
        row("unchanged", report.unchanged)
        if report.incomplete:
            row("sent without a value", report.incomplete, f"see {rejects}")
        row("rejected", report.rejected, f"see {rejects}" if report.rejected else "")
        row("failed", report.failed, "the next run tries these again" if report.failed else "")
        row("requests", report.requests, f"{report.retries:,} sent again")
        row("time", f"{report.elapsed(now):,.1f} s", f"{report.rate(now):,.0f} rows/s")
    console.print(table)
    if summary is not None:
        summary.show()


def _as_json(report: Report, rejects: Path, summary: Summary | None) -> dict[str, Json]:
    account: dict[str, Json] = {
        "source": report.source,
        "route": report.route,
        "read": report.read,
        "sent": report.sent,
        "queued": report.queued,
        "unchanged": report.unchanged,
        "incomplete": report.incomplete,
        "rejected": report.rejected,
        "failed": report.failed,
        "requests": report.requests,
        "retries": report.retries,
        "bytes_sent": report.bytes_sent,
        "seconds": round(report.elapsed(datetime.now(UTC)), 3),
    }
    if summary is not None:
        account["checked"] = report.checked
        account |= summary.as_json()
    elif report.rejected or report.incomplete:
        account["rejects"] = str(rejects)
    return account
