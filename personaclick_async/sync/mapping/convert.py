"""From what stands in a field's columns to what goes on the wire, by the rules of the models.

What does not belong to a cell is removed, what is left is read as a value of its kind, and the
field's rule decides whether that can be sent. Errors never show the cell.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from html import unescape
from typing import Any, Final, TypeAlias
from uuid import UUID

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.rules import Number, refuse
from personaclick_async.models.update import FIELDS
from personaclick_async.sync.mapping.dates import day_of, read_date
from personaclick_async.sync.mapping.origin import Case, Kind, Origin, Part, rule_of
from personaclick_async.sync.mapping.phones import read_phone, read_plain_phone
from personaclick_async.sync.mapping.words import is_error, is_placeholder, names_nobody
from personaclick_async.sync.records import Fault

Notes: TypeAlias = list[str]
"""What was changed in a cell."""

# As programs write it: Nan is somebody's name.
_MACHINES_NOTHING: Final = frozenset(
    {"\\N", "N/A", "n/a", "undefined", "NaN", "nan", "None", "NaT"}
    | {"(null)", "(NULL)", "[NULL]", "<null>", "<NULL>"}
)
# How nearly all texts are written whose kinds hardly repeat: there is nothing to remove.
_USUAL: Final = {
    Kind.EMAIL: re.compile(
        r"(?=[a-z._-]{0,40}[0-9]|[ac-jlmqrtv-z])[a-z0-9._+-]+@[a-z0-9.-]+"
    ).fullmatch,
    Kind.IDENTIFIER: re.compile(r"[1-9][0-9]*").fullmatch,
    Kind.PHONE: rules.is_plain_phone,
}
_NEVER: Final = re.compile(r"(?!)").fullmatch
# Whole columns, a text to a line, that are as they have to be: the rules accept them unchanged.
_FIT: Final = {
    Kind.EMAIL: re.compile(
        r"(?:(?=[a-z._-]{0,40}[0-9]|[ac-jlmqrtv-z])[a-z0-9]++(?:[._+-][a-z0-9]++)*+"
        r"@(?:[a-z0-9]++(?:-[a-z0-9]++)*+\.)++[a-z]{2,}+\n)++"
    ).fullmatch,
    Kind.IDENTIFIER: re.compile(r"(?:[1-9][0-9]*+\n)++").fullmatch,
}
_LONGEST_FIT: Final = 64
_MOST_REMEMBERED: Final = 16_384
_LONGEST_REMEMBERED: Final = 64
_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')
_POINT_ZERO: Final = re.compile(r"([+-]?[0-9]+)[.,]0{1,2}")
_SCIENTIFIC: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+[eE][+-]?|[eE]\+)[0-9]+")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z]{2,8});")
_WORDS: Final = re.compile(r"[\w\s'\u2019.&-]+")
_ADDRESS_INSIDE: Final = re.compile(r"[^@<>]*<\s*([^<>\s]+)\s*>")
_SCHEME: Final = re.compile(r"mailto:([^?]*)(?:\?.*)?", re.IGNORECASE)
_MC: Final = re.compile(r"\bMc([^\W\d_])")
_EXACT_FLOAT: Final = 2**53
_MOST_DIGITS: Final = 100
# Far more than any number needs, and less than Python refuses to read.
_LONGEST_NUMBER: Final = 400
# The signs of Unicode's category Sc that are in use as money.
_CURRENCY: Final = (
    r"(?:[$\u00a2-\u00a5\u058f\u060b\u09f3\u0e3f\u17db\u20a0-\u20c0\ufdfc]?|[A-Z]{3})"
)
# 1.250 is twelve hundred and fifty, or one and a quarter.
_EITHER_WAY: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_MARKED: Final = (Kind.IDENTIFIER, Kind.EMAIL, Kind.PHONE)
_AS_THEY_STAND: Final = (Kind.ANY, Kind.LIST, Kind.JSON)
TRUE: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE: Final = frozenset({"false", "f", "no", "n", "off", "0"})
_NO_LETTER: Final = "'\u2018\u2019`\u00b4"


class Converter:
    """Turns what stands in a field's columns into the field's value on the wire.

    A column's texts repeat themselves: what was made of one is remembered, and shared by rows.

    :ivar label: what errors call the field.
    :ivar rule: what accepts its values.
    """

    def __init__(self, name: str, origin: Origin) -> None:
        self.label, self.rule = rule_of(name, origin.kind)
        self._origin = origin
        self._read = _READERS.get(origin.kind)
        # What whole texts stand for, None for nothing; as they are spelt before any case of them.
        told = {text.casefold(): value for text, value in origin.values.items()}
        told |= origin.values
        self._told: dict[str, Json] = {"": None} | dict.fromkeys(origin.absent)
        self._told |= {text: told[text] for text in told if text.casefold() not in origin.absent}
        is_usual = _USUAL.get(origin.kind)
        is_plain = not (origin.values or origin.case)
        self._is_usual = is_usual if is_usual and is_plain else _NEVER
        self._are_fit = _FIT.get(origin.kind, _NEVER) if is_plain else _NEVER
        self._recall = None if is_usual else _Memory(self.attempt).__getitem__

    def column(self, cells: Sequence[Any]) -> list[Any]:
        """Convert the cells of many rows, each as :meth:`attempt` does."""
        if set(map(type, cells)) == {str}:
            if self._recall is not None:
                return list(map(self._recall, cells))
            is_usual, absent = self._is_usual, self._origin.absent
            lines = "\n".join([*cells, ""])
            if (
                self._are_fit(lines)
                and lines.count("\n") == len(cells)
                and max(map(len, cells)) <= _LONGEST_FIT
                and absent.isdisjoint(cells)
            ):
                return list(cells)
            return [
                self._usual(cell) if is_usual(cell) and cell not in absent else self.attempt(cell)
                for cell in cells
            ]
        return list(map(self.attempt, cells))

    def attempt(self, cell: object) -> Any:  # noqa: ANN401 - a value of the wire, or a fault
        """Convert a cell, or those of several columns; return the fault if it can't be."""
        try:
            return self.convert(cell, [])
        except ValidationError as error:
            return Fault.of(error)

    def convert(self, cell: Any, notes: Notes) -> Json:  # noqa: ANN401 - whatever a source has
        """Convert a cell, or those of several columns; note what is changed.

        :returns: None if there is nothing to send.
        :raises ValidationError: the field can't have this value.
        """
        value: object
        if len(self._origin.columns) > 1:
            value = self._value(self._joined(cell, notes), notes)
        elif isinstance(cell, str):
            value = self._value(cell, notes)
        elif (word := _word(cell)) in self._told:
            value = self._told[word]
        else:
            value = _typed(self.label, self._origin.kind, cell)
            value = self._value(value, notes) if isinstance(value, str) else value
        return None if value is None else self.rule(self.label, value)

    def _usual(self, text: str) -> Any:  # noqa: ANN401 - as an attempt
        """Convert a text from which nothing has to be removed."""
        try:
            if self._origin.kind is Kind.PHONE:
                return read_plain_phone(self.label, text, self._origin.country, [])
            return self.rule(self.label, text)
        except ValidationError as error:
            return Fault.of(error)

    def _joined(self, cells: Iterable[object], notes: Notes) -> str:
        texts: list[str] = []
        for cell in cells:
            text = cell if isinstance(cell, str) else _word(cell)
            if text is None:
                raise refuse(self.label, "texts to join", cell)
            text = _trimmed(text, self._origin, notes)
            if text and text.casefold() not in self._origin.absent:
                _check_meant(self.label, text)
                texts.append(text)
        return self._origin.join.join(texts)

    def _value(self, text: str, notes: Notes) -> object:
        """Return what a text says, in the type that the field's rule takes."""
        origin = self._origin
        text = _trimmed(text, origin, notes)
        for spelling in (text, text.casefold()):
            if spelling in self._told:
                return self._told[spelling]
        if origin.kind in _MARKED:
            text = _unmarked(text, notes)
        _check_meant(self.label, text)
        if origin.part is not None:
            text = _part_of(text, origin.part)
        if origin.case is not None:
            text = _CASES[origin.case](text)
        if origin.split is not None:
            return [part for one in text.split(origin.split) if (part := one.strip())] or None
        if not text or self._read is None:
            return text or None
        return self._read(self.label, text, origin, notes)


