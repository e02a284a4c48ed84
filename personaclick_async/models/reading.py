"""How answers are read: from bytes to models, strictly if they are as documented, else leniently.

msgspec builds the attrs classes straight from bytes, and refuses any value of another type. The
service is known to vary its types, so what msgspec refuses is coerced by cattrs: a number in quotes
is a number, a scalar where a list belongs is a list of one, a scalar where an object with an id
belongs is its id. What can't be converted is None in the model, and still whole in its ``raw``.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar, dataclass_transform

import attrs
import msgspec

from personaclick_async.codec import Json, decode
from personaclick_async.names import PAYLOAD, STATUS, STATUS_SUCCESS

if TYPE_CHECKING:
    from cattrs import Converter

R = TypeVar("R", bound="Read")

Number: TypeAlias = int | float
Scalar: TypeAlias = str | int | float | bool | None
_Kind: TypeAlias = Any  # any annotation
_Hook: TypeAlias = Callable[[object, _Kind], Any]

_PAYLOAD_KEY: Final = f'"{PAYLOAD}"'.encode()
_WORDS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_REFERENCE: Final = re.compile(r'\{"\$ref":"[^"]*/(\w+)"\}')
_REFUSED: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class WrongShape(ValueError):
    """The JSON is not the kind of thing that was promised; says which, never what it holds."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,))
class Model:
    """A part of an answer, an attrs class; its ``repr`` names the fields it has, never a value."""

    __attrs_attrs__: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        # Without slots: of every field that an answer lacks the decoder asks whether it is set,
        # and an empty slot says so by an exception.
        attrs.frozen(cls, kw_only=True, repr=False, slots=False)

    def to_dict(self) -> dict[str, Json]:
        """Return the attributes as JSON types: dates and decimals as text, objects as dicts."""
        # By way of text: tuples become lists. Not msgspec's, which writes no lone surrogates.
        made: dict[str, Json] = json.loads(json.dumps(msgspec.to_builtins(self)))
        return made

    def __repr__(self) -> str:
        given = [
            name
            for name in attrs.fields_dict(type(self))
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
        [schema], parts = msgspec.json.schema_components([cls])

        def inline(part: Any) -> str:  # noqa: ANN401 - JSON
            # Parts go where they are referred to: pydantic's names would not find them.
            text = msgspec.json.encode(part).decode()
            return _REFERENCE.sub(lambda found: inline(parts[found[1]]), text)

        made: dict[str, Json] = json.loads(inline(schema))
        return made


class Read(Model):
    """An object that the service answered; knows its fields, and keeps those it does not know."""

    # The JSON that it was made from. No field of attrs: the decoder never looks for it in answers.
    _source = b"{}"

    @property
    def raw(self) -> dict[str, Json]:
        """The JSON object as the service sent it; a new copy on each access."""
        source: dict[str, Json] = read_json(self._source)
        return source

    @property
    def extra(self) -> Mapping[str, Json]:
        """The fields of the JSON object that this class has no attribute for."""
        known = attrs.fields_dict(type(self))
        return {name: value for name, value in self.raw.items() if name not in known}


def read_object(cls: type[R], body: bytes) -> R:
    """Make a model from a JSON object, also inside ``{"status": "success", "payload": …}``."""
    if body.rfind(_PAYLOAD_KEY) >= 0:
        said = read_json(body)
        is_envelope = isinstance(said, dict) and said.get(STATUS) == STATUS_SUCCESS
        if is_envelope and isinstance(said[PAYLOAD], dict):
            body = _dumped(said[PAYLOAD])
    return _read(cls, body)


def read_objects(cls: type[R], body: bytes, *, wrappers: tuple[tuple[str, ...], ...]) -> list[R]:
    """Make models from a JSON array, or from one inside an object at one of the ``wrappers``."""
    try:
        items = [bytes(item) for item in _split(body)]
    except _REFUSED:
        items = [_dumped(item) for item in _unwrapped(read_json(body), wrappers)]
    return [_read(cls, item) for item in items]


_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


@cache
def _decoder(cls: type) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)


def _read(cls: type[R], body: bytes) -> R:
    try:
        read: R = _decoder(cls).decode(body)  # type: ignore[arg-type]  # mypy looks at the hash of instances
    except _REFUSED:
        read = coerce(cls, read_json(body))
    object.__setattr__(read, "_source", body)
    return read


def read_json(body: bytes) -> Json:
    """Read JSON that was answered."""
    try:
        try:
            return decode(body)
        except UnicodeDecodeError:
            # A name that was cut in the middle of a letter does not cost the whole answer.
            return decode(body.decode(errors="replace").encode())
    except ValueError:
        raise WrongShape("the body is not JSON") from None


