"""From what stands in a field's columns to what goes on the wire, by the rules of the models.

A converter takes a cell and a list for notes on what it changed, and returns the value as the
wire has it, or ABSENT, or raises ValidationError, which never shows the cell.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from html import unescape
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.models import rules
from personaclick_async.models.rules import Number, refuse
from personaclick_async.models.update import FIELDS
from personaclick_async.sync.mapping.dates import day_of, moment_reader
from personaclick_async.sync.mapping.origin import ABSENT, Case, Kind, Origin, Part
from personaclick_async.sync.mapping.phones import phone_reader
from personaclick_async.sync.mapping.vocabulary import is_error, is_placeholder, names_nobody

Notes: TypeAlias = list[str]


class Convert(Protocol):
    """Returns a cell's value as the wire has it, or ABSENT; notes what it changed."""

    def __call__(self, cell: Any, notes: Notes) -> Json:  # noqa: ANN401 - whatever a source has
        """Convert a cell, or the cells of several columns."""


Finish: TypeAlias = Callable[[str, Notes], object]
Rule: TypeAlias = Callable[[str, object], Any]

# The service's own clients send "null" for nothing, and it erases what was there (protocol, 3.3).
_ERASES: Final = "null"
# As programs write it: Nan is somebody's name.
_MACHINES_NOTHING: Final = frozenset(
    {"\\N", "N/A", "n/a", "undefined", "NaN", "nan", "None", "NaT"}
    | {"(null)", "(NULL)", "[NULL]", "<null>", "<NULL>"}
)
_FORMULA: Final = re.compile(r'="((?:[^"]|"")*)"')
_POINT_ZERO: Final = re.compile(r"([+-]?[0-9]+)[.,]0{1,2}")
_ENTITY: Final = re.compile(r"&(?:#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z]{2,8});")
_WORDS: Final = re.compile(r"[\w\s'\u2019.&-]+")
_OLDEST: Final = 130
_SCIENTIFIC: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+[eE][+-]?|[eE]\+)[0-9]+")
_ADDRESS_INSIDE: Final = re.compile(r"[^@<>]*<\s*([^<>\s]+)\s*>")
_SCHEME: Final = re.compile(r"mailto:([^?]*)(?:\?.*)?", re.IGNORECASE)
# Cells of which nothing is changed and that are no word for nothing: nearly all, in most files.
_USUAL: Final = {
    Kind.EMAIL: re.compile(
        r"(?=[a-z._-]{0,40}[0-9]|[ac-jlmqrtv-z])[a-z0-9._+-]+@[a-z0-9.-]+"
    ).fullmatch,
    Kind.IDENTIFIER: re.compile(r"[1-9][0-9]*").fullmatch,
}
_UNUSUAL: Final = re.compile(r"(?!)").fullmatch
_MC: Final = re.compile(r"\bMc([^\W\d_])")
_EXACT_FLOAT: Final = 2**53
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
_NAMED: Final = (*_MARKED, Kind.STRING)
_TRUE: Final = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "off", "0"})
_NO_LETTER: Final = "'\u2018\u2019`\u00b4"


def rule_of(name: str, kind: Kind) -> tuple[str, Rule]:
    """Return how errors call a field, and its rule."""
    if name == "age":
        return name, _age
    if name in FIELDS:
        return name, FIELDS[name].rule
    return f"custom.{name}", rules.identifier if kind is Kind.IDENTIFIER else rules.custom_value


def usual_of(origin: Origin) -> Callable[[str], object]:
    """Return what tells texts that need nothing but the field's rule, absent words included."""
    told = origin.values or origin.case
    return _UNUSUAL if told else _USUAL.get(origin.kind, _UNUSUAL)


def _age(field: str, value: object) -> Number:
    age: Number = FIELDS[field].rule(field, value)
    if not 0 < age < _OLDEST:
        raise refuse(field, f"an age above 0 and below {_OLDEST}", value)
    return age


