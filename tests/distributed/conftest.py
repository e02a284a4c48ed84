"""A Dask cluster of real processes, and an emulator that they reach over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import AF_UNIX, socket
from subprocess import DEVNULL, Popen
from typing import Any

import attrs
import pytest
from distributed import Client, LocalCluster

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.emulator.settings import DEFAULT_SECRET
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.parts import Part, PartSettings, parts_of
from tests.conftest import MakeClient
from tests.sync.support import until

MakeEmulator = Callable[..., Emulator]


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two workers, each a process of its own that is started again when it was killed."""
    with LocalCluster(  # type: ignore[no-untyped-call]  # Dask's own
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",  # None asks for a port that another cluster may have
        # Workers have the secret from their environment.
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

    def settings(self, parts: list[Part], *, limits: Any = None, **options: Any) -> PartSettings:
        """Return settings of parts that are sent to the emulator."""
        return PartSettings(
            shop_id=self.emulator.shop_id,
            api_url=self.emulator.url,
            parts=len(parts),
            folder=self.folder / "state",
            options=SyncOptions(**options),
            limits=limits or {},
        )

    def parts(self, pattern: str, count: int = 4) -> list[Part]:
        """Return the parts of some files."""
        return parts_of(pattern, count)


@pytest.fixture
def site(
    make_client: MakeClient,
    emulator: Emulator,
    dask_client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """A client without a limit of its own, the emulator, the cluster, and a folder."""
    monkeypatch.setenv("PERSONACLICK_SHOP_SECRET", emulator.shop_secret)
    return Site(make_client(limits={}), emulator, dask_client, tmp_path)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """Run a Redis on a socket of its own; gives its address."""
    path = tmp_path / "redis.sock"

    def accepts() -> bool:  # the file is there before Redis listens
        with socket(AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""]
    with Popen(command, stdout=DEVNULL, cwd=tmp_path) as server:
        asyncio.run(until(accepts))
        yield f"unix://{path}"
        server.terminate()
