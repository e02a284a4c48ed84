"""Timeouts: the whole time, and the silence, of many requests at once, with one timer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from personaclick_async import PersonaClick, RetryPolicy, TimedOut, Timeouts
from personaclick_async.deadlines import Deadline, Deadlines

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """Run a server that treats each connection as told; gives its address."""
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    finally:
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def a_client(url: str, timeouts: Timeouts) -> PersonaClick:
    return PersonaClick(
        "e0" * 15,
        shop_secret="secret",
        api_url=url,
        timeouts=timeouts,
        retry=RetryPolicy(attempts=1),
    )


async def trickle(writer: asyncio.StreamWriter, body: bytes, *, pause: float, pieces: int) -> None:
    writer.write(HEAD % len(body))
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        writer.write(body[start : start + size])
        await writer.drain()
        await asyncio.sleep(pause)


async def test_an_answer_that_keeps_coming_may_take_longer_than_the_silence_allowed() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await trickle(writer, b'{"gender": "f"}', pause=0.05, pieces=12)

    async with server(slow) as url, a_client(url, Timeouts(read=0.3, total=20)) as client:
        profile = await client.user(did="device0001").profile.get()

    assert profile.gender == "f"


async def test_an_answer_that_falls_silent_times_out() -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % 100 + b"{")
        await asyncio.sleep(60)

    async with server(stuck) as url, a_client(url, Timeouts(read=0.1, total=20)) as client:
        with pytest.raises(TimedOut, match=r"no answer within 0.1 s"):
            await client.user(did="device0001").profile.get()


async def test_an_answer_that_keeps_coming_ends_with_the_whole_time() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await trickle(writer, b" " * 10_000, pause=0.02, pieces=10_000)

    async with server(endless) as url, a_client(url, Timeouts(read=5, total=0.3)) as client:
        with pytest.raises(TimedOut):
            await client.user(did="device0001").profile.get()


async def test_a_large_body_that_keeps_going_out_is_no_silence() -> None:
    async def slow_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        while left:
            left -= len(await reader.read(256 * 1024))
            await asyncio.sleep(0.02)
        body = b'{"status": "success"}'
        writer.write(HEAD % len(body) + body)

    rows = [{"external_id": str(n), "note": "x" * 1000} for n in range(24_000)]
    async with server(slow_reader) as url, a_client(url, Timeouts(read=1, total=60)) as client:
        report = await client.sync_all(rows)

    assert (report.route, report.sent, report.retries) == ("bulk", 24_000, 0)


async def test_each_call_has_its_own_time() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(60)

    ended: list[float] = []
    async with server(never) as url, a_client(url, Timeouts(read=60, total=60)) as client:

        async def call(seconds: float) -> None:
            user = client.with_options(timeout=seconds).user(did=f"device{seconds}")
            with pytest.raises(TimedOut):
                await user.profile.get()
            ended.append(seconds)

        waiting = asyncio.create_task(client.user(did="device0001").profile.get())
        await asyncio.gather(*(call(seconds) for seconds in (0.4, 0.1, 0.3, 0.2)))
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert ended == [0.1, 0.2, 0.3, 0.4]


async def test_who_is_cancelled_in_the_moment_of_the_timeout_is_cancelled() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, 60)

    async def work() -> None:
        with Deadline(deadlines, 0.05):
            # Cancelled in the same turn of the loop in which the deadline passes.
            loop.call_at(loop.time() + 0.05, task.cancel)
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_leaves_no_cancellation_behind() -> None:
    deadlines = Deadlines(asyncio.get_running_loop(), 60)
    task = asyncio.current_task()
    assert task is not None

    for _ in range(3):
        with pytest.raises(TimeoutError), Deadline(deadlines, 0.02):
            await asyncio.sleep(60)
        assert task.cancelling() == 0
    with Deadline(deadlines, 60):
        await asyncio.sleep(0)


async def test_an_error_in_the_last_moment_stays_that_error() -> None:
    deadlines = Deadlines(asyncio.get_running_loop(), 60)
    task = asyncio.current_task()
    assert task is not None

    async def fails_when_cancelled() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LookupError from None

    with pytest.raises(LookupError), Deadline(deadlines, 0.02):
        await fails_when_cancelled()
    assert task.cancelling() == 0


async def test_a_task_that_takes_its_time_to_end_is_cancelled_once() -> None:
    deadlines = Deadlines(asyncio.get_running_loop(), 60)
    task = asyncio.current_task()
    assert task is not None

    async def another() -> None:
        with pytest.raises(TimeoutError), Deadline(deadlines, 0.04):
            await asyncio.sleep(60)

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await looked_at_again

    looked_at_again = asyncio.create_task(another())
    with pytest.raises(TimeoutError), Deadline(deadlines, 0.02):
        await cleans_up()
    assert task.cancelling() == 0
