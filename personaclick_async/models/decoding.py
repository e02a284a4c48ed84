"""From JSON to the models: a fast strict way, and a tolerant one behind it.

msgspec goes first, which builds the attrs classes straight from bytes and refuses any value of
another type. The service is known to vary its types, so what msgspec refuses is bent into shape
by the converter, which is imported when that happens: most processes never meet such an answer.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from personaclick_async import codec
from personaclick_async.models.reading import Read, keep_source

R = TypeVar("R", bound=Read)


class WrongShape(ValueError):
    """The JSON is not the kind of thing that was promised; says which, never what it holds."""


def read_object(cls: type[R], body: bytes) -> R:
    """Make a model from a JSON object.

    :raises WrongShape: the bytes are not a JSON object with the fields that must be there.
    """
    try:
        read: R = _decoder(cls).decode(body)  # type: ignore[arg-type]  # mypy looks at the hash of instances
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        read = _bent(cls, _parsed(body))
    return keep_source(read, body)


def read_objects(cls: type[R], body: bytes, *, wrappers: tuple[tuple[str, ...], ...]) -> list[R]:
    """Make models from a JSON array, or from one inside an object at one of the ``wrappers``.

    :raises WrongShape: there is no such array, or an item is not an object.
    """
    try:
        items = _split(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return [
            keep_source(_bent(cls, item), _source(item))
            for item in _unwrapped(_parsed(body), wrappers)
        ]
    return [read_object(cls, bytes(item)) for item in items]


_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@cache
def _decoder(cls: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


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
    if isinstance(value, list):
        return value
    for path in wrappers:
        inner: Any = value
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, list):
            return inner
    raise WrongShape("the body is not an array")


def _bent(cls: type[R], value: object) -> R:
    from personaclick_async.models.converter import bend  # noqa: PLC0415 - seldom needed

    return bend(cls, value)
