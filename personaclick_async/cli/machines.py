"""What ``personaclick sync`` does with several machines: shards, a cluster, a shared limit."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

import attrs

from personaclick_async.cli.outcome import stderr
from personaclick_async.client import PersonaClick
from personaclick_async.config import DOCUMENTED_LIMITS, UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.sync import Report, SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.parts import PartSettings, finish_parts, parts_of
from personaclick_async.sync.shards import Shard, ShardOf
from personaclick_async.sync.sources import Layout, SourceKind, TableSource

_LOCAL: Final = "local"


@attrs.frozen(kw_only=True)
class Machines:
    """What the command line says about several machines."""

    shard: Shard | None
    by: str | None
    dask: str | None
    parts_folder: Path | None
    limit_url: str | None = attrs.field(repr=False)

    @classmethod
    def parse(
        cls,
        *,
        shard: str | None,
        by: str | None,
        dask: str | None,
        parts_folder: Path | None,
        limit_url: str | None,
    ) -> Self:
        """Read the options.

        :raises ConfigurationError: they don't go together.
        """
        if shard is not None and dask is not None:
            raise ConfigurationError("--shard and --dask: expected one of them, got both")
        if by is not None and shard is None:
            raise ConfigurationError("--shard-by: only shards are told apart by an identifier")
        if dask is not None and not dask.startswith(_LOCAL) and parts_folder is None:
            raise ConfigurationError(
                "--parts-folder: expected a folder that the cluster's machines and this one share"
            )
        parsed = None if shard is None else Shard.parse(shard)
        return cls(shard=parsed, by=by, dask=dask, parts_folder=parts_folder, limit_url=limit_url)

    def share_of(self, source: TableSource) -> TableSource:
        """Return the share that is to be sent: all of it unless there are shards."""
        return source if self.shard is None else ShardOf(source, self.shard, by=self.by)

    @property
    def limits(self) -> Mapping[Family, RateLimit] | Unset:
        """The limits of this process: its part of the quota, if nobody keeps it for all."""
        if self.shard is None or self.limit_url is not None:
            return UNSET
        part_of = self.shard.part_of
        return {family: part_of(limit) for family, limit in DOCUMENTED_LIMITS.items()}

    @property
    def uses_cluster(self) -> bool:
        """Whether a cluster's workers send."""
        return self.dask is not None

    async def sync_on_cluster(
        self,
        client: PersonaClick,
        where: str,
        mapping: FieldMapping | None,
        *,
        kind: SourceKind | None,
        layout: Layout,
        options: SyncOptions,
        rejects: Path,
        report: Report,
    ) -> None:
        """Divide the source into as many parts as the cluster has threads, and sync them there."""
        distributed: Any = _need("distributed", "dask")
        sync_on_dask = _need("personaclick_async.integrations.dask", "dask").sync_on_dask
        config = client.config
        if config.shop_secret is not None:
            # For a local cluster; that of other machines has its own environment.
            os.environ.setdefault("PERSONACLICK_SHOP_SECRET", config.shop_secret)
        with _cluster(distributed, self.dask or "") as on:
            stderr.print(f"the cluster's dashboard: {on.dashboard_link}", highlight=False)
            parts = parts_of(where, sum(on.nthreads().values()), mapping, kind=kind, layout=layout)
            settings = PartSettings(
                shop_id=config.shop_id,
                api_url=config.api_url,
                parts=len(parts),
                folder=(self.parts_folder or Path("personaclick-parts")).absolute(),
                options=attrs.evolve(options, rejects=None, journal=None, skip_unchanged=False),
                limits=config.limits,
            )
            await sync_on_dask(on, parts, settings, report)
            finish_parts(parts, settings, rejects)

    @asynccontextmanager
    async def shared(self, options: SyncOptions, shop_id: str) -> AsyncIterator[SyncOptions]:
        """Return the options with the limit that is shared, if one is."""
        if self.limit_url is None:
            yield options
            return
        module = _need("personaclick_async.integrations.shared_limit", "shared-limit")
        async with module.SharedLimit(self.limit_url, shop=shop_id) as limit:
            yield attrs.evolve(options, limit=limit)


def _need(module: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"another package is needed: pip install 'personaclick-async[{extra}]'"
        ) from None


@contextmanager
def _cluster(distributed: Any, where: str) -> Iterator[Any]:  # noqa: ANN401 - Dask has few types
    """Return a client of the cluster at an address, or of one that is started for ``local:4``."""
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
