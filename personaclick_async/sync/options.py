"""How a sync is told to go about its work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import attrs
from attrs.converters import optional

from personaclick_async import names
from personaclick_async.config import Seconds
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.records import Choice, FaultyRow, Route

_SMALLEST_CHUNK: Final = 1024
_MOST_ROWS: Final = 10_000


class SyncRefused(ConfigurationError):
    """A sync can't begin as asked: says why and what to do. Nothing was sent."""


class Unfinished(Choice):
    """What to do about a sync of the same source that the journal says has not ended."""

    RESUME = "resume"
    """Go on where it stopped; refuse if the source or the options that matter have changed."""
    RESTART = "restart"
    """Forget it and send everything again."""


class RejectSink(Protocol):
    """Takes rows that can't be sent, or are sent without some values.

    Called in a thread, never by two at once. After a crash the rows of the chunks that were in
    flight may come a second time, unless it is a ``ResumableSink``.
    """

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        """Take rows, each a ``Rejected`` or an ``Omitted``, in the order in which they came."""

    def flush(self) -> None:
        """Make what was taken durable: the journal counts it as done after this returns."""


@runtime_checkable
class ResumableSink(RejectSink, Protocol):
    """A sink that keeps each row once, also if a sync is killed and resumed."""

    @property
    def position(self) -> int:
        """How much it holds; the journal remembers it with the rows."""

    def resume(self, position: int, /) -> None:
        """Expect rows again that came after a position, and keep each of them once."""


class Limit(Protocol):
    """Says when a request may be sent, to several syncs in several processes."""

    async def wait_needed(self) -> Seconds:
        """Take a place and give 0, or give the seconds after which to ask again.

        :raises PersonaClickError: it is not known; the sync waits and asks again.
        """


def _seconds(value: float | timedelta) -> Seconds:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


@attrs.frozen(kw_only=True)
class SyncOptions:
    """What a sync is told. The defaults suit a nightly job.

    :ivar route: how records travel.
    :ivar concurrency: requests in flight at once on the per-profile route. The bulk route has one:
        the service applies chunks in the order in which they come, and one at a time keeps the
        records of one person in order; it fills the documented quota all the same.
    :ivar max_chunk_bytes: the largest body on the bulk route, envelope included, after encoding;
        the documented 32 MiB unless set.
    :ivar chunk_rows: how many rows share a line in the journal on the per-profile route.
    :ivar journal: the SQLite file that remembers what was delivered, made if it is not there;
        None remembers nothing, so that a sync that is interrupted begins anew.
    :ivar unfinished: what to do about an earlier sync of this source that has not ended.
    :ivar skip_unchanged: do not send a record whose content is what was delivered last for this
        person, by this journal; needs a journal.
    :ivar rejects: where rows go that can't be sent; None drops them after they were reported.
    :ivar patience: for how many seconds without any usable answer of the service the sync waits
        and tries again before it stops; None waits for ever, 0 not at all.
    :ivar max_refused_in_a_row: after so many records in a row that the service refused or failed
        on, with none accepted in between, the sync stops: it is not the records.
    :ivar limit: asked before each request, beside the limits of the client: what several
        processes share, such as ``personaclick_async.integrations.shared_limit.SharedLimit``.
    :ivar segment_id: the service's segment to import into, on the bulk route.
    :ivar dry_run: read and check everything, send nothing, touch neither journal nor rejects.
    """

    route: Route = attrs.field(default=Route.AUTO, converter=Route)
    concurrency: int = 32
    max_chunk_bytes: int = names.IMPORT_MAX_BODY_BYTES
    chunk_rows: int = 500
    journal: Path | None = attrs.field(default=None, converter=optional(Path))
    unfinished: Unfinished = attrs.field(default=Unfinished.RESUME, converter=Unfinished)
    skip_unchanged: bool = False
    rejects: RejectSink | None = attrs.field(default=None, repr=False)
    patience: Seconds | None = attrs.field(default=3600.0, converter=optional(_seconds))
    max_refused_in_a_row: int = 50
    limit: Limit | None = attrs.field(default=None, repr=False)
    segment_id: int | None = None
    dry_run: bool = False

    def __attrs_post_init__(self) -> None:
        _between("concurrency", self.concurrency, 1, 1000)
        _between(
            "max_chunk_bytes", self.max_chunk_bytes, _SMALLEST_CHUNK, names.IMPORT_MAX_BODY_BYTES
        )
        _between("chunk_rows", self.chunk_rows, 1, _MOST_ROWS)
        _between("max_refused_in_a_row", self.max_refused_in_a_row, 1, None)
        # Written so that NaN fails too.
        if self.patience is not None and not self.patience >= 0:
            raise ConfigurationError(f"patience: expected 0 or more, got {self.patience}")
        if self.segment_id is not None:
            _between("segment_id", self.segment_id, 0, None)
            if self.route is Route.PER_PROFILE:
                raise ConfigurationError("segment_id: only the bulk route knows segments")
        if self.skip_unchanged and self.journal is None:
            raise ConfigurationError("skip_unchanged: needs a journal, to know what was delivered")


def _between(name: str, value: object, low: int, high: int | None) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= low
    if not fits or (high is not None and isinstance(value, int) and value > high):
        upto = "or more" if high is None else f"to {high}"
        raise ConfigurationError(f"{name}: expected an int, {low} {upto}")
