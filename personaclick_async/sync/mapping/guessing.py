"""Telling from a column's first values how they are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import attrs

from personaclick_async import codec
from personaclick_async.errors import ValidationError
from personaclick_async.sync.mapping.convert import Converter
from personaclick_async.sync.mapping.dates import COUNTED, EXCEL, MILLISECONDS, SECONDS, read_date
from personaclick_async.sync.mapping.origin import Kind, Origin
from personaclick_async.sync.mapping.words import (
    GENDERS,
    NO,
    NOTHING,
    OTHER_GENDER,
    YES,
    same,
)

CODES: Final = re.compile(
    r"zip|postal|postcode|postleitzahl|plz|codepostal|sku|ean|gtin|upc|isbn|vat|ustid|tax|iban|bic"
    r"|fax|code|number$|nummer|numero|phone|telefon|tel$|mobile|handy|индекс|inn|инн|郵便|邮编"
)
"""What the names of columns that hold digits which are no number have in them."""

COUNTRIES: Final = re.compile(r"country|land$|pays|pais|paese|kraj|ulke|страна|国|language|locale")
"""The names of columns where NO is Norway."""

GENDER_LETTERS: Final = ("mf", "mw", "mv", "hf", "ek")
"""Pairs of letters, the male one first. H and M, or K and M, are read in two ways or more."""

_DAYS: Final = (
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d-%b-%Y"),
    *("%d. %b %Y", "%d/%b/%Y", "%d de %b de %Y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d", "%d.%m. %Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%y", "%d %b %y"),
)
_TIMES: Final = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S %z")
_PACKED: Final = ("%Y%m%d", "%d%m%Y", "%m%d%Y")
_YEARS: Final = range(1905, 2027)
_DIGITS: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_CODE: Final = re.compile(r"[+-]?0[0-9]+(?:\.0+)?|[0-9.]+[eE][+-]?[0-9]+|\+[0-9 ]+")
# Twelve hundred and fifty, or one and a quarter.
_EITHER: Final = re.compile(r"\D*[1-9][0-9]{0,2}[.,][0-9]{3}\D*")
_MONEY: Final = re.compile(r"[$£¥]|,[0-9]{3},")
_SINGLE: Final = frozenset("mfwvhke")
_DUTCH: Final = ("geslacht", "aanhef")
_MEANS_WOMAN: Final = ("sexo", "genero", "sexe", "genre")
_EPOCH_DIGITS: Final = 9  # eight are a day, a month and a year
_YEAR_DIGITS: Final = 4
_MOST_DIGITS: Final = 15  # a float has no more


@attrs.frozen
class Guess:
    """How a column seems to be written.

    :ivar kind: what it holds.
    :ivar formats: for dates, how they are written; none is year first. Several fit equally well,
        unless there is only one.
    :ivar decimal: for numbers, what stands before the decimals; empty if there are none.
    :ivar doubt: what has to be asked; empty if nothing.
    """

    kind: Kind
    formats: tuple[str, ...] = ()
    decimal: str = ""
    doubt: str = ""


def texts_of(values: Iterable[object]) -> list[str]:
    """Return the texts that are not empty."""
    return [text for value in values if isinstance(value, str) and (text := value.strip())]


def nothing_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the words of a sample that stand for nothing, each once."""
    words = {text.casefold(): text for text in texts}
    return tuple(words[word] for word in sorted(words.keys() & NOTHING))


def guess_kind(column: str, values: Sequence[object]) -> Guess:
    """Tell what a column of a custom property holds."""
    texts = texts_of(values)
    if not texts:
        return Guess(_kind_of_types([value for value in values if value not in (None, "")]))
    telling = [text for text in texts if text.casefold() not in NOTHING]
    if not telling:
        return Guess(Kind.STRING)
    if CODES.search(same(column)) or any(map(_CODE.fullmatch, telling)):
        whole = all(re.fullmatch(r"[0-9]+\.0+", text) for text in telling)
        return Guess(Kind.IDENTIFIER if whole else Kind.STRING)
    if (guess := guess_day(telling)) is not None:
        return guess
    if (guess := guess_number(telling)) is not None:
        return guess
    words = {text.casefold() for text in telling}
    if words <= YES | NO and words & YES and words & NO and not COUNTRIES.search(same(column)):
        return Guess(Kind.BOOLEAN)
    return Guess(Kind.JSON if all(map(_is_json, telling)) else Kind.STRING)


def guess_number(texts: Sequence[str]) -> Guess | None:
    """Tell how numbers are written; None if they are none."""
    if any(sum(map(str.isdigit, text)) > _MOST_DIGITS for text in texts):
        return None
    point, comma = (_converts(Kind.FLOAT, mark, texts) for mark in ".,")
    if not point and not comma:
        return None
    marked = [text for text in texts if "." in text or "," in text]
    if point and comma and marked:
        # Every one of them may be read both ways, but for what the sign of the money tells.
        if not all("," in text and _MONEY.search(text) for text in marked):
            return Guess(Kind.FLOAT, doubt='is 1.250 over a thousand? Add decimal = "," or "."')
        comma = False
    mark = "." if point else ","
    if _converts(Kind.INTEGER, mark, texts):
        return Guess(Kind.INTEGER, decimal="" if mark == "." else mark)
    return Guess(Kind.FLOAT, decimal=mark)


