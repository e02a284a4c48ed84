"""An answer of any bytes is a result or one of our errors, for every kind of call."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personaclick_async import MalformedAnswer, NotFound, ServiceError
from personaclick_async.codec import decode
from personaclick_async.models.profile import Profile
from personaclick_async.models.reading import read_object
from personaclick_async.protocol.answers import Answer, refusal
from personaclick_async.protocol.requests import Call
from tests.trust import targets
from tests.trust.found import seeds
from tests.trust.values import JSON, TEXT

KEYS = (
    *("status", "payload", "message", "data", "orders", "products", "did", "id", "date", "age"),
    *("has_email", "gender", "fashion_sizes", "children", "pets", "price", "items", "history"),
    *("birthday", "custom_properties", "realty", "value", "categories", "loyalty_bonuses"),
)
ANSWERS = st.recursive(
    JSON,
    lambda inner: (
        st.dictionaries(st.sampled_from(KEYS) | TEXT, inner, max_size=6)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=20,
)
SEEDS = sorted(set(seeds("parser")))
USUAL = [seed for seed in SEEDS if len(seed) < 500 and seed[:1] in b"[{"]


def answer(call: Call[Any], status: int, body: bytes, **headers: str) -> Answer[Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(call=call, status=status, headers=named, body=body, attempts=1, elapsed=0.1)


def test_known_hostile_answers() -> None:
    for seed in SEEDS:
        targets.parser(seed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    targets.parser(body)


@settings(max_examples=300, deadline=None)
@given(ANSWERS)
def test_any_json(value: Any) -> None:
    targets.parser(json.dumps(value).encode())


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(USUAL),
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 500), st.binary(max_size=3)), max_size=4
    ),
)
def test_real_answers_with_pieces_cut_out_and_put_in(
    body: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    for at, length, put in changes:
        where = at % (len(body) + 1)
        body = body[:where] + put + body[where + length % 8 :]
    targets.parser(body)


@pytest.mark.parametrize("status", [200, 201, 301, 400, 403, 404, 422, 429, 500, 503])
@pytest.mark.parametrize("depth", [100, 900, 990, 1100, 50_000])
@pytest.mark.parametrize("shape", ['{"x":%s}', '[{"id":"1","x":%s}]', '{"did":"d1","popup":%s}'])
def test_nesting_of_any_depth(shape: str, depth: int, status: int) -> None:
    for opened, closed in ("[]", ("{", "}")):
        inner = '{"a":' * depth + "1" + "}" * depth if opened == "{" else "[" * depth + "]" * depth
        body = (shape % inner).encode()
        for call in targets.CALLS:
            targets.answer(call, status, body)
        del closed


@pytest.mark.parametrize(
    "number",
    [
        *("1e400", "-1e400", "9" * 5000, "-" + "9" * 5000, "0." + "1" * 5000, "1e-400", "-0"),
        *("NaN", "-Infinity", "1e99999999999999999999", "253402300800", "-62135596801", "1E+2"),
    ],
    ids=lambda number: number[:12],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_numbers_of_any_size_in_every_place(number: str, quote: str) -> None:
    for key in KEYS:
        for shape in ('{"did":"d1","id":"1","%s":%s}', '[{"id":"1","items":[{}],"%s":%s}]'):
            targets.parser((shape % (key, quote + number + quote)).encode())


def test_an_integer_of_thousands_of_digits_costs_no_answer() -> None:
    profile = read_object(Profile, b'{"gender":"f","points":%s,"debts":-%s}' % ((b"9" * 5000,) * 2))
    assert profile.gender == "f"
    assert profile.raw["points"] == float("inf")
    assert profile.raw["debts"] == float("-inf")


@pytest.mark.parametrize(
    "body",
    [
        b'{"gender":"f","note":"caf\xc3"}',
        b'{"gender":"f","n\xffote":1}',
        b'{"gender":"f","id":"\xe9"}',
    ],
)
def test_a_letter_cut_in_half_costs_no_answer(body: bytes) -> None:
    profile = read_object(Profile, body)
    assert profile.gender == "f"
    assert "\ufffd" in json.dumps(profile.raw, ensure_ascii=False)


def test_half_a_character_is_no_number() -> None:
    targets.parser(b'[{"id":1,"items":[{"id":1,"price":"\\ud800"}],"value":"\\ud800"}]')
    profile = read_object(Profile, b'{"gender":7,"points":"\\ud800","has_email":"\\ud800"}')
    assert profile.raw["points"] == "\ud800"


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    profile = read_object(Profile, b'{"gender":"f","gender":"m","x":1,"x":2}')
    assert profile.gender == "m"
    assert profile.raw == {"gender": "m", "x": 2}


def test_retry_after_of_any_text() -> None:
    chance = random.Random(1)
    for seed in seeds("headers"):
        targets.headers(seed)
        for _ in range(200):
            cut = chance.randrange(len(seed) + 1)
            targets.headers(seed[:cut] + bytes([chance.randrange(256)]) + seed[cut:])


def test_a_content_type_that_quotes_the_request_is_not_shown() -> None:
    call = targets.CALLS[4]
    with pytest.raises(MalformedAnswer) as caught:
        answer(call, 200, b"<html>", Content_Type="text/Canaryfirst").parse()
    assert "anary" not in str(caught.value)
    assert "a content type that repeats what was sent" in str(caught.value)


def test_words_far_apart_still_tell_that_nobody_was_found() -> None:
    body = json.dumps({"status": "error", "message": "Profile " + "did " * 2000 + "not found"})
    assert isinstance(refusal(answer(targets.CALLS[1], 422, body.encode())), NotFound)
    body = json.dumps({"status": "error", "message": "not found: did " * 600})
    error = refusal(answer(targets.CALLS[1], 422, body.encode()))
    assert isinstance(error, ServiceError)


@pytest.mark.parametrize("status", [10**30, -1, 0, 700, True, "404", 404.0, [], None])
def test_a_status_in_the_body_may_be_anything(status: Any) -> None:
    body = json.dumps({"status": status, "message": "Profile not found"}).encode()
    for call in targets.CALLS:
        targets.answer(call, 200, body)


def test_the_fallback_decoder_reads_what_it_says(tmp_path: Path) -> None:
    assert decode(b"\xef\xbb\xbf[1e400]") == [float("inf")]
    assert decode(b"[%s]" % (b"9" * 600)) == [int("9" * 600)]
