"""Parts of a data set synced by the workers of a Dask cluster (the extra ``dask``).

The parts of a worker that is lost are run again on another one, which resumes from their
journals. Workers read the secret from their own environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from personaclick_async.errors import PersonaClickError
from personaclick_async.integrations import extra
from personaclick_async.sync.parts import Part, PartSettings, prepare_parts, stop_parts, sync_part
from personaclick_async.sync.report import Report

with extra("dask", "Dask"):
    from distributed import Client, as_completed, wait

__all__ = ["ClusterFailed", "sync_on_dask"]


class ClusterFailed(PersonaClickError):
    """A part failed outside of this package, as when its worker died again and again."""


async def sync_on_dask(
    cluster: Client, parts: Sequence[Part], settings: PartSettings, report: Report | None = None
) -> Report:
    """Sync all parts on a cluster, and return the sum of their reports.

    When the caller is cancelled, or a part stops, the others end within a second or two; running
    the same again resumes all of them.

    :param cluster: the cluster's client, a blocking one.
    :param report: where to add up reports as parts end, for a progress line.
    :raises ClusterFailed: workers died over a part again and again.
    :raises PersonaClickError: what stopped a part.
    """
    total = Report() if report is None else report
    total.started_at = datetime.now(UTC)
    await asyncio.to_thread(prepare_parts, parts, settings)
    keys = [f"personaclick-part-{part.key}-{id(total)}" for part in parts]
    futures = cluster.map(sync_part, parts, [settings] * len(parts), key=keys, pure=False)
    ended = as_completed(futures)  # type: ignore[no-untyped-call]
    left = {*futures}
    try:
        while (future := await asyncio.to_thread(next, ended, None)) is not None:
            left.discard(future)
            try:
                total.add_part(await asyncio.to_thread(future.result))
            except PersonaClickError:
                raise
            except Exception as error:  # noqa: BLE001 - Dask raises what it likes
                reason = f"a part can't be synced ({type(error).__name__})"
                raise ClusterFailed(reason) from None
    except BaseException:
        stop_parts(settings)
        raise
    finally:
        # Dask can't cancel a running part; it holds its journal until it stops.
        await asyncio.to_thread(wait, futures)
        for future in left:
            if future.status == "finished":
                total.add_part(await asyncio.to_thread(future.result))
        total.ended_at = datetime.now(UTC)
    return total
