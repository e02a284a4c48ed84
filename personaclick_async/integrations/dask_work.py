"""Named tasks on a Dask cluster, and their results in an asyncio program."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from typing import Any, Final, TypeVar

from distributed import Client, Future

from personaclick_async.errors import PersonaClickError
from personaclick_async.sync.ahead import in_order

T = TypeVar("T")

_AHEAD_PER_THREAD: Final = 2
_TRIES_AGAIN: Final = 2


class ClusterFailed(PersonaClickError):
    """The cluster did not do its work: workers died again and again, or it is gone.

    What was done before is in the spool; run the sync again to go on.
    """


class DaskWork:
    """Work for a cluster; the dashboard shows it by the names that it is given here.

    :param cluster: the cluster's client, blocking or asynchronous.
    :param ahead: how many tasks the cluster has to do at once at most; two for each of its
        threads unless set.
    """

    def __init__(self, cluster: Client, *, ahead: int | None = None) -> None:
        # Much of it has no types.
        self._cluster: Any = cluster
        self._ahead = ahead
        # Dask takes tasks with one key for the same task.
        self.id: Final = secrets.token_hex(16)

    async def in_order(
        self, name: str, work: Callable[..., T], arguments: Iterable[tuple[object, ...]]
    ) -> AsyncGenerator[T, None]:
        """Run a function once for each of the arguments, many at once; give results in order.

        :raises PersonaClickError: what the work raised.
        :raises ClusterFailed: the work was not done.
        """
        results = in_order(
            arguments,
            ahead=self._ahead or await self._threads() * _AHEAD_PER_THREAD,
            start=lambda index, one: self._submit(name, index, work, one),
            result=self.result,
            cancel=self.cancel,
        )
        async with aclosing(results):
            async for one in results:
                yield one

    async def result(self, future: Future[T]) -> T:
        """Wait for a result.

        :raises ClusterFailed: there will be none.
        """
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(done.set)

        untyped: Any = future
        untyped.add_done_callback(tell)
        await done.wait()
        try:
            if self._cluster.asynchronous:
                result: T = await future
            else:
                result = await asyncio.to_thread(future.result)
        except PersonaClickError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever Dask, or a user's own graph, raises
            kind = type(error).__name__
        else:
            return result
        # Not its text, which may hold anything: of a user's graph, even records.
        raise ClusterFailed(f"a task on the cluster failed ({kind}); the workers' logs say why")

    async def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Have work not done, or not to its end."""
        unwanted = list(futures)
        if not unwanted:
            return
        with suppress(Exception):  # the cluster may be gone already
            if self._cluster.asynchronous:
                await self._cluster.cancel(unwanted, force=True)
            else:
                await asyncio.to_thread(self._cluster.cancel, unwanted, force=True)

    def _submit(
        self, name: str, index: int, work: Callable[..., T], arguments: tuple[object, ...]
    ) -> Future[T]:
        future: Future[T] = self._cluster.submit(
            work,
            *arguments,
            key=(f"personaclick-{name}-{self.id}", index),
            pure=False,
            retries=_TRIES_AGAIN,
        )
        return future

    async def _threads(self) -> int:
        if self._cluster.asynchronous:
            counts = await self._cluster.nthreads()
        else:
            counts = await asyncio.to_thread(self._cluster.nthreads)
        threads: int = sum(counts.values())
        return max(1, threads)