class _Memory(dict[str, Any]):
    """Remembers what was made of texts."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> Any:  # noqa: ANN401 - whatever is made
        found = self._make(text)
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[text] = found
        return found


# What stands around a text and does not belong to it.


def _trimmed(text: str, origin: Origin, notes: Notes) -> str:
    if origin.strip:
        whole, text = text, text.strip()
        if len(text) < len(whole) and text:
            notes.append("white space removed")
        if not text.isascii() and origin.kind not in _AS_THEY_STAND:
            seen = [at for at, ch in enumerate(text) if not ch.isspace() and not _is_invisible(ch)]
            shown = text[seen[0] : seen[-1] + 1] if seen else ""
            if len(shown) < len(text):
                notes.append("invisible characters removed")
            text = shown
    if text.startswith('="') and (found := _FORMULA.fullmatch(text)) is not None:
        notes.append('="…" unwrapped')
        return found[1].replace('""', '"')
    return text


def _is_invisible(ch: str) -> bool:
    return unicodedata.category(ch) == "Cf"


def _unmarked(text: str, notes: Notes) -> str:
    """Take invisible characters out of an identifier, and a spreadsheet's apostrophe off it."""
    if not text.isascii() and any(map(_is_invisible, text)):
        notes.append("invisible characters removed")
        text = "".join(ch for ch in text if not _is_invisible(ch))
    if text[:1] in _NO_LETTER and len(text) > 1:
        notes.append("apostrophe removed")
        text = text[1:-1] if text[-1] in _NO_LETTER else text[1:]
    return text.strip()


