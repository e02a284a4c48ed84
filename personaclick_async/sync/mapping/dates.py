"""Days and date-times as files have them: in a format that is said, or with the year first."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Final

from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping.words import MONTHS

# No DTZ rules in what follows: a date in a file has no zone, and none is made up for it.

_EXCEL: Final = "excel"
SECONDS: Final = "unix"
MILLISECONDS: Final = "unix ms"
# Formats that count from a fixed moment: from which one, and what.
_COUNTED: Final = {
    _EXCEL: (datetime(1899, 12, 30), timedelta(days=1)),  # noqa: DTZ001
    SECONDS: (datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)),
    MILLISECONDS: (datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)),
}
# For each word of a format, how what it says is written.
_PARTS: Final = {
    **dict.fromkeys("mdHMS", "[0-9]{1,2}"),
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "b": r"[^\W\d_]+\.?",
    "f": "[0-9]{1,9}",
    "p": r"[AaPp]\.?\s?[Mm]\.?",
    "z": "Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}",
}
_SAYS_THE_SAME: Final = {"B": "b", "I": "H"}
_YEAR_FIRST: Final = re.compile(
    r"(?P<Y>[0-9]{4})(?:(?P<by>[-/.])|\s*[年년]\s*)(?P<m>[0-9]{1,2})"
    r"(?(by)(?P=by)|\s*[月월]\s*)(?P<d>[0-9]{1,2})(?(by)|\s*[日일])"
    r"(?:[T\s]\s*(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"\s*(?P<p>[AaPp]\.?[Mm]\.?)?\s*(?P<z>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,9})?")
_NOON: Final = 12
_YEARS_AHEAD: Final = 20
_CENTURY: Final = 100
_EVENING: Final = 20


def is_whole_date(pattern: str) -> bool:
    """Return whether a date format says year, month and day, each once."""
    try:
        said = _regex(pattern).groupindex.keys()
    except (KeyError, re.error):  # an unknown word, or one that is there twice
        return False
    is_whole = "d" in said and len(said & {"m", "b"}) == len(said & {"Y", "y"}) == 1
    return pattern in _COUNTED or (pattern != "" and is_whole)


def read_date(
    field: str, text: str, formats: Sequence[str], *, is_birthday: bool = False
) -> datetime:
    """Read a date in one of several formats, tried in their order.

    Numbers may lack their leading zero: ``%m/%d/%Y`` reads 04/08/1966 and 5/14/1965. A year of
    two digits is of this century, unless that is far ahead, or at all ahead for a birthday.

    :param formats: ``strptime`` words, ``excel``, ``unix`` or ``unix ms``; the year first if none.
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    for pattern in formats or [""]:
        with suppress(ValueError, OverflowError, KeyError):
            if pattern in _COUNTED:
                return _counted(pattern, plain)
            if (found := _regex(pattern).fullmatch(plain)) is not None:
                return _date_of(found.groupdict(), is_birthday=is_birthday)
    rule = f"a date as {' or '.join(formats)}" if formats else "a date, year first: YYYY-MM-DD"
    raise refuse(field, rule, text)


def _counted(pattern: str, text: str) -> datetime:
    number = float(text) if _NUMBER.fullmatch(text) else None
    if number is None or (pattern == _EXCEL and number < 1):
        raise ValueError
    first, unit = _COUNTED[pattern]
    return first + number * unit


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    if not pattern:
        return _YEAR_FIRST
    made: list[str] = []
    pieces = re.findall(r"%.|\s+|[^%\s]", pattern)
    for piece, after in pairwise([*pieces, ""]):
        if piece.isspace():
            made.append(r"\s+")
        elif piece[0] != "%" or piece == "%%":
            made.append(re.escape(piece[-1]))
        else:
            word = _SAYS_THE_SAME.get(piece[1], piece[1])
            # Without anything in between, only full widths tell two numbers apart.
            packed = after.startswith("%") and after[1:] not in ("p", "z")
            packed = packed or (bool(made) and made[-1].startswith("(?P<"))
            digits = _PARTS[word].replace("{1,2}", "{2}") if packed else _PARTS[word]
            made.append(f"(?P<{word}>{digits})")
    return re.compile("".join(made), re.IGNORECASE)


def _date_of(found: dict[str, str | None], *, is_birthday: bool) -> datetime:
    """Make a date of what each part of its format says.

    :raises ValueError: there is no such day or time.
    :raises KeyError: there is no such month.
    """
    if found.keys() == {"Y", "m", "d"}:  # as in most files, and in half the time
        return datetime(int(found["Y"] or 0), int(found["m"] or 0), int(found["d"] or 0))  # noqa: DTZ001
    said = {part: text for part, text in found.items() if text}
    number = {part: int(text) for part, text in said.items() if text.isdecimal()}
    hour = number.get("H", 0)
    if half := said.get("p"):
        if not 1 <= hour <= _NOON:
            raise ValueError
        hour = hour % _NOON + (_NOON if half[0] in "pP" else 0)
    zone = None
    if offset := said.get("z"):
        offset = offset if offset[0] in "+-" else "Z"
        zone = datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo
    today = datetime.now()  # noqa: DTZ005
    moment = datetime(
        number["Y"] if "Y" in number else today.year // _CENTURY * _CENTURY + number["y"],
        number["m"] if "m" in number else MONTHS[said["b"].rstrip(".").casefold()],
        number["d"],
        hour,
        number.get("M", 0),
        number.get("S", 0),
        int(said.get("f", "0").ljust(6, "0")[:6]),
        zone,
    )
    is_ahead = moment.year > today.year + _YEARS_AHEAD
    if "y" in number and (is_ahead or (is_birthday and moment.date() > today.date())):
        return moment.replace(year=moment.year - _CENTURY)
    return moment


def day_of(field: str, found: datetime) -> date:
    """Return the day of a date-time, as it is written there."""
    # 23:00 in UTC is midnight of the next day where most shops with such exports are.
    if found.tzinfo is UTC and found.hour >= _EVENING:
        raise refuse(field, "a day, which an evening in UTC does not tell", found)
    return found.date()
