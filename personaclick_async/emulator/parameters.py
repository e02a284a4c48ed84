"""One mapping of parameters from a query, a form or a JSON body, and values out of it.

The official clients encode the same field differently (protocol, section 3.3). All of it is
understood here, and nowhere else; what can't be understood is :class:`Refused`.
"""

from __future__ import annotations

import math
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator.settings import Value
from personaclick_async.models.update import FIELDS, Kind

JsonObject = dict[str, Json]
Given = Mapping[str, Json]

_FORM: Final = "application/x-www-form-urlencoded"
_ITEM: Final = re.compile(r"([^\[\]]+)\[([^\[\]]*)\](?:\[([^\[\]]+)\])?")
"""What a form spells ``sizes[]`` or ``kids[0][gender]``."""
_TYPES: Final[Mapping[Kind, tuple[Any, str]]] = {
    Kind.GENDER: (names.Gender, "neither m nor f"),
    Kind.DAY: (date, "not YYYY-MM-DD"),
    Kind.NUMBER: (int | float, "not a number"),
    Kind.FLAG: (bool, "not a boolean"),
    Kind.OBJECTS: (list[dict[str, Any]], "not an array of objects"),
}
"""The type of each kind that is not just text, and the complaint about anything else."""
_DID_MAX_CHARACTERS: Final = 255
_MAX_DEPTH: Final = 64

AUDIENCE_FIELDS: Final = {
    "mobile_token": Kind.TEXT,
    "mobile_token_platform": Kind.TEXT,
    **{
        f"{channel}_{purpose}": Kind.FLAG
        for channel in ("email", "sms", "whatsapp", "telegram", "max")
        for purpose in ("bulk", "chain", "transactional")
    },
}
"""What an audience's entry has beside the fields of a profile (protocol, section 2.9)."""


class Refused(ValueError):
    """A request, or an entry of an import, can't be carried out (protocol, section 9)."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after

    def envelope(self, kind: str = "payload") -> bytes:
        """Return the body of the answer, in one of the envelopes that were seen."""
        error, said = {names.STATUS: names.STATUS_ERROR}, {names.MESSAGE: self.message}
        envelopes: dict[str, Json] = {
            "payload": {**error, names.PAYLOAD: said},
            "message": {**error, **said},
            "bare message": said,
            "numeric status": {names.STATUS: self.status, **said},
        }
        return codec.encode(envelopes[kind]) if kind in envelopes else b""


def unless_refused(setting: Value, message: str) -> Value:
    """Return a setting of the behaviour; one that is a status refuses instead."""
    if type(setting) is int:
        raise Refused(setting, message)
    return setting


def from_request(
    query: Iterable[tuple[str, str]], content_type: str, body: bytes, *, twice: Value = 400
) -> JsonObject:
    """Put a request's parameters together; the body's win over the query's."""
    is_form = content_type == _FORM
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True, errors="strict") if is_form else []
        value = {} if is_form or not body else strict_json(body, JsonObject)
    except ValueError:
        raise Refused(400, "The body is no form and no JSON object, or nested too deeply") from None
    return _single(query, twice) | _single(form, twice) | value


def _single(pairs: Iterable[tuple[str, str]], twice: Value) -> JsonObject:
    parameters: JsonObject = {}
    lists: dict[str, dict[str, Json]] = {}
    for name, value in pairs:
        if found := _ITEM.fullmatch(name):
            _put_item(lists.setdefault(found[1], {}), found[2], found[3], value)
            continue
        if name in parameters:
            # Which of two shops or devices is meant is not ours to guess.
            unless_refused(twice, "A parameter is given twice")
        parameters[name] = value
    for name, items in lists.items():
        is_list = all(key.isdecimal() for key in items)
        parameters.setdefault(name, list(items.values()) if is_list else items)
    return parameters


def _put_item(items: dict[str, Json], key: str, field: str | None, value: str) -> None:
    if not key:
        # Without a number, a name that repeats begins the next item.
        last = items.get(str(len(items) - 1))
        goes_on = field and isinstance(last, dict) and field not in last
        key = str(len(items) - 1 if goes_on else len(items))
    if field is None:
        items[key] = value
    elif isinstance(item := items.setdefault(key, {}), dict):
        item[field] = value
    else:
        raise Refused(400, "A parameter is given twice")


