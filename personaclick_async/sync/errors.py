"""What can end a sync before its source does. As everywhere, no text here holds personal data."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from personaclick_async.errors import ConfigurationError, PersonaClickError

if TYPE_CHECKING:
    from personaclick_async.sync.report import Report


class Cause(StrEnum):
    """Why a sync stopped."""

    CREDENTIALS = "credentials"
    """The service does not know the shop, or refuses its secret."""
    UNREACHABLE = "unreachable"
    """The service gave no usable answer for as long as ``patience`` says."""
    REFUSED_IN_A_ROW = "refused-in-a-row"
    """The service refused one record after the other."""
    REDIRECTED = "redirected"
    """The service is at another address."""
    LIMIT = "limit"
    """The limit that several processes share can't be asked."""
    RESOURCES = "resources"
    """This machine has too few open files left."""
    FAILED = "failed"
    """The service failed on too many records, or gave an answer that is not documented."""


class SyncRefused(ConfigurationError):
    """A sync can't begin as asked: says why and what to do. Nothing was sent."""


class JournalLocked(SyncRefused):
    """Another process has the journal open."""


class JournalFailed(PersonaClickError):
    """The journal can't be written or read: a full disk, a broken file.

    What was not written counts as not delivered and is sent again by the next run.
    """


class JournalDamaged(JournalFailed, SyncRefused):
    """The journal's file is damaged, or is none: nothing was sent."""


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
