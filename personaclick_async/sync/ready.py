"""Partitions that others prepare, as something to deliver: ``client.sync(…)`` takes it.

This is the sender's half of a sync that is spread over machines. Workers prepare partitions in
any order; the one sync that owns the shop's quota takes their chunks in the order of the source,
so that the records of one person stay in order whatever partitions they are in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from hashlib import blake2b, sha256
from os import PathLike
from pathlib import Path
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync.chunks import Chunk, Plan, Slice
from personaclick_async.sync.errors import SyncRefused
from personaclick_async.sync.partitions import ENVELOPE_BYTES, Prepared, Survey, forget_stale
from personaclick_async.sync.ready_chunk import ChunkName, ReadyChunk
from personaclick_async.sync.spool import Spool, SpoolFailed
from personaclick_async.sync.threads import OneThread

_SMALLEST: Final = 2 * ENVELOPE_BYTES
_DIGEST_BYTES: Final = 32


class PreparedPartitions(ABC):
    """A data set whose partitions are prepared elsewhere; each engine says where and how.

    :param name: what reports and the journal call it.
    :param spool: the folder that workers and the sender share.
    :param max_chunk_bytes: the largest body, envelope included.
    :raises ConfigurationError: a body of that size is not possible.
    """

    def __init__(
        self, *, name: str, spool: str | PathLike[str], max_chunk_bytes: int | None = None
    ) -> None:
        most = IMPORT_MAX_BODY_BYTES if max_chunk_bytes is None else max_chunk_bytes
        if not _SMALLEST <= most <= IMPORT_MAX_BODY_BYTES:
            raise ConfigurationError(
                f"max_chunk_bytes: expected an int, {_SMALLEST} to {IMPORT_MAX_BODY_BYTES}"
            )
        self.name = name
        self.spool = Path(spool)
        self.max_chunk_bytes = most

    @abstractmethod
    async def survey(self) -> Sequence[Survey]:
        """Look all partitions over, and give what was found in their order."""

    @abstractmethod
    def prepare(self, surveys: Sequence[Survey], spool: Spool) -> AsyncGenerator[Prepared, None]:
        """Have all partitions prepared, and give their accounts in their order.

        The next one is asked for when the chunks of the one before are read.
        """

    @abstractmethod
    async def close(self, *, is_complete: bool) -> None:
        """Let go of the engine.

        :param is_complete: whether all is delivered.
        """


@attrs.frozen
class ReadyFile:
    """Where a ready chunk lies, and what the journal knows of it.

    :ivar before: how many rows the partitions before have.
    :ivar chunk: what an earlier run has left of it; None for one that is new.
    """

    folder: Path
    name: ChunkName
    before: int
    chunk: Chunk | None

    @property
    def first_row(self) -> int:
        """Its first row, counted through all partitions."""
        return self.before + self.name.first_row

    @property
    def last_row(self) -> int:
        """Its last row."""
        return self.before + self.name.last_row

    def digest(self, salt: bytes | None) -> bytes:
        """Give a keyed hash of its content, for the journal; nothing if there is none."""
        if salt is None:
            return b""
        return blake2b(self.name.digest.encode(), key=salt, digest_size=_DIGEST_BYTES).digest()

    def read(self) -> ReadyChunk:
        """Read it.

        :raises SpoolFailed: it can't be read, or is gone.
        """
        chunk = ReadyChunk.read(self.folder, self.name, before=self.before)
        if chunk is None:
            raise SpoolFailed("ready chunks are gone from the spool: remove it and run again")
        return chunk

    def remove(self) -> None:
        """Delete it: it is delivered, and the journal says so."""
        (self.folder / str(self.name)).unlink(missing_ok=True)


class ReadyReader:
    """Gives the ready chunks of a data set in order.

    :ivar is_complete: whether all is delivered, so that nothing has to stay in the spool.
    """

    def __init__(self, source: PreparedPartitions, thread: OneThread) -> None:
        self.name = source.name
        self._source = source
        self._thread = thread
        self._surveys: Sequence[Survey] | None = None
        self._plan = Plan()
        self._spool: Spool | None = None
        self._files: AsyncGenerator[ReadyFile, None] | None = None
        self.is_complete = False

    async def fingerprint(self) -> str:
        """Give a hash of all partitions' fingerprints and of how they are cut."""
        prints = [one.fingerprint for one in await self._surveyed()]
        return sha256(codec.encode([prints, self._source.max_chunk_bytes])).hexdigest()

    async def size_hint(self) -> int | None:
        """Give the number of rows, roughly."""
        hints = [one.rows for one in await self._surveyed()]
        known = [hint for hint in hints if hint is not None]
        return sum(known) if len(known) == len(hints) else None

    async def _surveyed(self) -> Sequence[Survey]:
        if self._surveys is None:
            self._surveys = await self._source.survey()
            if not self._surveys:
                raise ConfigurationError("partitions: expected at least one")
        return self._surveys

    def start(self, plan: Plan, rows: int) -> None:  # noqa: ARG002 - chunks are cut already
        """Set out to give what the plan leaves to do."""
        self._plan = plan

    async def files(self) -> AsyncGenerator[ReadyFile, None]:
        """Give the chunks that are to be sent, in order; remove those that were.

        :raises SyncRefused: they are not those of the earlier run.
        """
        spool = self._spool = Spool(self._source.spool, await self.fingerprint())
        await self._thread.run(spool.make)
        if self._plan == Plan():
            await self._thread.run(lambda: forget_stale(spool))
        before = 0
        earlier = {chunk.first_row: chunk for chunk in self._plan.open_chunks}
        accounts = self._source.prepare(await self._surveyed(), spool)
        async with aclosing(accounts):
            async for prepared in accounts:
                folder = spool.path / prepared.part
                for name in prepared.chunks:
                    chunk = earlier.pop(before + name.first_row, None)
                    file = ReadyFile(folder, name, before, chunk)
                    if chunk is not None or file.first_row > self._plan.done_until:
                        yield file
                    elif file.last_row <= self._plan.done_until:
                        await self._thread.run(file.remove)
                    else:
                        raise _not_the_same()
                before += prepared.last_row
        if earlier:
            raise _not_the_same()

    async def next(self) -> Slice | None:
        """Give the rows of the next chunk, as a dry run looks at them."""
        if self._files is None:
            self._files = self.files()
        file = await anext(self._files, None)
        if file is None:
            self.is_complete = True
            return None
        return Slice(await self._thread.run(lambda: file.read().outcomes_and_contents()[0]))

    async def close(self) -> None:
        """Let go of the source, and of the spool if all is delivered."""
        await self._source.close(is_complete=self.is_complete)
        if self.is_complete and self._spool is not None:
            await self._thread.run(self._spool.remove)
        self._thread.close()


def _not_the_same() -> SyncRefused:
    return SyncRefused(
        "the ready chunks are not those of the sync that was interrupted: restart it "
        "(unfinished='restart'), which sends all again"
    )
