"""One client lives on any number of event loops, and closes cleanly on each."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from personaclick_async import ClientClosed, NoEventLoop, PersonaClick
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient
from tests.wire.servers import open_sockets


def settings(emulator: Emulator) -> dict[str, Any]:
    return {
        "shop_id": emulator.shop_id,
        "shop_secret": emulator.shop_secret,
        "api_url": emulator.url,
    }


def test_one_client_serves_loops_that_come_and_go(emulator: Emulator) -> None:
    client = PersonaClick(**settings(emulator), cache=None)
    for _ in range(3):
        asyncio.run(client.user(did="device0001").profile.get())
    asyncio.run(client.close())

    assert len(emulator.requests) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        gc.collect()


def test_loops_that_have_ended_are_let_go(emulator: Emulator) -> None:
    client = PersonaClick(**settings(emulator), cache=None)
    loops = []

    async def visit() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.user(did="device0001").profile.get()

    for _ in range(4):
        asyncio.run(visit())
    gc.collect()

    assert [loop() for loop in loops] == [None] * 4
    asyncio.run(client.close())


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of aiohttp and asyncio
@pytest.mark.parametrize("when", ["at rest", "with a read in flight"])
def test_loops_that_are_dropped_without_being_closed_take_their_connections_along(
    emulator: Emulator, when: str
) -> None:
    client = PersonaClick(**settings(emulator), cache=None)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []
    before = open_sockets()

    async def visit() -> None:
        reading = asyncio.create_task(client.user(did="device0001").profile.get())
        if when == "at rest":
            await reading
        while client.transport_stats.requests == len(loops):  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0)

    if when != "at rest":
        emulator.fault(path="/profile", delay=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(20):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(visit())
            loops.append(weakref.ref(loop))
            del loop
        # The server's ends of them close as soon as it sees that; and where its thread collects
        # garbage at the moment, another collection does nothing.
        for _ in range(100):
            gc.collect()
            if open_sockets() <= before and not any(loop() for loop in loops):
                break
            time.sleep(0.02)

    assert [loop() for loop in loops] == [None] * 20
    assert open_sockets() <= before
    asyncio.run(client.close())


def test_a_loop_that_ends_without_closing_the_client_is_told_of(emulator: Emulator) -> None:
    client = PersonaClick(**settings(emulator), cache=None)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.user(did="device0001").profile.get())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loop.close()
        gc.collect()

    ours = [str(one.message) for one in said if "Unclosed" in str(one.message)]
    assert ours == []
    (told,) = [one for one in said if "PersonaClick" in str(one.message)]
    assert told.category is ResourceWarning
    assert "await client.close()" in str(told.message)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_off_a_running_loop_closes_at_once(emulator: Emulator) -> None:
    client = PersonaClick(**settings(emulator), cache=None)

    async def visit() -> int:
        reading = asyncio.create_task(client.user(did="device0001").profile.get())
        await held.arrived()
        child = os.fork()
        if child == 0:
            signal.alarm(5)  # ends a child that waits for the parent's event loop
            try:
                asyncio.run(client.close())
                os._exit(0)
            finally:
                os._exit(1)
        held.release()
        await reading
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(status)

    with emulator.hold("GET", "/profile") as held:
        assert asyncio.run(visit()) == 0
    asyncio.run(client.close())


FORKS_WHILE_CONNECTED = """
import asyncio, os, sys
from personaclick_async import PersonaClick
from personaclick_async.facade import create_personaclick
client = PersonaClick()
personaclick = create_personaclick(client)
async def read():
    await client.user(did="device0001").profile.get(force=True)
if sys.argv[1] == "facade":
    personaclick("profile", "get").result(timeout=10)
else:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(read())
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    if sys.argv[1] != "facade":
        loop.run_until_complete(read())  # over the connection that was open
        loop.run_until_complete(client.close())
        loop.close()
else:
    asyncio.run(read())
    asyncio.run(client.close())
personaclick.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["facade", "loop"])
def test_a_forked_child_ends_without_a_word_about_the_parents_connections(
    emulator: Emulator, how: str
) -> None:
    told = {f"PERSONACLICK_{name.upper()}": value for name, value in settings(emulator).items()}
    # Python itself warns of a fork where there are threads, from 3.12 on.
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS_WHILE_CONNECTED, how],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.init(),
        lambda client: client.user(did="device0001").profile.get(),
        lambda client: client.user(did="device0001").profile.set(age=1),
    ],
)
def test_without_asyncio_the_error_says_what_is_missing(
    emulator: Emulator, ask: Callable[[PersonaClick], Coroutine[Any, Any, object]]
) -> None:
    call = ask(PersonaClick(**settings(emulator)))
    with pytest.raises(NoEventLoop, match="needs asyncio"):
        call.send(None)


def test_one_client_serves_loops_in_many_threads_at_once(emulator: Emulator) -> None:
    client = PersonaClick(**settings(emulator), cache=None)

    async def visit(number: int) -> None:
        user = client.user(external_id=number)
        for _ in range(10):
            await user.profile.set(first_name=f"Visitor {number}")
            assert (await user.profile.get()).first_name == f"Visitor {number}"

    failures: list[BaseException] = []

    def thread(number: int) -> None:
        try:
            asyncio.run(visit(number))
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            failures.append(failure)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    asyncio.run(client.close())

    assert failures == []
    assert len(emulator.requests) == 160


async def test_closing_waits_for_what_is_in_flight(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client()
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(client.user(did="device0001").profile.get())
        await held.arrived()
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
    await closing
    assert read.done()
    await read


async def test_closing_waits_no_longer_than_told(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client()
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(
            client.with_options(retries=0).user(did="device0001").profile.get()
        )
        await held.arrived()
        await client.close(patience=0.05)
        with pytest.raises((ClientClosed, ConnectionError)):
            await read


async def test_a_call_leaves_no_garbage_for_the_collector(
    client: PersonaClick, emulator: Emulator
) -> None:
    async def visit(number: int) -> None:
        user = client.user(did=f"device{number}")
        await user.profile.set(first_name="Ada")
        await user.profile.get()
        await user.orders.last_for_user()

    await visit(0)
    # The emulator's thread makes objects too, so what is counted is ours and what it holds.
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for number in range(1, 20):
            await visit(number)
        gc.collect()
        ours = [one for one in gc.garbage if type(one).__module__.startswith("personaclick_async")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert [type(one).__name__ for one in ours if "emulator" not in type(one).__module__] == []


async def test_use_after_close_is_a_clear_error(client: PersonaClick) -> None:
    await client.user(did="device0001").profile.get()  # a closed client has no cache either
    await client.close()
    await client.close()

    with pytest.raises(ClientClosed, match="was closed"):
        await client.user(did="device0001").profile.get()
    with pytest.raises(ClientClosed):
        await client.init()


async def test_closing_reaches_pools_of_other_running_loops(emulator: Emulator) -> None:
    client = PersonaClick(**settings(emulator))
    visited, closed = threading.Event(), threading.Event()

    async def visit() -> None:
        await client.user(did="device0001").profile.get()
        visited.set()
        await asyncio.to_thread(closed.wait)

    thread = threading.Thread(target=lambda: asyncio.run(visit()))
    thread.start()
    await asyncio.to_thread(visited.wait)
    await client.close()
    closed.set()
    await asyncio.to_thread(thread.join)
