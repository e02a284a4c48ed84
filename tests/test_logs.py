"""Logs say what happened, and never to whom."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import NotFound, PersonaClick, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.logs import RedactingFormatter, log_requests

SECRET = "5ecret/of the+shop"
PLAIN = RedactingFormatter(logging.Formatter("%(message)s"), secrets=[SECRET])


def formatted(message: str, *arguments: object) -> str:
    record = logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None)
    return PLAIN.format(record)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"the secret is {SECRET}!", "the secret is [redacted]!"),
        ("GET /?shop_secret=5ecret%2Fof%20the%2Bshop HTTP", "GET /?shop_secret=[redacted] HTTP"),
        (
            "?a=1&shop_secret=other&did=d1&sid=s1",
            "?a=1&shop_secret=[redacted]&did=[redacted]&sid=[redacted]",
        ),
        ('{"seance": "abc", "gender": "f"}', '{"seance": [redacted], "gender": "f"}'),
        ("{'external_id': 'c 7', 'age': 3}", "{'external_id': [redacted], 'age': 3}"),
        ('{"phone": "a\\"b", "x": 1}', '{"phone": [redacted], "x": 1}'),
        ("Cookie: did=abc; theme=dark", "Cookie: did=[redacted]; theme=dark"),
        ("mail to ada@shop.example failed", "mail to [redacted] failed"),
        ("?q=ada%40shop.example&x=1", "?q=[redacted]&x=1"),
        ("call +7 999 000-11-22 now", "call [redacted] now"),
        ("card 1234567890", "card [redacted]"),
    ],
)
def test_private_values_are_taken_out(text: str, redacted: str) -> None:
    assert formatted("%s", text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "profile/set: attempt 1 failed, next in 0.25 s",
        "sent 18,148 records in 2.31 s (7,856/s)",
        "2026-08-01 12:30:00,123 INFO done",
        "candid=yes, presidents: 3",
        "at 127.0.0.1:8787",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert formatted("%s", text) == text


def test_tracebacks_are_redacted_too(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise LookupError("nobody by ada@shop.example")

    try:
        fail()
    except LookupError:
        logging.getLogger("shop").exception("failed for did=%s", "canarydevice")

    text = PLAIN.format(caplog.records[0])

    assert "LookupError: nobody by [redacted]" in text
    assert "canarydevice" not in text


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_secret_never_survives(before: str, after: str) -> None:
    assert SECRET not in formatted("%s", before + SECRET + after)


@given(st.text(alphabet="\"'\\=: {}did@%0123456789+-() ", max_size=300))
def test_any_text_can_be_redacted(text: str) -> None:
    once = PLAIN.redact(text)
    assert PLAIN.redact(once).count("@") <= once.count("@")


@pytest.mark.parametrize("piece", ["@", "1", "a@", "did=", 'did="', "did='\\", "+1 ", "secret "])
def test_hostile_text_takes_time_by_its_length(piece: str) -> None:
    # Quadratic, this would take minutes and fail by the runner's patience.
    assert isinstance(PLAIN.redact(piece * 200_000), str)


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


async def test_requests_retries_and_failures_are_logged(
    emulator: Emulator, lines: list[logging.LogRecord]
) -> None:
    hooks = log_requests(logging.getLogger("shop.requests"), level=logging.INFO)
    async with PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        hooks=hooks,
        retry=RetryPolicy(first_wait=0.01),
    ) as client:
        with emulator.fault(status=503, times=1):
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
        ("INFO", ""),
        ("INFO", "POST profile/set: 200, attempt 2"),
        ("WARNING", "GET profile: 404, attempt 1"),
        ("INFO", "GET profile: cancelled, attempt 1"),
    ]
    assert lines[1].getMessage().startswith("profile/set: again in 0.0")
    fields = lines[2].__dict__
    assert (fields["endpoint"], fields["status"], fields["attempt"]) == ("profile/set", 200, 2)
    everything = json.dumps([line.__dict__ for line in lines], default=str)
    for canary in ("canary", "Canary", emulator.shop_secret):
        assert canary not in everything
