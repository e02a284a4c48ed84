"""One run of the emulator: a thread with an event loop, and a store that no other one touches."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web

from personaclick_async.emulator.admin import Admin, Watched
from personaclick_async.emulator.behaviour import Behaviour
from personaclick_async.emulator.faults import Faults
from personaclick_async.emulator.imports import Loader
from personaclick_async.emulator.recording import Recorder
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store
from personaclick_async.emulator.web import Front

T = TypeVar("T")

_START_SECONDS: Final = 10.0
_SHUTDOWN_SECONDS: Final = 0.1
_NOT_RUNNING: Final = "the emulator is not running"


class _OnlyKinds(logging.Filter):
    """Keeps the kind of an error: what the server could not read may hold personal data."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0] is not None:
            record.msg = f"{record.msg} ({record.exc_info[0].__name__})"
            record.exc_info = None
        return True


_LOGGER: Final = logging.getLogger("personaclick_async.emulator")
_LOGGER.addFilter(_OnlyKinds())


class Server:
    """A server in a thread of its own; started by :meth:`start`, ended by :meth:`stop`."""

    port: int
    store: Store
    service: Service
    loader: Loader
    _loop: asyncio.AbstractEventLoop
    _stop: asyncio.Event
    _idle: asyncio.Event
    _front: Front
    _applying: asyncio.Task[None]

    def __init__(
        self, settings: EmulatorSettings, behaviour: Behaviour, recorder: Recorder, faults: Faults
    ) -> None:
        self._settings = settings
        self._behaviour = behaviour
        self._recorder = recorder
        self._faults = faults
        self._lock = threading.Lock()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int, database: str | Path, *, local_only: bool) -> None:
        """Start serving, in a thread; the port is known when this returns.

        :raises OSError: the port is taken.
        :raises sqlite3.Error: the database can't be opened.
        """
        started: Future[None] = Future()

        async def run() -> None:
            try:
                await self._serve(started, host, port, database, local_only=local_only)
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

        self._thread = threading.Thread(
            target=lambda: asyncio.run(run()), name="personaclick-emulator", daemon=True
        )
        self._thread.start()
        started.result(_START_SECONDS)

    def stop(self) -> None:
        """Stop serving, and wait for the thread's end."""
        with self._lock:
            if not self._is_over:
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    async def _serve(
        self, started: Future[None], host: str, port: int, database: str | Path, *, local_only: bool
    ) -> None:
        settings, behaviour = self._settings, self._behaviour
        self.store = Store(database)
        try:
            self.store.add_shop(settings.shop_id, settings.shop_secret, active=settings.active)
            self.service = Service(self.store, settings, behaviour)
            self.loader = Loader(self.store, behaviour, settings.shop_id, settings.currency)
            watched = Watched(self._recorder, self._faults, self.reset)
            admin = Admin(self.store, self.service, self.loader, settings, watched)
            self._front = Front(
                self.service, admin, settings, behaviour, watched, local_only=local_only
            )
            runner = web.AppRunner(
                self._front.application(),
                access_log=None,
                handle_signals=False,
                logger=_LOGGER,
                shutdown_timeout=_SHUTDOWN_SECONDS,
            )
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            self._idle = asyncio.Event()
            await runner.setup()
            try:
                await web.TCPSite(runner, host, port, backlog=1024).start()
                self.port = runner.addresses[0][1]
                self._applying = asyncio.create_task(self._apply_imports())
                # Callers of drain() must be told if the imports are not applied any more.
                self._applying.add_done_callback(lambda _: self._idle.set())
                started.set_result(None)
                await self._stop.wait()
                self._applying.cancel()
                await asyncio.gather(self._applying, return_exceptions=True)
            finally:
                self._faults.release_all()
                await runner.cleanup()
        finally:
            with self._lock:
                self._is_over = True
            for _ in range(3):
                # What was asked before is answered: its task is made, and runs.
                await asyncio.sleep(0)
            self.store.close()

    async def _apply_imports(self) -> None:
        came = self.service.imports.came
        while True:
            came.clear()
            while await self.service.imports.apply_next():
                pass
            self._idle.set()
            await came.wait()

    def do(self, work: Callable[[], T]) -> T:
        """Do something in the server's thread, and return its result here.

        :raises RuntimeError: the emulator is not running.
        """

        async def done() -> T:
            return work()

        return self._wait(done(), None)

    def drain(self, timeout: float) -> None:
        """Wait until every import that was accepted has been applied.

        :raises TimeoutError: that took longer than ``timeout`` seconds.
        :raises RuntimeError: the emulator is not running, or stopped meanwhile.
        """
        try:
            self._wait(self._applied(), timeout)
        except TimeoutError:
            raise TimeoutError(f"imports were not applied within {timeout:g} s") from None

    def _wait(self, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        with self._lock:
            if self._is_over:
                work.close()
                raise RuntimeError(_NOT_RUNNING)
            waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result(timeout)
        except CancelledError:
            raise RuntimeError(_NOT_RUNNING) from None
        finally:
            waiting.cancel()

    async def _applied(self) -> None:
        while self.store.first_number_in_queue() is not None:
            if self._applying.done():
                self._applying.result()
            self._idle.clear()
            await self._idle.wait()

    def reset(self) -> None:
        """Delete everything but the shops: faults, recorded requests and used-up limits too."""
        self._faults.clear()
        self._recorder.clear()
        self.store.clear()
        self._front.forget()
