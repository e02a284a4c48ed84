"""Converting cells into values to send.

What does not belong to a cell is removed, what is left is read as a value of the field's kind, and
the field's rule (``models/rules.py``) decides whether that can be sent. Errors never show the cell.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from html import unescape
from math import inf, isnan
from types import NoneType
from typing import Any, Final
from uuid import UUID

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.rules import Number, refuse
from personaclick_async.models.update import FIELDS, Kind
from personaclick_async.sync.mapping.dates import read_date
from personaclick_async.sync.mapping.origin import Case, Origin, Part, rule_of
from personaclick_async.sync.mapping.phones import read_phone
from personaclick_async.sync.mapping.words import FLAGS, NAMES, NO_IDS, NO_NAMES, narrowed, pattern
from personaclick_async.sync.records import Fault

# Addresses and ids as nearly all are written: the rules accept these unchanged. As they hardly
# repeat, to remember them would not help.
_PLAIN: Final = {
    Kind.EMAIL: r"(?!.{65})(?=[a-z._-]{0,40}[0-9]|[ac-jlmqrtv-z])"
    r"[a-z0-9]++(?:[._+-][a-z0-9]++)*+@(?:[a-z0-9]++(?:-[a-z0-9]++)*+\.)++[a-z]{2,}+",
    Kind.IDENTIFIER: r"[1-9][0-9]{0,63}+",
}
_IS_PLAIN: Final = {
    **{kind: re.compile(one).fullmatch for kind, one in _PLAIN.items()},
    Kind.PHONE: rules.is_plain_phone,
}
# A whole column of them, a text to a line.
_ARE_PLAIN: Final = {kind: re.compile(rf"(?:{one}\n)++").fullmatch for kind, one in _PLAIN.items()}
_TEXTS: Final = (Kind.TEXT, *_IS_PLAIN)
_MOST_REMEMBERED: Final = 16_384
_LONGEST_REMEMBERED: Final = 64
_QUOTES: Final = "\"'\u201c\u201d\u2019»"
_NOT_TITLED: Final = re.compile(r"(?<=\bMc)[^\W\d_]|\bI(?:ii?|v)\b")  # McDonald, Smith III
# After a letter, as the first one of a word stays large.
_TURKISH_I: Final = re.compile(r"(?<=[^\W\d_])[Iİ]+")
_SMALL_I: Final = str.maketrans("Iİ", "\u0131i")
_NOON: Final = 12
_EXACT_FLOAT: Final = 2**53
_MOST_DIGITS: Final = 100
_SWAPPED: Final = str.maketrans(".,", ",.")


def _titled(text: str) -> str:
    return _turkish(text) if "İ" in text else text.title()


def _turkish(text: str) -> str:
    return _TURKISH_I.sub(lambda found: found[0].translate(_SMALL_I), text).title()


_CASES: Final[dict[Case, Callable[[str], str]]] = {
    "lower": lambda text: text.replace("İ", "i").lower(),
    "upper": str.upper,
    "title": _titled,
    "name": lambda text: _NOT_TITLED.sub(lambda found: found[0].upper(), _titled(text)),
    "turkish": _turkish,
}


class Converter:
    """Converts the cells of a field's columns into the values to send.

    Texts repeat themselves: what was made of one is remembered, and shared by rows.
    """

    def __init__(self, name: str, origin: Origin) -> None:
        self.label, self.rule = rule_of(name, origin.kind)
        self._origin = origin
        self.notes: list[str] = []  # what was changed in the cell of the last attempt
        # What whole texts stand for, None for nothing; looked up as spelt, then in small letters.
        flags = FLAGS if origin.kind is Kind.FLAG else {}
        absent = dict.fromkeys(origin.absent)
        folded = {text.casefold(): value for text, value in origin.values.items()}
        self._known: dict[str, Json] = {"": None, **flags, **absent, **folded, **origin.values}
        readers: dict[Kind, Callable[[Any], object]] = {
            **dict.fromkeys((Kind.ANY, Kind.GENDER), lambda value: value),
            Kind.TEXT: self._name if name in FIELDS else str,
            Kind.IDENTIFIER: self._identifier,
            Kind.EMAIL: self._email,
            Kind.PHONE: self._phone,
            **dict.fromkeys((Kind.NUMBER, Kind.INTEGER, Kind.FLOAT), self._number),
            Kind.FLAG: self._boolean,
            **dict.fromkeys((Kind.DAY, Kind.DATE, Kind.DATETIME), self._date),
            Kind.LIST: lambda value: list(value) if isinstance(value, list | tuple) else [value],
            Kind.OBJECTS: self._json,
        }
        self._read = readers[origin.kind]
        self._remembered: dict[str, Any] = _Memory(self.attempt)

    def column(self, cells: Sequence[Any]) -> list[Any]:
        """Convert the cells of many rows, each as :meth:`attempt` does."""
        kind, absent = self._origin.kind, self._origin.absent
        types = {*map(type, cells)}
        is_plain = _IS_PLAIN.get(kind)
        if is_plain and types != {str} and types <= {int, str, NoneType}:
            cells, types = ["" if cell is None else str(cell) for cell in cells], {str}
        # Values and cases change even texts that the rules accept.
        if types != {str} or (is_plain and (self._origin.values or self._origin.case)):
            return list(map(self.attempt, cells))
        if is_plain is None:
            return list(map(self._remembered.__getitem__, cells))
        if kind in _ARE_PLAIN and absent.isdisjoint(cells):
            lines = "\n".join([*cells, ""])
            if lines.count("\n") == len(cells) and _ARE_PLAIN[kind](lines):
                return list(cells)
        read = self._plain_phone if kind is Kind.PHONE else str
        return [
            read(cell) if is_plain(cell) and cell not in absent else self.attempt(cell)
            for cell in cells
        ]

    def attempt(self, cell: Any) -> Any:  # noqa: ANN401 - to a value of the wire, or a fault
        """Convert a cell, or a row's cells of several columns.

        :returns: the value; None if there is nothing to send, the fault if it can't be sent.
        """
        self.notes.clear()
        try:
            value = self._value(cell)
            return None if value is None else self.rule(self.label, value)
        except ValidationError as error:
            return Fault.of(error)

    def _plain_phone(self, text: str) -> Any:  # noqa: ANN401 - as an attempt
        """Convert a number from which nothing has to be removed."""
        try:
            return read_phone(self.label, text, self._origin.country, [], is_plain=True)
        except ValidationError as error:
            return Fault.of(error)

    def _value(self, cell: Any) -> object:  # noqa: ANN401 - whatever a source has
        """Return what a cell says, in the type that the field's rule takes."""
        origin = self._origin
        if len(origin.columns) > 1:
            cell = self._joined(cell)
        elif not isinstance(cell, str):
            word = _word(cell)
            if word in self._known:
                return self._known[word]
            if origin.kind not in _TEXTS:
                return self._read(cell)
            cell = _as_text(self.label, cell)
            if not isinstance(cell, str):
                return cell
        text = self._trimmed(cell)
        if text in self._known:
            return self._known[text]
        if (folded := text.casefold()) in self._known:
            return self._known[folded]
        if origin.kind in _IS_PLAIN:
            text = self._taken("apostrophes", text, "apostrophe removed").strip()
        text = self._meant(text)
        if origin.part is not None:
            if pattern("more_than_two_names").search(text):
                raise refuse(self.label, "one person's first and last name, without a title", text)
            text = _part_of(text, origin.part)
        if origin.case is not None:
            text = _CASES[origin.case](text)
        if origin.split is not None:
            return [part for one in text.split(origin.split) if (part := one.strip())] or None
        return self._read(text) if text else None

    def _joined(self, cells: Iterable[object]) -> str:
        texts: list[str] = []
        for cell in cells:
            text = cell if isinstance(cell, str) else _word(cell)
            if text is None:
                raise refuse(self.label, "texts to join", cell)
            text = self._trimmed(text)
            if text and text.casefold() not in self._origin.absent:
                texts.append(self._meant(text))
        return self._origin.join.join(texts)

    def _trimmed(self, text: str) -> str:
        """Remove what surrounds a text and does not belong to it."""
        if (bare := text.strip()) != text:
            text = self._noted(text, bare, "white space removed")
        if not text.isascii() and self._origin.kind not in (Kind.ANY, Kind.LIST, Kind.OBJECTS):
            invisible = {ch for ch in text if unicodedata.category(ch) == "Cf"}
            seen = text.strip("".join({*invisible, *filter(str.isspace, text)}))
            if self._origin.kind in _IS_PLAIN:
                seen = "".join(ch for ch in seen if ch not in invisible)
            text = self._noted(text, seen, "invisible characters removed")
        if text.startswith('="') and (found := re.fullmatch('="((?:[^"]|"")*)"', text)):
            text = self._noted(text, found[1].replace('""', '"'), '="…" unwrapped')
        if text[-1:] in _QUOTES and (self.label in FIELDS or self._origin.kind is Kind.IDENTIFIER):
            text = self._taken("quoted", text, "quotes removed").strip()
        return text

    def _noted(self, text: str, changed: str, note: str) -> str:
        """Return a text as it was changed, and note it if something is left."""
        if changed not in ("", text):
            self.notes.append(note)
        return changed

    def _taken(self, what: str, text: str, note: str) -> str:
        """Return what a pattern takes out of a text, and note it; else the text as it is."""
        found = pattern(what).fullmatch(text)
        return text if found is None else self._noted(text, found[1], note)

    def _meant(self, text: str) -> str:
        """Return a text with its HTML decoded; refuse what programs write in place of a value."""
        if text.casefold() == "null":
            # The service's own clients send it for nothing, and it erases what was there
            # (protocol, 3.3).
            rule = 'a value, not the word null, which erases (say absent = ["null"])'
            raise refuse(self.label, rule, text)
        if text.startswith("#") and pattern("error").fullmatch(text):
            raise refuse(self.label, "a value, not a spreadsheet's error: the value is lost", text)
        is_html = ("<" in text or "&" in text) and pattern("html").search(text)
        if is_html and self._read == self._name and text not in NO_NAMES:
            text = self._noted(text, unescape(text).strip(), "HTML decoded")
            if pattern("html").search(text):
                raise refuse(self.label, "text, not HTML", text)
        return text

    # The readers of each kind: of texts that are not empty; of other values if the kind is no text.

    def _name(self, text: str) -> str:
        if text in NO_NAMES:
            rule = 'a value, not a word for none (say absent = ["none"] or another)'
            raise refuse(self.label, rule, text)
        if not text.isascii() and _is_mojibake(text):
            rule = "the letters that were meant: it was decoded wrongly before"
            raise refuse(self.label, rule, text)
        if text.isalpha():
            return text
        if "\\" in text and pattern("escaped").search(text):
            raise refuse(self.label, "text without a backslash before quotes or letters", text)
        if self.label in NAMES and pattern("no_name_at_all").search(text):
            raise refuse(self.label, "a name, not an e-mail address, a number or a mask", text)
        return text

    def _identifier(self, text: str) -> str:
        if any(text.casefold() == column.casefold() for column in self._origin.columns):
            # Of files that were put together.
            raise refuse(self.label, "an identifier, not the name of its column", text)
        whole = self._digits(text)
        word = whole.casefold().strip("(<[{}]>)").strip()
        if word in NO_IDS or word.replace(" ", "") in NO_IDS or pattern("nobody").fullmatch(word):
            rule = "an identifier, not a word or a number that stands for none"
            raise refuse(self.label, rule, text)
        return whole

    def _digits(self, text: str) -> str:
        """Undo what tables that know only floats make of whole numbers, where that can be done."""
        if pattern("scientific").fullmatch(text):
            rule = "the whole number: a spreadsheet shortened it, digits are lost"
            raise refuse(self.label, rule, text)
        return self._taken("point_zero", text, ".0 removed")

    def _email(self, text: str) -> str:
        plain = self._taken("address_inside", narrowed(text), "taken out of Name <…>")
        plain = self._taken("mailto", plain, "mailto: removed")
        if pattern("no_mailbox").fullmatch(plain.partition("@")[0]):
            raise refuse(self.label, "an e-mail address, not one that stands for none", text)
        domain = plain.rpartition("@")[2]
        self._noted(domain, domain.lower(), "domain in small letters")
        return plain

    def _phone(self, text: str) -> str:
        return read_phone(self.label, self._digits(text), self._origin.country, self.notes)

    def _boolean(self, value: object) -> object:
        if isinstance(value, str):  # words for true and false are known before
            raise refuse(self.label, "true or false, yes or no, 1 or 0", value)
        return value

    def _date(self, value: object) -> date:
        kind, formats = self._origin.kind, self._origin.format
        if isinstance(value, str):
            value = read_date(self.label, value, formats, is_birthday=kind is Kind.DAY)
        if not isinstance(value, datetime):
            day = rules.day(self.label, value)
            # It says nothing of a zone.
            return datetime(day.year, day.month, day.day) if kind is Kind.DATETIME else day  # noqa: DTZ001
        if kind is Kind.DATETIME:
            return value
        # 15:00 or 23:00 in UTC is midnight of the next day in Tokyo or in Berlin.
        if not value.utcoffset() and value.hour > _NOON:
            raise refuse(
                self.label, "a day, which an afternoon or evening in UTC does not tell", value
            )
        return value.date()

    def _json(self, value: object) -> object:
        if not isinstance(value, str):
            return value
        with suppress(ValueError):  # also a text that UTF-8 can't carry
            return codec.decode(value.encode())
        raise refuse(self.label, "JSON", value)

    def _number(self, value: object) -> Number:
        written = self._written_number(value) if isinstance(value, str) else value
        found = rules.number(self.label, written)
        if self._origin.kind is Kind.FLOAT:
            return float(found)
        if self._origin.kind is Kind.INTEGER:
            if found != int(found):
                raise refuse(self.label, "a whole number", value)
            return int(found)
        return found

    def _written_number(self, text: str) -> Number:
        """Read a number as people and spreadsheets write it: ``$1,234.50``.

        Separators must stand where thousands end, so that ``1,5`` is refused and not taken for 15.
        """
        plain = narrowed(self._taken("apostrophes", text, "apostrophe removed"))
        decimal = self._origin.decimal or "."
        plain = plain.translate(_SWAPPED) if decimal == "," else plain
        found = pattern("number").fullmatch(plain)
        if found is None or (found["sign"] and found["inner"]):
            raise refuse(self.label, f"a number such as 1234{decimal}50", text)
        # 1.000 may be one or a thousand; 1,000 is no integer with decimals.
        is_open = self._origin.kind is not Kind.INTEGER or "." in plain
        is_open = is_open and self._origin.decimal is None
        if is_open and pattern("either_way").fullmatch(plain):
            rule = 'a number, and decimal = "." or "," to tell how to read it'
            raise refuse(self.label, rule, text)
        whole = found["sign"] + found["inner"] + found["whole"].replace(found["by"] or " ", "")
        if found["part"] is None and found["power"] is None:
            return int(whole)
        return float(f"{whole}.{found['part'] or 0}e{found['power'] or 0}")


