"""Each record's result, the report of a sync, and why one may have stopped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import attrs

from personaclick_async.config import Seconds
from personaclick_async.errors import PersonaClickError
from personaclick_async.sync.records import Rejected, Route


@attrs.frozen
class _Settled:
    row: int


class Delivered(_Settled):
    """The service has carried out the update."""


class Queued(_Settled):
    """The service has accepted the record and will apply it in the background."""


class Unchanged(_Settled):
    """Not sent: the same content was delivered last for this person."""


class Checked(_Settled):
    """Fit to be sent; a dry run sends nothing."""


@attrs.frozen
class Failed(_Settled):
    """Not delivered, for no known fault of the record. The next run tries it again."""

    reason: str  # what happened, without personal data


Result: TypeAlias = Delivered | Queued | Unchanged | Checked | Rejected | Failed
"""The result of one record; each has its ``row`` in the source."""


@attrs.frozen
class Waiting:
    """The service can't be reached, or takes no records right now."""

    reason: str  # what it answered, or what broke
    since: datetime  # when that began
    until: datetime  # when the next attempt is due


Tally: TypeAlias = Mapping[str, int]
"""How many rows were settled, by the names of the report's counters."""


@attrs.define(kw_only=True)
class Report:
    """The counts of a sync, up to date while it runs; a progress line can poll it.

    A resumed sync includes its earlier runs. When a sync has come to the end of
    its source, ``sent + unchanged + rejected + failed + checked == read``.
    """

    source: str = ""  # the source's name
    route: Route | None = None  # how the records travel, once that is known
    total: int | None = None  # how many rows the source has, roughly, if it can tell
    read: int = 0  # rows read
    sent: int = 0  # records that the service has accepted
    queued: int = 0  # how many of those are only queued (the bulk route), their result not known
    unchanged: int = 0  # records not sent because the same was delivered before
    rejected: int = 0  # rows that can't be sent, or that the service refused one by one
    incomplete: int = 0  # how many of the records were sent without some of their values
    failed: int = 0  # records on which the service failed, and later ones of the same person
    checked: int = 0  # records that a dry run found fit to be sent
    earlier: int = 0  # how many of the rows read were settled by earlier runs of this sync
    requests: int = 0  # requests sent by this run, repeated ones included
    retries: int = 0  # how many of those were repeated ones
    bytes_sent: int = 0  # the bodies of those requests, in bytes
    waiting: Waiting | None = None  # what the sync waits for, while the service is down
    started_at: datetime | None = None  # when this run began
    ended_at: datetime | None = None  # when it ended, however it ended
    is_complete: bool = False  # whether it came to the end of its source

    @property
    def settled(self) -> int:
        """How many rows have a result."""
        return self.sent + self.unchanged + self.rejected + self.failed + self.checked

    def add(self, tally: Tally) -> None:
        """Count rows that were settled."""
        for name, count in tally.items():
            setattr(self, name, getattr(self, name) + count)

    def add_part(self, part: Report) -> None:
        """Add a part's counts; everything else is the first part's, but for the times."""
        is_complete = part.is_complete and (self.is_complete or not self.source)
        for field in attrs.fields(Report):
            value, before = getattr(part, field.name), getattr(self, field.name)
            if isinstance(value, datetime):
                continue  # others may still be at work
            if not before:
                setattr(self, field.name, value)
            elif type(before) is int and value:
                setattr(self, field.name, before + value)
        self.is_complete = is_complete

    def elapsed(self, now: datetime) -> Seconds:
        """Return the seconds since the start of this run, until its end or ``now``."""
        return ((self.ended_at or now) - (self.started_at or now)).total_seconds()

    def rate(self, now: datetime) -> float:
        """Return the rows settled per second by this run."""
        elapsed = self.elapsed(now)
        return (self.settled - self.earlier) / elapsed if elapsed > 0 else 0.0

    def seconds_left(self, now: datetime) -> Seconds | None:
        """Return the seconds that remain at this rate; None if unknown."""
        rate = self.rate(now)
        if self.total is not None and rate > 0:
            return max(0.0, (self.total - self.settled) / rate)
        return None


class Cause(StrEnum):
    """Why a sync stopped."""

    CREDENTIALS = "credentials"
    """The service does not know the shop, or refuses its secret."""
    UNREACHABLE = "unreachable"
    """The service, or a shared limit, gave no usable answer for as long as ``patience`` says."""
    REFUSED_IN_A_ROW = "refused-in-a-row"
    """The service refused one record after the other."""
    REDIRECTED = "redirected"
    """The service is at another address."""
    LIMIT = "limit"
    """The address of the shared limit's Redis is missing or wrong."""
    RESOURCES = "resources"
    """This machine has too few open files left."""
    FAILED = "failed"
    """Too many records failed, or the service gave an undocumented answer."""


class SyncStopped(PersonaClickError):
    """A sync gave up before the end of its source. Run it again to continue, if it has a journal.

    :ivar report: what was done until then.
    :ivar cause: why, for programs.
    :ivar status: the service's last status, if it answered.
    """

    def __init__(
        self, reason: str, *, report: Report, cause: Cause, status: int | None = None
    ) -> None:
        super().__init__(reason)
        self.report = report
        self.cause = cause
        self.status = status
