"""From JSON to the models: a strict decoder, and lenient conversion of what that refuses.

msgspec builds the attrs classes straight from bytes, and refuses any value of another type. The
service is known to vary its types, so what msgspec refuses is coerced.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from personaclick_async import codec
from personaclick_async.models.reading import Read, WrongShape, keep_source
from personaclick_async.names import PAYLOAD, STATUS, STATUS_SUCCESS

R = TypeVar("R", bound=Read)

_PAYLOAD_KEY: Final = f'"{PAYLOAD}"'.encode()


def read_object(cls: type[R], body: bytes) -> R:
    """Make a model from a JSON object, also inside ``{"status": "success", "payload": …}``.

    :raises WrongShape: the bytes are not a JSON object with the required fields.
    """
    return _read(cls, _without_envelope(body) if _PAYLOAD_KEY in body else body)


def _read(cls: type[R], body: bytes) -> R:
    try:
        read: R = _decoder(cls).decode(body)  # type: ignore[arg-type]  # mypy looks at the hash of instances
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        read = _coerced(cls, _parsed(body))
    object.__setattr__(read, "_source", body)  # what keep_source does, of every profile read
    return read


def read_objects(cls: type[R], body: bytes, *, wrappers: tuple[tuple[str, ...], ...]) -> list[R]:
    """Make models from a JSON array, or from one inside an object at one of the ``wrappers``.

    :raises WrongShape: there is no such array, or an item is not an object.
    """
    try:
        items = _split(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return [
            keep_source(_coerced(cls, item), _source(item))
            for item in _unwrapped(_parsed(body), wrappers)
        ]
    return [_read(cls, bytes(item)) for item in items]


_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@cache
def _decoder(cls: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


def _without_envelope(body: bytes) -> bytes:
    said = _parsed(body)
    if isinstance(said, dict) and said.get(STATUS) == STATUS_SUCCESS:
        inner = said.get(PAYLOAD)
        return _source(inner) if isinstance(inner, dict) else body
    return body


def _parsed(body: bytes) -> object:
    try:
        return codec.decode_answer(body)
    except ValueError:
        raise WrongShape("the body is not JSON") from None


def _source(item: object) -> bytes:
    # Not the codec: what only the lenient decoder reads, the strict encoder would not write.
    try:
        return json.dumps(item).encode()
    except RecursionError:
        raise WrongShape("the body is nested too deeply") from None


def _unwrapped(value: object, wrappers: tuple[tuple[str, ...], ...]) -> list[Any]:
    if isinstance(value, dict) and isinstance(value.get(PAYLOAD), dict | list):
        value = value[PAYLOAD]
    for path in ((), *wrappers):
        inner: Any = value
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, list):
            return inner
    raise WrongShape("the body is not an array")


def _coerced(cls: type[R], value: object) -> R:
    # Most processes never need it, and cattrs takes as long to import as a tenth of the package.
    from personaclick_async.models.coercion import coerce  # noqa: PLC0415

    return coerce(cls, value)