class _Memory(dict[str, Any]):
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


def _part_of(text: str, part: Part) -> str:
    last, comma, first = (one.strip() for one in text.partition(","))
    if not comma:
        first, _, last = (one.strip() for one in " ".join(text.split()).partition(" "))
    return first if part == "first" else last


def _is_mojibake(text: str) -> bool:
    """Return whether a text was UTF-8 taken for a code page, or lost: ``JosÃ©``, ``Jos\ufffd``."""
    if "\ufffd" in text:
        return True
    for page in ("cp1252", "latin-1"):
        with suppress(UnicodeError):
            return text.encode(page).decode() != text
    return False


def _word(value: object) -> str | None:
    """Return how a mapping spells a bool, an int, or (empty) a missing value; None for others."""
    # NaN, NA and NaT are what pandas, numpy and Parquet have for an empty cell.
    is_nan = isinstance(value, float) and isnan(value)
    is_nan = is_nan or (isinstance(value, Decimal) and value.is_nan())
    if value is None or is_nan or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _as_text(field: str, value: object) -> object:
    """Return the text of a UUID or a whole number: tables without empty integers have 11000.0."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, float) and _EXACT_FLOAT < abs(value) < inf:
        raise refuse(field, "all digits, which a float of this size does not have", value)
    # The exponent of a Decimal may be anything: int() of it can fill the memory.
    is_small = not isinstance(value, Decimal) or value.adjusted() <= _MOST_DIGITS
    with suppress(OverflowError):  # infinity
        if is_small and int(value) == value:
            return str(int(value))
    return value
