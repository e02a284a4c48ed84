"""A first mapping for a source, from its columns' names and a sample of its rows.

A mapping is kept with a shop's code, so it must hold no personal data: from the rows it takes known
words only, such as ``M`` for a gender. Each line is tried on the sample before it is written.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.models.update import FIELDS, RESERVED_NAMES, Kind
from personaclick_async.names import EMAIL, EXTERNAL_ID, ID, IDENTIFIERS, PHONE
from personaclick_async.sync.mapping import words
from personaclick_async.sync.mapping.convert import Converter
from personaclick_async.sync.mapping.definition import FieldMapping, looks_like_data
from personaclick_async.sync.mapping.origin import STANDARD_KINDS, Origin
from personaclick_async.sync.mapping.words import COLUMNS, TEXTS, pattern, simplified
from personaclick_async.sync.records import Fault
from personaclick_async.sync.sources.base import BOOKKEEPING, Sample

_WHOLE: Final = ("first_name", "last_name")
_BESIDE_NAME: Final = ("vorname", "voornaam")  # then name is the family's
_EAST_ASIAN: Final = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")
_TWO_NAMES: Final = re.compile(f" |{_EAST_ASIAN.pattern}")  # East Asian ones need no space
_THOUSANDS: Final = re.compile("[1-9][0-9]{0,2}([.,'\u2019 ][0-9]{3})+")
# What a spreadsheet leaves of a longer number, and what it makes of 1-3.
_CUT: Final = re.compile("[0-9]{15}0+")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{1,2}[-. ]+(?P<month>[^\W\d_]{3,4})")
_FLOAT_DIGITS: Final = 15
_MONTHS: Final = 12
# In AnnualIncome and HTTPCode.
_WORD_ENDS: Final = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TYPES: Final[tuple[tuple[type | tuple[type, ...], Kind], ...]] = (
    # A bool is an int and a datetime is a date: the narrower ones come first.
    (bool, Kind.FLAG),
    (int, Kind.INTEGER),
    ((int, float, Decimal), Kind.FLOAT),
    (datetime, Kind.DATETIME),
    (date, Kind.DATE),
    ((list, tuple), Kind.LIST),
    (dict, Kind.OBJECTS),
)


class _Column:
    def __init__(self, name: str, cells: Sequence[object]) -> None:
        self.name, self.cells = name, cells
        self.spelling = simplified(re.sub(r"\.\$\w+", "", name))  # MongoDB has _id.$oid
        self.values = [cell for cell in cells if cell not in ("", None)]
        # How many values repeat an earlier one.
        self.repeated = len(self.values) - len({str(value).strip() for value in self.values})
        self.texts = [text for cell in cells if isinstance(cell, str) and (text := cell.strip())]
        # Texts that say something; and those for nothing that a mapping has to list.
        self.telling = [
            text for text in self.texts if text.casefold() not in words.ABSENT_IN_SAMPLES
        ]
        known = {text.casefold(): text for text in self.texts}
        nothing = known.keys() & words.ABSENT_IN_SAMPLES - {*words.ALWAYS_ABSENT}
        self.absent = [known[word] for word in sorted(nothing)]

    @property
    def are_places(self) -> bool:
        """Return whether these can be places: a state may be one of a country, or "active"."""
        return not self.are_mostly(pattern("no_place").fullmatch)

    def are_mostly(self, test: Callable[[str], object]) -> bool:
        """Return whether most of its telling texts pass a test."""
        return sum(map(bool, map(test, self.telling))) * 2 > len(self.telling)


def propose_mapping(sample: Sample, *, country: str | None = None) -> str:
    """Write a mapping as TOML, to be read and corrected by a person.

    Columns with the known names of a field are mapped to it, and read as the sample shows. What
    the sample leaves open, what would refuse many of its values, and all other columns are
    comments: nothing is sent that nobody has asked for.

    :param sample: what a source's ``sample()`` returns.
    :param country: two letters: the country of national phone numbers.
    :raises ConfigurationError: the names of the columns are somebody's data: there is no header.
    """
    named = {name: at for at, name in enumerate(sample.columns) if name not in BOOKKEEPING}
    if looks_like_data(named):
        raise ConfigurationError(
            "columns: expected a header, found a row of data; give the columns' names"
        )
    if len(named) > 1 and all(re.fullmatch(r".+\.[0-9]+", name) for name in named):
        raise ConfigurationError(
            "columns: expected an object for each customer, found one for each column"
        )
    columns = [_Column(name, [row[at] for row in sample.rows]) for name, at in named.items()]
    found = _recognise(columns)
    if not found:
        # The names may be the first row's data: they are not shown.
        raise ConfigurationError(
            "columns: none of their names is known; if the first row is data, give the names"
            " (--columns), else rename the column of the e-mail address to email"
        )
    places = found["location"].columns if "location" in found else ()
    if any(column.are_mostly(lambda text: "@" in text) for column in places):
        raise ConfigurationError(
            "location: e-mail addresses stand in its column: the rows do not fit the header"
        )
    top = TEXTS["head"].format(rows=len(sample.rows), absent=_toml(words.ALWAYS_ABSENT))
    if country is not None:
        top += TEXTS["country"].format(country=_toml(country))
    for line in found.values():
        if len(line.columns) == 1:
            line.complete()
            if not line.is_asked:
                line.try_out(top)
    written = [top, "[fields]", *map(str, found.values())]
    if not any(field in IDENTIFIERS and not line.is_asked for field, line in found.items()):
        written.append(TEXTS["nobody"].format(identifiers=", ".join(IDENTIFIERS)))
    taken = {column for line in found.values() for column in line.columns}
    if rest := [column for column in columns if column not in taken]:
        written += [TEXTS["custom"], *map(str, _properties(rest))]
    return "\n".join(written) + "\n"


def _toml(value: object) -> str:
    """Return a value in TOML, where texts and lists are written as in JSON."""
    if not isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    keys = (key if re.fullmatch("[A-Za-z0-9_-]+", key) else _toml(key) for key in value)
    items = (f"{key} = {_toml(item)}" for key, item in zip(keys, value.values(), strict=True))
    return f"{{ {', '.join(items)} }}"


# Which column is which field.


def _recognise(columns: Sequence[_Column]) -> dict[str, _Line]:
    """Return a line for each field that one or several columns are named after."""
    by_name = {column.spelling: column for column in reversed(columns)}
    by_variant = {one: column for column in reversed(columns) for one in _variants(column.spelling)}
    found: dict[str, _Line] = {}
    for field, names in words.FIELD_COLUMNS.items():
        named = _with_names(names, by_name)
        if field in (EMAIL, PHONE, "gender", "birthday", *words.NAMES):
            named += _with_names(names, by_variant)
        taken = {column for line in found.values() for column in line.columns}
        if named := [column for column in named if column not in taken]:
            # A file may have a column for each purpose, and fill one of them.
            named.sort(key=lambda column: not column.values)
            if field == EXTERNAL_ID and EMAIL in found:
                # In {"id": 901, "user": {"id": 7, "email": …}} the user's is beside the address.
                path = found[EMAIL].columns[0].name.rpartition(".")[0]
                beside = [column for column in named if path and column.name == f"{path}.{ID}"]
                named = beside or named
            is_id = field == EXTERNAL_ID
            found[field] = _id_line(named, by_name) if is_id else _Line(field, named[:1])
    if "location" not in found:
        places = [
            [column for column in _with_names(COLUMNS[what], by_name) if column.are_places][:1]
            for what in ("city", "region", "country")
        ]
        if places[0] or places[2]:  # a region alone says too little
            options = {"join": ", "} if sum(map(len, places)) > 1 else {}
            found["location"] = _Line("location", [*chain(*places)], options)
    if "gender" not in found:
        genders = {*chain(*words.GENDERS)}
        for column in _with_names(COLUMNS["title"], by_name):
            if column.are_mostly(lambda text: text.casefold() in genders):
                found["gender"] = _Line("gender", (column,))
    found |= {line.field: line for line in _name_lines(found, by_name)}
    user_id = found.get(EXTERNAL_ID)
    for field, whose in ((PHONE, user_id or found.get(EMAIL)), (EMAIL, user_id)):
        if field in found and whose and not whose.is_asked:
            _ask_of_shared(found[field], whose)
    return {field: found[field] for field in FIELDS if field in found}


def _with_names(names: Iterable[str], columns: Mapping[str, _Column]) -> list[_Column]:
    return [columns[name] for name in names if name in columns]


def _variants(name: str) -> list[str]:
    """Return a column's name without what may stand around it: ``billingemail`` is ``email``."""
    ends = [name.removesuffix(end) for end in COLUMNS["suffixes"] if name.endswith(end)]
    starts = [(start, one) for one in (name, *ends) for start in COLUMNS["prefixes"]]
    return [*ends, *(one.removeprefix(start) for start, one in starts if one.startswith(start))]