def _dumped(item: Json) -> bytes:
    # Not the codec: what only the lenient decoder reads, the strict encoder would not write.
    try:
        return json.dumps(item).encode()
    except RecursionError:
        raise WrongShape("the body is nested too deeply") from None


def _unwrapped(value: Json, wrappers: tuple[tuple[str, ...], ...]) -> list[Any]:
    if isinstance(value, dict) and isinstance(value.get(PAYLOAD), dict | list):
        value = value[PAYLOAD]
    for path in ((), *wrappers):
        inner = value
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, list):
            return inner
    raise WrongShape("the body is not an array")


def coerce(cls: type[R], value: object) -> R:
    """Make a model from parsed JSON whose types may differ from the documented ones."""
    if not isinstance(value, dict):
        raise WrongShape("an array or object is missing where one belongs")
    for name in _required(cls):
        if _text(value.get(name)) is None:
            raise WrongShape(f"the object has no {name}")
    return _converter().structure(value, cls)


@cache
def _converter() -> Converter:
    # Most processes never need it, and cattrs takes as long to import as a tenth of the package.
    from cattrs import Converter  # noqa: PLC0415

    made = Converter(detailed_validation=False)
    made.register_structure_hook(str, _text)
    made.register_structure_hook(bool, _boolean)
    made.register_structure_hook(Decimal, _number)
    made.register_structure_hook(date, _day)
    made.register_structure_hook(datetime, _instant)
    made.register_structure_hook_func(partial(_has_origin, tuple), _tuple)
    made.register_structure_hook_func(partial(_has_origin, Mapping), _mapping)
    made.register_structure_hook_func(_is_of_several, _one_of_several)
    made.register_structure_hook_factory(attrs.has, _object_hook)
    return made


def _has_origin(origin: object, kind: _Kind) -> bool:
    return getattr(kind, "__origin__", None) is origin


def _required(cls: _Kind) -> list[str]:
    return [at.name for at in attrs.fields(cls) if at.default is attrs.NOTHING]


def _text(value: object, _: object = None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _boolean(value: object, _: object) -> bool | None:
    return _WORDS.get((_text(value) or "").strip().lower())


def _number(value: object, kind: _Kind = Number) -> object:
    """Read a number of any spelling: as an int or a float, or as a Decimal."""
    try:
        made: object = msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter of half a surrogate pair
        return None
    return made if not isinstance(made, float) or math.isfinite(made) else None


def _day(value: object, _: object) -> date | None:
    made = _instant(value) if isinstance(value, str) else None
    return made and made.date()


def _instant(value: object, _: object = None) -> datetime | None:
    with suppress(ValueError, OverflowError, OSError):
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    return None


def _tuple(value: object, kind: _Kind) -> tuple[Any, ...]:
    item_type = kind.__args__[0]
    structure = _converter().get_structure_hook(item_type)
    items = value if isinstance(value, list) else [] if value is None else [value]
    may_be_none = item_type is Any or type(None) in getattr(item_type, "__args__", ())
    made = (structure(item, item_type) for item in items)
    return tuple([item for item in made if may_be_none or item is not None])


def _mapping(value: object, kind: _Kind) -> Mapping[str, Any]:
    value_type = kind.__args__[1]
    structure = _converter().get_structure_hook(value_type)
    # An empty object of a PHP service is an empty array.
    items = value.items() if isinstance(value, dict) else ()
    return {str(key): structure(item, value_type) for key, item in items}


def _is_of_several(kind: _Kind) -> bool:
    """Whether it is a union of two types or more; cattrs itself sees to a type or None."""
    return isinstance(kind, types.UnionType) and len({*kind.__args__} - {type(None)}) > 1


def _one_of_several(value: object, kind: _Kind) -> object:
    if isinstance(value, dict):
        objects = (member for member in kind.__args__ if attrs.has(member))
        return next((_converter().structure(value, member) for member in objects), None)
    if str in kind.__args__:
        return value if isinstance(value, str | int | float) else None
    return _number(value)


def _object_hook(cls: _Kind, of: Converter) -> _Hook:
    make = of.gen_structure_attrs_fromdict(cls)
    required = _required(cls)
    has_id = "id" in attrs.fields_dict(cls)
    never_none = {at.name for at in attrs.fields(cls) if at.default is not None}

    def structure(value: object, _: object) -> object:
        if isinstance(value, list):
            # Several older pages show an array where the newer ones have one object.
            value = next((item for item in value if isinstance(item, dict)), None)
        if has_id and isinstance(value, str | int) and not isinstance(value, bool):
            value = {"id": value}
        if not isinstance(value, dict) or any(value.get(name) is None for name in required):
            return None
        return make({k: v for k, v in value.items() if not (v is None and k in never_none)}, cls)

    return structure
