"""What can end a sync before its source does. As everywhere, no text here holds personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personaclick_async.errors import ConfigurationError, PersonaClickError

if TYPE_CHECKING:
    from personaclick_async.sync.report import Report


class SyncRefused(ConfigurationError):
    """A sync can't begin as asked: says what stands against it and what to do. Nothing was sent."""


class JournalLocked(SyncRefused):
    """Another process has the journal open."""


class JournalFailed(PersonaClickError):
    """The journal can't be written or read: a full disk, a broken file.

    What was not written counts as not delivered and is sent again by the next run.
    """


class SyncStopped(PersonaClickError):
    """A sync gave up before the end of its source. Run it again to go on, if it has a journal.

    :ivar report: what was done until then.
    :ivar status: the service's last status, if it answered.
    """

    def __init__(self, reason: str, *, report: Report, status: int | None = None) -> None:
        super().__init__(reason)
        self.report = report
        self.status = status
