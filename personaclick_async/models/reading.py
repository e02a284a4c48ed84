"""What every object read from the service has: the JSON that it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

import attrs
import msgspec

from personaclick_async.codec import Json, decode_answer

R = TypeVar("R", bound="Read")

Number: TypeAlias = int | float
Scalar: TypeAlias = str | int | float | bool | None


class WrongShape(ValueError):
    """The JSON is not the kind of thing that was promised; says which, never what it holds."""


class Model:
    """A part of an answer; its ``repr`` names the fields it has, never their values."""

    # Classes of answers are made without slots: of every field that an answer lacks the decoder
    # asks whether it is set, and an empty slot says so by an exception.
    __slots__ = ()

    def to_dict(self) -> dict[str, Json]:
        """Return the attributes as JSON types: dates and decimals as text, objects as dicts."""
        # By way of text: tuples become lists. Not msgspec's, which writes no lone surrogates.
        made: dict[str, Json] = json.loads(json.dumps(msgspec.to_builtins(self)))
        return made

    def __repr__(self) -> str:
        given = [
            name
            for name in field_names(type(self))
            if (value := getattr(self, name)) is not None and value not in ((), {})
        ]
        return f"<{type(self).__name__} with {', '.join(given) or 'nothing'}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:  # noqa: ANN401
        """Tell pydantic, and so FastAPI, to write the object as :meth:`to_dict` does."""
        from pydantic_core import core_schema  # noqa: PLC0415 - it is pydantic that asks

        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(cls.to_dict)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Json]:
        """Tell pydantic what :meth:`to_dict` returns, for OpenAPI."""
        return _inlined(*msgspec.json.schema_components([cls]))


class Read(Model):
    """An object that the service answered; knows its fields, and keeps those it does not know."""

    # Outside attrs' fields, so that the decoder never looks for it in the answer.
    __slots__ = ("_source",)

    _source: bytes

    @property
    def raw(self) -> dict[str, Json]:
        """The JSON object as the service sent it; a new copy on each access."""
        source: dict[str, Json] = decode_answer(getattr(self, "_source", b"{}"))
        return source

    @property
    def extra(self) -> Mapping[str, Json]:
        """The fields of the JSON object that this class has no attribute for."""
        known = field_names(type(self))
        return {name: value for name, value in self.raw.items() if name not in known}

    def __reduce__(self) -> tuple[Any, ...]:
        # attrs' own way knows nothing of the source, which must travel to other processes too.
        names = field_names(type(self))
        values = tuple(getattr(self, name) for name in names)
        return _restore, (type(self), names, values, getattr(self, "_source", b"{}"))


def fill_in(read: object, name: str, other: str) -> None:
    """Set ``name`` to the value of its other documented spelling, where only that one came."""
    value = getattr(read, other)
    if value is not None and getattr(read, name) is None:
        object.__setattr__(read, name, value)


def _inlined(schemas: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Json]:
    """Put definitions where they are referred to: pydantic's own names would not find them."""

    def inline(schema: Any) -> Any:  # noqa: ANN401 - JSON
        match schema:
            case {"$ref": str(reference)}:
                return inline(definitions[reference.rpartition("/")[2]])
            case dict():
                return {key: inline(item) for key, item in schema.items()}
            case list():
                return [inline(item) for item in schema]
            case _:
                return schema

    [schema] = schemas
    made: dict[str, Json] = inline(schema)
    return made


def field_names(kind: type[Model]) -> tuple[str, ...]:
    """Name the fields of a class of answers, each of which is an attrs class."""
    return tuple(attrs.fields_dict(cast("type[attrs.AttrsInstance]", kind)))


def keep_source(read: R, source: bytes) -> R:
    """Attach the JSON that ``read`` was made from."""
    object.__setattr__(read, "_source", source)
    return read


def _restore(kind: type[R], names: tuple[str, ...], values: tuple[object, ...], source: bytes) -> R:
    read = kind.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(read, name, value)
    return keep_source(read, source)
