"""Batch syncs: records from files, queries and iterables to the platform, nothing lost."""

from personaclick_async.sync.engine import Sync
from personaclick_async.sync.journal import JournalFailed
from personaclick_async.sync.options import Limit, RejectSink, SyncOptions, SyncRefused, Unfinished
from personaclick_async.sync.reading import Records
from personaclick_async.sync.records import (
    Fault,
    FaultyRow,
    Omitted,
    Outcome,
    Record,
    Refused,
    Rejected,
    Route,
    Source,
)
from personaclick_async.sync.report import (
    Cause,
    Checked,
    Delivered,
    Failed,
    Queued,
    Report,
    Result,
    SyncStopped,
    Unchanged,
    Waiting,
)

__all__ = [
    "Cause",
    "Checked",
    "Delivered",
    "Failed",
    "Fault",
    "FaultyRow",
    "JournalFailed",
    "Limit",
    "Omitted",
    "Outcome",
    "Queued",
    "Record",
    "Records",
    "Refused",
    "RejectSink",
    "Rejected",
    "Report",
    "Result",
    "Route",
    "Source",
    "Sync",
    "SyncOptions",
    "SyncRefused",
    "SyncStopped",
    "Unchanged",
    "Unfinished",
    "Waiting",
]
