"""What is secret or personal does not survive redaction, and other text is left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from personaclick_async import ConfigurationError, PersonaClickError, ProfileUpdate
from personaclick_async.logs import REDACTED, Redactor

SECRET = "5ecret/of the+shop"
redact = Redactor([SECRET])

NAMES = (
    "shop_secret", "secret", "did", "sid", "seance",
    "email", "phone", "external_id", "loyalty_id", "telegram_id",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"the key is {SECRET}!", f"the key is {REDACTED}!"),
        ("GET /?key=5ecret%2Fof%20the%2Bshop HTTP", f"GET /?key={REDACTED} HTTP"),
        ("?a=1&shop_secret=x&sid=s1", "?a=1&shop_secret=[redacted]&sid=[redacted]"),
        ('{"seance": "abc", "gender": "f"}', '{"seance": "[redacted]", "gender": "f"}'),
        ("{'external_id': 'c 7', 'age': 3}", "{'external_id': '[redacted]', 'age': 3}"),
        ('{"external_id": 7, "age": 3}', '{"external_id": "[redacted]", "age": 3}'),
        ('{"phone": "a\\"b", "x": 1}', '{"phone": "[redacted]", "x": 1}'),
        (r'"{\"did\": \"a \\\"b\", \"x\": 1}", 2', r'"{\"did\": \"[redacted]\", \"x\": 1}", 2'),
        ('{"did": "cut off, with spa', '{"did": "[redacted]'),
        ("Session(did='a', seance=None)", "Session(did='[redacted]', seance=None)"),
        ("Cookie: shop_did=abc; theme=dark", "Cookie: shop_did=[redacted]; theme=dark"),
        ("PERSONACLICK_SHOP_SECRET=x", "PERSONACLICK_SHOP_SECRET=[redacted]"),
        ("?to=%2Fa%3Fdid%3Dx%26v%3D1", "?to=%2Fa%3Fdid%3D[redacted]%26v%3D1"),
        ("did: abc is new", "did: [redacted] is new"),
        ("no secret: did: abc", "no secret: [redacted] [redacted]"),
        ("did: abc,sid: x", "did: [redacted] [redacted]"),
        ("(did=abc,sid = x)", "(did=[redacted] = [redacted])"),
        ('Cookie: sid=abc;did="x y"', 'Cookie: sid=[redacted]"[redacted]"'),
        ("{'did': 7,'email': 'x'}", "{'did': '[redacted]','email': '[redacted]'}"),
        ("did='cut, sid='x'", "did='[redacted]'[redacted]'"),
        ("sid=secret = ,", "sid=[redacted] = ,"),
        ("mail to ada@shop.example failed", "mail to [redacted] failed"),
        ("(ada@shop.example), 'o'hara@shop.example'", "([redacted]), '[redacted]'"),
        ("?q=ada%40shop.example&x=1", "?q=[redacted]&x=1"),
        ("?q=%D0%B0da%40%D0%BF%D0%BE.example&x=1", "?q=[redacted]&x=1"),
        ("call +7 (999) 000-11-22", "call [redacted]"),
        ("call 8 999 000-11-22 or (495) 123-45-67", "call [redacted] or [redacted]"),
        ("call 555-123-4567, +4512345678", "call [redacted], [redacted]"),
        ("card 1234567890.", "card [redacted]."),
        (r'"one\nada@shop.example\ndid=x"', r'"one\n[redacted]\ndid=[redacted]"'),
        (r'"one\n+7 999 000-11-22"', r'"one\n[redacted]"'),
        (r"/x?a=1\u0026did=x\u0026b=2", r"/x?a=1\u0026did=[redacted]\u0026b=2"),
    ],
)  # fmt: skip
def test_what_is_private_is_taken_out(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "POST profile/set: 200, attempt 2, 12 ms",
        "sent 18,148 records of 1000000 in 2.31 s (7,856/s), 33554432 bytes",
        "2026-08-01 12:30:00,123 INFO done",
        '[01/Aug/2026:12:30:00 +0000] "GET / HTTP/1.1" 200 512',
        '{"created": 1785587400.1234567, "elapsed": 0.30000000000000004}',
        "candid=yes, presidents: 3, inside=4, valid_ids=5",
        "at 127.0.0.1:8787 and 192.168.100.123",
        "b6f1c0de1234567890abcdef",
        '{"did": null, "email": None}',
        "{'emails': ['x'], 'seances': 3}",
        "@property def f(): ...",
        "birthday: expected a date or YYYY-MM-DD, got str of 8 characters",
        "phone: expected digits, got str of 3 characters",
        "shop_secret is needed to sync profiles; none was given",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_what_a_validation_says_can_still_be_read() -> None:
    with pytest.raises(PersonaClickError) as caught:
        ProfileUpdate(phone="x")

    assert redact(str(caught.value)) == str(caught.value)


# Values that tell themselves apart from the text around them.
VALUES = st.text("abcXYZ019 &=+%/\\\"',;:()[]{}<>\N{CYRILLIC SMALL LETTER ZHE}", max_size=12).map(
    lambda middle: f"CAN{middle}ARY"
)


@attrs.define
class Visitor:
    did: str


def _headers(name: str, value: str) -> str:
    return f"{name}: {value.split(maxsplit=1)[0]}"


FORMS: dict[str, Callable[[str, str], str]] = {
    "query": lambda name, value: "/x?" + urlencode({"a": 1, name: value, "z": 2}),
    "query of yarl": lambda name, value: str(URL("/x").with_query({"a": 1, name: value, "z": 2})),
    "query in a query": lambda name, value: (
        "/y?to=" + quote("/x?" + urlencode({"a": 1, name: value, "z": 2}), safe="")
    ),
    "json": lambda name, value: json.dumps({"a": 1, name: value, "z": 2}),
    "json, compact": lambda name, value: json.dumps({name: value, "z": 2}, separators=(",", ":")),
    "json, unescaped": lambda name, value: json.dumps({"a": name, name: value}, ensure_ascii=False),
    "json in json": lambda name, value: json.dumps({"said": json.dumps({name: value}), "z": 2}),
    "json in json in json": lambda name, value: json.dumps(
        [json.dumps([json.dumps({name: value})])]
    ),
    "dict": lambda name, value: repr({"a": 1, name: value, "z": [2]}),
    "repr": lambda name, value: repr(Visitor(value)).replace("did", name),
    "json of a repr": lambda name, value: json.dumps({"said": repr({name: value})}),
}


@pytest.mark.parametrize("form", FORMS)
@given(
    name=st.sampled_from(NAMES),
    value=VALUES,
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_a_named_value_does_not_survive_in_any_form(
    form: str, name: str, value: str, before: str, after: str
) -> None:
    text = FORMS[form](name, value)
    for shown in (redact(text), redact(f"{before} {text} {after}")):
        assert "CAN" not in shown
        assert "ARY" not in shown


@given(value=VALUES, number=st.integers(0, 10**18))
def test_a_line_of_json_stays_one(value: str, number: int) -> None:
    line = {"did": value, "said": {"external_id": number, "email": None}, "z": [f"{value}@x.y"]}

    shown: Any = json.loads(redact(json.dumps(line)))

    assert shown["did"] == REDACTED
    assert shown["said"] == {"external_id": REDACTED, "email": None}


@given(
    local=st.text("abcdefXYZ0123456789._+-~!#$*", min_size=1, max_size=30),
    domain=st.from_regex(r"[a-z0-9]{1,10}(\.[a-z]{2,5}){1,3}", fullmatch=True),
    around=st.sampled_from(["{}", "<{}>", "'{}'", '"{}"', "mailto:{}", "a={}&b", "({}).", "x, {}"]),
    encode=st.sampled_from([str, quote, quote_plus, lambda text: quote(quote(text))]),
)
def test_no_part_of_an_address_survives(
    local: str, domain: str, around: str, encode: Callable[[str], str]
) -> None:
    shown = redact(around.format(encode(f"{local}@{domain}")))

    assert shown == around.format(REDACTED)


@given(
    digits=st.integers(10**9, 10**15 - 1).map(str),
    around=st.sampled_from(
        ["{}", "+{}", "({})", "to {}, then", "id_{}", "'{}'", "%2B{}", "%20{}", r'"a\n{}"']
    ),
)
def test_no_long_number_survives(digits: str, around: str) -> None:
    assert digits not in redact(around.format(digits))


@given(
    secret=st.text(min_size=6, max_size=40),
    before=st.text(max_size=30),
    after=st.text(max_size=30),
    encode=st.sampled_from([str, lambda text: quote(text, safe=""), quote_plus]),
)
def test_a_secret_never_survives(
    secret: str, before: str, after: str, encode: Callable[[str], str]
) -> None:
    shown = Redactor([secret])(before + encode(secret) + after)
    assert secret not in shown.replace(REDACTED, "\0")


@given(
    st.text(st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="@%=:"), max_size=200)
)
def test_text_that_cannot_hold_any_of_it_is_unchanged(text: str) -> None:
    assert redact(text) == text


@given(st.text("\"'\\=: {}[]did@%40123456789+-(),\n", max_size=300))
def test_redacting_twice_finds_no_more_addresses_or_numbers(text: str) -> None:
    once = redact(text)
    assert redact(once).count("@") <= once.count("@")


@pytest.mark.parametrize(
    "piece",
    [
        "a", "a.", "o'", "%41", "%40", "@", "a@", "a@b.", "\\", '"', "'\\", "1", "+1 ", "(999)",
        "555-", "did=", 'did="', "did='", 'did=\\"', "did='\\", "did=a,", "did=a'", "did%3D",
        "did:", '"did" ', '"did": \\', "%3Fdid=", "shop_", "+1 ((",
        "\\n", "\\u0041", "did=,'", "did=((", "\\\\u004", "%2", "'@", "secret ",
    ],
)  # fmt: skip
def test_hostile_text_takes_time_by_its_length(piece: str) -> None:
    # Quadratic, this would take minutes and fail by the runner's patience.
    text = piece * (100_000 // len(piece))
    assert isinstance(redact(text), str)
    assert isinstance(redact('"did": "' + text), str)


def test_a_secret_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 6"):
        Redactor(["abc"])


def test_its_repr_shows_no_secret() -> None:
    assert SECRET not in repr(redact)
