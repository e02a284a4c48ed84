"""Whatever fails, and whatever the service says then, no error shows a secret or a person."""

from __future__ import annotations

import json
import pickle
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from personaclick_async import (
    MalformedAnswer,
    PersonaClick,
    PersonaClickError,
    RetryPolicy,
    ServiceError,
    TimedOut,
    Timeouts,
    User,
)
from tests.trust.canaries import BY_IDENTIFIER, CANARIES, UPDATE, found_in, shown_by
from tests.trust.echoing import ENVELOPES, MESSAGES, Asked, echoes, hears
from tests.wire.servers import Serve, answer, never_ends, resets, says, wire
from tests.wire.test_answers import make_certificate, needs_openssl

Ask = Callable[[PersonaClick], Awaitable[object]]


def a_client(url: str, **settings: Any) -> PersonaClick:
    return PersonaClick(
        "e0" * 15,
        shop_secret=CANARIES["shop_secret"],
        api_url=url,
        timeouts=Timeouts(connect=1, read=0.3, total=2),
        **{"retry": RetryPolicy(attempts=1), "cache": None, **settings},
    )


def device(client: PersonaClick) -> User:
    return client.user(did=CANARIES["did"], seance=CANARIES["seance"])


def customer(client: PersonaClick, kind: str = "email") -> User:
    return client.user(**{kind: CANARIES[kind]})


async def full(kind: str, client: PersonaClick) -> object:
    return await customer(client, kind).profile.full()


ASK: dict[str, Ask] = {
    "init": lambda client: client.init(did=CANARIES["did"], seance=CANARIES["seance"]),
    "set": lambda client: device(client).profile.set(**UPDATE),
    "get": lambda client: device(client).profile.get(),
    **{f"full by {kind}": partial(full, kind) for kind in BY_IDENTIFIER},
    "purge": lambda client: customer(client).profile.purge(),
    "last order": lambda client: device(client).orders.last_for_user(),
    "orders": lambda client: customer(client, "phone").orders.by_user(),
}


async def error_of(ask: Ask, client: PersonaClick) -> PersonaClickError:
    with pytest.raises(PersonaClickError) as caught:
        await ask(client)
    return caught.value


# What the service says back


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("ask", ["set", "orders"])
async def test_a_message_that_says_back_what_was_sent_in_any_form(ask: str, message: str) -> None:
    for envelope in ("payload", "message"):
        kept: list[Asked] = []
        async with (
            wire(echoes(kept, message=message, envelope=envelope)) as served,
            a_client(served.url) as client,
        ):
            error = await error_of(ASK[ask], client)

        assert isinstance(error, ServiceError)
        assert found_in(shown_by(error)) == []
        assert "shop_secret" in found_in(kept[0].body or kept[0].target) or ask == "set"
        assert error.answer is not None
        # The body has them, and is for whoever asks for it by name.
        assert len(error.answer.body) > 20


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 413, 422, 429, 500, 503])
@pytest.mark.parametrize("ask", ASK)
async def test_no_status_changes_that(ask: str, status: int) -> None:
    kept: list[Asked] = []
    async with wire(echoes(kept, status=status)) as served, a_client(served.url) as client:
        error = await error_of(ASK[ask], client)

    assert isinstance(error, ServiceError)
    assert error.status == status
    assert found_in(shown_by(error)) == []
    assert found_in(kept[0].target + kept[0].body) != []


@pytest.mark.parametrize("envelope", [name for name in ENVELOPES if name != "payload"])
@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("ask", ["init", "set", "get", "full by email", "last order", "orders"])
async def test_an_answer_in_any_other_form_says_nobody(
    ask: str, status: int, envelope: str
) -> None:
    kept: list[Asked] = []
    serve = echoes(kept, status=status, envelope=envelope)
    async with wire(serve) as served, a_client(served.url) as client:
        try:
            shown = repr(await ASK[ask](client))
        except PersonaClickError as error:
            shown = shown_by(error)
        else:
            # Reads are tolerant: a profile of wrong kinds is one without those fields.
            assert status == 200
        assert found_in(shown) == []
    assert kept