def _id_line(named: Sequence[_Column], names: Iterable[str]) -> _Line:
    """Return a line for the user's id, from the column whose values repeat least."""
    others = [column for column in named if column.spelling != ID]
    # In rows of orders or events, id is not a person's.
    are_deeds = any(map(pattern("deeds").fullmatch, names))
    surest = (*COLUMNS["own_id"], ID)
    by_name = sorted(named, key=lambda column: (*surest, column.spelling).index(column.spelling))
    candidates = others if are_deeds and others else by_name
    best = min(candidates, key=lambda column: (not column.values, column.repeated))
    rest = ", ".join(_toml(column.name) for column in candidates if column is not best)
    remarks = [f"{best.repeated:,} rows of the sample share one"] if best.repeated else []
    remarks += [f"or is it {rest}?"] if rest else []
    line = _Line(EXTERNAL_ID, (best,), remark="; ".join(remarks))
    if are_deeds and not others:
        line.ask("is this the id of a person, not of what one did?")
    return line


def _name_lines(found: Mapping[str, _Line], columns: Mapping[str, _Column]) -> list[_Line]:
    """Return lines for names whose parts do not have a column each."""
    first, last = (found[field].columns[0] if field in found else None for field in _WHOLE)
    prefix, name = columns.get("tussenvoegsel"), columns.get("name")  # Dutch "van der"
    if prefix and last:
        return [_Line("last_name", (prefix, last))]
    if first and last:
        both = [*filter(all, zip(first.cells, last.cells, strict=True))]
        is_whole = both and all(str(one).endswith(f" {other}") for one, other in both)
        return [_Line("first_name", (first,), {"part": "first"})] if is_whole else []
    # Vorname and Name, or NAME and LAST_NAME.
    if name and (part := last or (first if first and first.spelling in _BESIDE_NAME else None)):
        pairs = zip(part.cells, name.cells, strict=True)
        is_whole = any(one and other and str(one) in str(other) for one, other in pairs)
        return [] if is_whole else [_Line("first_name" if part is last else "last_name", (name,))]
    if one := first or last:
        is_either = one.spelling in COLUMNS["either_name"]
        whole = [one] if is_either and one.are_mostly(_TWO_NAMES.search) else []
    else:
        whole = _with_names((*COLUMNS["whole_name"], *COLUMNS["family_first"]), columns)
        if not columns.keys().isdisjoint(COLUMNS["of_products"]):
            whole = [column for column in whole if column is not name]
        whole.sort(key=lambda column: column.are_mostly(pattern("no_name").search))
    parts = {field: {"part": field.removesuffix("_name")} for field in _WHOLE}
    return [_Line(field, whole[:1], parts[field]) for field in _WHOLE if whole]


