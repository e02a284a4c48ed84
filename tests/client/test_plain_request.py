"""Requests of the client's own sessions are on the wire what aiohttp makes of them itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personaclick_async import PersonaClick, ProfileUpdate, User
from personaclick_async.plain_request import PlainRequest
from tests.wire.servers import answer

SHOP = "e0" * 15
LONG = "x" * 300_000
"""A body that is sent in pieces."""


@attrs.frozen
class Sent:
    """A request as it arrived."""

    line: str
    host_comes_first: bool
    headers: Counter[str]
    body: bytes


class Recorder:
    """A server that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep request after request, and answer each."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *headers = head.decode().strip().split("\r\n")
                fields = dict(header.split(": ", 1) for header in headers)
                body = await reader.readexactly(int(fields.get("Content-Length", 0)))
                is_first = headers[0].startswith("Host: ")
                self.sent.append(Sent(line, is_first, Counter(headers), body))
                says = b'{"status":"success"}' if body else b'{"id": "1"}'
                writer.write(answer(says))
        except asyncio.IncompleteReadError:
            writer.close()


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Recorder, str]]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    async with server:
        yield recorder, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def both_ways(call: Callable[[User], Awaitable[object]], who: dict[str, str]) -> list[Sent]:
    """Make a call with the client's own session, and with one that is aiohttp's all through."""
    async with recording() as (recorder, url), aiohttp.ClientSession() as session:
        for given_session in (None, session):
            async with PersonaClick(
                SHOP, shop_secret="secret", api_url=url, session=given_session
            ) as client:
                await call(client.user(**who))
    return recorder.sent


CALLS: dict[str, Callable[[User], Awaitable[object]]] = {
    "a read": lambda user: user.profile.get(),
    "a set": lambda user: user.profile.set(first_name="Ada", custom={"note": "ü"}),
    "a large set": lambda user: user.profile.set(first_name=LONG),
    "a purge": lambda user: user.profile.purge(),
}


@pytest.mark.parametrize("what", CALLS)
async def test_it_is_the_request_that_aiohttp_would_make(what: str) -> None:
    ours, theirs = await both_ways(CALLS[what], {"external_id": "a b&c=ü"})

    assert ours.host_comes_first
    assert ours == theirs


@settings(max_examples=30, deadline=None)
@given(did=st.text(min_size=1, max_size=20).filter(lambda did: did.strip() and did.isprintable()))
def test_whatever_a_device_is_called(did: str) -> None:
    ours, theirs = asyncio.run(both_ways(lambda user: user.profile.get(), {"did": did}))

    assert ours == theirs


async def test_a_session_behind_a_proxy_is_aiohttps_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with recording() as (proxy, url):
        monkeypatch.setenv("http_proxy", url.replace("//", "//ada:pass@"))
        async with PersonaClick(SHOP, api_url="http://api.shop.example/", trust_env=True) as client:
            await client.user(did="d1").profile.set(ProfileUpdate(first_name="Ada"))
    [sent] = proxy.sent

    assert sent.line.startswith("POST http://api.shop.example/profile/set ")
    assert any(header.startswith("Proxy-Authorization: Basic ") for header in sent.headers)


def test_aiohttp_still_asks_for_what_is_answered_here() -> None:
    here = {name for name in vars(PlainRequest) if name.startswith("update_")}

    assert here
    assert here <= set(vars(aiohttp.ClientRequest))


async def test_what_a_session_of_the_callers_own_accepts_is_the_callers_choice() -> None:
    async with (
        recording() as (recorder, url),
        aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}) as session,
        PersonaClick(SHOP, api_url=url, session=session) as client,
    ):
        await client.user(did="d1").profile.get()
    [sent] = recorder.sent

    assert sent.headers["Accept-Encoding: identity"] == 1
