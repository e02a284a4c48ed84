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

from personaclick_async.emulator.faults import Faults
from personaclick_async.emulator.recording import Recorder
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.settings import Behaviour, EmulatorSettings
from personaclick_async.emulator.store import Store
from personaclick_async.emulator.web import Front

T = TypeVar("T")

_START_SECONDS: Final = 10.0
_SHUTDOWN_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.005
NOT_RUNNING: Final = "the emulator is not running"


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
    """A server in a thread of its own; it serves as soon as it is made, until :meth:`stop`.

    :raises OSError: the port is taken.
    :raises sqlite3.Error: the database can't be opened.
    """

    port: int
    service: Service
    front: Front
    _loop: asyncio.AbstractEventLoop
    _stop: asyncio.Event
    _applying: asyncio.Task[None]

    def __init__(
        self,
        settings: EmulatorSettings,
        behaviour: Behaviour,
        recorder: Recorder,
        faults: Faults,
        *,
        host: str,
        port: int,
        database: str | Path,
        local_only: bool,
    ) -> None:
        self._lock = threading.Lock()
        self._is_over = False
        started: Future[None] = Future()

        async def run() -> None:
            try:
                store = Store(database)
                try:
                    self.service = Service(store, settings, behaviour)
                    self.service.add_shop(
                        settings.shop_id, settings.shop_secret, active=settings.active
                    )
                    self.front = Front(self.service, recorder, faults, local_only=local_only)
                    await self._serve(started, host, port, faults)
                finally:
                    with self._lock:
                        self._is_over = True
                    for _ in range(3):
                        # What was asked before is answered: its task is made, and runs.
                        await asyncio.sleep(0)
                    store.close()
            except BaseException as error:
                if started.done():
                    raise
                started.set_exception(error)

        self._thread = threading.Thread(
            target=lambda: asyncio.run(run()), name="personaclick-emulator", daemon=True
        )
        self._thread.start()
        started.result(_START_SECONDS)

    async def _serve(self, started: Future[None], host: str, port: int, faults: Faults) -> None:
        runner = web.AppRunner(
            self.front.application(),
            access_log=None,
            handle_signals=False,
            logger=_LOGGER,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
            self.port = runner.addresses[0][1]
            self._applying = asyncio.create_task(self.service.apply_imports())
            started.set_result(None)
            await self._stop.wait()
            self._applying.cancel()
            await asyncio.gather(self._applying, return_exceptions=True)
        finally:
            faults.release_all()
            await runner.cleanup()

    def stop(self) -> None:
        """Stop serving, and wait for the thread's end."""
        with self._lock:
            if not self._is_over:
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def do(self, work: Callable[[Service], T]) -> T:
        """Do something in the server's thread, and return its result here.

        :raises RuntimeError: the emulator is not running.
        """

        async def done() -> T:
            return work(self.service)

        return self._wait(done(), None)

    def drain(self, timeout: float) -> None:
        """Wait until every import that was accepted has been applied.

        :raises TimeoutError: that took longer than ``timeout`` seconds.
        :raises RuntimeError: the emulator is not running, or stopped meanwhile.
        """

        async def applied() -> None:
            while self.service.is_importing:
                if self._applying.done():
                    # Nobody applies them any more; this says why.
                    self._applying.result()
                await asyncio.sleep(_LOOK_SECONDS)

        try:
            self._wait(applied(), timeout)
        except TimeoutError:
            raise TimeoutError(f"imports were not applied within {timeout:g} s") from None

    def _wait(self, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        with self._lock:
            if self._is_over:
                work.close()
                raise RuntimeError(NOT_RUNNING)
            waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result(timeout)
        except CancelledError:
            raise RuntimeError(NOT_RUNNING) from None
        finally:
            waiting.cancel()
