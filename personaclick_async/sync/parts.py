"""A part of a data set: some files, or a shard of a source, that one process syncs.

A cluster runs :func:`sync_part` for each part. A part that is run again, because its machine was
lost, resumes from its journal.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Final, Self

import attrs
import msgspec

from personaclick_async import codec, names
from personaclick_async.client import PersonaClick
from personaclick_async.config import DOCUMENTED_LIMITS, UNSET, RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.engine import Sync
from personaclick_async.sync.journal import Journal, JournalLocked
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.options import SyncOptions, Unfinished
from personaclick_async.sync.records import Fault, Outcome, Record, rejected
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.report import Report
from personaclick_async.sync.sources import (
    Layout,
    SeveralSources,
    SourceKind,
    TableSource,
    open_source,
)
from personaclick_async.sync.sources.base import Seen
from personaclick_async.sync.sources.csv_source import is_reject_file
from personaclick_async.sync.sources.opening import expand

_TICK_SECONDS: Final = 0.5
_LOCKED_SECONDS: Final = 60.0
_STOP: Final = "stop"
_SHARD: Final = re.compile(r"(\d{1,6})/(\d{1,6})")
_FORMAT: Final = "shards 1"
_REJECTED: Final = "-rejected"

# Email is the service's primary identifier and phone its secondary one (6.4), but people share
# phones: where there is no email, the shop's own id goes before the phone.
_FIRST: Final = (names.EMAIL, names.EXTERNAL_ID)


@attrs.frozen
class Shard:
    """One of several shares: ``Shard(2, 8)`` is the second of eight, for a machine of its own.

    :raises ConfigurationError: there is no such share.
    """

    number: int
    of: int

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigurationError("shard: expected 1/N to N/N, such as 2/8")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2/8``."""
        found = _SHARD.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else cls(0, 0)

    def has(self, text: str) -> bool:
        """Return whether something belongs to this share; it belongs to exactly one."""
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) % self.of == self.number - 1

    def part_of(self, limit: RateLimit) -> RateLimit:
        """Return this share's part of a limit, which all shares together never exceed."""
        if requests := limit.requests // self.of:
            return RateLimit(requests, limit.seconds)
        return RateLimit(1, limit.seconds * self.of / limit.requests)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class ShardOf(SeveralSources):
    """The rows of a source whose people belong to a share: a person's stay together, in order.

    People are told apart by one identifier; a row without it is rejected by one of the shards.
    Records that share only another identifier may be on different shards.

    :param by: that identifier; the first that the source's first record has of email, external
        id, phone, loyalty id and Telegram id unless given.
    :raises ConfigurationError: there is no such identifier.
    """

    def __init__(self, source: TableSource, shard: Shard, *, by: str | None = None) -> None:
        if by not in (None, *names.IDENTIFIERS):
            known = ", ".join(names.IDENTIFIERS)
            raise ConfigurationError(f"shard: expected one of {known} to go by")
        super().__init__([source], choose=self._if_own)
        self.name = f"{source.name}, shard {shard.number} of {shard.of}"
        self._shard = shard
        self._given = by

    @property
    def fingerprint(self) -> str | None:
        """A hash of the source's fingerprint and of the share; None if the source has none."""
        whole = super().fingerprint
        return whole and _digest([_FORMAT, whole, str(self._shard), self._given])

    @property
    def seen(self) -> Seen:
        """What is known of the source, its rows divided."""
        seen = super().seen
        return attrs.evolve(seen, size_hint=seen.size_hint and seen.size_hint // self._shard.of)

    @cached_property
    def by(self) -> str | None:
        """The identifier by which people are told apart; None if there are no records."""
        if self._given is not None:
            return self._given
        records = (one for one in self._sources[0].outcomes() if isinstance(one, Record))
        first = next(records, None)
        has = {} if first is None else dict(first.identifiers)
        return next((kind for kind in (*_FIRST, *names.IDENTIFIERS) if kind in has), None)

    def _if_own(self, outcome: Outcome) -> Outcome | None:
        person = None
        if isinstance(outcome, Record):
            by = str(self.by)
            person = dict(outcome.identifiers).get(by)
            if person is None:
                fault = Fault(by, "a value, by which shards are told apart", "none")
                outcome = rejected(outcome, fault)
        return outcome if self._shard.has(person or f"row {outcome.row}") else None


@attrs.frozen(kw_only=True)
class Part:
    """Some files, or a shard of them. Small, and can be pickled."""

    files: tuple[str, ...]  # paths or addresses that mean the same on every machine
    mapping: FieldMapping | None = None
    kind: SourceKind | None = None
    layout: Layout | None = None
    shard: Shard | None = None
    by: str | None = None

    @property
    def key(self) -> str:
        """A hash that identifies the part; its files are named by it."""
        return _digest([self.files, str(self.shard), self.by])[:16]

    def open(self) -> TableSource:
        """Open its source.

        :raises ConfigurationError: a file is not there, or can't be read.
        """
        files = self.files[0] if len(self.files) == 1 else self.files
        source = open_source(files, self.mapping, kind=self.kind, layout=self.layout)
        return source if self.shard is None else ShardOf(source, self.shard, by=self.by)


def parts_of(
    where: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    count: int,
    mapping: FieldMapping | None = None,
    *,
    kind: SourceKind | None = None,
    layout: Layout | None = None,
    by: str | None = None,
) -> list[Part]:
    """Divide files into ``count`` parts at most; a single file into so many shards.

    :param where: a path, a pattern such as ``data/*.csv``, or several of these.
    :param by: the identifier by which users are divided among shards.
    :raises ConfigurationError: no file fits, or there are to be no parts.
    """
    if count < 1:
        raise ConfigurationError(f"parts: expected 1 or more, got {count}")
    files: list[str] = []
    for pattern in [where] if isinstance(where, str | os.PathLike) else where:
        found = expand(os.fspath(pattern))
        files += [file for file in found if found == [file] or not is_reject_file(file)]
    if not files:
        raise ConfigurationError("source: expected at least one file")
    whole = Part(files=tuple(files), mapping=mapping, kind=kind, layout=layout)
    if count > 1 and len(files) == 1:
        shards = (Shard(number, count) for number in range(1, count + 1))
        return [attrs.evolve(whole, shard=shard, by=by) for shard in shards]
    shares = (tuple(files[index::count]) for index in range(min(count, len(files))))
    return [attrs.evolve(whole, files=share) for share in shares]


@attrs.frozen(kw_only=True)
class PartSettings:
    """The settings that all parts share, without the secret."""

    shop_id: str
    api_url: str | None = None
    parts: int  # how many there are: each takes that share of the limits
    folder: Path = attrs.field(converter=Path)  # of journals and reject files; all machines see it
    options: SyncOptions = attrs.field(factory=SyncOptions)  # journal and rejects: a part's own
    limits: Mapping[names.Family, RateLimit] = DOCUMENTED_LIMITS  # the whole shop's; {} for none

    def file(self, part: Part, suffix: str) -> Path:
        """Return where a file of a part lies."""
        return self.folder / f"{part.key}{suffix}"


def sync_part(part: Part, settings: PartSettings) -> Report:
    """Sync a part to its end, and return its report. Can be run again at any moment, anywhere.

    Reads ``PERSONACLICK_SHOP_SECRET`` from the environment where it runs. Ends early when
    :func:`stop_parts` is called.

    :raises PersonaClickError: what an ordinary sync raises.
    """
    return asyncio.run(_sync(part, settings))


def stop_parts(settings: PartSettings) -> None:
    """End all running parts within a second or two; running them again resumes."""
    (settings.folder / _STOP).touch()


def prepare_parts(parts: Iterable[Part], settings: PartSettings) -> None:
    """Make the folder, private to its owner; call it once before the parts.

    With the option ``unfinished="restart"``, forget what earlier runs of the parts have done.

    :raises SyncRefused: another run of a part is still at work.
    """
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings.folder / _STOP).unlink(missing_ok=True)
    for part in parts if settings.options.unfinished is Unfinished.RESTART else ():
        # Not deleted: its time says when something was sent.
        if (path := settings.file(part, ".db")).exists():
            with closing(Journal(path, sets_aside=True)) as journal:
                journal.forget()
        settings.file(part, ".done").unlink(missing_ok=True)


