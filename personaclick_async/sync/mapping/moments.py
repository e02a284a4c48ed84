"""Reading days and date-times from text, in the formats that a mapping names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Final

from personaclick_async.models.rules import refuse

# Three numbers with something between them: what birthdays look like in nearly every file.
_THREE_NUMBERS: Final = re.compile(r"%([Ymd])([^%\s0-9]+)%([Ymd])([^%\s0-9]+)%([Ymd])")
_DIGITS: Final = {"Y": "([0-9]{4})", "m": "([0-9]{1,2})", "d": "([0-9]{1,2})"}

# No DTZ rules here: a date in a file has no zone, and none is made up for it.


def check_format(pattern: str) -> None:
    """Make sure that a date format is one that says year, month and day.

    :raises ValueError: it is not.
    """
    day = datetime(2001, 2, 3)  # noqa: DTZ001
    written = day.strftime(pattern)
    # Without this strptime would warn of a day without a year, instead of refusing it.
    others = (day.replace(year=2002), day.replace(month=3), day.replace(day=4))
    if (
        any(other.strftime(pattern) == written for other in others)
        or datetime.strptime(written, pattern).date() != day.date()  # noqa: DTZ007
    ):
        raise ValueError("not a whole date")


def moment_reader(formats: Sequence[str]) -> Callable[[str, str], datetime]:
    """Make the reader of dates in one of several formats, tried in their order.

    Numbers may lack their leading zero: ``%m/%d/%Y`` reads 04/08/1966 and 5/14/1965.
    """
    readers = [_one_format(pattern) for pattern in formats]
    rule = f"a date as {' or '.join(formats)}"

    def read(field: str, text: str) -> datetime:
        for reader in readers:
            try:
                return reader(text)
            except ValueError:
                continue
        raise refuse(field, rule, text)

    return read


def day_reader(formats: Sequence[str]) -> Callable[[str, str], date]:
    """Make the reader of days in one of several formats; hours, where there are any, go."""
    read = moment_reader(formats)
    return lambda field, text: read(field, text).date()


def _one_format(pattern: str) -> Callable[[str], datetime]:
    shape = _THREE_NUMBERS.fullmatch(pattern)
    if shape is None or {shape[1], shape[3], shape[5]} != set("Ymd"):
        return lambda text: datetime.strptime(text, pattern)  # noqa: DTZ007
    # Measured: an eighth of strptime's time, which would be half of a whole sync's.
    one, first, two, second, three = shape.groups()
    match = re.compile(
        _DIGITS[one] + re.escape(first) + _DIGITS[two] + re.escape(second) + _DIGITS[three]
    ).fullmatch
    order = one + two + three
    year, month, day = (order.index(name) for name in "Ymd")

    def read(text: str) -> datetime:
        found = match(text)
        if found is None:
            raise ValueError
        numbers = found.groups()
        return datetime(int(numbers[year]), int(numbers[month]), int(numbers[day]))  # noqa: DTZ001

    return read


def iso_moment(field: str, text: str) -> datetime:
    """Read a date-time of ISO 8601, such as ``2026-08-01 12:30``, with or without a zone."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise refuse(field, "a date-time such as 2026-08-01 12:30:00", text) from None
