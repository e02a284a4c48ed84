"""What ``personaclick sync`` does with several machines: shards, a cluster, a shared limit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from personaclick_async.cli.options import Syncing
from personaclick_async.config import DOCUMENTED_LIMITS, UNSET, Config, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.parts import PartSettings, Shard
from personaclick_async.sync.sources.base import need

_LOCAL: Final = "local"


def shard_of(given: Syncing) -> Shard | None:
    """Check the options; return the share that this machine sends, None for the whole source."""
    if given.dask is not None:
        for option in ("shard", "limit", "query", "skip_unchanged"):
            if getattr(given, option):
                name = f"--{option.replace('_', '-')}"
                raise ConfigurationError(f"{name} and --dask: expected one of them, got both")
        if given.source == "-":
            raise ConfigurationError("--dask: expected files, not standard input")
        if not given.dask.startswith(_LOCAL) and given.parts_folder is None:
            raise ConfigurationError(
                "--parts-folder: expected a folder that the cluster's machines and this one share"
            )
    if given.shard_by is not None and given.shard is None:
        raise ConfigurationError("--shard-by: only shards are told apart by an identifier")
    return None if given.shard is None else Shard.parse(given.shard)


def limits_of(given: Syncing, shard: Shard | None) -> Mapping[Family, RateLimit] | Unset:
    """Return the limits of this process: its share of the quota, unless a shared limit keeps it."""
    if shard is None or given.shared_limit is not None:
        return UNSET
    return {family: shard.part_of(limit) for family, limit in DOCUMENTED_LIMITS.items()}


def shared_limit(given: Syncing, shop_id: str) -> Any:  # noqa: ANN401 - a SharedLimit, of an extra
    """Return the limit that is shared with other processes; None if there is none."""
    if given.shared_limit is None:
        return None
    name = "personaclick_async.integrations.shared_limit"
    module = need(name, extra="shared-limit", purpose="--shared-limit")
    if given.dask is None:
        return module.SharedLimit(given.shared_limit, shop=shop_id)
    # Pickled for the workers, who find the address with its password in their environment.
    os.environ[module.VARIABLE] = given.shared_limit
    return module.SharedLimit(shop=shop_id)


def part_settings(given: Syncing, config: Config, options: SyncOptions, parts: int) -> PartSettings:
    """Return the settings of the parts that a cluster syncs."""
    return PartSettings(
        shop_id=config.shop_id,
        api_url=config.api_url,
        parts=parts,
        folder=(given.parts_folder or Path("personaclick-parts")).absolute(),
        options=attrs.evolve(options, rejects=None, journal=None, skip_unchanged=False),
        limits=config.limits,
    )


def cluster_of(given: Syncing, config: Config) -> Any:  # noqa: ANN401 - a client of Dask
    """Return a client of the cluster at ``--dask``; ``local:4`` starts one of four processes."""
    distributed = need("distributed", extra="dask", purpose="--dask")
    if config.shop_secret is not None:
        # For a local cluster; that of other machines has its own environment.
        os.environ["PERSONACLICK_SHOP_SECRET"] = config.shop_secret
    address = given.dask or ""
    kind, _, count = address.partition(":")
    if kind != _LOCAL:
        try:
            cluster = distributed.Client(address)
        except (OSError, ValueError):
            raise ConfigurationError("--dask: no scheduler answers at that address") from None
        if cluster.nthreads():
            return cluster
        cluster.close()
        raise ConfigurationError("--dask: the cluster has no workers")
    if not count.isdecimal() or not int(count):
        raise ConfigurationError("--dask: expected an address such as tcp://host:8786, or local:4")
    return distributed.Client(
        n_workers=int(count),
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",  # any port: the usual one is the emulator's too
    )
