"""Days and date-times as files have them: in a format that is said, or with the year first."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Final, TypeAlias

from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping.vocabulary import MONTHS

ReadMoment: TypeAlias = Callable[[str, str], datetime]

EXCEL: Final = "excel"
SECONDS: Final = "unix"
MILLISECONDS: Final = "unix ms"
COUNTED: Final = (EXCEL, SECONDS, MILLISECONDS)
"""Formats that count from a fixed day: days of spreadsheets, seconds and milliseconds of 1970."""

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
_YEAR_FIRST: Final = re.compile(
    r"(?P<Y>[0-9]{4})(?:(?P<by>[-/.])(?P<m>[0-9]{1,2})(?P=by)(?P<d>[0-9]{1,2})"
    r"|\s*[年년]\s*(?P<m2>[0-9]{1,2})\s*[月월]\s*(?P<d2>[0-9]{1,2})\s*[日일])"
    r"(?:[T\s]\s*(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"\s*(?P<p>[AaPp]\.?[Mm]\.?)?\s*(?P<z>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,9})?")
_FIRST_DAYS: Final = {
    EXCEL: datetime(1899, 12, 30),  # noqa: DTZ001 - a spreadsheet's day has no zone
    SECONDS: datetime(1970, 1, 1, tzinfo=UTC),
    MILLISECONDS: datetime(1970, 1, 1, tzinfo=UTC),
}
_NOON: Final = 12
_YEARS_AHEAD: Final = 20
_CENTURY: Final = 100
_EVENING: Final = 20

# No DTZ rules in what follows: a date in a file has no zone, and none is made up for it.


def check_format(pattern: str) -> None:
    """Make sure that a date format says year, month and day.

    :raises ValueError: it does not.
    """
    if pattern in COUNTED:
        return
    said = [
        _PARTS[one][0] for one in re.findall(r"%(.)", pattern.replace("%%", "")) if one in _PARTS
    ]
    unknown = set(re.findall(r"%(.)", pattern.replace("%%", ""))) - _PARTS.keys()
    months = {"m", "b"} & set(said)
    if unknown or len(set(said)) != len(said) or not {"d"} <= set(said) or len(months) != 1:
        raise ValueError("not a whole date")
    if len({"Y", "y"} & set(said)) != 1:
        raise ValueError("not a whole date")


def moment_reader(formats: Sequence[str], *, born: bool = False) -> ReadMoment:
    """Make the reader of dates in one of several formats, tried in their order.

    Numbers may lack their leading zero: ``%m/%d/%Y`` reads 04/08/1966 and 5/14/1965. A year of
    two digits is of this century, unless that is far ahead, or at all ahead where one is born.

    :param formats: ``strptime`` words, or one of :data:`COUNTED`; none takes the year first.
    """
    readers = [_one_format(pattern, born=born) for pattern in formats] or [_year_first]
    rule = f"a date as {' or '.join(formats)}" if formats else "a date, year first: YYYY-MM-DD"

    def read(field: str, text: str) -> datetime:
        plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
        for reader in readers:
            with suppress(ValueError, OverflowError, KeyError):
                return reader(plain)
        raise refuse(field, rule, text)

    return read


def _one_format(pattern: str, *, born: bool) -> Callable[[str], datetime]:
    if pattern in COUNTED:
        return lambda text: _counted(pattern, text)
    match = re.compile(_regex(pattern), re.IGNORECASE).fullmatch
    if set(re.findall("%(.)", pattern)) == {"Y", "m", "d"}:
        # What birthdays are in nearly every file, in half the time.
        return lambda text: _plain_day(match(text))

    def read(text: str) -> datetime:
        found = match(text)
        if found is None:
            raise ValueError
        return _moment(found.groupdict(), born=born)

    return read


def _plain_day(found: re.Match[str] | None) -> datetime:
    if found is None:
        raise ValueError
    year, month, day = found.group("Y", "m", "d")
    return datetime(int(year), int(month), int(day))  # noqa: DTZ001


def _regex(pattern: str) -> str:
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
    return "".join(made)


def _year_first(text: str) -> datetime:
    found = _YEAR_FIRST.fullmatch(text)
    if found is None:
        raise ValueError
    said = found.groupdict()
    said["m"], said["d"] = said["m"] or said["m2"], said["d"] or said["d2"]
    return _moment(said, born=False)


def _moment(said: dict[str, str | None], *, born: bool) -> datetime:
    hour = int(said.get("H") or 0)
    if half := said.get("p"):
        if not 1 <= hour <= _NOON:
            raise ValueError
        hour = hour % _NOON + (_NOON if half[0] in "pP" else 0)
    word = said.get("b")
    month = MONTHS[word.rstrip(".").casefold()] if word else int(said["m"] or 0)
    day = int(said["d"] or 0)
    rest = (
        *(hour, int(said.get("M") or 0), int(said.get("S") or 0)),
        int((said.get("f") or "0").ljust(6, "0")[:6]),
    )
    if short := said.get("y"):
        return _of_two_digits(int(short), month, day, rest, born=born)
    return datetime(int(said["Y"] or 0), month, day, *rest, tzinfo=_zone(said.get("z")))


def _of_two_digits(
    year: int, month: int, day: int, rest: tuple[int, int, int, int], *, born: bool
) -> datetime:
    today = datetime.now()  # noqa: DTZ005
    found = datetime(today.year // _CENTURY * _CENTURY + year, month, day, *rest)  # noqa: DTZ001
    ahead = found.date() > today.date() if born else found.year > today.year + _YEARS_AHEAD
    return found.replace(year=found.year - _CENTURY) if ahead else found


def _zone(text: str | None) -> timezone | None:
    if not text:
        return None
    if text[0] not in "+-":
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _counted(pattern: str, text: str) -> datetime:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    number = float(text)
    match pattern:
        case "excel" if number >= 1:
            passed = timedelta(days=number)
        case "unix":
            passed = timedelta(seconds=number)
        case "unix ms":
            passed = timedelta(milliseconds=number)
        case _:
            raise ValueError
    return _FIRST_DAYS[pattern] + passed


def day_of(field: str, found: datetime) -> date:
    """Return the day of a date-time, as it is written there."""
    # 23:00 in UTC is midnight of the next day where most shops with such exports are.
    if found.tzinfo is UTC and found.hour >= _EVENING:
        raise refuse(field, "a day, which an evening in UTC does not tell", found)
    return found.date()
