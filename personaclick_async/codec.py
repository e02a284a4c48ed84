"""JSON, to and from bytes; and text on its way to a terminal, a log or an error's message.

A customer's name, a file's name or the service's message may hold ESC, which moves a terminal's
cursor and colours, CR and LF, which forge a log's lines, or U+202E, which turns text around: what
does not print is escaped.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

Json: TypeAlias = Any
"""Any JSON value: text, number, boolean, None, list or dict of them."""

encode: Final = msgspec.json.Encoder().encode
"""A value as compact UTF-8 JSON."""

_decode: Final = msgspec.json.Decoder().decode

_MOST_DIGITS: Final = 640
"""Of an integer; Python refuses more than 4300 of them, or fewer where it is told so."""


def decode(body: bytes | memoryview) -> Json:
    """Read JSON, with what the strict decoder refuses: a BOM, lone surrogates, 1e400, NaN.

    :raises ValueError: the bytes are not JSON, or nested deeper than Python can follow.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        try:
            return json.loads(bytes(body), parse_int=_integer)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _integer(digits: str) -> float:
    if len(digits) <= _MOST_DIGITS:
        return int(digits)
    # As is a float of that size.
    return -math.inf if digits.startswith("-") else math.inf


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with every character that does not print as its escape.

    ``"\x1b[2J"`` becomes ``r"\x1b[2J"``. Spaces of any width stay as they are.
    """
    return _escaped(text, lambda ch: ch.encode("unicode_escape").decode("ascii"))


def printable_json(text: str) -> str:
    r"""Return JSON text that means the same, with such characters as JSON's own escapes.

    Newlines stay: in JSON they stand between values only.
    """
    return _escaped(text, lambda ch: ch if ch == "\n" else json.dumps(ch)[1:-1])


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(
        ch if ch.isprintable() or unicodedata.category(ch) == "Zs" else escape(ch) for ch in text
    )