def converter(name: str, origin: Origin) -> Convert:
    """Make the converter of a field of one column."""
    field, rule = rule_of(name, origin.kind)
    from_text = _text_reader(field, origin)
    kind = origin.kind
    is_usual = usual_of(origin)

    def convert(cell: Any, notes: Notes) -> Json:  # noqa: ANN401 - whatever a source has
        value = cell
        if type(value) is str:
            if is_usual(value) and value not in origin.absent:
                return rule(field, value)
        else:
            if _is_nothing(value):
                return ABSENT
            if (word := _word(value)) is not None and (found := _said(origin, word)) is not None:
                return found if found is ABSENT else rule(field, found)
            value = _typed(field, kind, value)
            if not isinstance(value, str):
                return rule(field, value)
        found = from_text(value, notes)
        return ABSENT if found is ABSENT else rule(field, found)

    return convert


def join_converter(name: str, origin: Origin) -> Convert:
    """Make the converter of a field of several columns; those that say nothing are left out."""
    field, rule = rule_of(name, origin.kind)
    from_text = _text_reader(field, origin)

    def convert(cell: Any, notes: Notes) -> Json:  # noqa: ANN401 - one of each column
        parts: list[str] = []
        for value in cell:
            if _is_nothing(value):
                continue
            text = value if isinstance(value, str) else _word(value)
            if text is None:
                raise refuse(field, "texts to join", value)
            text = _trimmed(text, origin, notes)
            if text and text.casefold() not in origin.absent:
                _check_said(field, text)
                parts.append(text)
        found = from_text(origin.join.join(parts), notes) if parts else ABSENT
        return ABSENT if found is ABSENT else rule(field, found)

    return convert


def _text_reader(field: str, origin: Origin) -> Finish:
    """Make what reads a text: what it says, in the type that the field's rule takes."""
    marked, absent, values, split = (
        origin.kind in _MARKED,
        origin.absent,
        origin.values,
        origin.split,
    )
    finish = _finisher(field, origin)

    def read(text: str, notes: Notes) -> object:
        text = _trimmed(text, origin, notes)
        if not text or text.casefold() in absent:
            return ABSENT
        if values and (found := _said(origin, text)) is not None:
            return found
        if marked:
            text = _unmarked(text, notes)
        _check_said(field, text)
        if origin.part is not None and (text := _part_of(text, origin.part)) == "":
            return ABSENT
        if origin.case is not None:
            text = _in_case(text, origin.case)
        if split is not None:
            return [part for one in text.split(split) if (part := one.strip())] or ABSENT
        return finish(text, notes)

    return read


def _trimmed(text: str, origin: Origin, notes: Notes) -> str:
    """Take away what stands around a text and does not belong to it."""
    whole = text
    if origin.strip:
        text = text.strip()
        if not text.isascii() and origin.kind not in _AS_THEY_STAND:
            while text and (_is_invisible(text[0]) or _is_invisible(text[-1])):
                text = text[1:] if _is_invisible(text[0]) else text[:-1]
                text = text.strip()
            if len(text) < len(whole.strip()):
                notes.append("invisible characters removed")
        if len(whole.strip()) < len(whole) and text:
            notes.append("white space removed")
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


def _check_said(field: str, text: str) -> None:
    if len(text) == len(_ERASES) and text.casefold() == _ERASES:
        raise refuse(
            field, 'a value, not the word null, which erases (say absent = ["null"])', text
        )
    if text[0] == "#" and is_error(text):
        raise refuse(field, "a value, not a spreadsheet's error: the value is lost", text)


def _said(origin: Origin, text: str) -> Json:
    """Return what the mapping says of a whole text; None if it says nothing of it."""
    word = text.casefold()
    if word in origin.absent:
        return ABSENT
    found = origin.values.get(text)
    if found is None and origin.values:
        same = {one.casefold(): value for one, value in origin.values.items()}
        found = same.get(word)
    return found


