"""A quotation is found where it stands, however it is escaped, and nothing else is."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from personaclick_async.protocol.quotations import places

FORMS: dict[str, Callable[[str], str]] = {
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
VALUES = st.text(
    "abcXYZ019 &=+%/\\\"'<>;\n\N{LATIN SMALL LETTER SHARP S}\N{CYRILLIC SMALL LETTER ZHE}\N{BIRD}",
    min_size=3,
    max_size=20,
)


@pytest.mark.parametrize("form", FORMS)
@given(value=VALUES)
def test_all_of_a_quotation_is_found(form: str, value: str) -> None:
    shown = FORMS[form](value)
    message = f"<< {shown} >>"

    covered = {at for begin, end in places(message, [value]) for at in range(begin, end)}

    begin = message.index(shown) if shown else 0
    escaped = {at for at in range(begin, begin + len(shown)) if shown[at - begin].isalnum()}
    # Of an escape that stands at an edge, marks may stay; of the value's own letters none does.
    assert escaped <= covered


@pytest.mark.parametrize(
    ("message", "value", "found"),
    [
        ("no Ada here", "Ada", ["Ada"]),
        ("can't /x?a=5e%2F1&b=2", "5e/1", ["5e%2F1"]),
        ("can't /x?a=5e/1%2B2&b=2", "5e/1+2", ["5e/1%2B2"]),
        (r'can\'t {"n": "\u017b\u00f3"}, sorry', "Żó", [r"\u017b\u00f3"]),
        ("<b>O&#x27;Hara &amp; Co</b>", "o'hara & co", ["O&#x27;Hara &amp; Co"]),
        ("STRASSE 9, Straße 9", "straße", ["STRASSE", "Straße"]),
        ("nobody, %zz, \\u12, &nothing;", "Ada", []),
    ],
)
def test_a_quotation_is_found_where_it_stands(message: str, value: str, found: list[str]) -> None:
    assert sorted({message[begin:end] for begin, end in places(message, [value])}) == sorted(found)


@pytest.mark.parametrize(
    "piece", ["%41", "%25", "\\", "\\\\u0041", "&amp;", "&", "+", "\\x41", "a"]
)
def test_a_hostile_message_takes_time_by_its_length(piece: str) -> None:
    message = piece * (10_000 // len(piece))
    assert places(message, [f"value {number}" for number in range(100)]) == []
