"""Every answer is a result or the error that it means, at every status and in every envelope."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import (
    AuthenticationFailed,
    BadRequest,
    ConnectionFailed,
    Forbidden,
    MalformedAnswer,
    NotFound,
    PayloadTooLarge,
    PersonaClickError,
    ProfileUpdate,
    RateLimited,
    ServerError,
    ServiceError,
    ServiceUnavailable,
    TimedOut,
    Unprocessable,
    ValidationError,
)
from personaclick_async.models import Identity
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer, refusal, retry_after, without_private
from personaclick_async.protocol.requests import RequestContext, Shop

SHOP = Shop(shop_id="e0" * 15, secret="top-secret")
CALL = requests.set_profile(
    SHOP,
    RequestContext(identity=Identity("did", "device0001")),
    ProfileUpdate(first_name="Ada Canary"),
)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def answer(status: int, body: bytes | Any, **headers: str) -> Answer[None]:
    return Answer(
        call=CALL,
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        attempts=2,
        elapsed=0.1,
    )


ENVELOPES: list[Any] = [
    {"status": "error", "payload": {"message": "Identifier is not valid"}},
    {"status": "error", "message": "Identifier is not valid"},
    {"message": "Identifier is not valid"},
]


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, AuthenticationFailed),
        (403, Forbidden),
        (404, NotFound),
        (406, ServiceError),
        (413, PayloadTooLarge),
        (422, Unprocessable),
        (429, RateLimited),
        (500, ServerError),
        (501, ServerError),
        (503, ServiceUnavailable),
        (301, ServiceError),
    ],
)
def test_the_message_is_found_in_every_envelope(
    envelope: Any, status: int, kind: type[ServiceError]
) -> None:
    error = refusal(answer(status, envelope))

    assert type(error) is kind
    assert error is not None
    assert (error.status, error.message) == (status, "Identifier is not valid")
    assert str(error) == f"profile/set answered {status}: Identifier is not valid (2 attempts)"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (ENVELOPES[0], 200, ServiceError),
        (ENVELOPES[1], 200, ServiceError),
        ({"status": 403, "message": "no"}, 403, Forbidden),
        ({"status": 500}, 500, ServerError),
        ({"status": "error", "payload": {"message": "Profile not found"}}, 200, NotFound),
    ],
)
def test_an_error_inside_a_success_is_found(
    body: Any, status: int, kind: type[ServiceError]
) -> None:
    error = refusal(answer(200, body))

    assert type(error) is kind
    assert error is not None
    assert error.status == status


@pytest.mark.parametrize(
    "body",
    [
        {"status": "success"},
        {"status": 200},
        {"gender": "f", "custom_properties": {"status": "error"}},
        {"orders": [{"status": "error"}]},
        [],
    ],
)
def test_a_success_is_none(body: Any) -> None:
    assert refusal(answer(200, body)) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Shop not found", AuthenticationFailed),
        ("shop_secret is wrong", AuthenticationFailed),
        ("Profile not found", NotFound),
        ("Profile with old_email not found", NotFound),
        ("Device not found", NotFound),
    ],
)
def test_the_message_tells_wrong_credentials_from_a_missing_profile(
    status: int, message: str, kind: type[ServiceError]
) -> None:
    assert type(refusal(answer(status, {"message": message}))) is kind


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b"5", b"\xff", b"null"])
def test_a_body_without_an_envelope_has_no_message(body: bytes) -> None:
    error = refusal(answer(502, body))

    assert isinstance(error, ServiceUnavailable)
    assert error.message == ""
    assert str(error) == "profile/set answered 502 (2 attempts)"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Monday, 23-Nov-26 12:01:00 GMT", 60.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 30, None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_has_two_forms(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, NOW) == seconds


@given(value=st.text())
def test_no_retry_after_breaks_the_reading(value: str) -> None:
    seconds = retry_after({"Retry-After": value}, NOW)

    assert seconds is None or seconds >= 0


def test_a_429_says_how_long_to_wait() -> None:
    error = refusal(answer(429, b"", Retry_After="7"))

    assert isinstance(error, RateLimited)
    assert error.retry_after == 7


def test_a_message_does_not_repeat_what_was_sent() -> None:
    said = "Ada Canary of device0001 at eve@shop.example, 79990001122"
    error = refusal(answer(422, {"message": said}))

    assert error is not None
    assert error.message == ("[redacted] of [redacted] at [redacted] [redacted]")


@given(private=st.lists(st.text(min_size=3), max_size=4), around=st.text())
def test_no_private_value_stays_in_a_message(private: list[str], around: str) -> None:
    message = around + around.join(private)
    cleaned = without_private(message, private)

    assert len(cleaned) <= 300
    for value in private:
        assert value not in cleaned or value in "[redacted]"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is not JSON"),
        (b"<html>", "the body is not JSON"),
        (b"{}", "the body does not say success"),
        (b"[]", "the body does not say success"),
        (b'{"status":"queued"}', "the body does not say success"),
    ],
)
def test_a_success_that_is_not_what_was_promised_is_malformed(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedAnswer, match=reason) as caught:
        answer(200, body, Content_Type="text/html; charset=utf-8").parse()

    assert caught.value.answer is not None
    assert f"(status 200, {len(body)} bytes, text/html" in str(caught.value)
    if body[:1] not in (b"{", b"["):
        with pytest.raises(MalformedAnswer):
            answer(200, body).json()


def every_error() -> list[PersonaClickError]:
    whole = answer(500, {"message": "x"})
    kinds: list[type[ServiceError]] = [BadRequest, NotFound, RateLimited, ServerError]
    return [
        ValidationError("email", "an address", "int"),
        TimedOut("no answer", endpoint="init", attempts=1),
        ConnectionFailed("no connection", endpoint="init", attempts=3),
        MalformedAnswer("not JSON", endpoint="init", attempts=1, answer=None),
        *(kind("no", status=400, endpoint="init", attempts=1) for kind in kinds),
        RateLimited("no", status=429, endpoint="init", attempts=1, retry_after=5),
        PersonaClickError(f"said {whole!r}"),
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_errors_survive_the_way_to_another_process(error: PersonaClickError) -> None:
    copied = pickle.loads(pickle.dumps(error))

    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(TimedOut, TimeoutError)
    assert issubclass(ConnectionFailed, ConnectionError)
    assert issubclass(ValidationError, ValueError)
    assert all(issubclass(type(error), PersonaClickError) for error in every_error())
