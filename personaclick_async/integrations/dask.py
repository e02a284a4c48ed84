"""Syncs on a Dask cluster: workers read, map, check and pack; this process sends.

::

    from distributed import Client
    from personaclick_async.integrations.dask import DaskPartitions

    partitions = DaskPartitions(Client(…), "data/*.csv", mapping, spool="/shared/spool")
    async with client.sync(partitions, options=SyncOptions(journal="sync.db")) as sync:
        async for result in sync:
            …
    print(sync.report)

Needs the extra ``dask``. Workers that are lost are Dask's concern: it hands their partitions to
others, which go on with what the lost ones have left in the spool. A sender that is lost is the
journal's: run the same again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, cast

try:
    from distributed import Client
except ImportError as missing:
    raise ImportError("Dask is not installed: pip install 'personaclick-async[dask]'") from missing

from personaclick_async.integrations.dask_frames import is_frame, land_all, version_of
from personaclick_async.integrations.dask_work import ClusterFailed, DaskWork
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
from personaclick_async.sync.sources import Layout, SourceKind
from personaclick_async.sync.spool import Spool

if TYPE_CHECKING:
    from dask.dataframe import DataFrame

__all__ = ["ClusterFailed", "DaskPartitions"]


class DaskPartitions(PreparedPartitions):
    """Many files, or a dataframe, that a Dask cluster makes ready for ``client.sync(…)``.

    Records are sent in the order of the partitions: a person's may be in any of them.

    :param cluster: the cluster's client, blocking or asynchronous.
    :param source: a pattern such as ``data/*.csv``, in the order of names; several paths or
        patterns; partitions made by :func:`.partitions_of`; or a ``dask.dataframe``, whose
        partitions are first written to the spool as Parquet.
    :param mapping: which column becomes which field.
    :param spool: a folder that the workers and this process see under the same path. It needs
        room for the partitions that are ready and not yet sent (``ahead``), and for a dataframe.
    :param kind: how the files are written, where their suffixes do not say.
    :param layout: how delimited text is written.
    :param max_chunk_bytes: the largest body, envelope included; the documented 32 MiB unless set.
    :param ahead: how many partitions the cluster works on, or has ready, before the first of
        them is sent; two for each of its threads unless set.
    :param version: of a dataframe: tells whether it is still the same; Dask's own token for it
        unless given.
    :ivar partitions: the files; of a dataframe, once it is surveyed.
    :raises ConfigurationError: no file fits, or an option is out of its bounds.
    """

    def __init__(
        self,
        cluster: Client,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str] | Partition] | DataFrame,
        mapping: FieldMapping | None = None,
        *,
        spool: str | os.PathLike[str],
        kind: SourceKind | None = None,
        layout: Layout | None = None,
        max_chunk_bytes: int | None = None,
        ahead: int | None = None,
        version: str | None = None,
    ) -> None:
        self.cluster = cluster
        self.work = DaskWork(cluster, ahead=ahead)
        self._mapping = mapping
        self._frame: DataFrame | None = None
        self._landing: Spool | None = None
        self.partitions: list[Partition] = []
        if is_frame(source):
            self._frame = cast("DataFrame", source)
            token = version or version_of(self._frame)
            self._landing = Spool(spool, f"dataframe {token} {self._frame.npartitions}")
            name = "dataframe"
        else:
            files = cast("Sequence[str | Partition]", source)
            self.partitions = partitions_of(files, mapping, kind=kind, layout=layout)
            name = name_of(self.partitions)
        super().__init__(name=name, spool=spool, max_chunk_bytes=max_chunk_bytes)

    async def survey(self) -> Sequence[Survey]:
        """Look all partitions over, on the cluster."""
        if self._frame is not None and self._landing is not None:
            paths = await land_all(self._frame, self.cluster, self.work, self._landing)
            self.partitions = [Partition(where=path, mapping=self._mapping) for path in paths]
        arguments = [(partition,) for partition in self.partitions]
        return [one async for one in self.work.in_order("survey", survey, arguments)]

    async def prepare(
        self, surveys: Sequence[Survey], spool: Spool
    ) -> AsyncGenerator[Prepared, None]:
        """Have all partitions prepared on the cluster."""
        arguments = (
            (partition, spool, index, found.fingerprint, self.max_chunk_bytes)
            for index, (partition, found) in enumerate(zip(self.partitions, surveys, strict=True))
        )
        async for prepared in self.work.in_order("prepare", prepare, arguments):
            yield prepared

    async def close(self, *, is_complete: bool) -> None:
        """Take away what a dataframe has left in the spool, once all of it is delivered."""
        if is_complete and self._landing is not None:
            await asyncio.to_thread(self._landing.remove)
