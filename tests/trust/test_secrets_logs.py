"""Every logger at its most talkative, asyncio in debug mode, warnings: none of it names anybody."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import traceback
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from personaclick_async import (
    ClientClosed,
    Hooks,
    PersonaClick,
    PersonaClickError,
    RetryPolicy,
    ServiceError,
    Timeouts,
)
from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.facade import CallError, create_personaclick
from personaclick_async.logs import log_requests
from tests.trust.canaries import CANARIES, UPDATE, flat_row, found_in, shown_by
from tests.trust.echoing import Asked, echoes
from tests.wire.servers import wire

_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class Everything(logging.Handler):
    """Keeps what any formatter could show of a record: text, arguments, extras, exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []
        self.loggers: set[str] = set()
        self._plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name)
        extras = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        self.lines += [self._plain.format(record), str(record.msg), repr(record.args), repr(extras)]
        if record.exc_info and record.exc_info[1] is not None:
            self.lines.append(shown_by(record.exc_info[1]))


@pytest.fixture
def logged() -> Iterator[Everything]:
    """Listen to every logger that there is, at every level."""
    handler = Everything()
    root = logging.getLogger()
    named = [logging.getLogger(name) for name in list(root.manager.loggerDict)]
    before = [(one, one.level) for one in (root, *named)]
    root.addHandler(handler)
    for one, _ in before:
        one.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    for one, level in before:
        one.setLevel(level)


@pytest.fixture
def shop() -> Iterator[Emulator]:
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        yield shop


