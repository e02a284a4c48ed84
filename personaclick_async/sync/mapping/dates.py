"""Days and date-times as files have them: in a format that is said, or with the year first."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import Final

from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping.words import MONTHS

# No DTZ rules in what follows: a date in a file has no zone, and none is made up for it.

EXCEL: Final = "excel"
SECONDS: Final = "unix"
MILLISECONDS: Final = "unix ms"
COUNTED: Final = {
    EXCEL: (datetime(1899, 12, 30), timedelta(days=1)),  # noqa: DTZ001
    SECONDS: (datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)),
    MILLISECONDS: (datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)),
}
"""Formats that count from a fixed moment: from which one, and what."""

_PARTS: Final = {
    "Y": ("Y", "[0-9]{4}"),
    "y": ("y", "[0-9]{2}"),
    "m": ("m", "[0-9]{1,2}"),
    "d": ("d", "[0-9]{1,2}"),
    "b": ("b", r"[^\W\d_]+\.?"),
    "B": ("b", r"[^\W\d_]+\.?"),
    "H": ("H", "[0-9]{1,2}"),
    "I": ("H", "[0-9]{1,2}"),
    "M": ("M", "[0-9]{1,2}"),
    "S": ("S", "[0-9]{1,2}"),
    "f": ("f", "[0-9]{1,9}"),
    "p": ("p", r"[AaPp]\.?\s?[Mm]\.?"),
    "z": ("z", r"Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}"),
}
"""For each word of a format what it says, and how that is written."""

_YEAR_FIRST: Final = re.compile(
    r"(?P<Y>[0-9]{4})(?:(?P<by>[-/.])(?P<m>[0-9]{1,2})(?P=by)(?P<d>[0-9]{1,2})"
    r"|\s*[年년]\s*(?P<m2>[0-9]{1,2})\s*[月월]\s*(?P<d2>[0-9]{1,2})\s*[日일])"
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
    if pattern in COUNTED:
        return True
    words = re.findall(r"%(.)", pattern.replace("%%", ""))
    said = Counter(_PARTS[one][0] for one in words if one in _PARTS)
    is_known = said.total() == len(words) and max(said.values(), default=0) == 1
    return is_known and said["d"] == said["m"] + said["b"] == said["Y"] + said["y"] == 1


def read_date(
    field: str, text: str, formats: Sequence[str], *, is_birthday: bool = False
) -> datetime:
    """Read a date in one of several formats, tried in their order.

    Numbers may lack their leading zero: ``%m/%d/%Y`` reads 04/08/1966 and 5/14/1965. A year of
    two digits is of this century, unless that is far ahead, or at all ahead for a birthday.

    :param formats: ``strptime`` words, or one of :data:`COUNTED`; none takes the year first.
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    for pattern in formats or [""]:
        with suppress(ValueError, OverflowError, KeyError):
            if pattern in COUNTED:
                return _counted(pattern, plain)
            found = _regex(pattern).fullmatch(plain)
            if found is not None:
                return _date_of(found.groupdict(), is_birthday=is_birthday)
    rule = f"a date as {' or '.join(formats)}" if formats else "a date, year first: YYYY-MM-DD"
    raise refuse(field, rule, text)


def _counted(pattern: str, text: str) -> datetime:
    number = float(text) if _NUMBER.fullmatch(text) else None
    if number is None or (pattern == EXCEL and number < 1):
        raise ValueError
    first, unit = COUNTED[pattern]
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
            name, digits = _PARTS[piece[1]]
            # Without anything in between, only full widths tell two numbers apart.
            packed = after.startswith("%") and after[1:] not in ("p", "z")
            packed = packed or (bool(made) and made[-1].startswith("(?P<"))
            made.append(f"(?P<{name}>{digits.replace('{1,2}', '{2}') if packed else digits})")
    return re.compile("".join(made), re.IGNORECASE)


def _date_of(said: dict[str, str | None], *, is_birthday: bool) -> datetime:
    """Make a date of what each part of its format says.

    :raises ValueError: there is no such day or time.
    :raises KeyError: there is no such month.
    """
    if said.keys() == {"Y", "m", "d"}:  # as in most files, and in half the time
        return datetime(int(said["Y"] or 0), int(said["m"] or 0), int(said["d"] or 0))  # noqa: DTZ001
    hour = int(said.get("H") or 0)
    if half := said.get("p"):
        if not 1 <= hour <= _NOON:
            raise ValueError
        hour = hour % _NOON + (_NOON if half[0] in "pP" else 0)
    word = said.get("b")
    month = MONTHS[word.rstrip(".").casefold()] if word else int(said["m"] or said["m2"] or 0)
    found = datetime(
        int(said.get("Y") or datetime.now().year // _CENTURY * _CENTURY + int(said["y"] or 0)),  # noqa: DTZ005
        month,
        int(said["d"] or said["d2"] or 0),
        hour,
        int(said.get("M") or 0),
        int(said.get("S") or 0),
        int((said.get("f") or "0").ljust(6, "0")[:6]),
        tzinfo=_zone(said.get("z")),
    )
    if said.get("Y"):
        return found
    today = datetime.now()  # noqa: DTZ005
    is_ahead = found.year > today.year + _YEARS_AHEAD
    if is_ahead or (is_birthday and found.date() > today.date()):
        return found.replace(year=found.year - _CENTURY)
    return found


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    if text[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:].lstrip(":") or 0))
    return timezone(-offset if text[0] == "-" else offset)


def day_of(field: str, found: datetime) -> date:
    """Return the day of a date-time, as it is written there."""
    # 23:00 in UTC is midnight of the next day where most shops with such exports are.
    if found.tzinfo is UTC and found.hour >= _EVENING:
        raise refuse(field, "a day, which an evening in UTC does not tell", found)
    return found.date()
