"""The options of a sync, and what users can plug into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs
from attrs.converters import optional
from attrs.validators import optional as or_none

from personaclick_async.config import Seconds, number, to_seconds
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import IMPORT_MAX_BODY_BYTES as _MOST_BYTES
from personaclick_async.sync.records import Choice, FaultyRow, Route

_HOUR: Final[Seconds | None] = 3600.0


class SyncRefused(ConfigurationError):
    """A sync can't begin as asked: says why and what to do. Nothing was sent."""


class Unfinished(Choice):
    """What to do about an earlier sync of the same source that the journal has as unfinished."""

    RESUME = "resume"
    """Go on where it stopped; refuse if the source or the options that matter have changed."""
    RESTART = "restart"
    """Forget it and send everything again."""


class RejectSink(Protocol):
    """Takes rows that can't be sent, or are sent without some values; called by one thread.

    After a crash the rows of chunks in flight may come a second time, unless it is a
    :class:`~personaclick_async.sync.rejects.RejectFile`.
    """

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        """Take rows, each a ``Rejected`` or an ``Omitted``, in the order in which they came."""

    def flush(self) -> None:
        """Make the rows durable; the journal marks them as settled after this returns."""


class Limit(Protocol):
    """Says when a request may be sent, for syncs in several processes."""

    async def wait_needed(self) -> Seconds:
        """Take a place and return 0, or return the seconds after which to ask again.

        :raises PersonaClickError: it can't be told; the sync waits and asks again.
        """


def _count(default: int, at_least: int = 1, at_most: float = math.inf) -> int:
    check = number(at_least=at_least, at_most=at_most, whole=True)
    return attrs.field(default=default, validator=check)


@attrs.frozen(kw_only=True)
class SyncOptions:
    """The options of a sync. The defaults suit a nightly job.

    :ivar route: how records travel.
    :ivar concurrency: requests in flight at once on the per-profile route. The bulk route has one,
        which keeps the records of one person in order and fills the documented quota all the same.
    :ivar max_chunk_bytes: the largest body on the bulk route, envelope included, after encoding;
        the documented 32 MiB unless set.
    :ivar chunk_rows: how many rows share a line in the journal on the per-profile route.
    :ivar journal: the SQLite file that remembers what was delivered, created if missing; with
        None an interrupted sync starts over.
    :ivar unfinished: what to do about an earlier sync of this source that is unfinished.
    :ivar skip_unchanged: do not send a record with the same content as the last one delivered
        for this person; needs a journal.
    :ivar rejects: where to keep rows that can't be sent; with None they are only reported.
    :ivar patience: for how many seconds without a usable answer of the service the sync retries
        before it stops; None retries for ever, 0 not at all.
    :ivar max_refused_in_a_row: the sync stops after this many records in a row that the service
        refused or failed on: the fault is unlikely to be the records'.
    :ivar limit: one that several processes share, such as ``SharedLimit``: asked before each
        request, in addition to the client's limits.
    :ivar segment_id: the service's segment to import into, on the bulk route.
    :ivar dry_run: read and check everything, send nothing, touch neither journal nor rejects.
    """

    route: Route = attrs.field(default=Route.AUTO, converter=Route)
    concurrency: int = _count(32, at_most=1000)
    max_chunk_bytes: int = _count(_MOST_BYTES, at_least=1024, at_most=_MOST_BYTES)
    chunk_rows: int = _count(500, at_most=10_000)
    journal: Path | None = attrs.field(default=None, converter=optional(Path))
    unfinished: Unfinished = attrs.field(default=Unfinished.RESUME, converter=Unfinished)
    skip_unchanged: bool = False
    rejects: RejectSink | None = attrs.field(default=None, repr=False)
    patience: Seconds | None = attrs.field(
        default=_HOUR, converter=optional(to_seconds), validator=or_none(number(at_least=0))
    )
    max_refused_in_a_row: int = _count(50)
    limit: Limit | None = attrs.field(default=None, repr=False)
    segment_id: int | None = attrs.field(
        default=None, validator=or_none(number(at_least=0, whole=True))
    )
    dry_run: bool = False

    def __attrs_post_init__(self) -> None:
        if self.segment_id is not None and self.route is Route.PER_PROFILE:
            raise ConfigurationError("segment_id: only the bulk route knows segments")
        if self.skip_unchanged and self.journal is None:
            raise ConfigurationError("skip_unchanged: needs a journal, to know what was delivered")
