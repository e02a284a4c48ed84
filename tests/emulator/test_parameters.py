"""Every encoding that the official clients use is understood, and nothing else gets through."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Refused

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest.mark.parametrize(
    ("name", "sent", "understood"),
    [
        ("age", 31, 31),
        ("age", "31", 31),
        ("age", "31.5", 31.5),
        ("bought_something", True, True),
        ("bought_something", "true", True),
        ("bought_something", "1", True),
        ("bought_something", "0", False),
        ("kids", [{"gender": "m"}], [{"gender": "m"}]),
        ("kids", '[{"gender":"m"}]', [{"gender": "m"}]),
        ("auto", "[]", []),
        ("first_name", "null", None),
        ("first_name", None, None),
        ("id", 7, "7"),
    ],
)
def test_a_field_comes_in_many_ways(name: str, sent: Any, understood: Any) -> None:
    assert read.field(name, sent) == understood


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        ('{"a":1}', {"a": 1}),
        ("[1,2]", [1, 2]),
        ("{not json", "{not json"),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
        ("null", None),
        ("1", "1"),
        (1.5, 1.5),
        ([1], [1]),
    ],
)
def test_a_custom_value_may_be_json_text(sent: Any, understood: Any) -> None:
    assert read.custom_value(sent) == understood


@pytest.mark.parametrize("did", [None, "", "null"])
def test_no_device_id_comes_in_many_ways(did: Any) -> None:
    assert read.did({"did": did}) is None


@pytest.mark.parametrize("did", ["abcDEF1234", "0b8e7a6c-1f6e-4f0e-8a42-1f9b1b6f1f11", "a,b!", 5])
def test_device_ids_of_all_sorts_pass(did: Any) -> None:
    assert read.did({"did": did}) == str(did)


@pytest.mark.parametrize("did", [{}, [], True, "a\nb", "\x00", "\udc80", "x" * 256])
def test_what_no_device_id_can_be_is_refused(did: Any) -> None:
    with pytest.raises(Refused) as caught:
        read.did({"did": did})
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("query", "kind", "body"),
    [
        ([("did", "a"), ("did", "b")], JSON, b""),
        ([], FORM, b"did=a&did=b"),
        ([], FORM, b"\xff"),
        ([], FORM, b"first_name=Ren%E9"),
        ([], JSON, b'{"a": NaN}'),
        ([], JSON, b'{"a": "\\ud800"}'),
        ([], JSON, b'{"a": 1e400}'),
        ([], JSON, b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}"),
        ([], JSON, b"[" * 100_000),
        ([], JSON, b"null"),
    ],
)
def test_a_request_that_can_not_be_read_is_refused(
    query: list[tuple[str, str]], kind: str, body: bytes
) -> None:
    with pytest.raises(Refused) as caught:
        read.from_request(query, kind, body)
    assert caught.value.status == 400


def test_a_form_that_is_only_announced_is_not_read() -> None:
    assert read.from_request([("did", "a")], FORM, b"") == {"did": "a"}


@given(fields=st.dictionaries(st.text(min_size=1), st.text()))
def test_query_form_and_json_say_the_same(fields: dict[str, str]) -> None:
    def understood(kind: str, body: bytes) -> read.JsonObject:
        return read.from_request([], kind, body)

    assert understood(FORM, urlencode(fields).encode()) == fields
    assert understood(JSON, msgspec.json.encode(fields)) == fields
    assert read.from_request(fields.items(), "", b"") == fields


@given(body=st.binary(), kind=st.sampled_from([FORM, JSON, "", "text/plain"]))
def test_bytes_are_read_or_refused(body: bytes, kind: str) -> None:
    try:
        read.from_request([], kind, body)
    except Refused as refused:
        assert refused.status == 400  # noqa: PT017 - either is right


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["email", "id", "age", "gender", "birthday", "kids", "auto", "bought_something", "email_bulk"]
)


@given(name=FIELDS, value=VALUES)
def test_a_value_is_understood_or_refused(name: str, value: Any) -> None:
    try:
        read.field(name, value)
    except Refused as refused:
        assert refused.status == 422  # noqa: PT017 - either is right
    read.custom_value(value)
    read.identifiers({name: value})
