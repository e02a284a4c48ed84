"""The progress line of a sync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from personaclick_async.cli.outcome import stderr
from personaclick_async.codec import printable
from personaclick_async.sync import Report

_TICK_SECONDS: Final = 0.2


@asynccontextmanager
async def progress(report: Report, *, shown: bool) -> AsyncIterator[None]:
    """Show how far a sync is, if somebody is looking at standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}", markup=False),
    )
    if not (shown and stderr.is_terminal):
        yield
        return
    with Progress(*columns, console=stderr) as bar:
        line = bar.add_task("syncing", total=None, state="")
        ticking = asyncio.create_task(_tick(report, bar, line))
        try:
            yield
        finally:
            ticking.cancel()
            _update(report, bar, line)


async def _tick(report: Report, bar: Progress, line: TaskID) -> None:
    while True:
        _update(report, bar, line)
        await asyncio.sleep(_TICK_SECONDS)


def _update(report: Report, bar: Progress, line: TaskID) -> None:
    now = datetime.now(UTC)
    if report.waiting is not None:
        seconds = max(0.0, (report.waiting.until - now).total_seconds())
        state = f"waiting {seconds:.0f} s: {report.waiting.reason}"
    else:
        left = report.seconds_left(now)
        state = f"{report.rate(now):,.0f}/s" + ("" if left is None else f", {left:,.0f} s left")
    total = None if report.total is None else max(report.total, report.settled)
    bar.update(line, completed=report.settled, total=total, state=printable(state))
