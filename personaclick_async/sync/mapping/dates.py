"""Reading days and date-times in given formats, or with the year first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from functools import cache
from math import inf
from typing import Final

from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping.words import DATES, MONTHS, narrowed, pattern

# No DTZ rules in what follows: a date in a file has no zone, and none is made up for it.

# Formats that count from a moment: that one, the unit, and the least number. A zero is no date.
_COUNTED: Final = {
    "excel": (datetime(1899, 12, 30), timedelta(days=1), 1),  # noqa: DTZ001
    "unix": (datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1), -inf),
    "unix ms": (datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1), -inf),
}
# The % of directives with no separator beside them, whose numbers must have their full width.
_PACKED: Final = re.compile(r"(?<=%\w)%|%(?=\w%[^pz])")
_NOON: Final = 12
_YEARS_AHEAD: Final = 20
_CENTURY: Final = 100


def is_whole_date(one: str) -> bool:
    """Return whether a date format has year, month and day, each once."""
    try:
        parts = _regex(one).groupindex.keys()
    except (KeyError, re.error):  # an unknown directive, or one that is there twice
        return False
    is_whole = "d" in parts and len(parts & {"m", "b"}) == len(parts & {"Y", "y"}) == 1
    return one in _COUNTED or (one != "" and is_whole)


def read_date(
    field: str, text: str, formats: Sequence[str], *, is_birthday: bool = False
) -> datetime:
    """Read a date in one of several formats, tried in their order.

    Numbers may lack their leading zero: ``%m/%d/%Y`` reads 04/08/1966 and 5/14/1965. A year of
    two digits is of this century, unless that is far ahead, or at all ahead for a birthday.

    :param formats: as for ``strptime``, ``excel``, ``unix`` or ``unix ms``; year first if none.
    """
    plain = narrowed(text)
    for one in formats or [""]:
        with suppress(ValueError, OverflowError, KeyError):
            if one in _COUNTED:
                first, unit, least = _COUNTED[one]
                if (
                    re.fullmatch(r"-?[0-9]{1,16}(\.[0-9]{1,9})?", plain)
                    and least <= float(plain) != 0
                ):
                    return first + float(plain) * unit
            elif found := _regex(one).fullmatch(plain):
                return _date_of(found.groupdict(), is_birthday=is_birthday)
    rule = f"a date as {' or '.join(formats)}" if formats else "a date, year first: YYYY-MM-DD"
    raise refuse(field, rule, text)


@cache
def _regex(one: str) -> re.Pattern[str]:
    if not one:
        return pattern("year_first")

    def part(found: re.Match[str]) -> str:
        packed, directive = found.groups()
        name = {"B": "b", "I": "H"}.get(directive, directive)  # they are read in the same way
        part_pattern = DATES["directives"][name]
        return f"(?P<{name}>{part_pattern.replace('{1,2}', '{2}') if packed else part_pattern})"

    marked = _PACKED.sub("%\0", re.sub(r"\s+", " ", one))
    spaced = re.escape(marked).replace(r"\ ", r"\s+")
    return re.compile(re.sub("%(\0?)(.)", part, spaced), re.IGNORECASE)


def _date_of(found: dict[str, str | None], *, is_birthday: bool) -> datetime:
    """Make a date of its parts; ValueError and KeyError say that there is no such day or month."""
    parts = {name: text for name, text in found.items() if text}
    today = datetime.now()  # noqa: DTZ005
    hour = int(parts.get("H", 0))
    if half := parts.get("p"):
        if not 1 <= hour <= _NOON:
            raise ValueError
        hour = hour % _NOON + (_NOON if half[0] in "pP" else 0)
    offset = parts.get("z", "")
    zone = time.fromisoformat(f"00:00{offset if offset[:1] in '+-' else 'Z'}").tzinfo
    moment = datetime(
        int(parts["Y"]) if "Y" in parts else today.year // _CENTURY * _CENTURY + int(parts["y"]),
        int(parts["m"]) if "m" in parts else MONTHS[parts["b"].rstrip(".").casefold()],
        int(parts["d"]),
        hour,
        int(parts.get("M", 0)),
        int(parts.get("S", 0)),
        int(parts.get("f", "0").ljust(6, "0")[:6]),
        zone,
    )
    is_ahead = moment.year > today.year + _YEARS_AHEAD
    if "y" in parts and (is_ahead or (is_birthday and moment.date() > today.date())):
        return moment.replace(year=moment.year - _CENTURY)
    return moment
