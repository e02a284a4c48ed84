"""What ``personaclick sync`` does with several machines: shards, a cluster, a shared limit."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from personaclick_async.cli.options import Reading, Sharing
from personaclick_async.cli.outcome import stderr
from personaclick_async.client import PersonaClick
from personaclick_async.config import DOCUMENTED_LIMITS, UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.sync import Report, SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.parts import PartSettings, Shard, finish_parts, parts_of
from personaclick_async.sync.sources.base import need

_LOCAL: Final = "local"


def shard_of(sharing: Sharing, reading: Reading) -> Shard | None:
    """Return the share that this machine sends; None for the whole source.

    :raises ConfigurationError: the options don't go together.
    """
    if sharing.dask is not None:
        for option, given in (("--shard", sharing.shard), ("--limit", reading.limit)):
            if given is not None:
                raise ConfigurationError(f"{option} and --dask: expected one of them, got both")
        if not sharing.dask.startswith(_LOCAL) and sharing.parts_folder is None:
            raise ConfigurationError(
                "--parts-folder: expected a folder that the cluster's machines and this one share"
            )
    if sharing.shard_by is not None and sharing.shard is None:
        raise ConfigurationError("--shard-by: only shards are told apart by an identifier")
    return None if sharing.shard is None else Shard.parse(sharing.shard)


def limits_of(sharing: Sharing, shard: Shard | None) -> Mapping[Family, RateLimit] | Unset:
    """Return the limits of this process: its part of the quota, if nobody keeps it for all."""
    if shard is None or sharing.shared_limit is not None:
        return UNSET
    return {family: shard.part_of(limit) for family, limit in DOCUMENTED_LIMITS.items()}


@asynccontextmanager
async def shared_limit(
    sharing: Sharing, options: SyncOptions, shop_id: str
) -> AsyncIterator[SyncOptions]:
    """Return the options with the limit that is shared, if one is."""
    if sharing.shared_limit is None:
        yield options
        return
    module = need(
        "personaclick_async.integrations.shared_limit",
        extra="shared-limit",
        purpose="--shared-limit",
    )
    async with module.SharedLimit(sharing.shared_limit, shop=shop_id) as limit:
        yield attrs.evolve(options, limit=limit)


async def sync_on_cluster(
    client: PersonaClick,
    sharing: Sharing,
    reading: Reading,
    *,
    mapping: FieldMapping | None,
    options: SyncOptions,
    rejects: Path,
    report: Report,
) -> None:
    """Divide the source into as many parts as the cluster has threads, and sync them there."""
    dask = need("personaclick_async.integrations.dask", extra="dask", purpose="--dask")
    config = client.config
    if config.shop_secret is not None:
        # For a local cluster; that of other machines has its own environment.
        os.environ.setdefault("PERSONACLICK_SHOP_SECRET", config.shop_secret)
    with _cluster(sharing.dask or "") as cluster:
        stderr.print(f"the cluster's dashboard: {cluster.dashboard_link}", highlight=False)
        threads = sum(cluster.nthreads().values())
        parts = parts_of(
            reading.source, threads, mapping, kind=reading.source_kind, layout=reading.layout
        )
        settings = PartSettings(
            shop_id=config.shop_id,
            api_url=config.api_url,
            parts=len(parts),
            folder=(sharing.parts_folder or Path("personaclick-parts")).absolute(),
            options=attrs.evolve(options, rejects=None, journal=None, skip_unchanged=False),
            limits=config.limits,
        )
        await dask.sync_on_dask(cluster, parts, settings, report)
        finish_parts(parts, settings, rejects)


@contextmanager
def _cluster(where: str) -> Iterator[Any]:
    """Return a client of the cluster at an address, or of one that is started for ``local:4``."""
    distributed = need("distributed", extra="dask", purpose="--dask")
    kind, _, count = where.partition(":")
    if kind != _LOCAL:
        try:
            client = distributed.Client(where)
        except (OSError, ValueError):
            raise ConfigurationError("--dask: no scheduler answers at that address") from None
        with client:
            yield client
            return
    if not count.isdecimal() or not int(count):
        raise ConfigurationError("--dask: expected an address such as tcp://host:8786, or local:4")
    with (
        distributed.LocalCluster(
            n_workers=int(count),
            threads_per_worker=1,
            processes=True,
            # Any port: the usual one is the emulator's too.
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