def _ask_of_shared(line: _Line, whose: _Line) -> None:
    """Ask whose the numbers or addresses are, if many rows share theirs with another person."""
    cells = zip(line.columns[0].cells, whose.columns[0].cells, strict=True)
    pairs = {(str(shared), str(person)) for shared, person in cells}
    values = [value for value, _ in pairs if value not in ("", "None")]
    shared = len(values) - len(set(values))
    if shared > 1 and shared * 10 > len(values):
        what = "a number" if line.field == PHONE else "an address"
        line.ask(f"{shared:,} rows share {what} with others: is it the person's?")
        if line.field == EMAIL:  # or these ids are of something that one person has many of
            whose.ask(f"{shared:,} rows share an address with others: is it the person's?")


def _properties(columns: Iterable[_Column]) -> Iterable[_Line]:
    taken: set[str] = set()
    for number, column in enumerate(columns, 1):
        # A column without a Latin letter is named by its number.
        latin = unicodedata.normalize("NFKD", column.name).encode("ascii", "ignore").decode()
        name = re.sub("[^a-z0-9]+", "_", _WORD_ENDS.sub("_", latin).lower()).strip("_")
        name = f"column_{number}" if not name or name.isdigit() else name
        name = f"{name}_property" if name in RESERVED_NAMES else name
        name = f"{name}_{number}" if name in taken else name
        taken.add(name)
        line = _Line(name, [column], is_asked=True)
        kind = line.kind()
        has_numbers = any(isinstance(value, int | float) for value in column.values)
        if kind is not Kind.ANY and (kind is not Kind.TEXT or has_numbers):
            line.options = {"type": kind.value, **line.options, "absent": column.absent}
        yield line


