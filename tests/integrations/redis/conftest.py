"""A Redis server of the test's own, and clients on it that are as separate as processes."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from redis import Redis
from redis.exceptions import RedisError

from personaclick_async import PersonaClick, User
from personaclick_async.cache import CacheStats
from personaclick_async.emulator import Emulator
from personaclick_async.integrations.redis import RedisStore
from tests.conftest import MakeClient

PATIENCE = 10.0


class RedisServer:
    """A server without persistence, on a free port, in a folder that is removed with it."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="personaclick-redis-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", self._folder.name),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask(lambda redis: redis.ping())
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        self._folder.cleanup()

    def ask(self, exchange: Callable[[Redis], Any]) -> Any:
        """Look into the server, as nobody of the SDK does it."""
        with Redis(port=self.port, decode_responses=True) as redis:
            return exchange(redis)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A started server."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("this machine has no redis-server")
    server = RedisServer(program)
    server.start()
    yield server
    server.remove()


@attrs.frozen
class Peer:
    """A client with a store of its own: as separate from the others as another process."""

    client: PersonaClick
    store: RedisStore

    def user(self, did: str = "device0001") -> User:
        return self.client.user(did=did)

    @property
    def stats(self) -> CacheStats:
        return self.client.cache_stats


MakePeer = Callable[..., Peer]


@pytest.fixture
def make_peer(redis_server: RedisServer, make_client: MakeClient) -> MakePeer:
    """Make peers on one Redis server; ``settings`` are the store's."""

    def make(*, settings: dict[str, Any] | None = None, **of_client: Any) -> Peer:
        # Much time where time is not what is tested: the machine may be busy.
        usual: dict[str, Any] = {"timeout": 5.0, "rest": 0.05, "memory_ttl": 0}
        store = RedisStore(redis_server.url, **{**usual, **(settings or {})})
        return Peer(make_client(store=store, **of_client), store)

    return make


async def until(happens: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not (await said if inspect.isawaitable(said := happens()) else said):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def colour(user: User, *, force: bool = False) -> object:
    """Read the property by which the tests tell an old profile from a new one."""
    return (await user.profile.get(force=force)).custom_properties.get("colour")


async def turns(user: User, new: str) -> None:
    """Wait until a user's profile has the colour."""

    async def has() -> bool:
        return await colour(user) == new

    await until(has)


def reads(emulator: Emulator) -> int:
    """Count the requests that read a profile."""
    return len(emulator.requests_to("/profile"))
