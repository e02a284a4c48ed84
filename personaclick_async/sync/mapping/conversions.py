"""From what a column holds to what a field takes: numbers, yes and no, JSON, letters.

Every function gives a value or raises ValidationError, which names the field and what would be
accepted, never the content. Whether a value may be sent is decided later, by the models' rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.models.rules import Number, refuse
from personaclick_async.sync.mapping.kinds import ABSENT, Absent, Case

_TRUE: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "off", "0"})

# Far more than any number needs, and less than Python refuses to read.
_LONGEST_NUMBER: Final = 400
# The signs of Unicode's category Sc that are in use as money.
_CURRENCY: Final = r"[$\u00a2-\u00a5\u058f\u060b\u09f3\u0e3f\u17db\u20a0-\u20c0\ufdfc]?"

_MC: Final = re.compile(r"\bMc([^\W\d_])")


def boolean(field: str, text: str) -> bool:
    """Read true and false, yes and no, on and off, 1 and 0, or first letters, in any case."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise refuse(field, "true or false, yes or no, 1 or 0", text)


def number_reader(decimal: str) -> Callable[[str, str], Number]:
    """Make the reader of numbers as people and spreadsheets write them: ``$1,234.50``.

    A currency sign and thousands separators go. Separators must stand where thousands end, so
    that ``1,5`` is refused and not taken for 15.

    :param decimal: what stands before the decimals, ``.`` or ``,``; the other one may separate
        thousands, as may spaces and apostrophes.
    """
    thousands = r"[,\s'\u2019]" if decimal == "." else r"[.\s'\u2019]"
    pattern = re.compile(
        rf"(?P<sign>[+-]?)\s*{_CURRENCY}\s*(?P<inner_sign>[+-]?)"
        # Groups of two before the last one are Indian: 12,34,567.
        rf"(?P<whole>[0-9]+|[0-9]{{1,3}}(?P<by>{thousands})(?:[0-9]{{2,3}}(?P=by))*[0-9]{{3}})"
        rf"(?:{re.escape(decimal)}(?P<part>[0-9]+))?(?:[eE](?P<power>[+-]?[0-9]{{1,3}}))?"
        rf"\s*{_CURRENCY}"
    )
    rule = f"a number such as 1234{decimal}50"

    def read(field: str, text: str) -> Number:
        found = pattern.fullmatch(text) if len(text) <= _LONGEST_NUMBER else None
        if found is None or (found["sign"] and found["inner_sign"]):
            raise refuse(field, rule, text)
        sign = found["sign"] or found["inner_sign"]
        whole = found["whole"].replace(found["by"], "") if found["by"] else found["whole"]
        if found["part"] is None and found["power"] is None:
            return int(sign + whole)
        return float(f"{sign}{whole}.{found['part'] or 0}e{found['power'] or 0}")

    return read


def integer(field: str, value: object) -> int:
    """Take a number without decimals; ``3.0``, as spreadsheets write it, is 3."""
    try:
        found = int(_number(field, value))
    except (ValueError, OverflowError):  # not a number, infinity
        raise refuse(field, "a whole number", value) from None
    if found != value:
        raise refuse(field, "a whole number", value)
    return found


def fraction(field: str, value: object) -> float:
    """Take any number as a float."""
    try:
        return float(_number(field, value))
    except (ValueError, OverflowError):
        raise refuse(field, "a number that fits into a float", value) from None


def _number(field: str, value: object) -> Number | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise refuse(field, "a number", value)
    return value


def json(field: str, text: str) -> Json | Absent:
    """Read JSON; ``null`` says nothing."""
    try:
        value = codec.decode(text.encode())
    except ValueError:  # also a text that UTF-8 can't carry
        raise refuse(field, "JSON", text) from None
    return ABSENT if value is None else value


def letters(case: Case) -> Callable[[str], str]:
    """Give what changes the case of a text."""
    match case:
        case Case.LOWER:
            return str.lower
        case Case.UPPER:
            return str.upper
        case Case.TITLE:
            return str.title
        case Case.NAME:
            return _name_case


def _name_case(text: str) -> str:
    return _MC.sub(lambda found: f"Mc{found[1].upper()}", text.title())
