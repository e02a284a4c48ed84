"""Every answer is a result or the error that it means, at every status and in every envelope."""

from __future__ import annotations

import html
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from yarl import URL

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
from personaclick_async.protocol.answers import (
    WITHHELD,
    Answer,
    refusal,
    retry_after,
)
from personaclick_async.protocol.requests import Call, RequestContext, Shop

SHOP = Shop(shop_id="e0" * 15, secret="top-secret")
DEVICE = RequestContext(identity=Identity("did", "device0001"))
CALL = requests.set_profile(SHOP, DEVICE, ProfileUpdate(first_name="Ada Canary"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


READ: Call[Any] = requests.read_profile(SHOP, RequestContext(identity=Identity("did", "d1")))


def answer(
    status: int, body: bytes | Any, *, call: Call[Any] = CALL, **headers: str
) -> Answer[Any]:
    return Answer(
        call=call,
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
        ({"status": "403", "message": "no"}, 403, Forbidden),
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
        ("1000000000", 1e9),
        ("9" * 30, 1e10),
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


def test_a_message_that_repeats_what_was_sent_is_withheld_whole() -> None:
    error = refusal(answer(422, {"message": "no Ada Canary here, of device0001"}))

    assert error is not None
    assert error.message == WITHHELD
    assert str(error) == f"profile/set answered 422: {WITHHELD} (2 attempts)"


def test_addresses_and_numbers_that_were_not_sent_are_taken_out() -> None:
    error = refusal(answer(422, {"message": "is it eve@shop.example, 79990001122?"}))

    assert error is not None
    assert error.message == "is it [redacted] [redacted]?"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("text/html; charset=UTF-8", "text/html; charset=UTF-8"),
        ("text/html;charset=iso-8859-1", "text/html;charset=iso-8859-1"),
        ("text/ada", "a content type that"),
    ],
)
def test_a_large_request_is_not_looked_through_for_a_content_type(said: str, shown: str) -> None:
    call = requests.import_audience(b"no JSON " * 20_000)  # which looking through would find
    with pytest.raises(MalformedAnswer, match=f"not JSON .*{shown}"):
        answer(200, b"<html>", call=call, Content_Type=said).parse()


def test_a_value_that_is_part_of_a_known_message_does_not_withhold_it() -> None:
    call = requests.set_profile(SHOP, DEVICE, ProfileUpdate(first_name="Pro", last_name="not"))
    error = refusal(answer(404, {"message": "Profile not found"}, call=call))

    assert isinstance(error, NotFound)
    assert error.message == "Profile not found"


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "url": quote,
    "url, all of it": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "query of yarl": lambda text: URL("/").with_query({"a": text}).raw_query_string[2:],
    "url in a url": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text))[1:-1],
    "json with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "html": html.escape,
    "html of json": lambda text: html.escape(json.dumps(text)[1:-1]),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(
    value=st.text(
        "abcXYZ019 &=+%/\"'<>;\n\N{LATIN SMALL LETTER SHARP S}"
        "\N{CYRILLIC SMALL LETTER ZHE}\N{BIRD}",
        min_size=3,
        max_size=20,
    )
)
def test_a_quotation_is_found_however_it_is_escaped(spelling: str, value: str) -> None:
    assume(sum(map(str.isalnum, value)) >= 3)
    call = requests.set_profile(SHOP, DEVICE, ProfileUpdate(first_name=value))
    error = refusal(answer(422, {"message": f"<< {SPELLINGS[spelling](value)} >>"}, call=call))
    assert error is not None
    assert error.message == WITHHELD


@pytest.mark.parametrize(
    "message", ["nobody, 5 %, %zz, \\u12 & co", "A d", "no results for model [App\\Models\\Shop]"]
)
def test_a_message_that_repeats_nothing_is_shown(message: str) -> None:
    call = requests.set_profile(SHOP, DEVICE, ProfileUpdate(first_name="Ada", last_name="AA"))
    error = refusal(answer(422, {"message": message}, call=call))
    assert error is not None
    assert error.message == message


@pytest.mark.parametrize(
    "piece", ["%41", "%25", "\\", "\\\\u0041", "&amp;", "&", "+", "\\x41", "a"]
)
def test_a_hostile_message_takes_time_by_its_length(piece: str) -> None:
    message = piece * (10_000 // len(piece))
    custom = {f"property_{number}": f"value {number}" for number in range(100)}
    call = requests.set_profile(SHOP, DEVICE, ProfileUpdate(custom=custom))
    error = refusal(answer(422, {"message": message}, call=call))
    assert error is not None
    assert error.message in (WITHHELD, message[:300])


@pytest.mark.parametrize(
    "body",
    [
        b'{"st\\u0061tus": "error", "message": "no"}',
        b'{"status": "ERROR", "message": "no"}',
        '{"status": "error", "message": "no"}'.encode("utf-16"),
        '{"status": "error", "message": "no"}'.encode("utf-16-le"),
        b'\xef\xbb\xbf{"status": "error", "message": "no"}',
    ],
)
def test_an_error_at_200_is_found_in_any_encoding(body: bytes) -> None:
    for call in (CALL, READ):
        error = refusal(answer(200, body, call=call))
        assert isinstance(error, ServiceError)
        assert error.message == "no"


def test_a_message_alone_is_no_profile() -> None:
    body = b'{"message": "Profile not found"}'
    assert type(refusal(answer(200, body, call=READ))) is NotFound
    assert refusal(answer(200, b'{"message": "hello", "id": "1"}', call=READ)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"success"}',
        b'{ "status" : "success" }\n',
        b"{}",
        b" { }\n",
        "{}".encode("utf-16"),
        b'{"success": false, "error": "temporarily out of order"}',
    ],
)
def test_an_object_without_a_field_of_a_profile_is_none(body: bytes) -> None:
    read = answer(200, body, call=READ)
    assert refusal(read) is None
    with pytest.raises(MalformedAnswer, match="has no field of a profile"):
        read.parse()


def test_a_profile_of_unknown_fields_is_one() -> None:
    assert answer(200, b'{"loves": "tea"}', call=READ).parse().extra == {"loves": "tea"}


def test_a_part_of_a_profile_is_none() -> None:
    assert refusal(answer(206, b'{"gender": "f"}', call=READ)) is not None


@pytest.mark.parametrize("status", [408, 429, 500, 503, 404])
def test_retry_after_is_read_at_every_status(status: int) -> None:
    error = refusal(answer(status, b"", Retry_After="7"))

    assert error is not None
    assert error.retry_after == 7


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
