"""An answer that nobody asked for never becomes the answer to another user's call."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from personaclick_async import CleanConnector, PersonaClick, PersonaClickError, RetryPolicy
from personaclick_async.sync import SyncOptions
from tests.wire.servers import Reader, Writer, answer, nothing_left_behind, wire
from tests.wire.test_answers import make_certificate, needs_openssl

LATER = 0.02


class Echo:
    """Answers each request with the user that it is about, and writes strays as told.

    :ivar stray: makes the stray of the answer that was given.
    :ivar at_once: whether it follows the answer in the same write.
    :ivar strays: how many were written.
    :ivar crossed: requests that arrived on a connection after a stray had been written there. The
        client sent them before it could have seen it, and HTTP/1.1 can't tell what answers them.
    """

    def __init__(
        self,
        stray: Callable[[bytes], bytes],
        *,
        at_once: bool = False,
        share: float = 1.0,
        later: float = LATER,
    ) -> None:
        self.stray = stray
        self.at_once = at_once
        self.strays = 0
        self.crossed: list[str] = []
        self._share = share
        self._later = later
        self._chance = random.Random(7)
        self._writing: set[asyncio.Task[None]] = set()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        has_strayed = False

        async def stray(given: bytes) -> None:
            nonlocal has_strayed
            await asyncio.sleep(self._later)
            if not writer.is_closing():
                has_strayed = True
                self.strays += 1
                writer.write(self.stray(given))

        try:
            while True:
                user, given = await self._answer(reader)
                if has_strayed:
                    self.crossed.append(user)
                    has_strayed = False
                if self.at_once:
                    self.strays += 1
                    writer.write(given + self.stray(given))
                else:
                    writer.write(given)
                    if self._chance.random() < self._share:
                        task = asyncio.create_task(stray(given))
                        self._writing.add(task)
                        task.add_done_callback(self._writing.discard)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return

    async def _answer(self, reader: Reader) -> tuple[str, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, target, _ = head.split(" ", 2)
        length = head.lower().partition("content-length: ")[2].partition("\r")[0]
        body = json.loads(await reader.readexactly(int(length))) if length else {}
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        user = str(body.get("did") or body.get("email") or query.get("did"))
        if "orders" in target:
            return user, answer(json.dumps([{"id": user, "name": user}]).encode())
        if not body:
            return user, answer(json.dumps({"id": user, "first_name": user}).encode())
        if "refused" in user:
            said = {"status": "error", "payload": {"message": "Identifier is not valid"}}
            return user, answer(json.dumps(said).encode(), status=b"422 Unprocessable Entity")
        return user, answer(b'{"status":"success"}')


STRAYS: dict[str, Callable[[bytes], bytes]] = {
    "the answer again": lambda given: given,
    "408": lambda _: answer(b"", status=b"408 Request Timeout"),
    "success": lambda _: answer(b'{"status":"success"}'),
    "half an answer": lambda given: given[: len(given) // 2],
    "a whole head": lambda given: given.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
    "an empty line": lambda _: b"\r\n",
    "no HTTP": lambda _: b"hello",
}

HARMLESS = {"half an answer", "an empty line"}


async def get(client: PersonaClick, user: str) -> None:
    profile = await client.user(did=user).profile.get()
    assert profile.raw["first_name"] == user


async def last_order(client: PersonaClick, user: str) -> None:
    (product,) = await client.user(did=user).orders.last_for_user()
    assert product.name == user


async def set_(client: PersonaClick, user: str) -> None:
    if "refused" not in user:
        await client.user(did=user).profile.set(age=1)
        return
    with pytest.raises(PersonaClickError, match="answered 422: Identifier is not valid"):
        await client.user(did=user).profile.set(age=1)


CALLS: dict[str, Callable[[PersonaClick, str], Awaitable[None]]] = {
    "get": get,
    "set": set_,
    "last order": last_order,
}


def client_of(url: str, tls: ssl.SSLContext | None = None) -> PersonaClick:
    return PersonaClick(
        "e0" * 15,
        shop_secret="secret",
        api_url=url,
        ssl_context=tls,
        retry=RetryPolicy(first_wait=0.001, budget=1),
    )


@pytest.fixture(params=["plain", pytest.param("TLS", marks=needs_openssl)])
def tls(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """The contexts of a server and of its client."""
    if request.param == "plain":
        return None, None
    server = make_certificate(tmp_path / "made", "20990101000000Z")
    return server, ssl.create_default_context(cafile=str(tmp_path / "made" / "cert.pem"))


Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext | None]


@pytest.mark.parametrize(
    ("stray", "at_once"),
    [
        *((stray, False) for stray in STRAYS),
        # Where nonsense follows at once, the answer itself counts as broken.
        *((stray, True) for stray in STRAYS if stray != "no HTTP"),
    ],
)
@pytest.mark.parametrize("name", CALLS)
async def test_a_stray_answer_is_nobodys(
    name: str, stray: str, at_once: bool, tls: Contexts
) -> None:
    echo = Echo(STRAYS[stray], at_once=at_once)
    async with (
        nothing_left_behind(),
        wire(*[echo.serve] * 100, tls=tls[0]) as served,
        client_of(served.url, tls[1]) as client,
    ):
        for number in range(6):
            refused = "refused" if number % 2 else ""
            await CALLS[name](client, f"visitor{number}{refused}")
            await asyncio.sleep(2 * LATER)
    assert echo.strays >= 5
    # What is less than a head leaves no trace that can be seen, and can't be taken for an answer.
    assert echo.crossed == [] or stray in HARMLESS


async def test_a_stray_in_the_kernel_is_seen_before_the_event_loop_has_read_it() -> None:
    echo = Echo(STRAYS["the answer again"])
    async with wire(*[echo.serve] * 10) as served, client_of(served.url) as client:
        await get(client, "visitor1")
        reading = asyncio.create_task(asyncio.sleep(LATER))
        while echo.strays == 0:  # noqa: ASYNC110 - the very turn of the loop counts
            await asyncio.sleep(0)
        # In this turn of the loop the stray is written, and nobody has read it.
        await get(client, "visitor2")
        await reading
    assert echo.crossed == []


async def test_a_session_of_an_applications_own_is_as_clean() -> None:
    echo = Echo(STRAYS["the answer again"])
    async with (
        wire(*[echo.serve] * 10) as served,
        aiohttp.ClientSession(connector=CleanConnector()) as session,
        PersonaClick("e0" * 15, api_url=served.url, session=session) as client,
    ):
        for number in range(4):
            await get(client, f"visitor{number}")
            await asyncio.sleep(2 * LATER)
    assert echo.strays >= 3


async def test_a_refused_record_of_a_sync_is_not_counted_as_sent() -> None:
    echo = Echo(STRAYS["success"], later=0.005)
    rows = [
        {"email": f"{'refused' if number % 4 == 0 else 'ada'}{number}@shop.example", "age": 1}
        for number in range(100)
    ]
    async with wire(*[echo.serve] * 500) as served, client_of(served.url) as client:
        report = await client.sync_all(
            rows,
            options=SyncOptions(route="per-profile", concurrency=4, max_refused_in_a_row=100),
        )
    assert echo.strays > 0
    assert report.read == report.sent + report.rejected == 100
    assert abs(report.rejected - 25) <= len(echo.crossed)


async def test_ten_thousand_calls_among_strays(tls: Contexts) -> None:
    count = 10_000
    echo = Echo(STRAYS["the answer again"], share=0.02, later=0.05)
    wrong: list[str] = []
    right = 0
    numbers = iter(range(count))
    chance = random.Random(3)

    async def call(number: int) -> None:
        nonlocal right
        user = f"visitor{number}"
        try:
            if number % 3:
                await get(client, user)
            else:
                await last_order(client, user)
        except AssertionError:
            wrong.append(user)
        except PersonaClickError:
            return
        else:
            right += 1

    async def work() -> None:
        for number in numbers:
            if chance.random() < 0.05:
                calling = asyncio.create_task(call(number))
                await asyncio.sleep(chance.random() * 0.01)
                calling.cancel()
                with suppress(asyncio.CancelledError):
                    await calling
            else:
                await call(number)

    async with (
        wire(*[echo.serve] * count, tls=tls[0]) as served,
        client_of(served.url, tls[1]) as client,
    ):
        await asyncio.gather(*(work() for _ in range(200)))

    assert right > 0.8 * count
    assert echo.strays > 10
    # Each that crossed a stray may have got it; no other call is harmed.
    assert len(wrong) <= len(echo.crossed)