def finish_parts(
    parts: Sequence[Part], settings: PartSettings, rejects: Path | None = None
) -> None:
    """Forget that parts are done, so that the next run sends them again.

    :param rejects: a file to which the rejected rows of all parts are moved; those of parts with
        other columns go to files beside it, such as ``rejected-2.csv``.
    """
    for part in parts:
        settings.file(part, ".done").unlink(missing_ok=True)
        if rejects is None:
            continue
        for path in settings.folder.glob(f"{part.key}{_REJECTED}.*"):
            with path.open("rb") as one:
                header = one.readline() if path.suffix == ".csv" else b""
                others = (rejects.with_stem(f"{rejects.stem}-{number}") for number in count(2))
                if path.stat().st_size > len(header):
                    target = next(file for file in chain([rejects], others) if _fits(file, header))
                    with target.open("ab") as whole:
                        shutil.copyfileobj(one, whole)
            path.unlink()


def _fits(file: Path, header: bytes) -> bool:
    """Return whether rows with a header fit a file; one without rows gets the header."""
    file.touch()
    file.chmod(0o600)
    with file.open("r+b") as whole:
        if whole.readline() == header or not header:
            return True
        if whole.read(1):
            return False
        whole.seek(0)
        whole.truncate()
        whole.write(header)
    return True