def _converts(kind: Kind, decimal: str, texts: Iterable[str]) -> bool:
    convert = Converter("sample", Origin(kind=kind, decimal=decimal))
    return _fits(lambda: [convert(text, []) for text in dict.fromkeys(texts)])


def guess_day(texts: Sequence[str], *, is_day: bool = False) -> Guess | None:
    """Tell how dates are written; None if they are none.

    :param is_day: whether the column is known to hold days, so that digits alone may be one, and
        what is written in another way than most is passed over.
    """
    texts = _usual(texts) if is_day else texts
    if is_day and all(map(_DIGITS.fullmatch, texts)):
        fitting = [pattern for pattern in (*_PACKED, *COUNTED) if _all_lived(pattern, texts)]
        return Guess(Kind.DATE, tuple(fitting)) if fitting else None
    if not all(re.search(r"[0-9]\D+[0-9]|[0-9]\D+$", text) for text in texts):
        return None
    for pattern in ("", *_DAYS):
        formats = [pattern] if pattern else []
        if _all_fit(formats, texts):
            if not pattern:
                is_moment = any(":" in text for text in texts)
                return Guess(Kind.DATETIME if is_moment else Kind.DATE)
            return Guess(Kind.DATE, _that_fit(_DAYS, texts))
    for time in _TIMES:
        both = [f"{day} {time}" for day in _DAYS]
        both += [f"{day}, {time}" for day in _DAYS]
        if fits := _that_fit(both, texts):
            return Guess(Kind.DATETIME, fits)
    return None


def _usual(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts that are written as most are, without dates of zeros."""
    shapes = [
        (re.sub(r"[^\W\d_]+", "a", re.sub(r"[0-9]+", lambda run: _run(run[0]), text)), text)
        for text in texts
        if text.strip("0.-/: ")
    ]
    counted = Counter(shape for shape, _ in shapes).most_common(1)
    if not counted or counted[0][1] * 2 <= len(shapes):
        return texts
    return [text for shape, text in shapes if shape == counted[0][0]]


def _run(digits: str) -> str:
    return "0" if len(digits) < _YEAR_DIGITS else "0" * len(digits)


def _that_fit(patterns: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(pattern for pattern in patterns if _all_fit([pattern], texts))


def _all_fit(formats: Sequence[str], texts: Sequence[str]) -> bool:
    return _fits(lambda: [read_date("", text, formats) for text in dict.fromkeys(texts)])


def _all_lived(pattern: str, texts: Sequence[str]) -> bool:
    """Return whether numbers read so are all days on which somebody living may be born."""
    if pattern == EXCEL and not all(len(text.partition(".")[0]) in (4, 5) for text in texts):
        return False
    if pattern in (SECONDS, MILLISECONDS):
        # Both would fit: nine digits are seconds, twelve are milliseconds.
        longest = range(_EPOCH_DIGITS, 11) if pattern == SECONDS else range(11, 14)
        if not all(len(text.lstrip("-").partition(".")[0]) in longest for text in texts):
            return False
    return _fits(
        lambda: [_YEARS.index(read_date("", text, [pattern]).year) for text in dict.fromkeys(texts)]
    )


def guess_gender(column: str, texts: Iterable[str]) -> tuple[dict[str, str], str]:
    """Tell which words stand for which gender, and what has to be asked.

    Words that are neither are passed over: whatever they are, they do not belong in a mapping.
    """
    words = list(dict.fromkeys(texts))
    known: dict[str, str] = {}
    for text in words:
        word = text.casefold()
        if word in GENDERS:
            # The sample may happen to hold one of them only.
            for spelt in (word, OTHER_GENDER[word]):
                known.setdefault(_as_spelt(spelt, text), GENDERS[spelt])
    letters = {text.casefold() for text in words} & _SINGLE
    pairs = [pair for pair in GENDER_LETTERS if letters and letters <= set(pair)]
    if "m" in letters and letters != {"m", "f"} and same(column) in _MEANS_WOMAN:
        pairs = []  # mujer, or masculino
    if pairs == ["mv"] and same(column) not in _DUTCH:
        pairs = []  # man and vrouw, or varón and mujer, or vyras and moteris
    if letters == {"k", "m"}:
        pairs = ["mk"]  # Polish and Swedish agree
    if letters == {"h"}:
        pairs = []
    if pairs:
        like = next(text for text in words if text.casefold() in letters)
        male, female = (_as_spelt(letter, like) for letter in pairs[0])
        known |= {male: "m", female: "f"}
    doubt = "which of these letters is m, and which is f?" if letters and not pairs else ""
    told = {text: gender for text, gender in known.items() if text not in _TAKEN_AS_IS}
    return dict(sorted(told.items(), key=lambda one: one[1], reverse=True)), doubt


_TAKEN_AS_IS: Final = ("m", "f", "male", "female")


def _as_spelt(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.title() if like.istitle() else word


def _fits(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (ValidationError, ValueError):
        return False
    return True


def _is_json(text: str) -> bool:
    return text[0] in "[{" and _fits(lambda: codec.decode(text.encode()))


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
    return Kind.ANY
