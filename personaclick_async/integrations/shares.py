"""A share of a data set that one worker delivers by itself, and how its caller hears of it.

A share is an ordinary sync, with a journal of its own beside its records in the spool: a worker
that takes it over from a lost one goes on where that one was. Its account and its rejected rows
lie there too, for the caller to gather.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import attrs

from personaclick_async import codec
from personaclick_async.client import PersonaClick
from personaclick_async.config import Config, Seconds
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.engine import Sync
from personaclick_async.sync.errors import SyncRefused, SyncStopped
from personaclick_async.sync.exchange import read_share, share_file
from personaclick_async.sync.journal import Journal
from personaclick_async.sync.options import Limit, Route, SyncOptions
from personaclick_async.sync.ready_chunk import plain, rejected_of
from personaclick_async.sync.records import FaultyRow, Outcome, Rejected
from personaclick_async.sync.rejects import as_text
from personaclick_async.sync.report import Report
from personaclick_async.sync.spool import Spool, failed, read_whole, write_whole

_TICK: Final[Seconds] = 0.5
_OTHER_ENDS: Final[Seconds] = 15.0
_RUN: Final = "run"
_COUNTS: Final = (
    *("read", "sent", "queued", "unchanged", "rejected", "failed", "checked", "earlier"),
    *("requests", "retries", "bytes_sent"),
)


@attrs.frozen(kw_only=True)
class Share:
    """Some people of a data set, with all their records.

    :ivar run: the run that it is delivered for; when another one begins, this one's workers stop.
    :ivar number: which share, from 0.
    :ivar parts: the parts of the spool, each with the number of rows before it.
    :ivar fingerprint: the data set's.
    """

    run: str
    name: str
    number: int
    of: int
    parts: tuple[tuple[str, int], ...]
    fingerprint: str


class ShareSource:
    """The records of a share as a source."""

    def __init__(self, share: Share, spool: Spool) -> None:
        self._share = share
        self._spool = spool

    @property
    def name(self) -> str:
        """The data set's name, and which share of it this is."""
        return f"{self._share.name}, share {self._share.number + 1} of {self._share.of}"

    @property
    def fingerprint(self) -> str:
        """A hash of the data set's fingerprint and of the share."""
        whole = f"{self._share.fingerprint} {self._share.number} {self._share.of}"
        return sha256(whole.encode()).hexdigest()

    @property
    def size_hint(self) -> None:
        """Give None: nobody has counted them."""

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the records after ``after_row``, numbered through all partitions.

        :raises SpoolFailed: they can't be read.
        """
        for part, before in self._share.parts:
            path = share_file(self._spool.path / part, self._share.number)
            for outcome in read_share(path, before=before):
                if outcome.row > after_row:
                    yield outcome


@runtime_checkable
class Closable(Protocol):
    """A limit that has a connection."""

    async def close(self) -> None:
        """Close it."""


@attrs.frozen(kw_only=True)
class Orders:
    """How a worker is to deliver shares: what the caller's client and options say.

    The shop's secret is not here. Workers have it from their own environment, so that it passes
    through no scheduler and no log.
    """

    config: Config
    route: Route
    concurrency: int
    max_chunk_bytes: int
    chunk_rows: int
    patience: Seconds | None
    max_refused_in_a_row: int
    segment_id: int | None
    limit: Limit | None = attrs.field(repr=False)

    @classmethod
    def of(cls, config: Config, options: SyncOptions) -> Orders:
        """Take over what holds for workers too."""
        same = {
            at.name: getattr(options, at.name)
            for at in attrs.fields(cls)
            if at.name not in ("config", "route")
        }
        route = Route.PER_PROFILE if options.route is Route.AUTO else options.route
        return cls(config=attrs.evolve(config, shop_secret=None), route=route, **same)

    def client(self) -> PersonaClick:
        """Make a worker's client.

        :raises ConfigurationError: the secret is not in the environment.
        """
        same = {at.name: getattr(self.config, at.name) for at in attrs.fields(Config)}
        del same["shop_secret"]
        client = PersonaClick(**same)
        if client.config.shop_secret is None:
            raise ConfigurationError(
                "shop_secret: workers that send need PERSONACLICK_SHOP_SECRET in their environment"
            )
        return client

    def options(self, journal: Path, rejects: _ShareRejects) -> SyncOptions:
        """Give a worker's options."""
        same = {
            at.name: getattr(self, at.name) for at in attrs.fields(Orders) if at.name != "config"
        }
        return SyncOptions(journal=journal, rejects=rejects, **same)