async def _sync(part: Part, settings: PartSettings) -> Report:
    source, stop = part.open(), settings.folder / _STOP
    done, journal = settings.file(part, ".done"), settings.file(part, ".db")
    fingerprint = await asyncio.to_thread(lambda: source.fingerprint)
    synced = _digest([settings.shop_id, settings.api_url, fingerprint])
    longest = max((limit.seconds for limit in settings.limits.values()), default=0.0)
    until = time.monotonic() + longest + _LOCKED_SECONDS
    while True:
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            known, report = msgspec.json.decode(done.read_bytes(), type=tuple[str, Report])
            if known == synced and fingerprint is not None:
                return report
        if stop.exists():
            return Report(source=source.name)
        # What another run of this part has sent must be out of the limits' windows. It touches its
        # journal while it is at work, and may be ending though its cluster has given it up.
        since = math.inf
        with suppress(FileNotFoundError):
            since = time.time() - journal.stat().st_mtime
        is_last_try = time.monotonic() > until
        try:
            if not longest or since > longest + 2 * _TICK_SECONDS or is_last_try:
                report = await _run(source, part, settings)
                if report.is_complete and not report.failed:
                    done.write_bytes(codec.encode((synced, report)))
                return report
        except JournalLocked:
            if is_last_try:
                raise
        await asyncio.sleep(_TICK_SECONDS)


async def _run(source: TableSource, part: Part, settings: PartSettings) -> Report:
    share = Shard(1, settings.parts).part_of
    limits = {family: share(limit) for family, limit in settings.limits.items()}
    path = settings.file(part, f"{_REJECTED}.csv" if source.columns else f"{_REJECTED}.jsonl")
    # It is resubmitted with the source's options, so it needs the same delimiter.
    delimiter = (part.layout and part.layout.delimiter) or ","
    with closing(RejectFile(path, source.columns, delimiter=delimiter)) as rejects:
        journal, api_url = settings.file(part, ".db"), settings.api_url or UNSET
        options = attrs.evolve(
            settings.options, journal=journal, rejects=rejects, unfinished=Unfinished.RESUME
        )
        client = PersonaClick(settings.shop_id, api_url=api_url, limits=limits, cache=None)
        async with client, client.sync(source, options=options) as sync:
            watching = asyncio.create_task(_watch(settings.folder / _STOP, journal, sync))
            try:
                return await sync.run()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)


async def _watch(stop: Path, journal: Path, sync: Sync) -> None:
    """Show by the journal's time that this run is at work, until all are told to stop."""
    while not await asyncio.to_thread(stop.exists):
        with suppress(OSError):  # as before it is made
            await asyncio.to_thread(os.utime, journal)
        await asyncio.sleep(_TICK_SECONDS)
    await sync.stop()


def _digest(whole: codec.Json) -> str:
    return hashlib.sha256(codec.encode(whole)).hexdigest()