@pytest.fixture
async def talkative(shop: Emulator) -> AsyncIterator[PersonaClick]:
    """A client in a loop in debug mode, where each callback counts as slow and is logged."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    async with a_client(shop.url) as client:
        yield client


def a_client(url: str, *, hooks: Hooks | None = None, **settings: Any) -> PersonaClick:
    return PersonaClick(
        "e0" * 15,
        shop_secret=CANARIES["shop_secret"],
        api_url=url,
        retry=RetryPolicy(attempts=2, first_wait=0),
        hooks=hooks or log_requests(),
        **{"timeouts": Timeouts(connect=1, read=0.3, total=1), **settings},
    )


async def every_call(client: PersonaClick) -> None:
    """Make each call that there is; failing is fine."""
    device = client.user(did=CANARIES["did"], seance=CANARIES["seance"])
    customers = [
        client.user(**{kind: CANARIES[kind]})
        for kind in ("email", "phone", "external_id", "loyalty_id", "telegram_id")
    ]
    with client.as_user(device):
        calls = [
            client.init(did=CANARIES["did"], seance=CANARIES["seance"]),
            client.profile.set(**UPDATE),
            client.profile.get(force=True),
            *(user.profile.full() for user in customers),
            *(user.orders.by_user() for user in customers),
            *(user.profile.get() for user in customers),
            device.orders.last_for_user(),
            device.new_session(),
            customers[2].profile.purge(),
        ]
        tasks = [asyncio.create_task(call) for call in calls]
    for task in tasks:
        with suppress(PersonaClickError):
            await task


async def test_calls_that_succeed(
    talkative: PersonaClick, shop: Emulator, logged: Everything
) -> None:
    await every_call(talkative)

    assert len(shop.requests) > 15
    assert {"personaclick_async", "asyncio"} <= logged.loggers
    assert found_in("\n".join(logged.lines)) == []


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422, 429, 500, 503])
async def test_calls_that_are_refused_with_what_they_sent(
    talkative: PersonaClick, logged: Everything, status: int
) -> None:
    kept: list[Asked] = []
    serve = echoes(kept, status=status, message="the body" if status == 422 else "values")
    patient = Timeouts(connect=10, read=10, total=20)
    async with (
        wire(*[serve] * 60) as served,
        a_client(served.url, timeouts=patient) as client,
    ):
        await every_call(client)

    assert len(kept) > 10
    assert any(line.startswith("GET profile") or "profile/set" in line for line in logged.lines)
    assert found_in("\n".join(logged.lines)) == []


@pytest.mark.parametrize("fault", [{"drop": True}, {"truncate": True}, {"delay": 5}])
async def test_calls_that_break(
    talkative: PersonaClick, shop: Emulator, logged: Everything, fault: dict[str, Any]
) -> None:
    with shop.fault(**fault):
        await asyncio.wait_for(every_call(talkative), 20)

    assert any("attempt 1 failed" in line or "TimedOut" in line for line in logged.lines)
    assert found_in("\n".join(logged.lines)) == []


@pytest.mark.parametrize("route", ["per-profile", "bulk"])
async def test_a_sync(
    talkative: PersonaClick, shop: Emulator, logged: Everything, route: str
) -> None:
    from personaclick_async.sync import SyncOptions, SyncStopped  # noqa: PLC0415

    rows = [flat_row(), {**flat_row(), "email": " ".join(CANARIES.values())}, flat_row()]
    options = SyncOptions(route=route, patience=0)
    report = await talkative.sync_all(rows, options=options)
    with (
        shop.fault(status=503, error_message=" ".join(CANARIES.values())),
        pytest.raises(SyncStopped) as stopped,
    ):
        await talkative.sync_all(rows, options=options)

    assert (report.read, report.rejected, report.sent) == (3, 1, 2)
    assert found_in(shown_by(stopped.value)) == []
    assert found_in(repr(report)) == []
    assert len(logged.lines) > 20
    assert found_in("\n".join(logged.lines)) == []


# The facade


async def test_an_error_that_nobody_hears_and_a_callback_that_raises(
    talkative: PersonaClick, shop: Emulator, logged: Everything
) -> None:
    contexts: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()

    def keep(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        contexts.append(context)
        loop.default_exception_handler(context)

    loop.set_exception_handler(keep)
    device = talkative.user(did=CANARIES["did"], seance=CANARIES["seance"])
    call = create_personaclick(talkative).for_user(device)

    def broken(_: object) -> None:
        raise LookupError("mine")

    async def broken_later(_: object) -> None:
        raise LookupError("mine too")

    call("profile", "set", UPDATE, broken)
    call("profile", "get", broken_later, True)
    assert await call.aflush(10)
    heard: list[CallError] = []
    with shop.fault(status=422, error_message=" ".join(map(str, UPDATE.values()))):
        call("profile", "set", UPDATE)
        call("profile", "set", UPDATE, None, heard.append)
        assert await call.aflush(10)
    wrong = call("profile", "set", {"email": " ".join(CANARIES.values())})
    with pytest.raises(PersonaClickError) as refused:
        await wrong

    assert len(contexts) == 2
    assert len(heard) == 1
    shown = [repr(context) for context in contexts] + [repr(one) for one in heard]
    shown += [heard[0].message, shown_by(heard[0].error), shown_by(refused.value), repr(wrong)]
    assert found_in("\n".join(shown)) == []
    assert "personaclick_async.facade" in logged.loggers
    assert found_in("\n".join(logged.lines)) == []


def test_a_facade_in_a_thread_of_its_own(shop: Emulator, logged: Everything) -> None:
    client = a_client(shop.url)
    call = create_personaclick(client)
    call("init", None, {"did": CANARIES["did"]})  # type: ignore[call-overload]  # wrong on purpose
    with shop.fault(status=422, error_message=CANARIES["email"], path="/profile/set"):
        call("profile", "set", UPDATE)
        call("profile", "get")
        assert call.close(10)

    assert any("answered 422" in line for line in logged.lines)
    assert found_in("\n".join(logged.lines)) == []


# What Python itself says


async def test_warnings_and_what_is_left_unfinished(shop: Emulator, logged: Everything) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = a_client(shop.url)
        user = client.user(did=CANARIES["did"], seance=CANARIES["seance"])
        never = user.profile.set(**UPDATE)  # not awaited
        del never
        gc.collect()
        with shop.hold("GET", "/profile") as held:
            left = asyncio.create_task(user.profile.get(force=True))
            await held.arrived()
            left.print_stack(file=said)
            shown = [repr(left), repr(left.get_coro()), repr(asyncio.all_tasks())]
            left.cancel()
            with suppress(asyncio.CancelledError):
                await left
        failing = asyncio.create_task(client.user(email=CANARIES["email"]).profile.get())
        await asyncio.wait([failing])
        shown.append(repr(failing))
        del failing
        gc.collect()  # "Task exception was never retrieved", through the logger of asyncio
        await client.close()
        with pytest.raises(ClientClosed) as closed:
            await user.profile.set(**UPDATE)
    shown += [str(one.message) for one in caught]
    shown += [warnings.formatwarning(one.message, one.category, "x", 1) for one in caught]
    shown += [said.getvalue(), shown_by(closed.value)]

    assert any("never awaited" in one for one in shown)
    assert any("never retrieved" in line for line in logged.lines)
    assert found_in("\n".join(shown)) == []
    assert found_in("\n".join(logged.lines)) == []


def test_a_loop_that_ends_in_the_middle_of_a_call(shop: Emulator, logged: Everything) -> None:
    shown: list[str] = []

    async def leave() -> None:
        client = a_client(shop.url)
        user = client.user(did=CANARIES["did"])
        task = asyncio.create_task(user.profile.set(**UPDATE))
        await asyncio.to_thread(held.wait)
        shown.append(repr(task))
        raise LookupError("mine")

    with shop.hold("POST", "/profile/set") as held:
        try:
            asyncio.run(leave(), debug=True)
        except LookupError as error:
            shown += traceback.format_exception(error)
    gc.collect()

    assert len(shown) > 2
    assert found_in("\n".join(shown)) == []
    assert found_in("\n".join(logged.lines)) == []


def test_what_the_emulator_logs(shop: Emulator, logged: Everything) -> None:
    async def ask() -> None:
        async with a_client(shop.url) as client:
            await every_call(client)
            with shop.fault(body=b"<" + CANARIES["email"].encode()), suppress(ServiceError):
                await every_call(client)

    asyncio.run(ask(), debug=True)
    logging.getLogger("aiohttp.access").debug("heard")

    assert {"aiohttp.access", "asyncio"} <= logged.loggers
    assert found_in("\n".join(logged.lines)) == []
