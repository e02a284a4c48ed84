"""Ended early at any point, a sync stops cleanly, and what it did is written down."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.sync import FaultyRow, Result, SyncRefused, SyncStopped, engine
from tests.conftest import MakeClient
from tests.sync.support import (
    PATHS,
    SET,
    Rejects,
    expected,
    people,
    results_of,
    source_of,
    start,
    stored,
    until,
)


@pytest.mark.parametrize("route", PATHS)
async def test_cancelled_again_and_again(
    make_client: MakeClient, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    client = make_client(limits={})
    rows = people(60, versions=3)
    path = PATHS[route]
    options = {**quick, "route": route, "journal": journal}
    for turn in range(12):
        emulator.fault(path=path, delay=0.01)
        sync = start(client, source_of(rows), **options)
        running = asyncio.create_task(sync.run())
        await until(lambda: running.done() or len(emulator.requests_to(path)) > turn * 4)  # noqa: B023
        await asyncio.sleep(0.003 * (turn % 4))
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            assert sync.report.ended_at is not None
        emulator.clear_faults()
    report = await start(client, source_of(rows), **options).run()

    assert (report.read, report.sent) == (180, 180)
    assert stored(emulator) == expected(rows)
    if route == "per-profile":
        # Those under way were waited for: nothing was sent twice.
        assert len(emulator.requests_to(SET)) == len(rows)


async def test_given_up_while_it_opens_its_journal_it_does_not_keep_it_locked(
    make_client: MakeClient, journal: Path
) -> None:
    client = make_client(limits={})
    for turn in range(10):
        path = journal.with_name(f"{turn}.db")
        sync = start(client, people(3), journal=path)
        running = asyncio.create_task(sync.run())
        while sync.report.total is None or not path.exists():  # noqa: ASYNC110 - at once
            await asyncio.sleep(0)
        # The second time it does not wait for what it has begun.
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await until(lambda: "personaclick-sync-read" not in {t.name for t in threading.enumerate()})
        assert (await start(client, people(3), journal=path).run()).sent == 3


async def test_cancelled_again_while_it_ends_it_leaves_no_thread_and_no_task(
    make_client: MakeClient, journal: Path
) -> None:
    async def rows() -> AsyncIterator[Any]:
        for row in people(200):
            yield row
            await asyncio.sleep(0)

    client = make_client(limits={})
    for steps in range(8):
        path = journal.with_name(f"{steps}.db")
        sync = start(client, rows(), journal=path, route="per-profile", chunk_rows=5)
        running = asyncio.create_task(sync.run())
        await until(lambda: sync.report.sent > 0)  # noqa: B023
        running.cancel()
        while sync.report.ended_at is None:  # noqa: ASYNC110 - at once
            await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}
    await until(lambda: not any("personaclick-sync" in one.name for one in threading.enumerate()))


async def test_cancelled_twice_it_leaves_no_error_of_its_source_behind(
    client: PersonaClick,
) -> None:
    async def rows() -> AsyncIterator[Any]:
        yield {"email": "ada@shop.example"}
        await asyncio.Event().wait()

    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    sync = start(client, rows(), route="per-profile")
    running = asyncio.create_task(results_of(sync))
    await until(lambda: sync.report.sent == 1)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(lambda: "personaclick-sync-read" not in {t.name for t in threading.enumerate()})
    await asyncio.sleep(0)  # until the thread's last result is here
    gc.collect()
    assert said == []


@pytest.mark.parametrize("route", PATHS)
async def test_cancelled_before_it_came_to_anything_it_is_not_taken_for_finished(
    make_client: MakeClient, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    client = make_client(limits={})
    rows = people(60, versions=3)
    options = {**quick, "route": route, "journal": journal}
    settled = 0
    for steps in range(40):
        running = asyncio.create_task(start(client, source_of(rows), **options).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        short = start(client, source_of(rows), **options)
        async with short:
            async for _ in short:
                break
        assert short.report.earlier >= settled
        settled = short.report.settled
        if settled > 100:
            break
    report = await start(client, source_of(rows), **options).run()
    assert report.earlier == settled
    assert stored(emulator) == expected(rows)


@pytest.mark.parametrize("route", PATHS)
async def test_what_is_in_flight_is_waited_for_and_nothing_else_is_sent(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any], route: str
) -> None:
    path = PATHS[route]
    rows = people(200)
    sync = start(client, source_of(rows), route=route, journal=journal, **quick)
    under_way = quick["concurrency"] if route == "per-profile" else 1
    with emulator.hold("POST", path) as held:
        running = asyncio.create_task(sync.run())
        await held.arrived(under_way)
        running.cancel()
        await asyncio.sleep(0.05)
        assert not running.done()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert len(emulator.requests_to(path)) == under_way
    assert sync.report.sent >= under_way
    report = await start(client, source_of(rows), route=route, journal=journal, **quick).run()
    assert report.earlier == sync.report.sent


async def test_a_break_ends_it_too(
    client: PersonaClick, emulator: Emulator, journal: Path, quick: dict[str, Any]
) -> None:
    sync = start(client, source_of(people(200)), journal=journal, **quick)
    async with sync:
        async for _ in sync:
            break
    sent = len(emulator.requests_to(SET))
    assert sync.report.ended_at is not None
    assert sync.report.sent == sent < 200
    await asyncio.sleep(0.02)
    assert len(emulator.requests_to(SET)) == sent


async def test_a_wait_ends_at_once(
    client: PersonaClick, emulator: Emulator, quick: dict[str, Any]
) -> None:
    emulator.fault(path=SET, status=429, retry_after=3000)
    sync = start(client, people(10), **quick)
    running = asyncio.create_task(sync.run())
    await until(lambda: sync.report.waiting is not None)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sync.report.waiting is None


async def test_a_source_that_never_gives_anything_can_be_left(
    client: PersonaClick, quick: dict[str, Any]
) -> None:
    never = asyncio.Event()

    async def silent() -> Any:
        yield {"email": "ada@shop.example"}
        await never.wait()

    sync = start(client, silent(), **{**quick, "route": "per-profile"})
    running = asyncio.create_task(results_of(sync))
    await until(lambda: sync.report.sent > 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sync.report.sent == 1


@pytest.mark.parametrize("route", PATHS)
async def test_stopped_by_another_task_its_iteration_ends(
    make_client: MakeClient, emulator: Emulator, quick: dict[str, Any], route: str
) -> None:
    sync = start(make_client(limits={}), people(500), **{**quick, "route": route})
    emulator.fault(path=PATHS[route], delay=0.01)
    running = asyncio.create_task(sync.run())
    await until(lambda: len(emulator.requests_to(PATHS[route])) > 2)

    async with asyncio.timeout(10):
        await sync.stop()
        report = await running

    assert report is sync.report
    assert report.ended_at is not None
    assert report.sent < 500


async def test_stopped_when_its_source_has_failed_it_says_so(client: PersonaClick) -> None:
    loop = asyncio.get_running_loop()

    def breaks() -> Iterator[Any]:
        yield from people(12)
        loop.call_soon_threadsafe(stop, (raised := threading.Event()))
        try:
            raise OSError("the tape is torn")
        finally:
            raised.set()

    def stop(raised: threading.Event) -> None:
        # The event loop hears of both at once.
        raised.wait()
        time.sleep(0.1)
        stopping.append(loop.create_task(sync.stop()))

    stopping: list[asyncio.Task[None]] = []
    sync = start(client, breaks(), route="per-profile", chunk_rows=4)
    with pytest.raises(OSError, match="the tape is torn"):
        await sync.run()
    await asyncio.gather(*stopping)


async def test_who_runs_a_sync_that_is_iterated_takes_nothing_from_it(client: PersonaClick) -> None:
    sync = client.sync([{"external_id": str(n), "first_name": "Ada"} for n in range(500)])
    seen: list[Result] = []
    async for result in sync:
        if not seen:
            with pytest.raises(SyncRefused, match="iterated before"):
                await sync.run()
        seen.append(result)
    assert len(seen) == 500


async def test_a_sync_is_iterated_once(client: PersonaClick) -> None:
    sync = start(client, people(3))
    await sync.run()
    with pytest.raises(SyncRefused, match="iterated before"):
        await sync.run()


async def test_a_sync_that_was_never_begun_can_be_left(client: PersonaClick) -> None:
    async with start(client, people(3)) as sync:
        pass
    assert sync.report.read == 0


async def test_a_closed_client_ends_it(
    make_client: MakeClient, emulator: Emulator, quick: dict[str, Any]
) -> None:
    client = make_client()
    await client.close()
    with pytest.raises(SyncStopped, match="nothing can be delivered: this client was closed"):
        await start(client, people(3), **quick).run()


class Stuck(Rejects):
    """A sink whose disk does not answer for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.goes_on = threading.Event(), threading.Event()

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        self.is_asked.set()
        self.goes_on.wait()
        super().append(rows)


async def test_cut_off_while_a_slow_disk_writes_it_ends_when_that_is_done(
    client: PersonaClick, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_GRACE_SECONDS", 0.1)
    rejects, sends_first, sends_second = Stuck(), threading.Event(), asyncio.Event()

    def rows() -> Iterator[Any]:
        yield from people(2)
        sends_first.wait()
        yield {"email": "nobody"}

    class Limited:
        async def wait_needed(self) -> float:
            if sends_first.is_set():
                sends_second.set()
                await asyncio.Event().wait()
            sends_first.set()
            await until(rejects.is_asked.is_set)
            return 0.0

    options = {"route": "per-profile", "chunk_rows": 2, "concurrency": 1, "rejects": rejects}
    sync = start(client, rows(), limit=Limited(), **options)
    running = asyncio.create_task(sync.run())
    await sends_second.wait()
    # One record is delivered and not counted yet, for the disk is busy with a rejected one.
    stopping = asyncio.create_task(sync.stop())
    await asyncio.sleep(0.3)
    rejects.goes_on.set()
    async with asyncio.timeout(10):
        await stopping
    await asyncio.gather(running, return_exceptions=True)
    assert sync.report.sent == len(emulator.requests_to(SET)) == 1
