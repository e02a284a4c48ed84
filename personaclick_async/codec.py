"""JSON: the type, and bytes to and from it."""

from __future__ import annotations

import json
import math
from typing import Any, Final, TypeAlias

import msgspec

Json: TypeAlias = Any
"""Any JSON value: text, number, boolean, None, list or dict of them."""

encode: Final = msgspec.json.Encoder().encode
"""A value as compact UTF-8 JSON."""

_decode: Final = msgspec.json.Decoder().decode

_MOST_DIGITS: Final = 640
"""Of an integer; Python refuses more than 4300 of them, or fewer where it is told so."""


def decode(body: bytes) -> Json:
    """Read JSON, with what the strict decoder refuses: a BOM, lone surrogates, 1e400, NaN.

    :raises ValueError: the bytes are not JSON, or nested deeper than Python can follow.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        try:
            return json.loads(body, parse_int=_integer)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _integer(digits: str) -> float:
    if len(digits) <= _MOST_DIGITS:
        return int(digits)
    # As is a float of that size.
    return -math.inf if digits.startswith("-") else math.inf


def decode_answer(body: bytes) -> Json:
    """Read JSON that was answered: as :func:`decode` does, and broken UTF-8 as U+FFFD.

    A name that was cut in the middle of a letter does not cost the whole answer.

    :raises ValueError: as for :func:`decode`.
    """
    try:
        return decode(body)
    except UnicodeDecodeError:
        return decode(body.decode(errors="replace").encode())