def _check_meant(field: str, text: str) -> None:
    if text.casefold() == "null":
        # The service's own clients send it for nothing, and it erases what was there
        # (protocol, 3.3).
        rule = 'a value, not the word null, which erases (say absent = ["null"])'
        raise refuse(field, rule, text)
    if text.startswith("#") and is_error(text):
        raise refuse(field, "a value, not a spreadsheet's error: the value is lost", text)


def _part_of(text: str, part: Part) -> str:
    last, comma, first = (one.strip() for one in text.partition(","))
    if not comma:
        first, _, last = (one.strip() for one in " ".join(text.split()).partition(" "))
    return first if part is Part.FIRST else last


_CASES: Final[dict[Case, Callable[[str], str]]] = {
    Case.LOWER: str.lower,
    Case.UPPER: str.upper,
    Case.TITLE: str.title,
    Case.NAME: lambda text: _MC.sub(lambda found: f"Mc{found[1].upper()}", text.title()),
}


# What a text says, one function for each kind of value.


def _name(field: str, text: str, _: Origin, notes: Notes) -> str:
    if field not in FIELDS:
        return text
    if "&" in text and _ENTITY.search(text) and _WORDS.fullmatch(plain := unescape(text)):
        notes.append("HTML decoded")
        text = plain
    if text in _MACHINES_NOTHING:
        raise refuse(field, 'a value, not a word for none (say absent = ["none"] or another)', text)
    if not text.isascii() and _is_read_wrongly(text):
        raise refuse(field, "the letters that were meant: it was decoded wrongly before", text)
    return text


