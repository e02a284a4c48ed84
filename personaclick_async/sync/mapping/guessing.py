"""Telling from a column's name and first values how they are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeAlias

import attrs

from personaclick_async.sync.mapping.convert import FALSE, TRUE, Converter
from personaclick_async.sync.mapping.dates import MILLISECONDS, SECONDS
from personaclick_async.sync.mapping.origin import STANDARD_KINDS, Kind, Origin
from personaclick_async.sync.mapping.words import (
    ALWAYS_NOTHING,
    COLUMNS,
    DATES,
    GENDER_LETTERS,
    GENDERS,
    NO,
    NOTHING,
    OTHER_GENDER,
    YES,
    same,
)
from personaclick_async.sync.records import Fault

Option: TypeAlias = str | Sequence[str] | Mapping[str, str | bool]

NAMES: Final = ("first_name", "last_name", "middle_name")

# What the names of columns that hold digits which are no number have in them.
_CODES: Final = re.compile(
    r"zip|postal|postcode|postleitzahl|plz|codepostal|sku|ean|gtin|upc|isbn|vat|ustid|tax|iban|bic"
    r"|fax|code|number$|nummer|numero|phone|telefon|tel$|mobile|handy|индекс|inn|инн|郵便|邮编"
)
_CODE: Final = re.compile(r"[+-]?0[0-9]+(?:\.0+)?|[0-9.]+[eE][+-]?[0-9]+|\+[0-9 ]+")
# The names of columns where NO is Norway.
_COUNTRIES: Final = re.compile(r"country|land$|pays|pais|paese|kraj|ulke|страна|国|language|locale")
# With fewer digits, a birthday counted in these would be of 1970.
_FEWEST_DIGITS: Final = {SECONDS: 9, MILLISECONDS: 11}
_DIGITS: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_DATE: Final = re.compile(r"[0-9]\D+[0-9]|[0-9]\D+$")
_SHORT_RUN: Final = re.compile(r"(?<![0-9])[0-9]{1,3}(?![0-9])")
_MONEY: Final = re.compile(r"[$£¥]|,[0-9]{3},")
_MOST_DIGITS: Final = 15  # a float has no more
_THOUSANDS: Final = re.compile(r"[1-9][0-9]{0,2}(?:[.,][0-9]{3})+")
_SINGLE: Final = frozenset("mfwvhke")
_TAKEN_AS_IS: Final = ("m", "f", "male", "female")
_TWO_WORDS: Final = re.compile(r"[^\W\d_][\w'\u2019.-]*,? [^\W\d_][\w'\u2019.-]*")
_NO_NAME: Final = re.compile(r"[0-9#@]|^\W+$|\b(?:GmbH|Ltd|LLC|Inc|Corp|S\.?r\.?l|株式会社)\b")
_FAMILY_FIRST: Final = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")
_TYPES: Final[tuple[tuple[type | tuple[type, ...], Kind], ...]] = (
    # A bool is an int and a datetime is a date: the narrower ones come first.
    (bool, Kind.BOOLEAN),
    (int, Kind.INTEGER),
    ((int, float, Decimal), Kind.FLOAT),
    (datetime, Kind.DATETIME),
    (date, Kind.DATE),
    ((list, tuple), Kind.LIST),
    (dict, Kind.JSON),
)


class Column:
    """A column of a sample.

    :ivar cells: what stands in its rows.
    :ivar spelling: its name, as all spellings of it agree.
    :ivar values: what stands in those that are not empty.
    :ivar has_numbers: whether any of these is a number, and no text.
    :ivar texts: which of these are texts.
    :ivar telling: texts that do not stand for nothing.
    :ivar absent: texts that do, and that not every mapping takes so.
    """

    def __init__(self, name: str, cells: Sequence[object]) -> None:
        self.name = name
        self.cells = cells
        self.spelling = same(name)
        self.values = [cell for cell in cells if cell not in ("", None)]
        self.has_numbers = any(isinstance(cell, int | float) for cell in cells)
        self.texts = [text for cell in cells if isinstance(cell, str) and (text := cell.strip())]
        self.telling = [text for text in self.texts if text.casefold() not in NOTHING]
        words = {text.casefold(): text for text in self.texts}
        self.absent = [words[one] for one in sorted(words.keys() & NOTHING - {*ALWAYS_NOTHING})]

    @property
    def repeated(self) -> int:
        """How many of its values stood in a row before."""
        return len(self.values) - len({str(value).strip() for value in self.values})

    def are_mostly(self, test: Callable[[str], object]) -> bool:
        """Return whether most of its telling texts pass a test."""
        return sum(map(bool, map(test, self.telling))) * 2 > len(self.telling)

    @property
    def may_be_names(self) -> bool:
        """Whether most of them are no numbers, addresses or companies."""
        return not self.are_mostly(_NO_NAME.search)


@attrs.frozen
class Guess:
    """How a column seems to be written.

    :ivar kind: what it holds, where its field does not say so.
    :ivar options: what a mapping has to say of it.
    :ivar remark: what its reader should know.
    :ivar is_asked: whether the remark has to be answered first.
    """

    kind: Kind = Kind.ANY
    options: Mapping[str, Option] = attrs.field(factory=dict)
    remark: str = ""
    is_asked: bool = False


def guess_field(field: str, column: Column) -> Guess:
    """Tell how the column of a standard field is written."""
    texts = column.telling
    match STANDARD_KINDS[field]:
        case Kind.GENDER:
            return _gender(column)
        case Kind.BOOLEAN:
            return Guess(options=_flags(texts))
        case Kind.BIRTHDAY if texts:
            return _birthday(texts)
        case Kind.NUMBER if texts:
            return _number(texts) or Guess()
        case Kind.IDENTIFIER if any(map(_THOUSANDS.fullmatch, texts)):
            remark = "are these numbers with separators, or ids as they are?"
            return Guess(remark=remark, is_asked=True)
        case Kind.EMAIL if any((to := text.partition("@")[0]) != to.lower() for text in texts):
            return Guess(options={"case": "lower"})
        case Kind.STRING if field in NAMES and texts:
            return _name(column)
    return Guess()


def guess_property(column: Column) -> Guess:
    """Tell what a column of a custom property holds."""
    texts = column.telling
    if not column.texts:
        for types, kind in _TYPES:
            if column.values and all(isinstance(value, types) for value in column.values):
                return Guess(kind)
        return Guess(Kind.ANY)
    if not texts:
        return Guess(Kind.STRING)
    if _CODES.search(column.spelling) or any(map(_CODE.fullmatch, texts)):
        are_whole = all(re.fullmatch(r"[0-9]+\.0+", text) for text in texts)
        return Guess(Kind.IDENTIFIER if are_whole else Kind.STRING)
    if (guess := _date(texts) or _number(texts)) is not None:
        return guess
    words = {text.casefold() for text in texts}
    if words <= YES | NO and words & YES and words & NO and not _COUNTRIES.search(column.spelling):
        return Guess(Kind.BOOLEAN, _flags(texts))
    is_json = all(text[0] in "[{" for text in texts) and _converts(texts, Origin(kind=Kind.JSON))
    return Guess(Kind.JSON if is_json else Kind.STRING)


def guess_part(field: str, column: Column) -> Guess:
    """Tell which part of a column of whole names a field is, where that is certain."""
    texts = column.telling
    guess = _name(column)
    options, remark, is_asked = {"part": field.removesuffix("_name")}, guess.remark, guess.is_asked
    others = sum(_TWO_WORDS.fullmatch(text) is None for text in texts)
    if column.spelling in COLUMNS["family_first"] or any(map(_FAMILY_FIRST.search, texts)):
        remark, is_asked = "the family name comes first: split such names beforehand", True
    elif others and not guess.is_asked:
        remark = f"{others:,} of {len(texts):,} names do not have two words"
        if others * 2 > len(texts):
            is_asked = field == "last_name" or any(" " in text for text in texts)
            options = options if is_asked else {}
    return Guess(options={**options, **guess.options}, remark=remark, is_asked=is_asked)


def _name(column: Column) -> Guess:
    texts = column.telling
    if not column.may_be_names:
        return Guess(remark="most values do not look like names", is_asked=True)
    if (
        all(map(str.isupper, texts))
        and any(map(str.isascii, texts))
        and column.spelling not in COLUMNS["turkish_name"]
    ):
        return Guess(options={"case": "name"}, remark="JON -> Jon")
    return Guess()


def _gender(column: Column) -> Guess:
    """Tell which words stand for which gender.

    Words that are neither are passed over: whatever they are, they do not belong in a mapping.
    """
    known: dict[str, str] = {}
    letters: dict[str, str] = {}
    for text in dict.fromkeys(column.telling):
        word = text.casefold()
        if word in GENDERS:
            # The sample may happen to hold one of them only.
            for spelt in (word, OTHER_GENDER[word]):
                known.setdefault(_as_spelt(spelt, text), GENDERS[spelt])
        if word in _SINGLE:
            letters.setdefault(word, text)
    found = "".join(sorted(letters))
    pair = GENDER_LETTERS.get(found)
    if (pair == "mv" and column.spelling not in COLUMNS["dutch_gender"]) or (
        "m" in letters and found != "fm" and column.spelling in COLUMNS["spanish_gender"]
    ):
        pair = None
    if pair is not None:
        like = next(iter(letters.values()))
        for letter, gender in zip(pair, "mf", strict=True):
            known[letters.get(letter, _as_spelt(letter, like))] = gender
    told = {text: known[text] for text in known if text not in _TAKEN_AS_IS}
    options = {"values": dict(sorted(told.items(), key=lambda one: one[1], reverse=True))}
    is_asked = bool(letters) and pair is None
    remark = "which of these letters is m, and which is f?" if is_asked else ""
    return Guess(options=options, remark=remark, is_asked=is_asked)


def _as_spelt(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.title() if like.istitle() else word


def _flags(texts: Iterable[str]) -> dict[str, Option]:
    told = {text: text.casefold() in YES for text in texts if text.casefold() in YES | NO}
    return {"values": {text: told[text] for text in told if text.casefold() not in TRUE | FALSE}}


def _number(texts: Sequence[str]) -> Guess | None:
    if any(sum(map(str.isdigit, text)) > _MOST_DIGITS for text in texts):
        return None
    point, comma = (_converts(texts, Origin(kind=Kind.FLOAT, decimal=mark)) for mark in ".,")
    if not point and not comma:
        return None
    marked = [text for text in texts if "." in text or "," in text]
    if point and comma and marked:
        # Every one of them may be read both ways, but for what the sign of the money tells.
        if not all("," in text and _MONEY.search(text) for text in marked):
            remark = 'is 1.250 over a thousand? Add decimal = "," or "."'
            return Guess(Kind.FLOAT, remark=remark, is_asked=True)
        comma = False
    mark = "." if point else ","
    if _converts(texts, Origin(kind=Kind.INTEGER, decimal=mark)):
        return Guess(Kind.INTEGER, {} if mark == "." else {"decimal": mark})
    return Guess(Kind.FLOAT, {"decimal": mark})


def _birthday(texts: Sequence[str]) -> Guess:
    """Tell how days are written, passing over what is written in another way than most."""
    texts = [text for text in texts if text.strip("0.-/: ")] or texts
    [(shape, count)] = Counter(map(_shape, texts)).most_common(1)
    if count * 2 > len(texts):
        texts = [text for text in texts if _shape(text) == shape]
    guess = _digit_days(texts) if all(map(_DIGITS.fullmatch, texts)) else _date(texts)
    return guess or Guess(remark='say how: format = "%m/%d/%Y" or another', is_asked=True)


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub("[0-9]", "0", _SHORT_RUN.sub("0", text)))


def _digit_days(texts: Sequence[str]) -> Guess | None:
    fewest = min(len(text.lstrip("-").partition(".")[0]) for text in texts)
    fitting = [
        pattern
        for pattern in DATES["digits"]
        if fewest >= _FEWEST_DIGITS.get(pattern, 0)
        and _converts(texts, Origin(kind=Kind.BIRTHDAY, format=(pattern,)), "birthday")
    ]
    return _written(Kind.DATE, fitting)


def _date(texts: Sequence[str]) -> Guess | None:
    if not all(map(_DATE.search, texts)):
        return None
    if _converts(texts, Origin(kind=Kind.DATETIME)):
        is_moment = any(":" in text for text in texts)
        return Guess(Kind.DATETIME if is_moment else Kind.DATE)
    days, times = DATES["days"], DATES["times"]
    for time in ("", *(f"{by}{time}" for time in times for by in (" ", ", "))):
        formats = [f"{day}{time}" for day in days]
        fitting = [
            one for one in formats if _converts(texts, Origin(kind=Kind.DATETIME, format=(one,)))
        ]
        if guess := _written(Kind.DATETIME if time else Kind.DATE, fitting):
            return guess
    return None


def _written(kind: Kind, formats: Sequence[str]) -> Guess | None:
    """Return a guess of dates in one of several formats, if there is one."""
    if len(formats) > 1:
        remark = f"{' or '.join(formats)}? The sample fits both"
        return Guess(kind, {"format": formats[0]}, remark, is_asked=True)
    return Guess(kind, {"format": formats[0]}) if formats else None


def _converts(texts: Iterable[str], origin: Origin, field: str = "sample") -> bool:
    """Return whether all texts can be read so."""
    attempt = Converter(field, origin).attempt
    return not any(isinstance(attempt(text), Fault) for text in dict.fromkeys(texts))
