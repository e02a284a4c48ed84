"""The emulator: a server in a thread of its own, started and steered from any other."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aiohttp import web

from personaclick_async.codec import Json
from personaclick_async.emulator import catalogue
from personaclick_async.emulator.app import Front
from personaclick_async.emulator.faults import Fault, Held, Trouble
from personaclick_async.emulator.people import People
from personaclick_async.emulator.recording import RecordedRequest, Recorder
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store, StoredProfile
from personaclick_async.errors import ConfigurationError
from personaclick_async.models.identity import Identity
from personaclick_async.protocol import names

T = TypeVar("T")

_AT_ONCE: Final = 500
_START_SECONDS: Final = 10.0


class Emulator:
    """The PersonaClick service on this machine, with SQLite behind it.

    ::

        with Emulator() as emulator:                 # or: async with
            client = PersonaClick(emulator.shop_id, api_url=emulator.url)

    It runs in a thread and an event loop of its own, so that the application's loop and the
    emulator's never wait for each other. Its methods may be called from any thread and, being
    quick, from any event loop.

    :param settings: how it behaves where the real service's ways are unknown.
    :param host: the address to listen on; another than a loopback address needs ``allow_public``.
    :param port: the port; 0 finds a free one.
    :param database: a file, which outlives the emulator, or ``:memory:``.
    :param allow_public: whether other machines may reach it. It knows no TLS and keeps no secret.
    :raises ConfigurationError: the host is public and that was not allowed.
    """

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        database: str | Path = ":memory:",
        allow_public: bool = False,
    ) -> None:
        if not allow_public and not _is_loopback(host):
            raise ConfigurationError("host: expected a loopback address, or allow_public=True")
        self.settings = settings or EmulatorSettings()
        self.port = port
        self._host = host
        self._database = database
        self._local_only = not allow_public
        self._recorder = Recorder(self.settings.recorded)
        self._trouble = Trouble(self.settings.seed)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._idle: asyncio.Event | None = None

    # Starting and stopping

    def start(self) -> Self:
        """Start serving; the port is known when this returns.

        :raises OSError: the port is taken, or the database can't be opened.
        """
        if self._thread is not None:
            return self
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)),
            name="personaclick-emulator",
            daemon=True,
        )
        self._thread.start()
        try:
            started.result(_START_SECONDS)
        except BaseException:
            self._thread = None
            raise
        return self

    def stop(self) -> None:
        """Stop serving; answers that are held or delayed are dropped. Twice is fine."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    async def _serve(self, started: Future[None]) -> None:
        try:
            self._store = Store(self._database)
        except BaseException as error:  # noqa: BLE001 - raised again by start()
            started.set_exception(error)
            return
        self._store.add_shop(
            self.settings.shop_id, self.settings.shop_secret, active=self.settings.active
        )
        self._service = Service(self._store, self.settings)
        front = Front(
            self._service,
            self.settings,
            self._recorder,
            self._trouble,
            local_only=self._local_only,
        )
        runner = web.AppRunner(
            front.application(), access_log=None, handle_signals=False, shutdown_timeout=0.1
        )
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._idle = asyncio.Event()
        applying = asyncio.create_task(self._apply_imports(front.import_came))
        try:
            await runner.setup()
            try:
                site = web.TCPSite(runner, self._host, self.port, backlog=1024)
                await site.start()
            except OSError as error:
                started.set_exception(error)
                return
            self.port = runner.addresses[0][1]
            started.set_result(None)
            await self._stop.wait()
        finally:
            self._trouble.release_all()
            applying.cancel()
            await runner.cleanup()
            await asyncio.gather(applying, return_exceptions=True)
            self._store.close()

    async def _apply_imports(self, came: asyncio.Event) -> None:
        idle = self._idle or asyncio.Event()
        while True:
            came.clear()
            idle.clear()
            while await self._service.apply_queued():
                pass
            idle.set()
            await came.wait()

    def _do(self, work: Callable[[], T]) -> T:
        """Do something in the server's thread, and give its result here."""
        if self._thread is None or self._loop is None:
            raise RuntimeError("the emulator is not running")
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again by the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result()

    # Where it is and who may ask

    @property
    def url(self) -> str:
        """The address to give to a client as ``api_url``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/"

    @property
    def shop_id(self) -> str:
        """The shop's public key."""
        return self.settings.shop_id

    @property
    def shop_secret(self) -> str:
        """The shop's secret key."""
        return self.settings.shop_secret

    def add_shop(self, shop_id: str, shop_secret: str, *, active: bool = True) -> None:
        """Add another shop, or change one; shops share nothing."""
        self._do(lambda: self._store.add_shop(shop_id, shop_secret, active=active))

    # What the shop has

    def add_products(self, products: Iterable[Mapping[str, Any]]) -> int:
        """Add products in the shape of the protocol's section 5.1; gives how many.

        Formatted prices, the discount, relative URLs and the like are derived where they are left
        out. A product with a known id replaces the old one.

        :raises ValueError: a product has no id.
        """
        currency = self.settings.currency
        complete = (catalogue.complete(product, currency) for product in products)
        return self._in_slices(complete, lambda some: self._store.put_products(self.shop_id, some))

    def add_orders(self, orders: Iterable[Mapping[str, Any]]) -> int:
        """Add orders in the shape of ``sync/orders`` (protocol, 2.8); gives how many were taken.

        An order that names nobody, or has no id, is not taken.
        """

        def take(some: list[Mapping[str, Any]]) -> int:
            purchases = self._service.purchases(self.shop_id)
            return sum(purchases.take_in(order) for order in some)

        return self._in_slices(orders, take)

    def add_profiles(self, profiles: Iterable[Mapping[str, Any]]) -> int:
        """Add or update profiles given flat, as ``profile/set`` takes them; gives how many."""

        def put(some: list[Mapping[str, Any]]) -> int:
            people = self._people()
            for profile in some:
                people.update(None, dict(profile))
            return len(some)

        return self._in_slices(profiles, put)

    def set_computed(self, *, did: str | None = None, **named: Any) -> None:  # noqa: ANN401 - JSON
        """Give a user's profile what the real service computes from behaviour.

        Takes one identifier (``did``, ``email``, ``external_id``, …) and blocks by name:
        ``set_computed(external_id="7", income_level="premium", fashion_sizes={"shoe": [38]})``.
        """
        kinds = {kind: named.pop(kind) for kind in names.IDENTIFIERS if kind in named}
        identity = Identity.of(did=did, **kinds)

        def compute() -> None:
            profile = self._found(identity)
            if profile is None:
                people = self._people()
                people.update(None, {identity.kind: identity.value})
                profile = people.known_by({identity.kind: identity.value})
            if profile is not None:
                profile.computed.update(named)
                self._store.save(profile)

        self._do(lambda: self._in_one(compute))

    def declare_property(self, name: str, kind: str = "string", *, public: bool = True) -> None:
        """Declare a custom property, and whether the frontend may see it."""
        self._do(lambda: self._store.declare(self.shop_id, name, kind, public=public))

    # What happened

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that came, in order; the latest ``settings.recorded`` of them."""
        return self._recorder.requests()

    def requests_to(self, path: str) -> list[RecordedRequest]:
        """Give the requests to one path, in order."""
        return self._recorder.requests(path)

    @property
    def counts(self) -> Counter[tuple[str, str, int | None]]:
        """How many requests came, by method, path and status."""
        return self._recorder.counts()

    def clear_requests(self) -> None:
        """Forget the requests and their counts."""
        self._recorder.clear()

    @property
    def ignored_entries(self) -> int:
        """How many entries of imports were ignored, for want of an identifier or a valid value."""
        return self._service.ignored_entries

    def drain(self, timeout: float = 30.0) -> None:
        """Wait until every import that was accepted has been applied.

        :raises TimeoutError: that took longer than ``timeout`` seconds.
        """
        if self._loop is None or self._idle is None:
            raise RuntimeError("the emulator is not running")
        idle = self._idle

        async def applied() -> None:
            while self._store.first_in_queue() is not None:
                idle.clear()
                await idle.wait()

        asyncio.run_coroutine_threadsafe(applied(), self._loop).result(timeout)

    # What is stored

    def profile(self, *, did: str | None = None, **named: str) -> dict[str, Json] | None:
        """Give everything stored about one user, or None; takes one identifier or ``did``."""
        identity = Identity.of(did=did, **named)

        def look() -> dict[str, Json] | None:
            profile = self._found(identity)
            return None if profile is None else self._people().stored(profile)

        return self._do(look)

    def profiles(self) -> Iterator[dict[str, Json]]:
        """Give everything stored about every user who has an identifier or some field."""
        keys = self._do(lambda: list(self._store.profile_keys(self.shop_id)))
        for some in _slices(keys):
            yield from self._do(partial(self._all_stored, some))

    def count_profiles(self) -> int:
        """Give how many users have an identifier or some field."""
        return self._do(lambda: sum(1 for _ in self._store.profile_keys(self.shop_id)))

    def devices(self) -> list[dict[str, Json]]:
        """Give every device with its session and the number of its profile."""
        return self._do(lambda: list(self._store.devices()))

    def suppressed(self) -> list[str]:
        """Give the suppressed e-mail addresses."""
        return self._do(lambda: self._store.suppressed(self.shop_id))

    def reset(self) -> None:
        """Forget everything but the shops, the faults too."""
        self._trouble.clear()
        self._recorder.clear()
        self._do(self._store.clear)

    # What goes wrong

    def fault(
        self,
        *,
        path: str | None = None,
        method: str | None = None,
        probability: float = 1.0,
        times: int | None = None,
        delay: float = 0.0,
        status: int | None = None,
        retry_after: int | None = None,
        error_message: str | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        drop: bool = False,
        truncate: bool = False,
    ) -> Fault:
        """Let something go wrong until the fault is removed, or its ``with`` block is left.

        See :class:`Fault` for what can go wrong. Of several faults the oldest that strikes wins.

        :raises ConfigurationError: the fault contradicts itself, or does nothing.
        """
        return self._trouble.add(
            Fault(
                path=path,
                method=method,
                probability=probability,
                times=times,
                delay=delay,
                status=status,
                retry_after=retry_after,
                error_message=error_message,
                body=body,
                content_type=content_type,
                drop=drop,
                truncate=truncate,
            )
        )

    def clear_faults(self) -> None:
        """Remove every fault."""
        self._trouble.clear()

    def hold(self, method: str, path: str) -> Held:
        """Hold back the answers to such requests until the ``with`` block is left.

        The requests are carried out when they come; ``await held.arrived()`` or ``held.wait()``
        tells when one has.
        """
        return self._trouble.hold(method, path)

    # Helpers; the store is only touched in the server's thread

    def _people(self) -> People:
        return self._service.people(self.shop_id)

    def _found(self, identity: Identity) -> StoredProfile | None:
        if identity.is_device:
            known = self._store.device(self.shop_id, identity.value)
            return None if known is None else self._store.profile(known[0])
        return self._people().known_by({identity.kind: identity.value})

    def _all_stored(self, keys: list[int]) -> list[dict[str, Json]]:
        people = self._people()
        return [people.stored(self._store.profile(key)) for key in keys]

    def _in_one(self, work: Callable[[], T]) -> T:
        with self._store.transaction():
            return work()

    def _in_slices(self, items: Iterable[T], work: Callable[[list[T]], int]) -> int:
        # Slices, so that requests are answered in between.
        total = 0
        for some in _slices(items):
            total += self._do(partial(self._in_one, partial(work, some)))
        return total


def _slices(items: Iterable[T]) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
