"""Dask dataframes as files: what was computed once is what is sent, resumed and sent again.

Computing a partition twice may give its rows in another order, and a journal that says «rows 1
to 900 are delivered» would then be wrong. So each partition is written to the spool as Parquet
first, and everything else works on the file.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from dask.base import tokenize
from dask.delayed import delayed

from personaclick_async.integrations.dask_work import DaskWork
from personaclick_async.sync.sources.base import need
from personaclick_async.sync.spool import Spool, write_whole

if TYPE_CHECKING:
    from dask.dataframe import DataFrame
    from distributed import Client

_MEMBERS: Final = ("to_delayed", "npartitions", "columns")


def is_frame(source: object) -> bool:
    """Tell whether something is a dataframe of Dask, without importing Dask's dataframes."""
    return all(hasattr(source, name) for name in _MEMBERS)


def land(frame: Any, spool: Spool, index: int) -> str:  # noqa: ANN401 - pandas has no types
    """Write one partition to the spool; gives the file's path."""
    arrow = need("pyarrow", extra="dask", purpose="a dataframe")
    parquet = need("pyarrow.parquet", extra="dask", purpose="a dataframe")
    sink = arrow.BufferOutputStream()
    named = frame.rename(columns=str)
    parquet.write_table(arrow.Table.from_pandas(named, preserve_index=False), sink)
    path = spool.path / f"{index:06}.parquet"
    write_whole(path, [sink.getvalue().to_pybytes()])
    return str(path)


async def land_all(frame: DataFrame, cluster: Client, work: DaskWork, spool: Spool) -> list[str]:
    """Write a dataframe's partitions to the spool, those that are not there; gives the paths.

    :raises ClusterFailed: a partition could not be computed.
    """
    await asyncio.to_thread(spool.make)
    paths = [spool.path / f"{index:06}.parquet" for index in range(frame.npartitions)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    if missing:
        parts = frame.to_delayed()  # type: ignore[no-untyped-call]  # dask.dataframe has no types
        landing = [
            delayed(land, pure=False)(
                parts[index], spool, index, dask_key_name=(f"personaclick-land-{work.id}", index)
            )
            for index in missing
        ]
        futures: list[Any] = cluster.compute(landing)  # type: ignore[no-untyped-call]  # as above
        try:
            for future in futures:
                await work.result(future)
        except BaseException:
            await work.cancel(futures)
            raise
    return [str(path) for path in paths]


def version_of(frame: DataFrame) -> str:
    """Give Dask's own hash of how a dataframe is computed, and from what."""
    token: str = tokenize(frame)
    return token
