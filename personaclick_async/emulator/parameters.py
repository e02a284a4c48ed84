"""One mapping of parameters from a query, a form or a JSON body, and values out of it.

The official clients encode the same field differently: real arrays or JSON text, numbers or text,
``true`` or ``"1"`` (protocol, section 3.3). All of it is understood here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator.refusals import Refused
from personaclick_async.models.fields import Kind
from personaclick_async.models.update import FIELDS

Parameters = dict[str, Json]

_FORM: Final = "application/x-www-form-urlencoded"
_NESTED: Final = re.compile(r"[^\[\]]+(?:\[[^\[\]]*\]){1,8}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,12})?")
_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
_DID_MAX_CHARACTERS: Final = 255
_PURPOSES: Final = ("bulk", "chain", "transactional")
_CHANNELS: Final = ("email", "sms", "whatsapp", "telegram", "max")
_MAX_DEPTH: Final = 64
_strict: Final = msgspec.json.Decoder()

SUBSCRIPTIONS: Final = frozenset(
    f"{channel}_{purpose}" for channel in _CHANNELS for purpose in _PURPOSES
)
AUDIENCE_FIELDS: Final = SUBSCRIPTIONS | {"mobile_token", "mobile_token_platform"}
"""What an audience's entry has beside the fields of a profile (protocol, section 2.9)."""


def from_request(
    query: Iterable[tuple[str, str]],
    content_type: str,
    body: bytes,
    *,
    has_body: bool,
    twice: int | str = 400,
) -> Parameters:
    """Put a request's parameters together; the body's win over the query's.

    :param has_body: whether the method has one; React Native sends a form's content type on GET.
    :param twice: the status if a parameter comes twice; a word lets the last one count.
    :raises Refused: the body is neither a JSON object nor a form, or a parameter comes twice.
    """
    parameters = _single(query, twice)
    if has_body and body:
        if content_type == _FORM:
            parameters.update(_form(body, twice))
        else:
            parameters.update(_object(body))
    return parameters


def _form(body: bytes, twice: int | str) -> Parameters:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
    except ValueError:
        raise Refused(400, "The form can not be read") from None
    return _single(pairs, twice)


def _single(pairs: Iterable[tuple[str, str]], twice: int | str) -> Parameters:
    parameters: Parameters = {}
    nested: Parameters = {}
    for name, value in pairs:
        if _NESTED.fullmatch(name):
            _nest(nested, name.replace("]", "").split("["), value)
        elif name in parameters and isinstance(twice, int):
            # Which of two shops or devices is meant is not ours to guess.
            raise Refused(twice, "A parameter is given twice")
        else:
            parameters[name] = value
    return {**{name: _listed(value) for name, value in nested.items()}, **parameters}


def _nest(into: Parameters, keys: list[str], value: str) -> None:
    """Put in what a form spells ``kids[0][gender]=m``, or ``kids[][gender]=m``."""
    key, *rest = keys
    if not key:
        # Without a number, a name that repeats begins the next item.
        key = str(max(len(into) - 1, 0))
        item = into.get(key)
        if not rest or (isinstance(item, dict) and rest[0] in item):
            key = str(len(into))
    inner = into.setdefault(key, {} if rest else value)
    if not rest:
        into[key] = value
    elif isinstance(inner, dict):
        _nest(inner, rest, value)
    else:
        raise Refused(400, "A parameter is given twice")


def _listed(value: Json) -> Json:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(one) for key, one in value.items()}
    return list(inner.values()) if all(key.isdecimal() for key in inner) else inner


def strict_json(text: bytes | str) -> Json:
    """Read JSON as the standard has it: no NaN, no lone surrogates, which nothing could store.

    :raises ValueError: the text is not JSON, or nested deeper than 64 levels.
    """
    try:
        value = _strict.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except msgspec.DecodeError as error:  # no ValueError before msgspec 0.21
        raise ValueError(str(error)) from None
    # What can just be read here could not be read from the store, where the stack is deeper.
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _object(body: bytes) -> Parameters:
    try:
        value = strict_json(body)
    except ValueError:
        raise Refused(400, "The body is not JSON, or nested too deeply") from None
    if not isinstance(value, dict):
        raise Refused(400, "The body is not a JSON object")
    return value


