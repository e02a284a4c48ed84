"""Telling from a column's first values how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.sync.mapping import conversions, moments
from personaclick_async.sync.mapping.kinds import Kind

NOTHING: Final = frozenset(
    {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "x", "u", "\\n"}
    | {"unknown", "unspecified", "undefined", "other"}
)
"""Words that stand for no value, in small letters."""

_MALE: Final = ("m", "male", "man", "men", "mr", "boy", "м", "муж", "мужской", "мужчина")
_FEMALE: Final = ("f", "female", "woman", "women", "w", "girl", "ж", "жен", "женский", "женщина")
_GENDERS: Final = {**dict.fromkeys(_MALE, "m"), **dict.fromkeys(_FEMALE, "f")}
_OTHER_GENDER: Final = {"m": "f", "male": "female", "man": "woman", "men": "women", "м": "ж"}
_OTHER_GENDER_TOO: Final = {other: one for one, other in _OTHER_GENDER.items()}

_DAYS: Final = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
)
_TIMES: Final = ("%H:%M:%S", "%H:%M")
_PACKED: Final = "%Y%m%d"
_ISO: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LEADING_ZERO: Final = re.compile(r"[+-]?0[0-9]+")
_YES_AND_NO: Final = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f"})


@attrs.frozen
class Guess:
    """How a column seems to be written.

    :ivar kind: what it holds.
    :ivar formats: for dates, how they are written; none is ISO 8601. Several fit equally well,
        unless there is only one.
    :ivar absent: the texts that stand for nothing.
    """

    kind: Kind
    formats: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def texts_of(values: Iterable[object]) -> list[str]:
    """Give the texts that are not empty."""
    return [text for value in values if isinstance(value, str) and (text := value.strip())]


def guess_kind(values: Sequence[object]) -> Guess:
    """Tell what a column holds."""
    texts = texts_of(values)
    if not texts:
        return Guess(_kind_of_types([value for value in values if value not in (None, "")]))
    absent = tuple(sorted({text for text in texts if text.lower() in NOTHING}))
    telling = [text for text in texts if text not in absent]
    if not telling:
        return Guess(Kind.STRING)
    if (guess := guess_day(telling)) is not None:
        return attrs.evolve(guess, absent=absent)
    for kind, fits in _TESTS:
        if all(fits(text) for text in telling):
            return Guess(kind, absent=absent)
    # In a column of words, "other" and the like are words too.
    return Guess(Kind.STRING)


def guess_day(texts: Sequence[str], *, packed: bool = False) -> Guess | None:
    """Tell how dates are written; None if they are none.

    :param packed: whether digits alone may be dates.
    """
    if all(_ISO.fullmatch(text) for text in texts):
        return Guess(Kind.DATE)
    days = (*_DAYS, _PACKED) if packed else _DAYS
    fitting = tuple(pattern for pattern in days if _all_fit(pattern, texts))
    if fitting:
        return Guess(Kind.DATE, fitting)
    moments_too = tuple(
        pattern
        for day in ("%Y-%m-%d", *_DAYS)
        for time in _TIMES
        if _all_fit(pattern := f"{day} {time}", texts)
    )
    if moments_too:
        return Guess(Kind.DATETIME, moments_too)
    return Guess(Kind.DATETIME) if all(map(_is_iso_moment, texts)) else None


def guess_gender(texts: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Tell which words stand for which gender, and which for nothing.

    Words that are neither are passed over: whatever they are, they do not belong in a mapping.
    """
    values: dict[str, str] = {}
    absent: list[str] = []
    for text in dict.fromkeys(texts):
        word = text.lower()
        gender = _GENDERS.get(word)
        if gender is None:
            absent += [text] if word in NOTHING else []
        elif text not in ("m", "f", "male", "female"):
            values[text] = gender
            # The sample may happen to hold one of them only.
            other = _OTHER_GENDER.get(word) or _OTHER_GENDER_TOO.get(word)
            if other:
                spelt = other.upper() if text.isupper() else other
                spelt = spelt.title() if text.istitle() and len(text) > 1 else spelt
                values.setdefault(spelt, _GENDERS[other])
    return dict(sorted(values.items(), reverse=True)), tuple(sorted(absent))


def _all_fit(pattern: str, texts: Sequence[str]) -> bool:
    read = moments.moment_reader([pattern])
    return _fits(lambda: [read("", text) for text in texts])


def _fits(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (ValidationError, ValueError):
        return False
    return True


def _is_iso_moment(text: str) -> bool:
    # fromisoformat takes digits alone as well, and those are numbers.
    return not text.isdigit() and _fits(lambda: moments.iso_moment("", text))


def _is_json(text: str) -> bool:
    return text[0] in "[{" and _fits(lambda: codec.decode(text.encode()))


def _is_integer(text: str) -> bool:
    # 007 is a code, not a number.
    read = conversions.number_reader(".")
    return not _LEADING_ZERO.fullmatch(text) and _fits(
        lambda: rules.integer("", conversions.integer("", read("", text)))
    )


def _is_float(text: str) -> bool:
    read = conversions.number_reader(".")
    return not _LEADING_ZERO.fullmatch(text) and _fits(lambda: rules.number("", read("", text)))


_TESTS: Final[tuple[tuple[Kind, Callable[[str], bool]], ...]] = (
    (Kind.INTEGER, _is_integer),
    (Kind.FLOAT, _is_float),
    (Kind.BOOLEAN, lambda text: text.lower() in _YES_AND_NO),
    (Kind.JSON, _is_json),
)

_KINDS_OF_TYPES: Final[tuple[tuple[type | tuple[type, ...], Kind], ...]] = (
    # A bool is an int and a datetime is a date: the narrower ones come first.
    (bool, Kind.BOOLEAN),
    (int, Kind.INTEGER),
    ((int, float, Decimal), Kind.FLOAT),
    (datetime, Kind.DATETIME),
    (date, Kind.DATE),
    ((list, tuple), Kind.LIST),
    (dict, Kind.JSON),
)


def _kind_of_types(values: Sequence[object]) -> Kind:
    for types, kind in _KINDS_OF_TYPES:
        if values and all(isinstance(value, types) for value in values):
            return kind
    return Kind.AS_IT_COMES
