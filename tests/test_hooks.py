"""Hooks see each request, answer and retry, and never change what a call does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from personaclick_async import (
    Attempt,
    ConfigurationError,
    Hooks,
    NotFound,
    PersonaClick,
    RetryPolicy,
)
from personaclick_async.emulator import Emulator

QUICK = RetryPolicy(first_wait=0.01)


class Listener:
    """Writes down what it is told, as it was at that moment."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int | None, str | None]] = []
        self.attempts: list[Attempt] = []
        self.hooks = Hooks(
            on_request=lambda attempt: self.note("request", attempt),
            on_response=lambda attempt: self.note("response", attempt),
            on_retry=lambda attempt: self.note("retry", attempt),
        )

    def note(self, moment: str, attempt: Attempt) -> None:
        error = None if attempt.error is None else type(attempt.error).__name__
        self.told.append((moment, attempt.number, attempt.status, error))
        self.attempts.append(attempt)


def a_client(emulator: Emulator, hooks: Hooks | list[Hooks]) -> PersonaClick:
    return PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=QUICK,
        hooks=hooks,
    )


async def test_every_attempt_of_a_call_is_told_in_order(emulator: Emulator) -> None:
    listener = Listener()
    async with a_client(emulator, listener.hooks) as client:
        with emulator.fault(status=503, times=1):
            await client.user(external_id=7).profile.set(first_name="Ada")

    assert listener.told == [
        ("request", 1, None, None),
        ("response", 1, 503, "ServiceUnavailable"),
        ("retry", 1, 503, "ServiceUnavailable"),
        ("request", 2, None, None),
        ("response", 2, 200, None),
    ]
    first, last = listener.attempts[0], listener.attempts[-1]
    assert (first.endpoint, first.method) == ("profile/set", "POST")
    assert first.url == emulator.url + "profile/set"
    assert first.wait is not None
    assert last.elapsed is not None
    assert last.wait is None


async def test_an_answer_that_is_an_error_is_told_with_its_status(emulator: Emulator) -> None:
    listener = Listener()
    async with a_client(emulator, listener.hooks) as client:
        with pytest.raises(NotFound):
            await client.user(external_id="nobody").profile.get()

    assert listener.told[-1] == ("response", 1, 404, "NotFound")


async def test_a_request_that_is_cancelled_is_told_without_status(emulator: Emulator) -> None:
    listener = Listener()
    async with a_client(emulator, listener.hooks) as client:
        with emulator.hold("GET", "/profile") as held:
            read = asyncio.create_task(client.user(did="device0001").profile.get())
            await held.arrived()
            read.cancel()
            with pytest.raises(asyncio.CancelledError):
                await read

    assert listener.told == [("request", 1, None, None), ("response", 1, None, None)]


async def test_a_header_that_a_hook_adds_is_sent(emulator: Emulator) -> None:
    def trace(attempt: Attempt) -> None:
        attempt.headers["traceparent"] = "00-1-1-01"

    async with a_client(emulator, Hooks(on_request=trace)) as client:
        await client.user(external_id=7).profile.set(first_name="Ada")

    assert emulator.requests[0].headers["traceparent"] == "00-1-1-01"


async def test_a_hook_that_raises_changes_nothing(emulator: Emulator) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def broken(_: Attempt) -> None:
        raise LookupError("mine")

    listener = Listener()
    hooks = [Hooks(on_request=broken, on_response=broken), listener.hooks]
    async with a_client(emulator, hooks) as client:
        await client.user(external_id=7).profile.set(first_name="Ada")

    stored = emulator.profile(external_id="7")
    assert stored["first_name"] == "Ada"
    assert [type(one["exception"]) for one in complaints] == [LookupError, LookupError]
    assert [moment for moment, *_ in listener.told] == ["request", "response"]


async def test_what_a_limit_holds_back_is_counted(emulator: Emulator) -> None:
    told_to_wait = asyncio.Event()
    async with a_client(emulator, Hooks(on_retry=lambda _: told_to_wait.set())) as client:
        with emulator.fault(status=429, retry_after=1, times=1):
            first = asyncio.create_task(client.user(external_id=8).profile.set(first_name="Ada"))
            await told_to_wait.wait()
            await client.user(external_id=9).profile.set(first_name="Ada")
            await first
        assert client.transport_stats.waits == 1
        assert client.transport_stats.waited > 0.5


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="on_retry: expected a function, got int"):
        Hooks(on_retry=3)  # type: ignore[arg-type]


def test_an_async_hook_is_refused_for_nobody_would_await_it() -> None:
    async def hook(_: Attempt) -> None: ...

    with pytest.raises(ConfigurationError, match="on_request: expected a plain function, got"):
        Hooks(on_request=hook)  # type: ignore[arg-type]
