"""Logs say what happened, and never to whom."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from logging.config import dictConfig

import pytest

from personaclick_async import NotFound, PersonaClick, PersonaClickError, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.logs import RedactingFormatter, log_requests
from tests.conftest import MakeClient

SECRET = "5ecret/of the+shop"
CANARIES = ("canary@shop.example", "Canaryname", "canarydevice", "canaryseance", "79990001122")


def record_of(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None)


def test_message_and_arguments_are_redacted() -> None:
    formatter = RedactingFormatter("%(levelname)s %(message)s", secrets=[SECRET])

    text = formatter.format(record_of("%s for did=%s by %s", SECRET, "d1", "ada@shop.example"))

    assert text == "INFO [redacted] for did=[redacted] by [redacted]"
    assert SECRET not in repr(formatter)


def test_tracebacks_and_stacks_are_redacted() -> None:
    def fail() -> None:
        raise LookupError("nobody by ada@shop.example")

    try:
        fail()
    except LookupError:
        record = record_of("failed for did=%s", "canarydevice")
        record.exc_info = sys.exc_info()
    record.stack_info = "at seance=canaryseance"

    text = RedactingFormatter(logging.Formatter("%(message)s")).format(record)

    assert "LookupError: nobody by [redacted]" in text
    assert "canary" not in text


def test_a_formatter_that_writes_json_still_does() -> None:
    class ToJson(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return json.dumps({"said": record.getMessage(), "external_id": 7})

    line = RedactingFormatter(ToJson()).format(record_of('sent {"did": "a b", "email": null}'))

    said = {"said": 'sent {"did": "[redacted]", "email": null}', "external_id": "[redacted]"}
    assert json.loads(line) == said


def test_it_can_be_named_in_a_logging_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "plain": {"format": "%(name)s said %(message)s"},
                "redacting": {
                    "()": "personaclick_async.logs.RedactingFormatter",
                    "formatter": "cfg://formatters.plain",
                    "secrets": [SECRET],
                },
            },
            "handlers": {
                "console": {
                    "class": "logging.StreamHandler",
                    "formatter": "redacting",
                    "stream": "ext://sys.stdout",
                }
            },
            "loggers": {"shop.configured": {"handlers": ["console"], "propagate": False}},
        }
    )

    logging.getLogger("shop.configured").warning("key %s", SECRET)

    assert capsys.readouterr().out == "shop.configured said key [redacted]\n"


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    kept: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    handler = Keeping()
    log = logging.getLogger("shop.requests")
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    yield kept
    log.removeHandler(handler)


async def test_requests_and_failures_are_logged(
    make_client: MakeClient, emulator: Emulator, lines: list[logging.LogRecord]
) -> None:
    hooks = log_requests(logging.getLogger("shop.requests"), level=logging.INFO)
    client = make_client(hooks=hooks)
    with emulator.fault(status=503, times=1), emulator.fault(drop=True, times=1):
        await client.user(external_id=7).profile.set(first_name="Canaryname")
    with pytest.raises(NotFound):
        await client.user(email="canary@shop.example").profile.get()
    with emulator.hold("GET", "/profile") as held:
        read = asyncio.create_task(client.user(did="canarydevice").profile.get())
        await held.arrived()
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read

    said = [(line.levelname, line.getMessage().rpartition(",")[0]) for line in lines]
    assert said == [
        ("WARNING", "POST profile/set: 503, attempt 1"),
        ("WARNING", "POST profile/set: ConnectionFailed, attempt 2"),
        ("INFO", "POST profile/set: 200, attempt 3"),
        ("INFO", "GET profile: 404, attempt 1"),
        ("INFO", "GET profile: cancelled, attempt 1"),
    ]
    fields = lines[2].__dict__
    assert (fields["endpoint"], fields["method"]) == ("profile/set", "POST")
    assert (fields["status"], fields["attempt"], fields["error"]) == (200, 3, None)
    assert 0 < fields["seconds"] < 20
    everything = json.dumps([line.__dict__ for line in lines], default=str)
    for canary in ("canary", "Canary", emulator.shop_secret):
        assert canary not in everything


async def test_requests_below_the_level_are_not_logged(
    make_client: MakeClient, lines: list[logging.LogRecord]
) -> None:
    logging.getLogger("shop.requests").setLevel(logging.INFO)
    client = make_client(hooks=log_requests(logging.getLogger("shop.requests")))
    await client.user(external_id=7).profile.set(first_name="Ada")

    assert lines == []


async def test_retries_and_waits_say_how_long_they_last(
    client: PersonaClick, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "personaclick_async")
    with emulator.fault(status=503, times=1):
        await client.user(external_id=7).profile.set(first_name="Ada")
    with emulator.fault(status=429, retry_after=1, times=1), pytest.raises(PersonaClickError):
        await client.with_options(retries=0).user(external_id=7).profile.set(first_name="Ada")
    await client.user(external_id=7).profile.set(first_name="Ada")

    retry, wait = [one for one in caplog.records if one.name == "personaclick_async"]
    assert retry.levelname == "INFO"
    assert retry.getMessage().startswith("profile/set: attempt 1 failed (ServiceUnavailable), next")
    assert (retry.__dict__["endpoint"], retry.__dict__["attempt"]) == ("profile/set", 1)
    assert wait.levelname == "DEBUG"
    assert wait.getMessage().startswith("profile/set: waited ")
    assert 0.5 < wait.__dict__["wait"] < 20


async def test_asyncio_in_debug_mode_shows_nobody(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    # Every callback counts as slow, so that each of them is logged with all that a repr shows.
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0

    async with PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=RetryPolicy(first_wait=0.01),
        hooks=log_requests(),
    ) as client:
        device = client.user(did=CANARIES[2], seance=CANARIES[3])
        await device.profile.set(email=CANARIES[0], first_name=CANARIES[1], phone=CANARIES[4])
        customer = client.user(email=CANARIES[0])
        with emulator.fault(status=503, times=1), emulator.fault(drop=True, times=1):
            await asyncio.gather(*(customer.profile.get() for _ in range(3)))
        await customer.profile.full()
        await device.orders.last_for_user()
        async for _ in client.sync([{"email": CANARIES[0], "first_name": CANARIES[1]}]):
            pass
        with emulator.hold("GET", "/profile") as held:
            read = asyncio.create_task(customer.profile.get(force=True))
            await held.arrived()
            read.cancel()
            with pytest.raises(asyncio.CancelledError):
                await read
        with emulator.fault(status=422, error_message=f"what of {CANARIES[0]}?"):
            failing = asyncio.create_task(customer.profile.get(force=True))
            await asyncio.wait([failing])
            assert failing.exception() is not None

    assert "Executing <" in caplog.text
    for canary in (*CANARIES, emulator.shop_secret):
        assert canary not in caplog.text
