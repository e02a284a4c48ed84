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


@attrs.define
class Line:
    """A line of a mapping, and what is to be said of it.

    :ivar options: what it says of its columns.
    :ivar remark: what goes behind it, for the reader.
    :ivar is_asked: whether it is a comment until somebody has answered the remark.
    """

    field: str
    columns: Sequence[Column]
    options: dict[str, Option] = attrs.field(factory=dict)
    remark: str = ""
    is_asked: bool = False

    @property
    def column(self) -> Column:
        """Its only column."""
        [column] = self.columns
        return column

    def ask(self, remark: str) -> None:
        """Make it a comment until somebody has answered."""
        self.remark, self.is_asked = remark, True


def guess_field(line: Line) -> None:
    """Complete the line of a standard field by how its column is written."""
    texts = line.column.telling
    match STANDARD_KINDS[line.field]:
        case Kind.GENDER:
            _gender(line)
        case Kind.BOOLEAN:
            line.options["values"] = _flags(texts)
        case Kind.BIRTHDAY if texts:
            _birthday(line)
        case Kind.NUMBER if texts:
            _number(line)
        case Kind.IDENTIFIER if any(map(_THOUSANDS.fullmatch, texts)):
            line.ask("are these numbers with separators, or ids as they are?")
        case Kind.EMAIL if any(
            (mailbox := text.partition("@")[0]) != mailbox.lower() for text in texts
        ):
            line.options["case"] = "lower"
        case Kind.STRING if line.field in NAMES and texts:
            _name(line)
    line.options["absent"] = line.column.absent


def guess_part(line: Line) -> None:
    """Complete a line by which part of its column of whole names it is, where that is certain."""
    texts = line.column.telling
    line.options["part"] = line.field.removesuffix("_name")
    _name(line)
    others = sum(_TWO_WORDS.fullmatch(text) is None for text in texts)
    if line.column.spelling in COLUMNS["family_first"] or any(map(_FAMILY_FIRST.search, texts)):
        line.ask("the family name comes first: split such names beforehand")
    elif others and not line.is_asked:
        line.remark = f"{others:,} of {len(texts):,} names do not have two words"
        if others * 2 > len(texts):
            line.is_asked = line.field == "last_name" or any(" " in text for text in texts)
            if not line.is_asked:
                del line.options["part"]
    line.options["absent"] = line.column.absent


def guess_property(line: Line) -> None:
    """Complete the line of a custom property by what its column holds."""
    kind = _kind(line)
    if kind is not Kind.ANY and (kind is not Kind.STRING or line.column.has_numbers):
        line.options = {"type": kind.value, **line.options}
    if kind not in (Kind.ANY, Kind.STRING):
        line.options["absent"] = line.column.absent


def _kind(line: Line) -> Kind:
    column, texts = line.column, line.column.telling
    if not column.texts:
        for types, kind in _TYPES:
            if column.values and all(isinstance(value, types) for value in column.values):
                return kind
        return Kind.ANY
    if not texts:
        return Kind.STRING
    if _CODES.search(column.spelling) or any(map(_CODE.fullmatch, texts)):
        are_whole = all(re.fullmatch(r"[0-9]+\.0+", text) for text in texts)
        return Kind.IDENTIFIER if are_whole else Kind.STRING
    if (known := _date(line, texts) or _number(line)) is not None:
        return known
    words = {text.casefold() for text in texts}
    if words <= YES | NO and words & YES and words & NO and not _COUNTRIES.search(column.spelling):
        line.options["values"] = _flags(texts)
        return Kind.BOOLEAN
    is_json = all(text[0] in "[{" for text in texts) and _converts(texts, Origin(kind=Kind.JSON))
    return Kind.JSON if is_json else Kind.STRING


def _name(line: Line) -> None:
    texts = line.column.telling
    if not line.column.may_be_names:
        line.ask("most values do not look like names")
    elif (
        all(map(str.isupper, texts))
        and any(map(str.isascii, texts))
        and line.column.spelling not in COLUMNS["turkish_name"]
    ):
        line.options["case"], line.remark = "name", "JON -> Jon"


