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

__all__ = ["JournalFailed", "Records", "Source", "Sync", "SyncRefused", "SyncStopped"]
# Its options, and what users plug in.
__all__ += ["Limit", "RejectSink", "Route", "SyncOptions", "Unfinished"]
# What is read, and what is reported.
__all__ += ["Fault", "FaultyRow", "Omitted", "Outcome", "Record", "Refused", "Rejected"]
__all__ += ["Cause", "Checked", "Delivered", "Failed", "Queued", "Report", "Result", "Unchanged"]
__all__ += ["Waiting"]