def strict_json(text: bytes | str, expected: Any = Any) -> Json:  # noqa: ANN401 - a type
    """Parse JSON; raise ValueError for NaN, lone surrogates and more than 64 levels."""
    try:
        value = msgspec.json.decode(text, type=expected)
        # The store parses it again, with less of the stack left.
        if _depth(value) <= _MAX_DEPTH:
            return value
    except (RecursionError, msgspec.DecodeError):  # no ValueError before msgspec 0.21
        pass
    raise ValueError("no JSON, or nested too deeply")


def _depth(value: Json) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(one) for one in inner if isinstance(one, dict | list)), default=0)


def json_objects(text: bytes) -> list[JsonObject]:
    """Read an array of JSON objects, or an object from each line that is not empty."""
    text = text.removeprefix(BOM_UTF8)
    is_array = text.lstrip().startswith(b"[")
    # A line in brackets is an array, too; an empty one has nothing in it.
    arrays = [text] if is_array else [b"[%b]" % line for line in text.splitlines()]
    found: list[JsonObject] = []
    for number, array in enumerate(arrays, 1):
        try:
            found += strict_json(array, list[JsonObject])
        except ValueError:
            if is_array:
                raise Refused(400, "the array does not hold JSON objects alone") from None
            raise Refused(400, f"line {number} is not a JSON object") from None
    return found


def as_text(value: Json) -> str | None:
    """Return a text or a number as text; None for anything else."""
    is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value) if is_text else None


def did(parameters: Given, malformed: Value = 422) -> str | None:
    """Return the device id; an empty one is none (protocol, section 6.1)."""
    # The service's own have ten letters and digits, but its clients send others: nearly all pass.
    value = parameters.get(names.DID)
    if value in (None, "", "null"):
        return None
    text = as_text(value)
    if text is None or not text.isprintable():
        raise Refused(malformed if isinstance(malformed, int) else 422, "did is malformed")
    if len(text) > _DID_MAX_CHARACTERS:
        unless_refused(malformed, "did is malformed")
    return text


def identifiers(parameters: Given, user_id_names: str = "both") -> dict[str, str]:
    """Return the identifiers among them; of two names of the shop's own id the newer one wins."""
    user_id = (names.EXTERNAL_ID, names.ID) if user_id_names == "both" else (user_id_names,)
    found: dict[str, str] = {}
    for kind in names.IDENTIFIERS:
        for spelling in user_id if kind == names.EXTERNAL_ID else (kind,):
            text = as_text(parameters.get(spelling))
            if text and text != "null":
                found.setdefault(kind, text)
    return found


def field(name: str, value: Json) -> Json:
    """Parse the value of a standard field, in any of the official clients' encodings."""
    kind = FIELDS[name].kind if name in FIELDS else AUDIENCE_FIELDS.get(name, Kind.TEXT)
    return of_kind(kind, name, value)


def of_kind(kind: Kind, name: str, value: Json) -> Json:
    """Parse a value of a kind; ``name`` is for the message."""
    if kind is Kind.OBJECTS and isinstance(value, str):
        value = custom_value(value.strip())
    return of_type(*_TYPES.get(kind, (str, "not a string")), name, value)


def of_type(expected: Any, complaint: str, name: str, value: Json) -> Json:  # noqa: ANN401 - a type
    """Convert a value to a type, or refuse it with ``name`` and the complaint."""
    if value is None or value == "null":
        # React Native turns null into this text.
        return None
    try:
        given = as_text(value) if expected is str else value
        found = msgspec.convert(given, expected, strict=False)
        is_right = not isinstance(found, int | float) or math.isfinite(found)
    except (ValueError, OverflowError, msgspec.ValidationError):
        is_right = False
    if not is_right:
        raise Refused(422, f"{name} is {complaint}")
    return str(found) if isinstance(found, date | names.Gender) else found


def custom_value(value: Json) -> Json:
    """Parse the value of a custom property: text that is a JSON object or array becomes one."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return strict_json(value)
        except ValueError:
            return value
    return None if value == "null" else value