# How a column is written.


@attrs.define
class _Line:
    """A line of a mapping; a comment if the remark asks what a person has to answer first."""

    field: str
    columns: Sequence[_Column]
    options: dict[str, Any] = attrs.field(factory=dict)
    remark: str = ""
    is_asked: bool = False

    def ask(self, remark: str) -> None:
        self.remark, self.is_asked = remark, True

    @property
    def toml(self) -> str:
        names = [column.name for column in self.columns]
        alone: dict[str, Any] = {"column": names[0]} if len(names) == 1 else {"columns": names}
        table = alone | {key: option for key, option in self.options.items() if option}
        return f"{self.field} = {_toml(names[0] if table.keys() == {'column'} else table)}"

    def __str__(self) -> str:
        remark = f"  # {self.remark}" if self.remark else ""
        return f"{'# ' if self.is_asked else ''}{self.toml}{remark}"

    def complete(self) -> None:
        """Complete the line of a standard field by how its column is written."""
        column, texts = self.columns[0], self.columns[0].telling
        match STANDARD_KINDS[self.field]:
            case Kind.GENDER:
                self._gender(column)
            case Kind.FLAG:
                self.options["values"] = _flags(texts)
            case Kind.DAY if texts:
                self._birthday(texts)
            case Kind.NUMBER if texts:
                self._number(texts)
            case Kind.IDENTIFIER if any(map(_THOUSANDS.fullmatch, texts)):
                self.ask("are these numbers with separators, or ids as they are?")
            case Kind.IDENTIFIER if any(map(_is_date, texts)):
                self.ask("are these ids, or what a spreadsheet made of them: dates?")
            case Kind.IDENTIFIER if long := [text for text in texts if len(text) > _FLOAT_DIGITS]:
                if all(map(_CUT.fullmatch, long)):
                    self.ask("all end in zeros: did a spreadsheet cut off their digits?")
            case Kind.EMAIL if any(ch.isupper() for text in texts for ch in text.partition("@")[0]):
                self.options["case"] = "lower"
            case Kind.TEXT if self.field in words.NAMES and texts:
                self._name(column)
        self.options["absent"] = column.absent

    def try_out(self, top: str) -> None:
        """Convert the sample with it; if half of that is refused, it becomes a comment."""
        other = PHONE if self.field == EMAIL else EMAIL
        mapping = FieldMapping.parse(f'{top}\n[fields]\n{other} = "x"\n{self.toml}')
        values = self.columns[0].values
        tried = Converter(self.field, mapping.fields[self.field]).column(values)
        refusals = Counter(one.rule for one in tried if isinstance(one, Fault))
        for rule, _ in refusals.most_common(1):
            refused = refusals.total()
            remark = f"{refused:,} of {len(values):,} values would be left out: expected {rule}"
            self.remark = f"{self.remark}; {remark}" if self.remark else remark
            self.is_asked = refused * 2 >= len(values)

    def _name(self, column: _Column) -> None:
        """Tell whether names are all capitals, and whether whole ones can surely be split."""
        texts, written = column.telling, "".join(column.telling)
        is_turkish = re.search("[İĞ]", written) or column.spelling in COLUMNS["turkish_name"]
        if column.are_mostly(pattern("no_name").search):
            self.ask("most values do not look like names")
        elif written.isupper() and is_turkish and not written.isascii():
            self.options["case"], self.remark = "turkish", "YILDIZ -> Yıldız"  # noqa: RUF001
        elif written.isupper() and re.search("[A-Z\u0410-\u042f]", written) and not is_turkish:
            self.options["case"], self.remark = "name", "VAN DYK -> Van Dyk"
        if "part" not in self.options:
            return
        others = sum(pattern("first_and_last").fullmatch(text) is None for text in texts)
        is_east_asian = any(map(_EAST_ASIAN.search, texts))
        is_named_so = column.spelling in COLUMNS["family_first"]
        if is_east_asian or is_named_so or column.are_mostly(pattern("family_first").match):
            self.ask("the family name comes first: split such names beforehand")
        elif others and not self.is_asked:
            self.remark = f"{others:,} of {len(texts):,} names do not have two words"
            if others * 2 > len(texts):
                self.is_asked = self.field == "last_name" or any(" " in text for text in texts)
                if not self.is_asked:
                    del self.options["part"]

    def _gender(self, column: _Column) -> None:
        """Tell which words stand for which gender; unknown words may be personal: not listed."""
        spelling, found = column.spelling, {text.casefold() for text in column.telling}
        letters = "".join(sorted(found & {*chain(*words.GENDER_LETTERS)}))
        pair = words.GENDER_LETTERS.get(letters, "")
        is_spanish = spelling in COLUMNS["spanish_gender"] and "m" in letters and letters != "fm"
        if is_spanish or (pair == "mv" and spelling not in COLUMNS["dutch_gender"]):
            pair = ""
        if letters and not pair:
            self.ask("which of these letters is m, and which is f?")
        pairs = [*words.GENDERS, tuple(pair)]
        values: dict[str, tuple[str, str]] = {}
        for text in dict.fromkeys(column.telling):
            # Both words of a pair, as the sample may happen to hold one only.
            both = next((both for both in pairs if text.casefold() in both), ())
            for word, gender in zip(both, "mf", strict=False):
                spelt = _as_spelt(word, text)
                if spelt not in ("m", "f", "male", "female"):
                    values.setdefault(word, (spelt, gender))
        self.options["values"] = dict(sorted(values.values(), key=lambda one: one[1], reverse=True))

    def kind(self) -> Kind:
        """Return what the column of a property holds, and set the options to read it."""
        column = self.columns[0]
        values, texts = column.values, column.telling
        if not column.texts:
            kinds = (kind for types, kind in _TYPES if all(isinstance(v, types) for v in values))
            return next(kinds, Kind.ANY) if values else Kind.ANY
        if not texts:
            return Kind.TEXT
        if pattern("codes").search(column.spelling) or any(map(pattern("code").fullmatch, texts)):
            are_whole = all(re.fullmatch(r"[0-9]+\.0+", text) for text in texts)
            return Kind.IDENTIFIER if are_whole else Kind.TEXT
        if (known := self.date_kind(texts) or self._number(texts)) is not None:
            return known
        found = {text.casefold() for text in texts}
        yes, no = found & words.YES, found & words.NO
        if yes and no and yes | no == found and not pattern("countries").search(column.spelling):
            self.options["values"] = _flags(texts)
            return Kind.FLAG
        if all(text[0] in "[{" for text in texts) and _can_read(texts, Origin(kind=Kind.OBJECTS)):
            return Kind.OBJECTS
        return Kind.TEXT

    def _number(self, texts: Sequence[str]) -> Kind | None:
        marks = [mark for mark in ".," if _can_read(texts, Origin(kind=Kind.FLOAT, decimal=mark))]
        if not marks or any(len(re.findall("[0-9]", text)) > _FLOAT_DIGITS for text in texts):
            return None
        # Ask what can be read both ways, unless a sign of money or two commas decide.
        marked = [text for text in texts if "." in text or "," in text]
        is_certain = all("," in text and re.search("[$£¥]|,[0-9]{3},", text) for text in marked)
        if len(marks) > 1 and not is_certain:
            self.ask('is 1.250 over a thousand? Add decimal = "," or "."')
            return Kind.FLOAT
        is_whole = _can_read(texts, Origin(kind=Kind.INTEGER, decimal=marks[0]))
        if marks[0] == "," or not is_whole:
            self.options["decimal"] = marks[0]
        return Kind.INTEGER if is_whole else Kind.FLOAT

    def _birthday(self, texts: Sequence[str]) -> None:
        """Tell how days are written; if most have one shape, the others do not count."""
        cells = [cell.day for cell in self.columns[0].values if isinstance(cell, date)]
        if cells and max(cells) <= _MONTHS:  # else they are what they seem
            self.ask("some are dates, some texts: did a spreadsheet swap months and days?")
            return
        texts = [text for text in texts if text.strip("0.-/: ")] or texts
        [(shape, count)] = Counter(map(_shape, texts)).most_common(1)
        if count * 2 > len(texts):
            texts = [text for text in texts if _shape(text) == shape]
        if all(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) for text in texts):
            fewest = min(len(text.lstrip("-").partition(".")[0]) for text in texts)
            formats = [one for one, digits in words.DATES["digits"].items() if fewest >= digits]
            is_known = self._take_format(formats, texts, Kind.DAY)
        else:
            is_known = self.date_kind(texts) is not None
            if not is_known:
                # There is no 31 June, but the others may tell how all are written.
                line = _Line(self.field, self.columns)
                days = [text for text in texts if line.date_kind([text]) is not None]
                is_known = len(days) * 2 > len(texts) and self.date_kind(days) is not None
        new_years = Counter(filter(pattern("new_year").search, texts))
        same = max(new_years.values(), default=0)
        if not is_known:
            self.ask('say how: format = "%m/%d/%Y" or another')
        elif same > 1 and same * 10 > len(texts):
            self.ask(f"{same:,} rows have the same first day of a year: is it their birthday?")

    def date_kind(self, texts: Sequence[str]) -> Kind | None:
        """Return which kind of dates texts are, if any, and set the option to read them."""
        if not all(re.search(r"\d\D+(\d|$)", text) for text in texts):
            return None
        if _can_read(texts, Origin(kind=Kind.DATETIME)):
            return Kind.DATETIME if any(":" in text for text in texts) else Kind.DATE
        for time in words.DATES["times"]:
            formats = [f"{day}{time}" for day in words.DATES["days"]]
            if self._take_format(formats, texts, Kind.DATETIME):
                return Kind.DATETIME if time else Kind.DATE
        return None

    def _take_format(self, formats: list[str], texts: Sequence[str], kind: Kind) -> bool:
        """Take the first format that reads all texts, ask if there are more; return if there is."""
        fitting = [one for one in formats if _can_read(texts, Origin(kind=kind, format=one))]
        self.options["format"] = fitting[0] if fitting else ""
        if len(fitting) > 1:
            self.ask(f"{' or '.join(fitting)}? The sample fits both")
        return bool(fitting)


def _as_spelt(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.title() if like.istitle() else word


def _flags(texts: Iterable[str]) -> dict[str, bool]:
    flags = (words.YES | words.NO) - words.FLAGS.keys()
    return {text: text.casefold() in words.YES for text in texts if text.casefold() in flags}


def _is_date(text: str) -> bool:
    """Return whether a text is a date as spreadsheets write them: 2024-01-03, 03-Jan, 03. Jan."""
    found = _DATE.fullmatch(text)
    return found is not None and (not found["month"] or found["month"].casefold() in words.MONTHS)


def _shape(text: str) -> str:
    # Short numbers may lack their zeros: 9.12.1985 is written as 10.3.1990 is.
    text = re.sub(r"[^\W\d_]+", "a", text)
    return re.sub("[0-9]+", lambda found: "0" * max(3, len(found[0])), text)


def _can_read(texts: Iterable[str], origin: Origin) -> bool:
    attempt = Converter(origin.kind, origin).attempt
    return not any(isinstance(attempt(text), Fault) for text in dict.fromkeys(texts))
