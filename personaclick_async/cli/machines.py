"""What ``personaclick sync`` does with several machines: shards, a cluster, a shared limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from personaclick_async.cli.options import Reading, Sharing
from personaclick_async.cli.outcome import Output
from personaclick_async.config import DOCUMENTED_LIMITS, UNSET, Config, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.sync import Report, SyncOptions
from personaclick_async.sync.parts import Part, PartSettings, Shard, finish_parts
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


def shared_limit(sharing: Sharing, shop_id: str) -> Any:  # noqa: ANN401 - a SharedLimit, of an extra
    """Return the limit that is shared with other processes; None if there is none."""
    if sharing.shared_limit is None:
        return None
    name = "personaclick_async.integrations.shared_limit"
    module = need(name, extra="shared-limit", purpose="--shared-limit")
    return module.SharedLimit(sharing.shared_limit, shop=shop_id)


async def sync_on_cluster(
    config: Config,
    sharing: Sharing,
    *,
    cut: Callable[[int], list[Part]],
    options: SyncOptions,
    rejects: Path,
    report: Report,
    output: Output,
) -> None:
    """Cut the source into as many parts as the cluster has threads, and sync them there."""
    dask = need("personaclick_async.integrations.dask", extra="dask", purpose="--dask")
    if config.shop_secret is not None:
        # For a local cluster; that of other machines has its own environment.
        os.environ.setdefault("PERSONACLICK_SHOP_SECRET", config.shop_secret)
    with _cluster(sharing.dask or "") as cluster:
        output.note(f"the cluster's dashboard: {cluster.dashboard_link}")
        parts = cut(sum(cluster.nthreads().values()))
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


def _cluster(where: str) -> Any:  # noqa: ANN401 - a client of Dask
    """Return a client of the cluster at an address, or of one that is started for ``local:4``."""
    distributed = need("distributed", extra="dask", purpose="--dask")
    kind, _, count = where.partition(":")
    if kind != _LOCAL:
        try:
            return distributed.Client(where)
        except (OSError, ValueError):
            raise ConfigurationError("--dask: no scheduler answers at that address") from None
    if not count.isdecimal() or not int(count):
        raise ConfigurationError("--dask: expected an address such as tcp://host:8786, or local:4")
    return distributed.Client(
        n_workers=int(count),
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",  # any port: the usual one is the emulator's too
    )
