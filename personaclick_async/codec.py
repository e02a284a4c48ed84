"""JSON: the type, and bytes to and from it."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

import msgspec

Json: TypeAlias = Any
"""Any JSON value: text, number, boolean, None, list or dict of them."""

encode: Final = msgspec.json.Encoder().encode
"""A value as compact UTF-8 JSON."""

_decode: Final = msgspec.json.Decoder().decode


def decode(body: bytes) -> Json:
    """Read JSON, with what the strict decoder refuses: a BOM, lone surrogates, 1e400, NaN.

    :raises ValueError: the bytes are not JSON, or nested deeper than Python can follow.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        try:
            return json.loads(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
