"""Partitions prepared by whatever runs functions elsewhere: a pool of processes, Ray, Spark."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from personaclick_async.sync.ahead import in_order
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.partitions import (
    Partition,
    Prepared,
    Survey,
    name_of,
    partitions_of,
    prepare,
    survey,
)
from personaclick_async.sync.ready import PreparedPartitions
from personaclick_async.sync.spool import Spool

T = TypeVar("T")
Begun: TypeAlias = "Future[T] | Awaitable[T]"

_AHEAD: Final = 8


class Submit(Protocol):
    """Begins a function elsewhere, as ``Executor.submit`` does."""

    def __call__(self, function: Callable[..., T], /, *arguments: object) -> Begun[T]:
        """Begin; gives something to wait for: awaitable, or a future of a thread or process."""


class SubmittedPartitions(PreparedPartitions):
    """Many files that are made ready elsewhere for ``client.sync(…)``.

    ::

        with ProcessPoolExecutor(8) as pool:
            partitions = SubmittedPartitions(pool.submit, "data/*.csv", mapping, spool="spool")
            await client.sync_all(partitions, options=SyncOptions(journal="sync.db"))

    Records are sent in the order of the partitions: a person's may be in any of them.

    :param submit: begins a function elsewhere; everything that it gets and gives can be pickled.
    :param source: a pattern such as ``data/*.csv``, in the order of names; several paths or
        patterns; or partitions made by :func:`.partitions_of`.
    :param mapping: which column becomes which field.
    :param spool: a folder that they and this process see under the same path.
    :param max_chunk_bytes: the largest body, envelope included; the documented 32 MiB unless set.
    :param ahead: how many partitions are begun, or ready, before the first of them is sent.
    :raises ConfigurationError: no file fits, or an option is out of its bounds.
    """

    def __init__(
        self,
        submit: Submit,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | Partition],
        mapping: FieldMapping | None = None,
        *,
        spool: str | os.PathLike[str],
        max_chunk_bytes: int | None = None,
        ahead: int = _AHEAD,
    ) -> None:
        self._submit = submit
        self._ahead = ahead
        self._partitions = partitions_of(source, mapping)
        super().__init__(
            name=name_of(self._partitions), spool=spool, max_chunk_bytes=max_chunk_bytes
        )

    async def survey(self) -> Sequence[Survey]:
        """Look all partitions over."""
        each = [(partition,) for partition in self._partitions]
        async with aclosing(self._all(survey, each)) as found:
            return [one async for one in found]

    async def prepare(
        self, surveys: Sequence[Survey], spool: Spool
    ) -> AsyncGenerator[Prepared, None]:
        """Have all partitions prepared."""
        each = (
            (partition, spool, index, found.fingerprint, self.max_chunk_bytes)
            for index, (partition, found) in enumerate(zip(self._partitions, surveys, strict=True))
        )
        async with aclosing(self._all(prepare, each)) as accounts:
            async for prepared in accounts:
                yield prepared

    async def close(self, *, is_complete: bool) -> None:
        """Nothing is to be let go of."""

    def _all(
        self, function: Callable[..., T], arguments: Iterable[tuple[object, ...]]
    ) -> AsyncGenerator[T, None]:
        return in_order(
            arguments,
            ahead=self._ahead,
            start=lambda _, one: self._submit(function, *one),
            result=_result,
            cancel=_cancel,
        )


async def _result(begun: Begun[T]) -> T:
    return await (asyncio.wrap_future(begun) if isinstance(begun, Future) else begun)


async def _cancel(unwanted: Iterable[Begun[Any]]) -> None:
    for begun in unwanted:
        if isinstance(begun, Future):
            begun.cancel()
        elif asyncio.iscoroutine(begun):
            begun.close()
