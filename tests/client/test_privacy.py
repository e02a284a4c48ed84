"""Canaries: what is secret or personal shows up in no error, repr, log line or traceback."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from personaclick_async import PersonaClick, PersonaClickError, RetryPolicy, User
from personaclick_async.emulator import Emulator
from tests.conftest import MakeClient

CANARIES = ("canary-mail@shop.example", "Canaryfirst", "7999000111222", "canary-card", "cdevice001")


async def _set(user: User) -> None:
    await user.profile.set(
        email=CANARIES[0], first_name=CANARIES[1], phone=CANARIES[2], loyalty_id=CANARIES[3]
    )


async def _get(user: User) -> None:
    await user.profile.get(force=True)


async def _orders(user: User) -> None:
    await user.orders.by_user()


FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 422, "error_message": "{sent}"},
    {"status": 429, "retry_after": 0},
    {"drop": True},
    {"truncate": True},
    {"delay": 5},
    {"body": " ".join(CANARIES).encode()},
    {"status": 200, "error_message": "{sent}"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault)))
@pytest.mark.parametrize("call", [_set, _get, _orders])
async def test_no_failure_shows_a_secret_or_a_person(
    make_client: MakeClient,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
    call: Callable[[User], Awaitable[None]],
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make_client(retry=RetryPolicy(attempts=2, first_wait=0))
    user = client.with_options(timeout=0.1).user(did=CANARIES[4], seance="canaryseance")
    if "error_message" in fault:
        # A message that quotes what was sent; what looks like an address or a number always goes.
        quoted = CANARIES if call is _set else (CANARIES[0], CANARIES[2], CANARIES[4])
        fault = {**fault, "error_message": " and ".join(quoted)}
    with emulator.fault(**fault), pytest.raises(PersonaClickError) as caught:
        await call(user)

    error = caught.value
    shown = "\n".join(
        [
            str(error),
            repr(error),
            repr(vars(error)),
            *traceback.format_exception(error),
            caplog.text,
            repr(client),
            repr(client.config),
            repr(user),
            repr(user.session),
            repr(user.identity),
        ]
    )
    for canary in (*CANARIES, emulator.shop_secret, "canaryseance"):
        assert canary not in shown
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_an_unreachable_service_shows_no_query(
    make_client: MakeClient, unused_tcp_port: int
) -> None:
    client: PersonaClick = make_client(api_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(PersonaClickError) as caught:
        await client.user(email=CANARIES[0]).profile.get()

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARIES[0] not in shown
    assert client.config.shop_secret is not None
    assert client.config.shop_secret not in shown


async def test_what_was_read_is_not_in_a_repr(client: PersonaClick) -> None:
    user = client.user(email=CANARIES[0])
    await user.profile.set(first_name=CANARIES[1], kids=[{"birthday": "2001-02-03"}])
    profile = await user.profile.full()
    answer = await user.profile.raw.full()

    for thing in (profile, answer, answer.call, answer.call.read, user):
        assert CANARIES[0] not in repr(thing)
        assert CANARIES[1] not in repr(thing)
