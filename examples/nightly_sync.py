"""A nightly job: the shop's customers, from a CSV file to the platform.

Run it with ``python -m examples.nightly_sync customers.csv --map mapping.toml``, from cron or a
systemd timer. Reads ``PERSONACLICK_SHOP_ID``, ``PERSONACLICK_SHOP_SECRET`` and, for an emulator,
``PERSONACLICK_API_URL``. Exits with 0 if every row arrived, 1 if some could not be sent, and 2 if
the sync stopped, such as when the service was down: run it again to continue.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import closing
from pathlib import Path

from personaclick_async import PersonaClick
from personaclick_async.sync import Report, SyncOptions, SyncStopped, Unfinished
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.sources import open_source


async def sync_customers(
    customers: Path, *, mapping: Path | None, journal: Path, patience: float = 3600.0
) -> Report:
    """Send what changed since the last night; rows that can't be sent go beside the file.

    The journal remembers what was delivered for each customer, so a run over a new export sends
    only the difference, also after a run that was killed.

    :param patience: for how many seconds to wait for a service that is down.
    :raises SyncStopped: the service was down for longer; the report is on the error.
    """
    known = None if mapping is None else FieldMapping.load(mapping)
    source = open_source(customers, known)
    rejected = customers.with_name(f"{customers.stem}-rejected.csv")
    rejected.unlink(missing_ok=True)  # the rows of an earlier night
    with closing(RejectFile(rejected, source.columns)) as rejects:
        options = SyncOptions(
            journal=journal,
            # Each night's file is another one, so there is nothing to resume.
            unfinished=Unfinished.RESTART,
            skip_unchanged=True,
            rejects=rejects,
            patience=patience,
        )
        async with PersonaClick() as client:
            return await client.sync_all(source, options=options)


def summary(report: Report) -> dict[str, int]:
    """Return the counts of a report; they hold nothing personal."""
    return {
        "read": report.read,
        "sent": report.sent,
        "incomplete": report.incomplete,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "failed": report.failed,
    }


def main() -> int:
    """Sync the file that the command line names."""
    parser = argparse.ArgumentParser(description="Send the customers of a CSV file.")
    parser.add_argument("customers", type=Path)
    parser.add_argument("--map", type=Path, help="a mapping (TOML); by name if not given")
    parser.add_argument("--journal", type=Path, default=Path("nightly-sync.db"))
    parser.add_argument("--patience", type=float, default=3600.0, metavar="SECONDS")
    given = parser.parse_args()
    try:
        report = asyncio.run(
            sync_customers(
                given.customers, mapping=given.map, journal=given.journal, patience=given.patience
            )
        )
    except SyncStopped as stopped:
        print(f"stopped: {stopped}", summary(stopped.report), file=sys.stderr)
        return 2
    print(summary(report))
    return 1 if report.rejected or report.incomplete or report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