def _gender(line: Line) -> None:
    """Tell which words stand for which gender.

    Words that are neither are passed over: whatever they are, they do not belong in a mapping.
    """
    known: dict[str, str] = {}
    letters: dict[str, str] = {}
    for text in line.column.telling:
        word = text.casefold()
        if word in GENDERS:
            # The sample may happen to hold one of them only.
            for spelt in (word, OTHER_GENDER[word]):
                known.setdefault(_as_spelt(spelt, text), GENDERS[spelt])
        if word in _SINGLE:
            letters.setdefault(word, text)
    found = "".join(sorted(letters))
    pair = GENDER_LETTERS.get(found, "")
    is_spanish = line.column.spelling in COLUMNS["spanish_gender"]
    is_dutch = line.column.spelling in COLUMNS["dutch_gender"]
    if (pair == "mv" and not is_dutch) or (is_spanish and "m" in letters and found != "fm"):
        pair = ""
    if letters and not pair:
        line.ask("which of these letters is m, and which is f?")
    for letter, gender in zip(pair, "mf", strict=False):
        like = next(iter(letters.values()))
        known[letters.get(letter, _as_spelt(letter, like))] = gender
    told = {text: known[text] for text in known if text not in _TAKEN_AS_IS}
    line.options["values"] = dict(sorted(told.items(), key=lambda one: one[1], reverse=True))


def _as_spelt(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.title() if like.istitle() else word


def _flags(texts: Iterable[str]) -> dict[str, bool]:
    told = {text: text.casefold() in YES for text in texts if text.casefold() in YES | NO}
    return {text: told[text] for text in told if text.casefold() not in TRUE | FALSE}


def _number(line: Line) -> Kind | None:
    texts = line.column.telling
    if any(sum(map(str.isdigit, text)) > _MOST_DIGITS for text in texts):
        return None
    point, comma = (_converts(texts, Origin(kind=Kind.FLOAT, decimal=mark)) for mark in ".,")
    if not point and not comma:
        return None
    marked = [text for text in texts if "." in text or "," in text]
    if point and comma and marked:
        # Every one of them may be read both ways, but for what the sign of the money tells.
        if not all("," in text and _MONEY.search(text) for text in marked):
            line.ask('is 1.250 over a thousand? Add decimal = "," or "."')
            return Kind.FLOAT
        comma = False
    mark = "." if point else ","
    is_whole = _converts(texts, Origin(kind=Kind.INTEGER, decimal=mark))
    if mark == "," or not is_whole:
        line.options["decimal"] = mark
    return Kind.INTEGER if is_whole else Kind.FLOAT


def _birthday(line: Line) -> None:
    """Tell how days are written, passing over what is written in another way than most."""
    texts = line.column.telling
    texts = [text for text in texts if text.strip("0.-/: ")] or texts
    [(shape, count)] = Counter(map(_shape, texts)).most_common(1)
    if count * 2 > len(texts):
        texts = [text for text in texts if _shape(text) == shape]
    if all(map(_DIGITS.fullmatch, texts)):
        fewest = min(len(text.lstrip("-").partition(".")[0]) for text in texts)
        fitting = [
            pattern
            for pattern in DATES["digits"]
            if fewest >= _FEWEST_DIGITS.get(pattern, 0)
            and _converts(texts, Origin(kind=Kind.BIRTHDAY, format=(pattern,)), "birthday")
        ]
        kind = _written(line, Kind.DATE, fitting)
    else:
        kind = _date(line, texts)
    if kind is None:
        line.ask('say how: format = "%m/%d/%Y" or another')


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d_]+", "a", re.sub("[0-9]", "0", _SHORT_RUN.sub("0", text)))


def _date(line: Line, texts: Sequence[str]) -> Kind | None:
    if not all(map(_DATE.search, texts)):
        return None
    if _converts(texts, Origin(kind=Kind.DATETIME)):
        return Kind.DATETIME if any(":" in text for text in texts) else Kind.DATE
    days, times = DATES["days"], DATES["times"]
    for time in ("", *(f"{by}{time}" for time in times for by in (" ", ", "))):
        formats = [f"{day}{time}" for day in days]
        fitting = [
            one for one in formats if _converts(texts, Origin(kind=Kind.DATETIME, format=(one,)))
        ]
        if kind := _written(line, Kind.DATETIME if time else Kind.DATE, fitting):
            return kind
    return None


def _written(line: Line, kind: Kind, formats: Sequence[str]) -> Kind | None:
    """Take the first of several formats that fit, and ask if there are more."""
    if not formats:
        return None
    line.options["format"] = formats[0]
    if len(formats) > 1:
        line.ask(f"{' or '.join(formats)}? The sample fits both")
    return kind


def _converts(texts: Iterable[str], origin: Origin, field: str = "sample") -> bool:
    """Return whether all texts can be read so."""
    attempt = Converter(field, origin).attempt
    return not any(isinstance(attempt(text), Fault) for text in dict.fromkeys(texts))
