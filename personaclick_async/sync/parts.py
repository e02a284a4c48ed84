"""A part of a data set: some files, or a shard of a source, that one process syncs.

A shard is the share of a machine that knows nothing of the others: each reads the whole source and
leaves out the people who are not in its share, so one person's records stay together and in order.

An engine has to run :func:`sync_part` somewhere for each part. A part that is run again, because
its machine was lost, resumes from its journal.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, Self

import attrs
import msgspec

from personaclick_async import codec, names
from personaclick_async.client import PersonaClick
from personaclick_async.config import DOCUMENTED_LIMITS, UNSET, RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.sync.engine import Sync
from personaclick_async.sync.journal import JournalLocked
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.options import SyncOptions
from personaclick_async.sync.records import Fault, Outcome, Record, rejected
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.report import Report
from personaclick_async.sync.sources import Layout, SourceKind, TableSource, open_source
from personaclick_async.sync.sources.base import Seen, SourceView
from personaclick_async.sync.sources.csv_source import is_reject_file
from personaclick_async.sync.sources.opening import expand

_TICK_SECONDS: Final = 0.5
_LOCKED_SECONDS: Final = 60.0
_STOP: Final = "stop"
_SHARD: Final = re.compile(r"(\d{1,6})/(\d{1,6})")
_FORMAT: Final = "shards 1"

# Email is the service's primary identifier and phone its secondary one (6.4), but people share
# phones; the shop's own id goes before them where there is no address.
_FIRST: Final = (names.EMAIL, names.EXTERNAL_ID)


@attrs.frozen
class Shard:
    """One of several shares: ``Shard(2, 8)`` is the second of eight.

    :raises ConfigurationError: there is no such share.
    """

    number: int
    of: int

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigurationError("shard: expected 1/N to N/N, such as 2/8")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2/8``.

        :raises ConfigurationError: it is written in another way, or there is no such share.
        """
        found = _SHARD.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else cls(0, 0)

    def has(self, text: str) -> bool:
        """Tell whether something belongs to this share; it belongs to one only."""
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) % self.of == self.number - 1

    def part_of(self, limit: RateLimit) -> RateLimit:
        """Return this share's part of a limit, which all shares together never exceed."""
        if requests := limit.requests // self.of:
            return RateLimit(requests, limit.seconds)
        return RateLimit(1, limit.seconds * self.of / limit.requests)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class ShardOf(SourceView):
    """Those rows of a source whose people belong to a share.

    People are told apart by one identifier, and rows without it are rejected, on one of the
    shards. Records that share only another identifier, such as a family's phone, may be on
    different shards; they are not kept in order.

    :param by: that identifier; the first that the source's first record has of email, external
        id, phone, loyalty id and Telegram id unless given.
    :raises ConfigurationError: there is no such identifier.
    """

    def __init__(self, source: TableSource, shard: Shard, *, by: str | None = None) -> None:
        if by not in (None, *names.IDENTIFIERS):
            known = ", ".join(names.IDENTIFIERS)
            raise ConfigurationError(f"shard: expected one of {known} to go by")
        super().__init__(source)
        self.name = f"{source.name}, shard {shard.number} of {shard.of}"
        self._shard = shard
        self._given = by

    @property
    def fingerprint(self) -> str | None:
        """A hash of the source's fingerprint and of the share; None if the source has none."""
        whole = self._source.fingerprint
        options = [_FORMAT, whole, str(self._shard), self._given]
        return whole and hashlib.sha256(codec.encode(options)).hexdigest()

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
        records = (one for one in self._source.outcomes() if isinstance(one, Record))
        has = {kind for first in islice(records, 1) for kind, _ in first.identifiers}
        return next((kind for kind in (*_FIRST, *names.IDENTIFIERS) if kind in has), None)

    def _choose(self, outcome: Outcome) -> Outcome | None:
        person = None
        if isinstance(outcome, Record):
            person = dict(outcome.identifiers).get(str(self.by))
            if person is None:
                fault = Fault(str(self.by), "a value, by which shards are told apart", "none")
                outcome = rejected(outcome, fault)
        return outcome if self._shard.has(person or f"row {outcome.row}") else None