@attrs.frozen(kw_only=True)
class ShareReport:
    """What became of a share.

    :ivar stopped: why it is not done to its end; None if it is.
    """

    counts: dict[str, int]
    stopped: str | None = None
    status: int | None = None


def deliver_share(share: Share, spool: Spool, orders: Orders) -> ShareReport:
    """Deliver a share, or go on with it.

    A worker of an earlier run that is still at it is given some seconds to notice and stop.

    :raises SyncRefused: another worker is at it.
    :raises PersonaClickError: see :meth:`.Sync.run`.
    """
    done = read_whole(_done_path(spool, share.number))
    if done is not None:
        return ShareReport(counts=json.loads(done))
    return asyncio.run(_deliver(share, spool, orders))


async def _deliver(share: Share, spool: Spool, orders: Orders) -> ShareReport:
    journal = spool.path / f"share-{share.number:05}.journal"
    await _free(journal)
    rejects = _ShareRejects(_rejects_path(spool, share.number))
    try:
        async with orders.client() as client:
            sync = client.sync(ShareSource(share, spool), options=orders.options(journal, rejects))
            reason, status = await _run(sync, spool, share)
    finally:
        rejects.close()
        if isinstance(orders.limit, Closable):
            await orders.limit.close()
    counts = _counts(sync.report)
    if reason is None and not sync.report.failed:
        write_whole(_done_path(spool, share.number), [codec.encode(counts)])
    return ShareReport(counts=counts, stopped=reason, status=status)


async def _free(journal: Path) -> None:
    """Wait until nobody else has a journal open.

    :raises SyncRefused: somebody still has.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _OTHER_ENDS
    while True:
        try:
            Journal(journal).close()
        except SyncRefused:
            if loop.time() > until:
                raise
            await asyncio.sleep(_TICK)
        else:
            return


async def _run(sync: Sync, spool: Spool, share: Share) -> tuple[str | None, int | None]:
    """Run a sync to its end, or until the caller wants no more; tell how far it is meanwhile."""
    running = asyncio.create_task(sync.run())
    told = _progress_path(spool, share.number)
    try:
        while not (await asyncio.wait([running], timeout=_TICK))[0]:
            write_whole(told, [codec.encode(_counts(sync.report))])
            if read_whole(spool.path / _RUN) != share.run.encode():
                running.cancel()
                await asyncio.wait([running])
                return "stopped by the caller", None
        await running
    except SyncStopped as stopped:
        return str(stopped), stopped.status
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return None, None


def _counts(report: Report) -> dict[str, int]:
    return {name: getattr(report, name) for name in _COUNTS}


def add_up(report: Report, counts: Sequence[dict[str, int]]) -> None:
    """Make a report the sum of what shares say."""
    for name in _COUNTS:
        setattr(report, name, sum(one.get(name, 0) for one in counts))


def progress(spool: Spool, shares: int) -> list[dict[str, int]]:
    """Give how far each share is."""
    found: list[dict[str, int]] = []
    for number in range(shares):
        told = read_whole(_done_path(spool, number)) or read_whole(_progress_path(spool, number))
        found.append(json.loads(told or b"{}"))
    return found


def begin_run(spool: Spool, run: str) -> None:
    """Say which run the workers work for: those of another one stop soon.

    What they have sent is in their journals. No run is called by an empty name.
    """
    write_whole(spool.path / _RUN, [run.encode()])


def rejected_rows(spool: Spool, shares: int) -> Iterator[Rejected]:
    """Give the rejected rows of all shares, each once."""
    for number in range(shares):
        seen: set[int] = set()
        for line in (read_whole(_rejects_path(spool, number)) or b"").splitlines():
            # After a crash a row can be there twice, or cut short and once more.
            with suppress(ValueError):
                one = rejected_of(json.loads(line), before=0)
                if one.row not in seen:
                    seen.add(one.row)
                    yield one


class _ShareRejects:
    """Where the rejected rows of a share go: a file in the spool, to be gathered by the caller."""

    def __init__(self, path: Path) -> None:
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise failed(error) from None
        self._file = os.fdopen(number, "ab")
        # The last line may be cut short: a new one must not be added to it.
        self._file.write(b"\n")

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        """Take rows."""
        self._file.writelines(
            json.dumps(plain(one), default=as_text).encode() + b"\n" for one in rows
        )

    def flush(self) -> None:
        """Make what was taken durable."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise failed(error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _done_path(spool: Spool, number: int) -> Path:
    return spool.path / f"share-{number:05}.done.json"


def _progress_path(spool: Spool, number: int) -> Path:
    return spool.path / f"share-{number:05}.progress.json"


def _rejects_path(spool: Spool, number: int) -> Path:
    return spool.path / f"share-{number:05}.rejects"
