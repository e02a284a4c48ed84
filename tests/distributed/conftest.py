"""A Dask cluster of real processes, and an emulator that they reach over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
from distributed import Client, LocalCluster

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.emulator.settings import DEFAULT_SECRET
from personaclick_async.integrations.dask import DaskPartitions
from personaclick_async.sync import Sync, SyncOptions
from tests.conftest import MakeClient

MakeEmulator = Callable[..., Emulator]


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two workers, each a process of its own that is started again when it was killed."""
    with LocalCluster(  # type: ignore[no-untyped-call]  # Dask's own
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",  # None asks for a port that another cluster may have
        # Workers that send have the secret from their environment.
        env={"PERSONACLICK_SHOP_SECRET": DEFAULT_SECRET},
    ) as cluster:
        yield cluster


@pytest.fixture
def dask_client(cluster: LocalCluster) -> Iterator[Client]:
    """A blocking client of the cluster."""
    with Client(cluster) as client:  # type: ignore[no-untyped-call]  # Dask's own
        client.wait_for_workers(2)
        yield client


@pytest.fixture
def make_emulator() -> Iterator[MakeEmulator]:
    """Start emulators with settings; stopped when the test ends."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(Emulator(EmulatorSettings(**settings)))


@pytest.fixture
def emulator(make_emulator: MakeEmulator) -> Emulator:
    """An emulator that does not limit imports: most tests are about something else."""
    return make_emulator(import_limit=None)


@attrs.frozen
class Site:
    """Where a test's sync takes place.

    :ivar folder: a folder of the test's own, which the workers see too.
    """

    client: PersonaClick
    emulator: Emulator
    dask: Client
    folder: Path

    @property
    def spool(self) -> Path:
        """The folder that workers and the sender share."""
        return self.folder / "spool"

    @property
    def journal(self) -> Path:
        """The sender's journal."""
        return self.folder / "sync.journal"

    def left(self) -> list[Path]:
        """Give what is left in the spool."""
        return list(self.spool.iterdir())

    def source(self, source: Any, **options: Any) -> DaskPartitions:
        """Have partitions prepared, with short chunks."""
        options = {"spool": self.spool, "max_chunk_bytes": 20_000, **options}
        return DaskPartitions(options.pop("dask", self.dask), source, **options)

    def sync(self, source: DaskPartitions, **options: Any) -> Sync:
        """Deliver them."""
        return self.client.sync(source, options=SyncOptions(**options))


@pytest.fixture
def site(make_client: MakeClient, emulator: Emulator, dask_client: Client, tmp_path: Path) -> Site:
    """A client without a limit of its own, the emulator, the cluster, and a folder."""
    return Site(make_client(limits={}), emulator, dask_client, tmp_path)