def _finisher(field: str, origin: Origin) -> Finish:
    match origin.kind:
        case Kind.STRING if field in FIELDS:
            return lambda text, notes: _name(field, text, notes)
        case Kind.STRING | Kind.ANY | Kind.GENDER:
            return lambda text, _: text
        case Kind.IDENTIFIER:
            headers = [column.casefold() for column in origin.columns]

            def identifier(text: str, notes: Notes) -> str:
                if text.casefold() in headers:  # of files that were put together
                    raise refuse(field, "an identifier, not the name of its column", text)
                return _identifier(field, text, notes)

            return identifier
        case Kind.EMAIL:
            return lambda text, notes: _email(field, text, notes)
        case Kind.PHONE:
            phone = phone_reader(origin.country)
            return lambda text, notes: phone(field, _digits(field, text, notes), notes)
        case Kind.LIST:
            return lambda text, _: [text]
        case Kind.NUMBER | Kind.INTEGER | Kind.FLOAT:
            return _number_reader(field, origin)
        case Kind.BOOLEAN:
            return lambda text, _: _boolean(field, text)
        case Kind.JSON:
            return lambda text, _: _json(field, text)
        case Kind.DATETIME:
            moment = moment_reader(origin.formats)
            return lambda text, _: moment(field, text)
        case Kind.DATE | Kind.BIRTHDAY:
            day = moment_reader(origin.formats, born=origin.kind is Kind.BIRTHDAY)
            return lambda text, _: day_of(field, day(field, text))


def _digits(field: str, text: str, notes: Notes) -> str:
    """Undo what tables that know only floats make of whole numbers, where that can be done."""
    if text[-1].isdigit():
        if (found := _POINT_ZERO.fullmatch(text)) is not None:
            notes.append(".0 removed")
            return found[1]
        if _SCIENTIFIC.fullmatch(text) is not None:
            raise refuse(
                field, "the whole number: a spreadsheet shortened it, digits are lost", text
            )
    return text


def _name(field: str, text: str, notes: Notes) -> str:
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


def _identifier(field: str, text: str, notes: Notes) -> str:
    whole = _digits(field, text, notes)
    if names_nobody(whole):
        raise refuse(field, "an identifier, not a word or a number that stands for none", text)
    return whole


def _email(field: str, text: str, notes: Notes) -> str:
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


def _part_of(text: str, part: Part) -> str:
    last, comma, first = (one.strip() for one in text.partition(","))
    if not comma:
        first, _, last = (one.strip() for one in " ".join(text.split()).partition(" "))
    return first if part is Part.FIRST else last


def _in_case(text: str, case: Case) -> str:
    match case:
        case Case.LOWER:
            return text.lower()
        case Case.UPPER:
            return text.upper()
        case Case.TITLE:
            return text.title()
        case Case.NAME:
            return _MC.sub(lambda found: f"Mc{found[1].upper()}", text.title())


def _boolean(field: str, text: str) -> bool:
    word = text.casefold()
    if word not in _TRUE and word not in _FALSE:
        raise refuse(field, "true or false, yes or no, 1 or 0", text)
    return word in _TRUE


def _json(field: str, text: str) -> object:
    try:
        value = codec.decode(text.encode())
    except ValueError:  # also a text that UTF-8 can't carry
        raise refuse(field, "JSON", text) from None
    return ABSENT if value is None else value