def _is_read_wrongly(text: str) -> bool:
    """Return whether a text is UTF-8 that somebody took for a code page: ``JosÃ©``."""
    for page in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            return text.encode(page).decode() != text
    return False


def _identifier(field: str, text: str, origin: Origin, notes: Notes) -> str:
    if any(text.casefold() == column.casefold() for column in origin.columns):
        # Of files that were put together.
        raise refuse(field, "an identifier, not the name of its column", text)
    whole = _digits(field, text, notes)
    if names_nobody(whole):
        raise refuse(field, "an identifier, not a word or a number that stands for none", text)
    return whole


def _digits(field: str, text: str, notes: Notes) -> str:
    """Undo what tables that know only floats make of whole numbers, where that can be done."""
    if text[-1].isdigit():
        if (found := _POINT_ZERO.fullmatch(text)) is not None:
            notes.append(".0 removed")
            return found[1]
        if _SCIENTIFIC.fullmatch(text) is not None:
            rule = "the whole number: a spreadsheet shortened it, digits are lost"
            raise refuse(field, rule, text)
    return text


def _email(field: str, text: str, _: Origin, notes: Notes) -> str:
    plain = unicodedata.normalize("NFKC", text)
    if (found := _ADDRESS_INSIDE.fullmatch(plain)) is not None:
        notes.append("taken out of Name <…>")
        plain = found[1]
    if (found := _SCHEME.fullmatch(plain)) is not None:
        notes.append("mailto: removed")
        plain = found[1]
    if is_placeholder(plain):
        raise refuse(field, "an e-mail address, not one that stands for none", text)
    domain = plain.rpartition("@")[2]
    if domain != domain.lower():
        notes.append("domain in small letters")
    return plain


def _boolean(field: str, text: str, _origin: Origin, _notes: Notes) -> bool:
    word = text.casefold()
    if word not in TRUE and word not in FALSE:
        raise refuse(field, "true or false, yes or no, 1 or 0", text)
    return word in TRUE


def _json(field: str, text: str, _origin: Origin, _notes: Notes) -> object:
    try:
        return codec.decode(text.encode())
    except ValueError:  # also a text that UTF-8 can't carry
        raise refuse(field, "JSON", text) from None


def _day(field: str, text: str, origin: Origin, _: Notes) -> date:
    is_birthday = origin.kind is Kind.BIRTHDAY
    return day_of(field, read_date(field, text, origin.format, is_birthday=is_birthday))


def _number(field: str, text: str, origin: Origin, _: Notes) -> Number:
    """Read a number as people and spreadsheets write it: ``$1,234.50``.

    Separators must stand where thousands end, so that ``1,5`` is refused and not taken for 15.
    """
    plain = text[1:] if text[0] in _NO_LETTER else text
    if not plain.isascii():
        plain = unicodedata.normalize("NFKC", plain).replace("\u2212", "-")
    decimal = origin.decimal or "."
    is_short = len(plain) <= _LONGEST_NUMBER
    found = _number_pattern(decimal).fullmatch(plain) if is_short else None
    if found is None or (found["sign"] and found["inner_sign"]):
        raise refuse(field, f"a number such as 1234{decimal}50", text)
    if origin.decimal is None and origin.kind is not Kind.INTEGER and _EITHER_WAY.fullmatch(plain):
        raise refuse(field, 'a number, and decimal = "." or "," to tell how to read it', text)
    whole = found["whole"].replace(found["by"], "") if found["by"] else found["whole"]
    signed = f"{found['sign']}{found['inner_sign']}{whole}"
    number: Number
    if found["part"] is None and found["power"] is None:
        number = int(signed)
    else:
        number = float(f"{signed}.{found['part'] or 0}e{found['power'] or 0}")
    return _of_kind(field, origin.kind, number)


