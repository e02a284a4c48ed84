"""What every object read from the service has: the JSON that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

from personaclick_async.codec import Json, decode_answer

R = TypeVar("R", bound="Read")


class Read:
    """An object that the service answered; knows its fields, and keeps those it does not know.

    Its ``repr`` names the type only: what was read may be personal data.
    """

    # Classes of answers are made without slots: of every field that an answer lacks the decoder
    # asks whether it is set, and an empty slot says so by an exception.

    # Outside attrs' fields, so that the decoder never looks for it in the answer.
    __slots__ = ("_source",)

    _source: bytes

    @property
    def raw(self) -> dict[str, Json]:
        """The JSON object as the service sent it; a new copy on each access."""
        source: dict[str, Json] = decode_answer(source_of(self))
        return source

    @property
    def extra(self) -> Mapping[str, Json]:
        """The fields of the JSON object that this class has no attribute for."""
        known = field_names(type(self))
        return {name: value for name, value in self.raw.items() if name not in known}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # attrs' own way knows nothing of the source, which must travel to other processes too.
        names = field_names(type(self))
        values = tuple(getattr(self, name) for name in names)
        return _restore, (type(self), names, values, source_of(self))


def field_names(kind: type[Read]) -> tuple[str, ...]:
    """Name the fields of a class of answers, each of which is an attrs class."""
    return tuple(attrs.fields_dict(cast("type[attrs.AttrsInstance]", kind)))


def keep_source(read: R, source: bytes) -> R:
    """Attach the JSON that ``read`` was made from."""
    object.__setattr__(read, "_source", source)
    return read


def source_of(read: Read) -> bytes:
    """Give the JSON that ``read`` was made from, as it came."""
    return getattr(read, "_source", b"{}")


def _restore(kind: type[R], names: tuple[str, ...], values: tuple[object, ...], source: bytes) -> R:
    read = kind.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(read, name, value)
    return keep_source(read, source)