@attrs.frozen(kw_only=True)
class Part:
    """Some files, or a shard of them. Small, and can be pickled.

    :ivar files: paths or addresses that mean the same on every machine.
    """

    files: tuple[str, ...]
    mapping: FieldMapping | None = None
    kind: SourceKind | None = None
    layout: Layout | None = None
    shard: Shard | None = None
    by: str | None = None

    @property
    def key(self) -> str:
        """What tells it from others: a hash, also the name of its journal."""
        whole = codec.encode([self.files, str(self.shard), self.by])
        return hashlib.sha256(whole).hexdigest()[:16]

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
    :raises ConfigurationError: no file fits.
    """
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
    """What all parts of a sync are told. The secret is not among it.

    :ivar parts: how many parts there are: each takes that share of the limits.
    :ivar folder: where their journals and reject files lie, for all machines to see.
    :ivar options: as for any sync; each part has its own journal and reject file.
    :ivar limits: those of the whole shop; ``{}`` for a service without.
    """

    shop_id: str
    api_url: str | None = None
    parts: int
    folder: Path = attrs.field(converter=Path)
    options: SyncOptions = attrs.field(factory=SyncOptions)
    limits: Mapping[Family, RateLimit] = attrs.field(factory=lambda: DOCUMENTED_LIMITS)

    def file(self, part: Part, suffix: str) -> Path:
        """Return where a file of a part lies."""
        return self.folder / f"{part.key}{suffix}"


def sync_part(part: Part, settings: PartSettings) -> Report:
    """Sync a part to its end, and return its report. Can be run again at any moment, anywhere.

    Reads ``PERSONACLICK_SHOP_SECRET`` from the environment of the machine that it runs on. Ends
    early when somebody calls :func:`stop_parts`.

    :raises PersonaClickError: what an ordinary sync raises.
    """
    return asyncio.run(_sync(part, settings))


def stop_parts(settings: PartSettings) -> None:
    """Have all running parts end within a second or two; running them again resumes."""
    (settings.folder / _STOP).touch()


def prepare_parts(settings: PartSettings) -> None:
    """Make the folder, private to its owner; call it once before the parts."""
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (settings.folder / _STOP).unlink(missing_ok=True)


def finish_parts(
    parts: Sequence[Part], settings: PartSettings, rejects: Path | None = None
) -> None:
    """Forget that the parts have ended: until then, they are not sent again with the others.

    :param rejects: a file to which the rejected rows of all parts are moved.
    """
    header = b""
    for part in parts:
        settings.file(part, ".done").unlink(missing_ok=True)
        if rejects is None or not (path := rejects_of(part, settings)).exists():
            continue
        with path.open("rb") as one, rejects.open("ab") as all_of_them:
            rejects.chmod(0o600)
            if path.suffix == ".csv":
                first = one.readline()
                header = header or first
                # The header stands there once, unless it changes.
                all_of_them.write(b"" if first == header and all_of_them.tell() else first)
            shutil.copyfileobj(one, all_of_them)
        path.unlink()


def rejects_of(part: Part, settings: PartSettings) -> Path:
    """Return where a part's rejected rows are."""
    suffix = ".csv" if part.open().columns else ".jsonl"
    return settings.file(part, f"-rejected{suffix}")


async def _sync(part: Part, settings: PartSettings) -> Report:
    await _after_a_predecessor(settings.file(part, ".db"), settings.limits.values())
    until = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            return await _sync_once(part, settings)
        except JournalLocked:
            # A worker that its engine believes lost may still be about to end.
            if time.monotonic() > until:
                raise
        await asyncio.sleep(_TICK_SECONDS)


async def _sync_once(part: Part, settings: PartSettings) -> Report:
    source = part.open()
    done = settings.file(part, ".done")
    fingerprint = await asyncio.to_thread(lambda: source.fingerprint)
    synced = codec.encode([settings.shop_id, settings.api_url, fingerprint]).decode()
    with suppress(FileNotFoundError, msgspec.MsgspecError):
        known, report = msgspec.json.decode(done.read_bytes(), type=tuple[str, Report])
        if known == synced and fingerprint is not None:
            return report
    share = Shard(1, settings.parts).part_of
    limits = {family: share(limit) for family, limit in settings.limits.items()}
    # Resubmitted with the options of its source, it has to be read the same way.
    delimiter = (part.layout and part.layout.delimiter) or ","
    rejects = RejectFile(rejects_of(part, settings), source.columns, delimiter=delimiter)
    options = attrs.evolve(settings.options, journal=settings.file(part, ".db"), rejects=rejects)
    api_url = settings.api_url or UNSET
    with closing(rejects):
        client = PersonaClick(settings.shop_id, api_url=api_url, limits=limits, cache=None)
        async with client, client.sync(source, options=options) as sync:
            watching = asyncio.create_task(_watch(settings.folder / _STOP, sync))
            try:
                report = await sync.run()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
    if report.is_complete and not report.failed:
        done.write_bytes(codec.encode((synced, report)))
    return report


async def _after_a_predecessor(journal: Path, limits: Iterable[RateLimit]) -> None:
    """Wait until what a killed predecessor has sent is out of the window of the limits."""
    window = max((limit.seconds for limit in limits), default=0.0)
    for file in (journal, Path(f"{journal}-wal")):
        with suppress(FileNotFoundError):
            left = window - (time.time() - file.stat().st_mtime)
            await asyncio.sleep(min(left, window))


async def _watch(stop: Path, sync: Sync) -> None:
    while not await asyncio.to_thread(stop.exists):  # noqa: ASYNC110 - another machine makes it
        await asyncio.sleep(_TICK_SECONDS)
    await sync.stop()