@cache
def _number_pattern(decimal: str) -> re.Pattern[str]:
    thousands = r"[,\s'\u2019]" if decimal == "." else r"[.\s'\u2019]"
    return re.compile(
        rf"(?P<sign>[+-]?)\s*{_CURRENCY}\s*(?P<inner_sign>[+-]?)"
        # Groups of two before the last one are Indian: 12,34,567.
        rf"(?P<whole>[0-9]+|[0-9]{{1,3}}(?P<by>{thousands})(?:[0-9]{{2,3}}(?P=by))*[0-9]{{3}})"
        rf"(?:{re.escape(decimal)}(?P<part>[0-9]+))?(?:[eE](?P<power>[+-]?[0-9]{{1,3}}))?"
        rf"\s*{_CURRENCY}"
    )


def _of_kind(field: str, kind: Kind, value: object) -> Number:
    """Return a number as an int or a float where the kind is one of these."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise refuse(field, "a number", value)
    if kind is Kind.FLOAT:
        with suppress(OverflowError):
            return float(value)
        raise refuse(field, "a number that fits into a float", value)
    found = rules.number(field, value)
    if kind is Kind.INTEGER and found != int(found):
        raise refuse(field, "a whole number", value)
    return int(found) if kind is Kind.INTEGER else found


_READERS: Final[dict[Kind, Callable[[str, str, Origin, Notes], object]]] = {
    Kind.STRING: _name,
    Kind.IDENTIFIER: _identifier,
    Kind.EMAIL: _email,
    Kind.PHONE: lambda field, text, origin, notes: read_phone(
        field, _digits(field, text, notes), origin.country, notes
    ),
    Kind.LIST: lambda _field, text, _origin, _notes: [text],
    Kind.NUMBER: _number,
    Kind.INTEGER: _number,
    Kind.FLOAT: _number,
    Kind.BOOLEAN: _boolean,
    Kind.JSON: _json,
    Kind.DATETIME: lambda field, text, origin, _: read_date(field, text, origin.format),
    Kind.DATE: _day,
    Kind.BIRTHDAY: _day,
}
"""What reads a text that is not empty, by the kind of value; other kinds take it as it is."""


# What databases, workbooks and programs have in place of texts.


def _word(value: object) -> str | None:
    """Return the text by which a mapping can name a value that is none; empty for nothing."""
    if value is None or _is_nan(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _is_nan(value: object) -> bool:
    """Return whether a cell is what pandas, numpy and Parquet have for an empty one."""
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, float | datetime):
        return value != value  # noqa: PLR0124 - not a number, and not a time
    return type(value).__name__ in ("NAType", "NaTType")


def _typed(field: str, kind: Kind, value: object) -> object:
    """Return a value in a type that the rule of its kind takes; the rule refuses what is left."""
    match kind:
        case Kind.STRING | Kind.IDENTIFIER | Kind.EMAIL | Kind.PHONE:
            return _as_text(field, value)
        case Kind.INTEGER | Kind.FLOAT:
            return _of_kind(field, kind, value)
        case Kind.BOOLEAN:
            # Databases without booleans keep 0 and 1.
            return bool(value) if isinstance(value, int) and value in (0, 1) else value
        case Kind.DATE:
            return day_of(field, value) if isinstance(value, datetime) else rules.day(field, value)
        case Kind.DATETIME if not isinstance(value, datetime):
            day = rules.day(field, value)
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - it says nothing of a zone
        case Kind.LIST:
            return list(value) if isinstance(value, list | tuple) else [value]
        case _:
            return value


def _as_text(field: str, value: object) -> object:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > _MOST_DIGITS:
        return value  # its exponent may be anything: int() of it can fill the memory
    # Ids and phone numbers come as 11000.0 from tables that know no empty integer.
    try:
        whole = int(value)
    except (ValueError, OverflowError):  # infinity
        return value
    if isinstance(value, float) and abs(value) > _EXACT_FLOAT:
        raise refuse(field, "all digits, which a float of this size does not have", value)
    return str(whole) if whole == value else value
