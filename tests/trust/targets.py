"""What may be given any bytes at all, and what must hold afterwards: for hypothesis and the fuzzer.

Each target takes bytes and returns, or raises AssertionError. Everything else that it raises is
a crash. Targets are in ``TARGETS``, by name.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, Final

from personaclick_async import (
    MalformedAnswer,
    PersonaClickError,
    ProfileUpdate,
    ServiceError,
    ValidationError,
    codec,
)
from personaclick_async.facade import commands
from personaclick_async.models import Identity
from personaclick_async.models.reading import Read
from personaclick_async.models.update import to_wire
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer, refusal, retry_after
from personaclick_async.protocol.requests import Call, RequestContext, Shop
from personaclick_async.sync import Record, Rejected
from personaclick_async.sync.sources import CsvSource, JsonSource, Layout, StreamInput

SHOP: Final = Shop(shop_id="e0" * 15, secret="canary-secret")
DEVICE: Final = RequestContext(identity=Identity("did", "canarydevice"), seance="canaryseance")
CUSTOMER: Final = RequestContext(identity=Identity("email", "canary@shop.example"))
UPDATE: Final = ProfileUpdate(
    email="canary@shop.example", first_name="Canaryfirst", custom={"note": "canary note"}
)

CALLS: Final[tuple[Call[Any], ...]] = (
    requests.init(SHOP, did="canarydevice"),
    requests.read_profile(SHOP, DEVICE),
    requests.read_profile(SHOP, CUSTOMER),
    requests.read_full_profile(SHOP, DEVICE),
    requests.set_profile(SHOP, DEVICE, UPDATE),
    requests.purge_profile(SHOP, CUSTOMER),
    requests.last_order(SHOP, DEVICE),
    requests.orders_by_user(SHOP, CUSTOMER, date_from=date(2020, 1, 1)),
    requests.import_audience(codec.encode({"audience": [{"first_name": "Canaryfirst"}]})),
)
"""One call of every kind."""

STATUSES: Final = (200, 201, 204, 301, 400, 401, 404, 422, 429, 500, 503)

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)

WORDS: Final[tuple[Any, ...]] = (
    *("init", "profile", "set", "get", "orders", "last_for_user", "did", "sid", "reset_session"),
    *(None, True, False, 0, -1.5, "", "other", b"bytes", (), [], {}, {"email": "a@b.example"}),
    *({1: 2}, {"did": None}, print, dict, object(), UPDATE, {"did": "d", "api_host": "h"}),
)
"""What a facade call is made of, and what it is not."""

_LONGEST_TEXT: Final = 1000


def refused(
    attempt: Callable[[], object], kind: type[PersonaClickError] = PersonaClickError
) -> PersonaClickError | None:
    """Give the error of this kind that an attempt ends with, if it does."""
    try:
        attempt()
    except kind as error:
        return error
    return None


def parser(body: bytes) -> None:
    """An answer of any bytes, to every kind of call, is a result or one of our errors."""
    for call in CALLS:
        answer(call, 200, body)
    status = STATUSES[len(body) % len(STATUSES)]
    answer(CALLS[sum(body[:8]) % len(CALLS)], status, body)


def answer(call: Call[Any], status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
    """Read one answer in every way that there is."""
    got = Answer(call=call, status=status, headers=headers, body=body, attempts=1, elapsed=0.1)
    error = refusal(got)
    assert error is None or isinstance(error, ServiceError)
    if error is not None:
        _check_error(error, call.private_values())
    try:
        whole = got.json()
    except MalformedAnswer as malformed:
        _check_error(malformed, call.private_values())
        whole = None
        readable = False
    else:
        readable = True
    try:
        result = got.parse()
    except MalformedAnswer as malformed:
        _check_error(malformed, call.private_values())
        return
    assert readable, "parsed what json() can't read"
    for read in result if isinstance(result, list) else [result]:
        if isinstance(read, Read):
            _check_read(read)
    if isinstance(result, Read):
        assert repr(result.raw) == repr(whole)


def _check_read(read: Read) -> None:
    assert isinstance(read.raw, dict)
    assert read.extra.keys() <= read.raw.keys()
    assert repr(read).lstrip("<").startswith(type(read).__name__)
    with suppress(RecursionError):  # pickle's own, of values nested hundreds of levels deep
        again = pickle.loads(pickle.dumps(read))
        assert repr(again.raw) == repr(read.raw)


def _check_error(error: PersonaClickError, private: Iterable[str]) -> None:
    assert len(str(error)) < _LONGEST_TEXT
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = str(error).lower()
    for value in private:
        assert value.lower() not in shown


def headers(text: bytes) -> None:
    """A ``Retry-After`` of any text is a time of not less than zero, or none."""
    seconds = retry_after({"Retry-After": text.decode("latin-1")}, NOW)
    assert seconds is None or seconds >= 0


def properties(body: bytes) -> None:
    """Fields and custom properties of any JSON are sent as they are, or refused by name."""
    with suppress(ValueError):
        value = codec.decode(body)
        update(value if isinstance(value, dict) else {"note": value})
        custom({"note": value})


def update(fields: Mapping[Any, Any]) -> None:
    """A flat mapping of any names and values is an update that can be sent, or refused."""

    def attempt() -> None:
        made = ProfileUpdate.from_flat(fields)
        sent = requests.set_profile(SHOP, DEVICE, made)
        assert sent.body is not None
        json.loads(bytes(sent.body))
        assert repr(made).startswith("<ProfileUpdate of ")

    error = refused(attempt, ValidationError)
    if isinstance(error, ValidationError):  # its text names the field, whose name may be long
        assert len(error.rule + error.given) < _LONGEST_TEXT


def custom(properties: Mapping[Any, Any]) -> None:
    """What is accepted as a custom property arrives as it was, numbers by their value."""
    try:
        made = ProfileUpdate(custom=properties)
    except ValidationError:
        return
    wire = json.loads(codec.encode(to_wire(made)))
    kept = {name: value for name, value in properties.items() if value is not None}
    assert wire == kept


def facade(body: bytes) -> None:
    """A call of the facade with any words and values, in any order, is understood or refused.

    Each byte stands for one of the words and values; what follows a zero is a mapping as JSON.
    """
    chosen, _, rest = body.partition(b"\0")
    arguments = [WORDS[byte % len(WORDS)] for byte in chosen]
    named: Mapping[str, Any] = {}
    with suppress(ValueError):
        value = codec.decode(rest)
        arguments.append(value)
        named = value if isinstance(value, dict) else {"params": value}
    call(arguments)
    call(arguments, named)
    call(arguments[:-1], named)


def call(arguments: list[Any], named: Mapping[str, Any] | None = None) -> None:
    """A facade call is a command of known form, or a WrongCall that shows no argument."""

    def attempt() -> None:
        command = commands.parse(tuple(arguments), named or {})
        assert isinstance(command.verb, commands.Verb)
        assert command.success is None or callable(command.success)
        assert command.error is None or callable(command.error)

    error = refused(attempt, commands.WrongCall)
    assert len(str(error)) < _LONGEST_TEXT


def csv(content: bytes) -> None:
    """Delimited text of any bytes, with any marks: every row is a record or a rejection."""
    marks = content[:3].decode("latin-1")
    layout: dict[str, Any] = {}
    if content[:1] in b"\x01\x02\x03" and len(marks) == 3:
        layout = {
            "delimiter": marks[1] if content[0] & 1 else None,
            "quote": marks[2] if content[0] & 2 else None,
        }
        content = content[3:]
    delimited(content, **layout)


def delimited(content: bytes, **layout: Any) -> None:
    """Read delimited text from a stream, which can be read only once."""

    def attempt() -> None:
        outcomes(CsvSource(StreamInput(io.BytesIO(content)), layout=Layout(**layout)))

    error = refused(attempt, PersonaClickError)
    assert len(str(error)) < _LONGEST_TEXT


def json_lines(content: bytes, encoding: str | None = None) -> None:
    """JSON Lines of any bytes: every line is a record or a rejection."""
    source = JsonSource(StreamInput(io.BytesIO(content)), encoding=encoding)
    with suppress(PersonaClickError):
        outcomes(source)


def outcomes(source: CsvSource | JsonSource) -> None:
    """Read all of a source; what it accepts can be written as JSON."""
    last = 0
    for outcome in source.outcomes():
        assert isinstance(outcome, Record | Rejected)
        assert outcome.row == last + 1
        last = outcome.row
        if isinstance(outcome, Record):
            assert outcome.identifiers
            json.loads(codec.encode(outcome.wire))
        repr(outcome)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "parser": parser,
    "headers": headers,
    "properties": properties,
    "facade": facade,
    "csv": csv,
    "jsonl": json_lines,
}