def as_text(value: Json) -> str | None:
    """Return a text or a number as text; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def did(parameters: Mapping[str, Json], malformed: int | str = 422) -> str | None:
    """Return the device id; an empty one is none (protocol, section 6.1).

    The service's own have ten letters and digits, but its clients send others: nearly all pass.

    :param malformed: the status of the refusal; with a word, any length will do.
    :raises Refused: it is no text, or not one that an id could be.
    """
    value = parameters.get(names.DID)
    if value is None or value in ("", "null"):
        return None
    text = as_text(value)
    status = malformed if isinstance(malformed, int) else None
    if text is None or not text.isprintable():
        raise Refused(status or 422, "did is malformed")
    if status is not None and len(text) > _DID_MAX_CHARACTERS:
        raise Refused(status, "did is malformed")
    return text


def field(name: str, value: Json) -> Json:
    """Understand the value of a standard field, in any of the official clients' encodings.

    :raises Refused: the value can't be one of that field.
    """
    if value is None or value == "null":
        # React Native turns null into this text.
        return None
    kind = FIELDS[name].kind if name in FIELDS else None
    if kind is Kind.OBJECTS:
        return _list(name, value)
    if kind is Kind.NUMBER:
        return _number(name, value)
    if kind is Kind.FLAG or name in SUBSCRIPTIONS:
        return _boolean(name, value)
    text = as_text(value)
    if text is None:
        raise Refused(422, f"{name} is not a string")
    if kind is Kind.GENDER and text not in tuple(names.Gender):
        raise Refused(422, f"{name} is neither m nor f")
    if kind is Kind.DAY:
        day(name, text)
    return text


def custom_value(value: Json) -> Json:
    """Understand the value of a custom property: JSON text of an object or array is that."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            inner = strict_json(value)
        except ValueError:
            return value
        return inner if isinstance(inner, dict | list) else value
    return None if value == "null" else value


def _number(name: str, value: Json) -> Json:
    if isinstance(value, bool):
        raise Refused(422, f"{name} is not a number")
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    raise Refused(422, f"{name} is not a number")


def _boolean(name: str, value: Json) -> bool:
    word = str(value).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Refused(422, f"{name} is not a boolean")


def _list(name: str, value: Json) -> list[Json]:
    if isinstance(value, str):
        try:
            value = strict_json(value)
        except ValueError:
            raise Refused(422, f"{name} is not JSON") from None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refused(422, f"{name} is not an array of objects")
    return value


def day(name: str, text: str) -> date:
    """Return the date that ``YYYY-MM-DD`` says.

    :raises Refused: the text is not one of the calendar in that form.
    """
    try:
        parsed = date.fromisoformat(text)
    except ValueError:
        parsed = None
    # fromisoformat knows more forms than the service: only its own comes out the same.
    if parsed is None or parsed.isoformat() != text:
        raise Refused(422, f"{name} is not YYYY-MM-DD")
    return parsed


def segment_id(parameters: Mapping[str, Json]) -> int | None:
    """Return the segment of an audience, which may come as text.

    :raises Refused: it is no integer.
    """
    value = parameters.get(names.SEGMENT_ID)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    if value in (None, "") or type(value) is int:
        return value or None
    raise Refused(422, f"{names.SEGMENT_ID} is not an integer")


def truthy(value: Any) -> bool:  # noqa: ANN401 - the flag may be anything
    """Whether a flag is set: true, 1, "yes" or even a sentence (protocol, section 2.5)."""
    return bool(value) and str(value).lower() not in ("false", "0", "null", "no")


def identifiers(parameters: Mapping[str, Json], user_id_names: str = "both") -> dict[str, str]:
    """Return the identifiers among the parameters.

    :param user_id_names: which names of the shop's own user id count; of both, ``external_id``
        wins over ``id``.
    """
    found: dict[str, str] = {}
    for kind in names.IDENTIFIERS:
        value = parameters.get(kind)
        if kind == names.EXTERNAL_ID and user_id_names != names.EXTERNAL_ID:
            value = None if user_id_names == names.ID else value
            value = parameters.get(names.ID) if value in (None, "") else value
        text = as_text(value)
        if text and text != "null":
            found[kind] = text
    return found
