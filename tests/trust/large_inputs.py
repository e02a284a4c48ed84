"""Large inputs of the shapes that make careless code slow; run by ``test_linear_work``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from personaclick_async import MalformedAnswer, ProfileUpdate, ValidationError, codec
from personaclick_async.models.update import FIELDS, to_wire
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer, refusal
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import distinct
from tests.trust import targets

MANY: Final = 150_000


def _answers() -> None:
    numbered = ",".join(f'"k{n}":{n}' for n in range(MANY))
    digits = "9" * 3 * MANY
    for body in (
        "[" * MANY,
        '{"a":' * MANY,
        "[" * 200 + "1," * MANY,
        '{"x":"' + "\\u0041" * MANY + '"}',
        '{"id":"\\ud800","x":"' + "\\ud800" * MANY + '"}',
        f"{{{numbered}}}",
        f'{{"price":"x",{numbered}}}',
        "{" + ",".join(['"id":"1"'] * MANY) + "}",
        f'{{"x":{digits}}}',
        f'{{"loyalty_bonuses":"{digits}","age":"{digits}"}}',
        f'{{"date":"{digits}","birthday":"{digits}"}}',
        f'{{"fashion_sizes":{{{numbered}}}}}',
        '{"status":"error","message":"' + "did " * MANY + '"}',
        " " * MANY,
    ):
        for call in (targets.CALLS[0], targets.CALLS[3], targets.CALLS[7]):
            targets.answer(call, 200, body.encode())
    products = "[" + ",".join(['{"id":1,"price":{}}'] * 20_000) + "]"
    for call in targets.CALLS:
        got: Answer[Any] = Answer(
            call=call, status=200, headers={}, body=products.encode(), attempts=1, elapsed=0
        )
        with suppress(MalformedAnswer):
            got.parse()
    targets.answer(targets.CALLS[0], 500, b"\xff" * MANY)


def _messages() -> None:
    values = [f"{number:04x}" for number in range(12_000)]
    body = codec.encode({"audience": [{"custom": value} for value in values]})
    call = requests.import_audience(body)
    for message in ("x%" * 5000, "0a1b" * 2500, "user " * 2000, "[redacted]" * 1000, "a@" * 5000):
        said = codec.encode({"status": "error", "message": message})
        targets.answer(targets.CALLS[4], 422, said)
        got: Answer[None] = Answer(
            call=call, status=422, headers={}, body=said, attempts=1, elapsed=0
        )
        assert refusal(got) is not None


def _updates() -> None:
    for field, value in (
        ("email", "a@" + "a." * MANY),
        ("phone", "(" * MANY),
        ("first_name", "\ud800" * MANY),
        ("age", Decimal("1e1000000000")),
        ("kids", [{}] * 100_000),
        ("object", {"list": [1] * MANY}),
        ("object", {"text": "x" * 10 * MANY}),
        ("custom", {f"k{number}": number for number in range(MANY)}),
        ("object", {"object": {"a b": [["x"] * 1000] * 100}}),
    ):
        with suppress(ValidationError):
            codec.encode(to_wire(ProfileUpdate.from_flat({field: value})))
    for hostile in ("a", "-", ".", "1.", "a@a.", "(0)", " ", "\u200b", "e\u0301", "1990-", "\x00"):
        text = hostile * (1_000_000 // len(hostile))
        for name in FIELDS:
            for value in (text, f"a@{text}", f"{text}\ud800"):
                with suppress(ValidationError):
                    ProfileUpdate.of({name: value})
    with suppress(ValidationError):
        ProfileUpdate.from_flat({f"no name {number}": 1 for number in range(MANY)})


def _facade() -> None:
    targets.call(["profile", "set"] + [None] * MANY)
    targets.call(["profile", "get", *({"email": "x"},) * MANY])


def _delimited() -> None:
    for content in (
        b"id" + b"," * 60_000 + b"\n",
        b"id," + b",".join([b"x"] * 30_000) + b"\n",
        b"x" * 10 * MANY,
        b"id,x\n" + b"1," + b"y" * 10 * MANY + b"\n",
        b"id,x\n" + b"1," * MANY + b"\n",
        b"id,x\n" + b'"' * 10 * MANY,
        b"id,x\n" + b'"' + b"1,2\n" * MANY,
        b"id\n" + b"\r" * MANY,
        b"id\n" + b"\0" * MANY,
        b"id\n" + b"\xff" * MANY,
    ):
        targets.delimited(content, encoding="utf-8")
    assert len(set(distinct([""] * MANY))) == MANY
    columns = ["id", *(f"c{number}" for number in range(20_000))]
    FieldMapping.by_name(columns).compile(columns)


def _json_lines() -> None:
    for content in (
        b"{\n" * MANY,
        b"\n" * 10 * MANY,
        b"{" * MANY,
        b'{"id":1,"a":"%s"}' % (b"x" * 10 * MANY),
        b'{"id":1,%s}' % b",".join(b'"k%d":1' % number for number in range(MANY)),
        b'{"id":"%s"}' % (b"9" * MANY),
        b'{"_sent":"%s"}' % (b"[" * MANY),
        b"\xff" * MANY,
    ):
        targets.json_lines(content)


CASES: Final[Mapping[str, Callable[[], None]]] = {
    "answers": _answers,
    "messages": _messages,
    "updates": _updates,
    "facade": _facade,
    "delimited text": _delimited,
    "JSON Lines": _json_lines,
}


def main() -> None:
    for name, run in CASES.items():
        began = time.process_time()
        run()
        sys.stdout.write(f"{name}: {time.process_time() - began:.1f} s\n")


if __name__ == "__main__":
    main()