async def test_headers_that_say_back_what_was_sent() -> None:
    def headers(asked: Asked) -> tuple[bytes, ...]:
        said = asked.target.encode()
        return (b"Content-Type: text/" + said, b"Retry-After: " + said, b"Location: " + said)

    for status in (200, 302, 429, 503):
        kept: list[Asked] = []
        serve = echoes(kept, status=status, envelope="text", headers=headers)
        async with wire(serve) as served, a_client(served.url) as client:
            error = await error_of(ASK["full by phone"], client)
        assert {"phone", "shop_secret"} <= set(found_in(kept[0].target))
        assert found_in(shown_by(error)) == []


# What goes wrong on the way


@pytest.mark.parametrize("ask", ["init", "set", "full by email", "purge", "orders"])
async def test_a_connection_that_fails(ask: str, unused_tcp_port: int) -> None:
    kept: list[Asked] = []
    servers: list[Serve] = [
        partial(hears, kept),
        *[resets] * 2,
        *[says(b"HTTP/1.1 2")] * 2,
        says(answer()[:-5]),
        never_ends,
        says(b"SSH-2.0-x\r\n"),
    ]
    for serve in servers:
        async with (
            wire(serve, serve) as served,
            a_client(served.url, max_answer_bytes=300_000) as client,
        ):
            error = await error_of(ASK[ask], client)
        assert found_in(shown_by(error)) == []
    assert found_in(kept[0].target + kept[0].body) != []
    for url in (
        f"http://127.0.0.1:{unused_tcp_port}/",
        "http://nowhere.invalid/",
        "http://[::1]:9/",
    ):
        async with a_client(url) as client:
            error = await error_of(ASK[ask], client)
        assert found_in(shown_by(error)) == []


async def test_a_limit_a_closed_client_and_nobody_in_particular() -> None:
    kept: list[Asked] = []
    async with wire(partial(hears, kept)) as served, a_client(served.url) as client:
        late = await error_of(
            lambda one: device(one.with_options(timeout=0.05)).profile.get(), client
        )
        nobody = await error_of(lambda one: one.profile.get(), client)
    closed = await error_of(ASK["set"], client)

    assert isinstance(late, TimedOut)
    for error in (late, nobody, closed):
        assert found_in(shown_by(error)) == []


# Where errors go


async def test_an_error_that_travels_by_pickle_takes_no_secret_along() -> None:
    for ask in ("set", "full by email", "orders", "purge"):
        kept: list[Asked] = []
        async with (
            wire(echoes(kept, envelope="wrong kinds", status=500)) as served,
            a_client(served.url) as client,
        ):
            error = await error_of(ASK[ask], client)
        assert isinstance(error, ServiceError)
        assert error.answer is not None
        answered = error.answer
        answered.body = b"{}"

        travelled = pickle.dumps(error)

        # What was sent stays at home; what was answered is the caller's to send.
        assert found_in(travelled) == []
        again = pickle.loads(travelled)
        assert str(again) == str(error)
        assert again.answer.endpoint == answered.endpoint


async def test_a_malformed_answer_names_no_field_that_it_brought() -> None:
    said = {name: {value: [value]} for name, value in CANARIES.items()}
    serve = says(answer(json.dumps([said, said]).encode()))
    async with wire(serve) as served, a_client(served.url) as client:
        error = await error_of(ASK["get"], client)

    assert isinstance(error, MalformedAnswer)
    assert found_in(shown_by(error)) == []


@needs_openssl
async def test_a_certificate_that_is_not_accepted(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path / "made", "20990101000000Z")
    for ask in ("set", "full by email"):
        async with wire(tls=tls) as served, a_client(served.url) as client:
            error = await error_of(ASK[ask], client)
        assert "certificate" in str(error)
        assert found_in(shown_by(error)) == []
