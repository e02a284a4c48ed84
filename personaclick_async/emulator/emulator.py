"""The emulator: a server in a thread of its own, controlled from any other."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator.admin import Admin
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import Behaviour, EmulatorSettings, expect
from personaclick_async.emulator.state import Store
from personaclick_async.emulator.traffic import Traffic
from personaclick_async.emulator.web import Front, is_loopback
from personaclick_async.models.identity import Identity


def _without_details(record: logging.LogRecord) -> bool:
    """Log only an error's class: its text may quote personal data of a request."""
    kind = record.exc_info[0] if record.exc_info else None
    if kind is not None:
        record.msg = f"{record.msg} ({kind.__name__})"
        record.exc_info = None
    return kind is not ConnectionResetError  # a client that leaves early is no error


_LOGGER: Final = logging.getLogger("personaclick_async.emulator")
_LOGGER.addFilter(_without_details)


class Emulator(Traffic):
    """The PersonaClick service on this machine, with SQLite behind it.

    ::

        with Emulator() as emulator:                 # or: async with
            client = PersonaClick(emulator.shop_id, api_url=emulator.url)

    It runs in a thread and an event loop of its own, so that the application's loop and the
    emulator's never wait for each other. Its methods may be called from any thread and, being
    quick, from any event loop; those that look into the store raise :exc:`RuntimeError` while it
    does not run.

    :param settings: its shop and limits.
    :param behaviour: what it does where no document says what the service does; see
        :class:`Behaviour`, and ``personaclick probe``, which asks the service.
    :param host: the address to listen on; another than a loopback address needs ``allow_public``.
    :param port: the port; 0 finds a free one.
    :param database: a file, which outlives the emulator, or ``:memory:``.
    :param allow_public: whether other machines may reach it. It knows no TLS and keeps no secret.
    :raises ConfigurationError: the host is public and that was not allowed.
    :ivar shop_id: the shop's public key.
    :ivar shop_secret: its secret key.
    """

    _stop: Callable[[], object]
    _applying: asyncio.Task[None]

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        *,
        behaviour: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        database: str | Path = ":memory:",
        allow_public: bool = False,
    ) -> None:
        self.settings = settings or EmulatorSettings()
        super().__init__(keep=self.settings.recorded, seed=self.settings.seed)
        is_safe = allow_public or is_loopback(host)
        expect(is_safe, "host: expected a loopback address, or allow_public=True")
        expect(database, "database: expected a file, or :memory:")
        self.behaviour = behaviour or Behaviour()
        self.shop_id = self.settings.shop_id
        self.shop_secret = self.settings.shop_secret
        self.port = port
        self._host = host
        self._database = database
        known = frozenset({host, *map(str.lower, self.settings.host_names)})
        self._own_names = None if allow_public and not self.settings.host_names else known
        self._thread: threading.Thread | None = None
        self._service: Service | None = None

    # Starting and stopping

    def start(self) -> Self:
        """Start serving; the port is known when this returns.

        :raises OSError: the port is taken.
        :raises sqlite3.Error: the database can't be opened.
        """
        if self._thread is None:
            started: Future[None] = Future()
            run = partial(asyncio.run, self._run(started))
            thread = threading.Thread(target=run, name="personaclick-emulator", daemon=True)
            thread.start()
            started.result(timeout=10)
            self._thread = thread
        return self

    def stop(self) -> None:
        """Stop serving; answers that are held or delayed are dropped. Twice is fine."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    async def _run(self, started: Future[None]) -> None:
        try:
            with closing(Store(self._database, self.lock)) as store:
                await self._serve(store, started)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, store: Store, started: Future[None]) -> None:
        service = Service(self.settings, self.behaviour, store, self)
        front = Front(service, Admin(service).answer, self._own_names)
        server = web.Server(front.handle, access_log=None, logger=_LOGGER)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        self._applying = asyncio.create_task(service.apply_imports())
        try:
            await web.TCPSite(runner, self._host, self.port, backlog=1024).start()
            self.port = runner.addresses[0][1]
            stopping = asyncio.Event()
            self._stop = partial(asyncio.get_running_loop().call_soon_threadsafe, stopping.set)
            self._service = service
            self.add_shop(self.shop_id, self.shop_secret, active=self.settings.active)
            started.set_result(None)
            await stopping.wait()
        finally:
            # First: threads that ask again and again would keep the lock from the server.
            self._service = None
            for held in self.holds.copy():
                held.release()
            await runner.cleanup()
            with self.lock:  # until nobody uses the store
                # What is still queued stays in the database; the next start applies it.
                self._applying.cancel()

    @contextmanager
    def _running(self) -> Iterator[Service]:
        """Yield the running service, with the lock held."""
        with self.lock:
            if self._service is None:
                raise RuntimeError("the emulator is not running")
            yield self._service

    def _rows(self, query: str, *parameters: object) -> list[Any]:
        with self._running() as service:
            return service.store.execute(query, *parameters).fetchall()

    # Its address and credentials

    @property
    def url(self) -> str:
        """The address to give to a client as ``api_url``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/"

    def add_shop(self, shop_id: str, shop_secret: str, *, active: bool = True) -> None:
        """Add another shop, or change one; shops share nothing."""
        self._rows("INSERT OR REPLACE INTO shops VALUES (?, ?, ?)", shop_id, shop_secret, active)

    # Filling the shop

    def add_products(self, products: Iterable[Mapping[str, Any]]) -> int:
        """Add products in the shape of the protocol's section 5.1; return how many.

        Formatted prices, the discount, relative URLs and the like are derived where they are left
        out. A product with a known id replaces the old one.

        :raises ValueError: one has no id, or a price or stock that is no number; none is added.
        """
        return self._load("products", products)

    def add_orders(self, orders: Iterable[Mapping[str, Any]]) -> int:
        """Add orders in the shape of ``sync/orders`` (protocol, 2.8); return how many were taken.

        One without a customer or an id, or with a wrong date or value, is not taken.
        """
        return self._load("orders", orders)

    def add_profiles(self, profiles: Iterable[Mapping[str, Any]]) -> int:
        """Add or update profiles given flat, as ``profile/set`` takes them; return how many.

        :raises ValueError: one names nobody, or a value can't be one of its field; none is added.
        """
        return self._load("profiles", profiles)

    def _load(self, kind: str, items: Iterable[Mapping[str, Any]]) -> int:
        complete = list(items)  # before the lock is held: a generator may be slow
        with self._running() as service:
            return service.load(kind, complete)

    def set_computed(self, *, did: str | None = None, **named: Any) -> None:  # noqa: ANN401 - JSON
        """Set what the real service computes from behaviour.

        Takes one identifier (``did``, ``email``, ``external_id``, …) and blocks by name:
        ``set_computed(external_id="7", income_level="premium", fashion_sizes={"shoe": [38]})``.
        """
        kinds = {kind: named.pop(kind) for kind in names.IDENTIFIERS if kind in named}
        kind, value = Identity.of(did=did, **kinds)
        with self._running() as service, service.store.transaction():
            service.profiles().add({kind: value, **named}, named)

    def declare_property(self, name: str, *, public: bool = True) -> None:
        """Declare a custom property, and whether the frontend may see it."""
        self._rows("INSERT OR REPLACE INTO properties VALUES (?, ?, ?)", self.shop_id, name, public)

    # Imports

    @property
    def ignored_entries(self) -> int:
        """How many entries of imports were ignored, for want of an identifier or a valid value."""
        return sum(self.ignored.values())

    @property
    def ignored(self) -> dict[str, int]:
        """How many entries of imports were ignored, by the reason."""
        return dict(self._rows("SELECT reason, count FROM ignored"))

    def drain(self, timeout: float = 30.0) -> None:
        """Wait until every import that was accepted has been applied.

        :raises TimeoutError: that took longer than ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        while True:
            with self._running() as service:
                if service.store.value("SELECT 1 FROM queue LIMIT 1") is None:
                    return
                if self._applying.done():
                    # It failed; this raises its error.
                    self._applying.result()
            if time.monotonic() > end:
                raise TimeoutError(f"imports were not applied within {timeout:g} s")
            time.sleep(0.005)

    # What is stored

    def profile(self, **identifier: str) -> dict[str, Json]:
        """Return everything stored about one user; takes one identifier or ``did``.

        :raises LookupError: nothing is; :meth:`find_profile` returns None instead.
        """
        found = self.find_profile(**identifier)
        if found is None:
            raise LookupError("the emulator has no such profile")
        return found

    def find_profile(self, **identifier: str) -> dict[str, Json] | None:
        """Return everything stored about one user, or None; takes one identifier or ``did``."""
        with self._running() as service:
            profiles = service.profiles()
            key = profiles.find(*Identity.of(**identifier))
            return None if key is None else profiles.everything(key)

    def profiles(self) -> Iterator[dict[str, Json]]:
        """Return everything stored about every user with an identifier or some field."""
        for (key,) in self._rows("SELECT profile FROM known WHERE shop = ?", self.shop_id):
            with self._running() as service:
                stored = service.profiles().everything(key)
            yield stored

    def count_profiles(self) -> int:
        """Return how many users have an identifier or some field."""
        [(count,)] = self._rows("SELECT profiles FROM counts WHERE shop = ?", self.shop_id)
        return int(count)

    def devices(self) -> list[dict[str, Json]]:
        """Return every device: ``shop_id``, ``did``, ``profile`` (a number), and ``seance``."""
        rows = self._rows("SELECT shop AS shop_id, did, profile, seance FROM devices")
        return [dict(row) for row in rows]

    def suppressed(self) -> list[str]:
        """Return the suppressed e-mail addresses."""
        rows = self._rows("SELECT email FROM suppressed WHERE shop = ?", self.shop_id)
        return [email for (email,) in rows]

    def reset(self) -> None:
        """Delete everything but the shops: also faults, recorded requests and used-up limits."""
        with self._running() as service:
            service.reset()
