"""A connection that the server has just closed costs no call that may be sent again."""

from __future__ import annotations

import asyncio

import pytest

from personaclick_async import ConnectionFailed, PersonaClick
from tests.wire.servers import Reader, Serve, Writer, answer, nothing_left_behind, resets, wire

SUCCESS = answer(b'{"status":"success"}')


def client_of(url: str) -> PersonaClick:
    return PersonaClick("e0" * 15, shop_secret="secret", api_url=url, cache=None)


async def request_of(reader: Reader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
    return head + await reader.readexactly(int(length or 0))


async def answers_once(reader: Reader, writer: Writer) -> None:
    """Answer one request, and close without having said so."""
    await request_of(reader)
    writer.write(SUCCESS)
    await writer.drain()


async def test_where_every_connection_closes_after_its_answer_no_set_fails() -> None:
    numbers = iter(range(600))
    async with (
        nothing_left_behind(),
        wire(*[answers_once] * 2000) as served,
        client_of(served.url) as client,
    ):
        users = client.with_options(retries=0)

        async def work() -> None:
            for number in numbers:
                await users.user(external_id=number).profile.set(age=1)

        await asyncio.gather(*(work() for _ in range(20)))
    assert served.connections >= 600


def answers_then_breaks(heard: list[bytes]) -> Serve:
    async def serve(reader: Reader, writer: Writer) -> None:
        heard.append(await request_of(reader))
        writer.write(SUCCESS)
        await writer.drain()
        heard.append(await request_of(reader))  # and no answer to that

    return serve


@pytest.mark.parametrize("retries", [0, 3])
async def test_a_set_on_a_reused_connection_that_breaks_is_sent_again(retries: int) -> None:
    heard: list[bytes] = []
    async with (
        wire(answers_then_breaks(heard), answers_once) as served,
        client_of(served.url) as client,
    ):
        user = client.with_options(retries=retries).user(external_id=1)
        await user.profile.set(age=1)
        again = await user.profile.raw.set(age=2)
    assert again.attempts == 2
    assert [request.startswith(b"POST /profile/set") for request in heard] == [True, True]
    assert served.connections == 2


async def test_a_purge_on_a_reused_connection_that_breaks_is_not_sent_again() -> None:
    heard: list[bytes] = []
    async with (
        wire(answers_then_breaks(heard), answers_once) as served,
        client_of(served.url) as client,
    ):
        user = client.user(external_id=1)
        await user.profile.set(age=1)
        with pytest.raises(ConnectionFailed, match="the connection broke") as caught:
            await user.profile.purge()
    assert caught.value.attempts == 1
    assert sum(request.startswith(b"DELETE") for request in heard) == 1
    assert served.connections == 1


async def test_a_new_connection_that_breaks_is_a_failure() -> None:
    async with wire(resets, answers_once) as served, client_of(served.url) as client:
        user = client.with_options(retries=0).user(external_id=1)
        with pytest.raises(ConnectionFailed):
            await user.profile.set(age=1)
    assert served.connections == 1


async def test_an_import_on_a_reused_connection_that_breaks_is_left_to_the_sync() -> None:
    heard: list[bytes] = []
    async with (
        wire(answers_then_breaks(heard), answers_once) as served,
        client_of(served.url).with_options(retries=0) as client,
    ):
        answer = await client.request("POST", "/import/audience", repeat=True)
        assert answer.status == 200
        with pytest.raises(ConnectionFailed, match="the connection broke") as caught:
            await client.request("POST", "/import/audience", repeat=True)
    assert caught.value.attempts == 1
    assert served.connections == 1
