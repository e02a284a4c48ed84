"""Lenient conversion of JSON to the models, for answers that the strict decoder refuses.

A number in quotes is a number, a scalar where a list belongs is a list of one, a scalar where an
object with an id belongs is its id. What can't be converted is None in the model, and still whole
in its ``raw``.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin

import attrs
import msgspec
from cattrs import BaseConverter, Converter
from cattrs.gen import make_dict_structure_fn

from personaclick_async.models.reading import Number, Read, WrongShape

R = TypeVar("R", bound=Read)
Hook: TypeAlias = Callable[[object, Any], Any]

_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})


def coerce(cls: type[R], value: object) -> R:
    """Make a model from parsed JSON.

    :raises WrongShape: it is not an object, or lacks a required field.
    """
    if not isinstance(value, dict):
        raise WrongShape("an array or object is missing where one belongs")
    for name in _required(cls):
        if _text(value.get(name)) is None:
            raise WrongShape(f"the object has no {name}")
    return _converter().structure(value, cls)


def _required(cls: Any) -> list[str]:  # noqa: ANN401 - any attrs class
    return [at.name for at in attrs.fields(cls) if at.default is attrs.NOTHING]


def _text(value: object, _: object = None) -> str | None:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            return None


def _boolean(value: object, _: object = None) -> bool | None:
    word = (_text(value) or "").strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _number(value: object, kind: Any = Number) -> Any:  # noqa: ANN401 - of the kind
    """Read a number of any spelling: as an int or a float, or as a Decimal."""
    try:
        made = msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of half a surrogate pair
        return None
    return made if not isinstance(made, float) or math.isfinite(made) else None


def _day(value: object, _: object = None) -> date | None:
    try:
        return datetime.fromisoformat(value).date() if isinstance(value, str) else None
    except ValueError:
        return None


def _instant(value: object, _: object = None) -> datetime | None:
    try:
        match value:
            case str():
                return datetime.fromisoformat(value)
            case bool():
                return None
            case int() | float():
                return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _tuple_hook(kind: Any, of: BaseConverter) -> Hook:  # noqa: ANN401 - any annotation
    item_type = get_args(kind)[0]
    items_may_be_none = item_type is Any or type(None) in get_args(item_type)

    def structure(value: object, _: object) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [] if value is None else [value]
        made = (of.structure(item, item_type) for item in items)
        return tuple(item for item in made if item is not None or items_may_be_none)

    return structure


def _mapping_hook(kind: Any, of: BaseConverter) -> Hook:  # noqa: ANN401 - any annotation
    value_type = get_args(kind)[1]

    def structure(value: object, _: object) -> Mapping[str, Any]:
        # An empty object of a PHP service is an empty array.
        items = value.items() if isinstance(value, dict) else ()
        return {str(key): of.structure(item, value_type) for key, item in items}

    return structure


def _object_hook(cls: Any, of: BaseConverter) -> Hook:  # noqa: ANN401 - any attrs class
    make = make_dict_structure_fn(cls, of, _cattrs_detailed_validation=False)
    required = _required(cls)
    has_id = "id" in attrs.fields_dict(cls)
    never_none = {at.name for at in attrs.fields(cls) if at.default is not None}

    def structure(value: object, _: object) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            # Several older pages show an array where the newer ones have one object.
            value = next((item for item in value if isinstance(item, dict)), None)
        if has_id and isinstance(value, str | int) and not isinstance(value, bool):
            value = {"id": value}
        if not isinstance(value, dict) or any(value.get(name) is None for name in required):
            return None
        return make({k: v for k, v in value.items() if not (v is None and k in never_none)}, cls)

    return structure


def _union_hook(kind: Any, of: BaseConverter) -> Hook:  # noqa: ANN401 - any annotation
    members = [member for member in get_args(kind) if member is not type(None)]
    if len(members) == 1:
        return lambda value, _: None if value is None else of.structure(value, members[0])
    objects = next((member for member in members if attrs.has(member)), None)

    def structure(value: object, _: object) -> Any:  # noqa: ANN401
        if isinstance(value, dict) and objects is not None:
            return of.structure(value, objects)
        if str not in members:
            return _number(value)
        return value if isinstance(value, str | int | float) else None

    return structure


def _is_union(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return get_origin(kind) in (Union, types.UnionType)


def _is_tuple(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return get_origin(kind) is tuple


def _is_mapping(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


@cache
def _converter() -> Converter:
    made = Converter(detailed_validation=False)
    made.register_structure_hook(str, _text)
    made.register_structure_hook(bool, _boolean)
    made.register_structure_hook(Decimal, _number)
    made.register_structure_hook(date, _day)
    made.register_structure_hook(datetime, _instant)
    made.register_structure_hook_factory(_is_union, _union_hook)
    made.register_structure_hook_factory(_is_tuple, _tuple_hook)
    made.register_structure_hook_factory(_is_mapping, _mapping_hook)
    made.register_structure_hook_factory(attrs.has, _object_hook)
    return made