def _number_reader(field: str, origin: Origin) -> Finish:
    """Make the reader of numbers as people and spreadsheets write them: ``$1,234.50``.

    Separators must stand where thousands end, so that ``1,5`` is refused and not taken for 15.
    """
    decimal = origin.decimal or "."
    thousands = r"[,\s'\u2019]" if decimal == "." else r"[.\s'\u2019]"
    pattern = re.compile(
        rf"(?P<sign>[+-]?)\s*{_CURRENCY}\s*(?P<inner_sign>[+-]?)"
        # Groups of two before the last one are Indian: 12,34,567.
        rf"(?P<whole>[0-9]+|[0-9]{{1,3}}(?P<by>{thousands})(?:[0-9]{{2,3}}(?P=by))*[0-9]{{3}})"
        rf"(?:{re.escape(decimal)}(?P<part>[0-9]+))?(?:[eE](?P<power>[+-]?[0-9]{{1,3}}))?"
        rf"\s*{_CURRENCY}"
    )
    rule = f"a number such as 1234{decimal}50"
    whole_only = origin.kind is Kind.INTEGER
    asks = origin.decimal is None and not whole_only

    def read(text: str, _: Notes) -> Number:
        plain = text[1:] if text[0] in _NO_LETTER else text
        if not plain.isascii():
            plain = unicodedata.normalize("NFKC", plain).replace("\u2212", "-")
        found = pattern.fullmatch(plain) if len(plain) <= _LONGEST_NUMBER else None
        if found is None or (found["sign"] and found["inner_sign"]):
            raise refuse(field, rule, text)
        if asks and _EITHER_WAY.fullmatch(plain):
            raise refuse(field, 'a number, and decimal = "." or "," to tell how to read it', text)
        sign = found["sign"] or found["inner_sign"]
        whole = found["whole"].replace(found["by"], "") if found["by"] else found["whole"]
        number: Number
        if found["part"] is None and found["power"] is None:
            number = int(sign + whole)
        else:
            number = float(f"{sign}{whole}.{found['part'] or 0}e{found['power'] or 0}")
        return _of_kind(field, origin.kind, number)

    return read


def _of_kind(field: str, kind: Kind, value: object) -> Number:
    """Return a number as an int or a float where the kind is one of these."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise refuse(field, "a number", value)
    if kind is Kind.NUMBER:
        return rules.number(field, value)
    try:
        made = float(value) if kind is Kind.FLOAT else int(value)
    except (ValueError, OverflowError):  # infinity, or too large
        made = None
    if made is None and kind is Kind.FLOAT:
        raise refuse(field, "a number that fits into a float", value)
    if made is None or (kind is Kind.INTEGER and made != value):
        raise refuse(field, "a whole number", value)
    return made


def _is_nothing(value: object) -> bool:
    """Return whether a cell is empty: None, and what pandas, numpy and Parquet have for it."""
    if value is None:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, float | datetime):
        return value != value  # noqa: PLR0124 - not a number, and not a time
    return type(value).__name__ in ("NAType", "NaTType")


def _word(value: object) -> str | None:
    """Return the text by which a mapping can name a value that is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _typed(field: str, kind: Kind, value: object) -> object:
    if kind in _NAMED:
        return _as_text(field, value)
    match kind:
        case Kind.INTEGER | Kind.FLOAT:
            return _of_kind(field, kind, value)
        case Kind.BOOLEAN:
            # Databases without booleans keep 0 and 1.
            return bool(value) if isinstance(value, int) and value in (0, 1) else value
        case Kind.DATE:
            return day_of(field, value) if isinstance(value, datetime) else rules.day(field, value)
        case Kind.DATETIME:
            if isinstance(value, datetime):
                return value
            day = rules.day(field, value)
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - it says nothing of a zone
        case Kind.LIST:
            return list(value) if isinstance(value, list | tuple) else [value]
        case _:
            return value


def _as_text(field: str, value: object) -> object:
    """Write what is a text in all but type; the rule refuses what is left."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    # Ids and phone numbers come as 11000.0 from tables that know no empty integer.
    try:
        whole = int(value)
    except (ValueError, OverflowError):  # infinity
        return value
    if isinstance(value, float) and abs(value) > _EXACT_FLOAT:
        raise refuse(field, "all digits, which a float of this size does not have", value)
    return str(whole) if whole == value else value
