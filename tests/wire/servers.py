"""Servers that misbehave as told, and a count of what a client leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Serve: TypeAlias = Callable[[Reader, Writer], Awaitable[None]]

GOOD = b'{"id": "1", "gender": "f"}'


def answer(body: bytes = GOOD, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Give a whole answer, with its length."""
    lines = (b"HTTP/1.1 " + status, b"Content-Type: application/json", *headers)
    return b"\r\n".join((*lines, b"Content-Length: %d" % len(body), b"", body))


async def head_of(reader: Reader) -> bytes:
    """Read a request without a body."""
    return await reader.readuntil(b"\r\n\r\n")


def says(*pieces: bytes, then_wait: bool = False) -> Serve:
    """Read a request, write pieces, and close the connection, or leave it open and silent."""

    async def serve(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_wait:
            await asyncio.sleep(60)

    return serve


async def says_nothing(reader: Reader, _: Writer) -> None:
    """Accept, read, and never answer."""
    await reader.read(1)
    await asyncio.sleep(60)


async def resets(reader: Reader, writer: Writer) -> None:
    """Reset the connection in place of an answer."""
    await head_of(reader)
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def never_ends(reader: Reader, writer: Writer) -> None:
    """Write a body that has no end."""
    await head_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def behaves(reader: Reader, writer: Writer) -> None:
    """Answer every request of a connection as the service would."""
    while True:
        await head_of(reader)
        writer.write(answer())
        await writer.drain()


class Wire:
    """A server whose first connections misbehave; all later ones behave.

    :ivar connections: how many there were.
    """

    def __init__(self, *faults: Serve) -> None:
        self.connections = 0
        self.url = ""
        self._faults = deque(faults)
        self._open: set[asyncio.Task[None]] = set()

    async def accept(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        serve = self._faults.popleft() if self._faults else behaves
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client has gone, or the test is over.
            return
        finally:
            writer.close()
            self._open.discard(task)

    async def close(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def wire(*faults: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve on a free port of this machine."""
    served = Wire(*faults)
    server = await asyncio.start_server(served.accept, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    served.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield served
    finally:
        server.close()
        await served.close()


def open_descriptors() -> int:
    """Count the open file descriptors of this process."""
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


def open_sockets() -> int:
    """Count the open sockets of this process."""
    count = 0
    for descriptor in Path(f"/proc/{os.getpid()}/fd").iterdir():
        try:
            count += str(descriptor.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


@asynccontextmanager
async def nothing_left_behind() -> AsyncIterator[None]:
    """Check that a block leaves no descriptor and no task behind, once the loop has had a turn."""
    gc.collect()
    descriptors, tasks = open_descriptors(), asyncio.all_tasks()
    yield
    for _ in range(100):
        gc.collect()
        if open_descriptors() <= descriptors and asyncio.all_tasks() <= tasks:
            return
        await asyncio.sleep(0.02)
    assert open_descriptors() <= descriptors
    assert asyncio.all_tasks() <= tasks
