"""A first mapping for a source, from its columns' names and a sample of its rows.

What is written holds names of columns, formats and known words such as ``M`` for a gender, nothing
else from the rows: a mapping is kept with the code of a shop and holds no personal data. Each line
is tried on the sample before it is written.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

import attrs

from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.update import FIELDS, RESERVED_NAMES
from personaclick_async.names import EMAIL, EXTERNAL_ID, IDENTIFIERS, PHONE
from personaclick_async.sync.mapping.convert import Converter
from personaclick_async.sync.mapping.definition import FieldMapping, looks_like_data
from personaclick_async.sync.mapping.guessing import (
    guess_day,
    guess_gender,
    guess_kind,
    guess_number,
    nothing_in,
    texts_of,
)
from personaclick_async.sync.mapping.origin import STANDARD_KINDS, Kind
from personaclick_async.sync.mapping.words import (
    ALWAYS_NOTHING,
    COLUMNS,
    GENDERS,
    NO,
    NOTHING,
    YES,
    same,
)
from personaclick_async.sync.sources.base import BOOKKEEPING, Sample

Columns = Mapping[str, Sequence[object]]
Found = dict[str, tuple[str, ...]]
Option = str | Sequence[str] | Mapping[str, str | bool]

_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9]+")
_PREFIXES: Final = (
    *("customer", "client", "contact", "user", "billing", "account", "primary", "main", "default"),
    *("shipping", "personal", "your", "kunden", "lead", "person", "subscriber", "member"),
    *("address", "business", "home", "рабочии", "мобильныи"),
)
_SUFFIXES: Final = ("1value", "1", "s", "primary", "home", "work", "mobile", "privat")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_NAMES: Final = ("first_name", "last_name", "middle_name")
_TWO_WORDS: Final = re.compile(r"[^\W\d_][\w'\u2019.-]*,? [^\W\d_][\w'\u2019.-]*")
_NO_NAME: Final = re.compile(r"[0-9#@]|^\W+$|\b(?:GmbH|Ltd|LLC|Inc|Corp|S\.?r\.?l|株式会社)\b")
_ONE_IN: Final = 10
_THOUSANDS: Final = re.compile(r"[1-9][0-9]{0,2}(?:[.,][0-9]{3})+")
_TURKISH: Final = ("ad", "adi", "soyad", "soyadi", "isim", "soyisim")  # whose I is no i
_FAMILY_FIRST: Final = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")

_DEEDS: Final = re.compile(
    r"(?:order|invoice|ticket|event|transaction|payment|charge|subscription|product|form|ad)"
    r"(?:id|no|nr|number|date|type|name|status|total)|lineitem\w+|quantity|price|subject|captured"
    r"|amount(?:refunded)?|(?:financial|fulfillment)status|(?:bestell|rechnungs|auftrags)\w+"
    r"|(?:numero|date)(?:de)?(?:commande|pedido)|заказ|(?:номер|дата)заказа|注文番号|订单号"
)
"""The names of columns of files whose rows are what people did, with ids that are not theirs."""


_HEAD: Final = """\
# Proposed from the names of the columns and the first {rows} rows: read it before you use it.
# On the left the platform's field, on the right the column.

# Words that say nothing, in every column, in small or capital letters.
absent = [{absent}]
"""
_NOBODY: Final = """
# No column looks like one of {identifiers}.
# Each row needs one of these, to say which customer it is about.
"""
_CUSTOM: Final = """
# Columns that are no field of the platform can be sent as custom properties, which must exist in
# the account first (Settings > Profile Property). Take away the # before those that you want.
[custom]
"""


@attrs.frozen
class _Line:
    """A line of the proposal.

    :ivar remark: what goes behind it, for the reader.
    :ivar is_asked: whether it is a comment until somebody has answered the remark.
    """

    field: str
    value: str
    remark: str = ""
    is_asked: bool = False

    def __str__(self) -> str:
        remark = f"  # {self.remark}" if self.remark else ""
        return f"{'# ' if self.is_asked else ''}{self.field} = {self.value}{remark}"


def propose_mapping(sample: Sample, *, country: str | None = None) -> str:
    """Write a mapping as TOML, to be read and corrected by a person.

    Columns whose names are known to mean a field are mapped to it, as the sample shows that they
    are written. What the sample leaves open, and what would refuse many of its values, is there
    as a comment with the reason, and so are all other columns: nothing is sent that nobody has
    asked for.

    :param sample: what a source's ``sample()`` gives.
    :param country: two letters; whose national phone numbers are in the file.
    :raises ConfigurationError: the names of the columns are somebody's data: there is no header.
    """
    if looks_like_data(name for name in sample.columns if name not in BOOKKEEPING):
        raise ConfigurationError(
            "columns: expected a header, found a row of data; give the columns' names"
        )
    columns = {
        name: [row[index] for row in sample.rows]
        for index, name in enumerate(sample.columns)
        if name not in BOOKKEEPING and _is_text(name)
    }
    found, remarks, doubtful = _recognise(columns)
    if not found:
        # The names may be the first row's data: they are not shown.
        raise ConfigurationError(
            "columns: none of their names is known; if the first row is data, give the names"
            " (--columns), else rename the column of the e-mail address to email"
        )
    lines: list[_Line] = []
    for field, sources in found.items():
        if field == "location" and any(_are_addresses(texts_of(columns[one])) for one in sources):
            raise ConfigurationError(
                "location: e-mail addresses stand in its column: the rows do not fit the header"
            )
        remark = remarks.get(field, "")
        if field in _NAMES and found.get("first_name") == found.get("last_name"):
            line = _whole_name(field, sources[0], columns)
        else:
            line = _field(field, sources, columns, remark, is_asked=field in doubtful)
        lines.append(_tried(line, columns, sources, country))
    head = _HEAD.format(rows=len(sample.rows), absent=", ".join(map(_quoted, ALWAYS_NOTHING)))
    written = [head.rstrip("\n")]
    if country is not None:
        written += ["", "# Whose national phone numbers are read.", f"country = {_quoted(country)}"]
    written += ["", "[fields]", *map(str, lines)]
    if not any(line.field in IDENTIFIERS and not line.is_asked for line in lines):
        written.append(_NOBODY.format(identifiers=", ".join(IDENTIFIERS)))
    taken = {column for sources in found.values() for column in sources}
    rest = {name: values for name, values in columns.items() if name not in taken}
    if rest:
        written.append(_CUSTOM.rstrip("\n"))
        written += _properties(rest)
    return "\n".join(written) + "\n"


def _recognise(columns: Columns) -> tuple[Found, dict[str, str], set[str]]:
    """Return the columns of each field that is recognised, remarks on some, and doubtful ones."""
    by_spelling: dict[str, str] = {}
    for column in columns:
        by_spelling.setdefault(same(column), column)
    by_variant: dict[str, str] = {}
    for column in columns:
        for spelling in variants(column):
            by_variant.setdefault(spelling, column)
    found: Found = {}
    remarks: dict[str, str] = {}
    doubtful: set[str] = set()
    for field, facts in FIELDS.items():
        names = [same(one) for one in (field, *facts.column_names)]
        known = [by_spelling[one] for one in names if one in by_spelling]
        if field == EXTERNAL_ID:
            own = by_spelling.get("id")
            if own and any(_DEEDS.fullmatch(one) for one in by_spelling):
                known.remove(own)
                if not known:
                    known, doubtful = [own], {EXTERNAL_ID}
                own = None
            known, remarks[field] = _own_id(own, known, columns)
            if doubtful:
                remarks[field] = "is this the id of a person, not of what one did?"
        elif field in (EMAIL, PHONE, *_NAMES):
            known += [by_variant[one] for one in names if one in by_variant]
        known = [one for one in known if (one,) not in found.values()]
        if known:
            # A file may have a column for each purpose, and fill one of them.
            filled = [
                one for one in known if any(value not in ("", None) for value in columns[one])
            ]
            found[field] = ((filled or known)[0],)
    if "location" not in found:
        places = [_first(COLUMNS[one], by_spelling) for one in ("city", "region", "country")]
        if places[0] or places[2]:  # a region alone says too little
            found["location"] = tuple(filter(None, places))
    if "gender" not in found:
        titles = [one for one in columns if same(one) in COLUMNS["title"]]
        found.update(("gender", (one,)) for one in titles if _are_mostly(GENDERS, columns[one]))
    found |= _names_of(found, by_spelling, columns)
    if shared := _shared_phones(found, columns):
        remarks[PHONE] = f"{shared:,} rows share a number with others: is it the person's?"
        doubtful.add(PHONE)
    return {field: found[field] for field in FIELDS if field in found}, remarks, doubtful


def _shared_phones(found: Found, columns: Columns) -> int:
    """Return how many rows have a number of somebody else, if many have."""
    whose = found.get(EXTERNAL_ID) or found.get(EMAIL)
    if whose is None or PHONE not in found:
        return 0
    pairs = set(zip(*(map(str, columns[one[0]]) for one in (found[PHONE], whose)), strict=True))
    numbers = [number for number, _ in pairs if number not in ("", "None")]
    shared = len(numbers) - len(set(numbers))
    return shared if shared > 1 and shared * _ONE_IN > len(numbers) else 0


def _names_of(found: Found, by_spelling: Mapping[str, str], columns: Columns) -> Found:
    """Return the columns of names where the file does not have one for each."""
    first, last = (found.get(field, ("",))[0] for field in ("first_name", "last_name"))
    prefix = by_spelling.get("tussenvoegsel")
    if prefix and last:
        return {"last_name": (prefix, last)}
    if first and last:
        return {}
    name = by_spelling.get("name")
    if first and name and same(first) in ("vorname", "voornaam"):
        pairs = zip(columns[first], columns[name], strict=True)
        is_whole = any(one and other and str(one) in str(other) for one, other in pairs)
        return {} if is_whole else {"last_name": (name,)}
    if first or last:
        whole = [
            one
            for one in (first, last)
            if same(one) in COLUMNS["either_name"] and _are_whole(texts_of(columns[one]))
        ]
    else:
        whole = [
            one
            for one in columns
            if same(one) in (*COLUMNS["whole_name"], *COLUMNS["family_first"])
        ]
        whole.sort(key=lambda one: not _are_names(texts_of(columns[one])))
    return {field: (one,) for one in whole[:1] for field in ("first_name", "last_name")}


def _are_mostly(words: Container[str], values: Iterable[object]) -> bool:
    texts = texts_of(values)
    return sum(text.casefold() in words for text in texts) * 2 > len(texts)


def _are_whole(texts: Sequence[str]) -> bool:
    return sum(" " in one or bool(_FAMILY_FIRST.search(one)) for one in texts) * 2 > len(texts)


def _are_addresses(texts: Sequence[str]) -> bool:
    return sum("@" in text for text in texts) * 2 > len(texts)


def _are_names(texts: Sequence[str]) -> bool:
    """Return whether most of some texts may be names, and no numbers or addresses."""
    return sum(_NO_NAME.search(text) is None for text in texts) * 2 >= len(texts)


def _first(names: Iterable[str], columns: Mapping[str, str]) -> str:
    return next((columns[name] for name in names if name in columns), "")


def _own_id(own: str | None, known: Sequence[str], columns: Columns) -> tuple[list[str], str]:
    """Return the column of the user's id, the row's own if it tells rows apart, and a remark."""
    candidates = list(dict.fromkeys([*([own] if own else []), *known]))
    shared = {}
    for one in candidates:
        said = [str(value).strip() for value in columns[one] if value not in ("", None)]
        shared[one] = sum(Counter(said).values()) - len(set(said))
    telling = [one for one in candidates if not shared[one]] or sorted(
        candidates, key=shared.__getitem__
    )
    if not telling:
        return [], ""
    others = [one for one in candidates if one != telling[0]]
    remark = f"{shared[telling[0]]:,} rows of the sample share one" if shared[telling[0]] else ""
    if others:
        remark += f"{'; ' if remark else ''}or is it {', '.join(map(_quoted, others))}?"
    return telling[:1], remark


def _field(
    field: str, sources: Sequence[str], columns: Columns, remark: str, *, is_asked: bool
) -> _Line:
    if len(sources) > 1:
        listed = ", ".join(map(_quoted, sources))
        join = ', join = ", "' if field == "location" else ""
        return _Line(field, f"{{ columns = [{listed}]{join} }}")
    [column] = sources
    values = columns[column]
    texts = texts_of(values)
    absent = tuple(word for word in nothing_in(texts) if word.casefold() not in ALWAYS_NOTHING)
    telling = [text for text in texts if text.casefold() not in NOTHING]
    kind = STANDARD_KINDS[field]
    options: dict[str, Option] = {}
    match kind:
        case Kind.GENDER:
            options["values"], doubt = guess_gender(column, telling)
            remark, is_asked = doubt or remark, bool(doubt)
        case Kind.BOOLEAN:
            options["values"] = _flags(telling)
        case Kind.BIRTHDAY if telling:
            options["format"], remark, is_asked = _day(telling)
        case Kind.NUMBER if telling:
            guess = guess_number(telling)
            if guess is not None:
                options["decimal"] = guess.decimal
                remark, is_asked = guess.doubt or remark, bool(guess.doubt)
        case Kind.IDENTIFIER if any(map(_THOUSANDS.fullmatch, telling)):
            remark, is_asked = "are these numbers with separators, or ids as they are?", True
        case Kind.EMAIL if any(_has_capitals(text.partition("@")[0]) for text in telling):
            options["case"] = "lower"
        case Kind.STRING if field in _NAMES and telling:
            remark, is_asked = _doubt_of_names(telling)
            if _are_shouted(telling) and same(column) not in _TURKISH:
                options["case"] = "name"
                remark = remark or "JON -> Jon"
    return _Line(field, _table(column, **options, absent=absent), remark, is_asked)


def _has_capitals(text: str) -> bool:
    return text != text.lower()


def _are_shouted(texts: Sequence[str]) -> bool:
    return all(text.isupper() for text in texts) and any(map(str.isascii, texts))


def _doubt_of_names(texts: Sequence[str]) -> tuple[str, bool]:
    are_names = _are_names(texts)
    return "" if are_names else "most values do not look like names", not are_names


def _whole_name(field: str, column: str, columns: Columns) -> _Line:
    """Propose a part of a column of whole names, if it is certain which words it is."""
    texts = [text for text in texts_of(columns[column]) if text.casefold() not in NOTHING]
    remark, is_asked = _doubt_of_names(texts)
    part = "first" if field == "first_name" else "last"
    others = sum(_TWO_WORDS.fullmatch(text) is None for text in texts)
    if same(column) in COLUMNS["family_first"] or any(map(_FAMILY_FIRST.search, texts)):
        remark, is_asked = "the family name comes first: split such names beforehand", True
    elif others and not remark:
        remark = f"{others:,} of {len(texts):,} names do not have two words"
        if others * 2 > len(texts):
            is_asked = part == "last" or any(" " in text for text in texts)
            part = part if is_asked else ""
    options = {"part": part} if part else {}
    if texts and _are_shouted(texts):
        options["case"] = "name"
        remark = remark or "JON -> Jon"
    return _Line(field, _table(column, **options), remark, is_asked)


def _flags(texts: Sequence[str]) -> dict[str, str | bool]:
    words = dict.fromkeys(text for text in texts if text.casefold() in YES | NO)
    plain = {"true", "false", "yes", "no", "y", "n", "t", "f", "1", "0", "on", "off"}
    return {text: text.casefold() in YES for text in words if text.casefold() not in plain}


def _day(texts: Sequence[str]) -> tuple[Option, str, bool]:
    guess = guess_day(texts, is_day=True)
    if guess is None:
        return "", 'say how: format = "%m/%d/%Y" or another', True
    if len(guess.formats) > 1:
        listed = " or ".join(guess.formats)
        return guess.formats[0], f"{listed}? The sample fits both", True
    return "".join(guess.formats), "", False


def _tried(line: _Line, columns: Columns, sources: Sequence[str], country: str | None) -> _Line:
    """Try a line on the sample; one that refuses much of it becomes a comment with the reason."""
    if line.is_asked or len(sources) > 1:
        return line
    top = f"country = {_quoted(country)}\n" if country else ""
    absent = ", ".join(map(_quoted, ALWAYS_NOTHING))
    text = f'absent = [{absent}]\n{top}[fields]\ntelegram_id = "x"\n{line.field} = {line.value}'
    if line.field == "telegram_id":
        text = text.replace('telegram_id = "x"\n', "")
    convert = Converter(line.field, FieldMapping.parse(text).fields[line.field])
    rules: Counter[str] = Counter()
    values = [value for value in columns[sources[0]] if value not in ("", None)]
    for value in values:
        try:
            convert(value, [])
        except ValidationError as error:
            rules[error.rule] += 1
    if not rules:
        return line
    [(rule, _)] = rules.most_common(1)
    refused = rules.total()
    remark = f"{refused:,} of {len(values):,} values would be left out: expected {rule}"
    remark = f"{line.remark}; {remark}" if line.remark else remark
    return attrs.evolve(line, remark=remark, is_asked=refused * 2 >= len(values))


def _properties(columns: Columns) -> list[str]:
    lines: list[str] = []
    taken: set[str] = set()
    for number, (column, values) in enumerate(columns.items(), 1):
        name = property_name(column, number)
        if name in taken:
            name = f"{name}_{number}"
        taken.add(name)
        guess = guess_kind(column, values)
        if guess.kind is Kind.ANY or (guess.kind is Kind.STRING and not _has_numbers(values)):
            lines.append(f"# {name} = {_quoted(column)}")
            continue
        texts = texts_of(values)
        absent = [word for word in nothing_in(texts) if word.casefold() not in ALWAYS_NOTHING]
        flags = _flags(texts) if guess.kind is Kind.BOOLEAN else {}
        remark = guess.doubt
        if len(guess.formats) > 1:
            remark = f"or {guess.formats[1]}: the sample fits both"
        table = _table(
            column,
            type=guess.kind.value,
            format="".join(guess.formats[:1]),
            decimal=guess.decimal,
            values=flags,
            absent=absent if guess.kind is not Kind.STRING else (),
        )
        lines.append(f"# {name} = {table}" + (f"  # {remark}" if remark else ""))
    return lines


def _has_numbers(values: Iterable[object]) -> bool:
    return any(isinstance(value, int | float) for value in values)


def _table(column: str, **options: Option) -> str:
    """Write a field's table, or the column alone if there is nothing else to say."""
    said = "".join(f", {name} = {_value(value)}" for name, value in options.items() if value)
    return f"{{ column = {_quoted(column)}{said} }}" if said else _quoted(column)


def _value(value: Option | bool) -> str:  # noqa: FBT001 - a value of TOML
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
        case _:
            return "[" + ", ".join(map(_quoted, value)) + "]"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(ch) for ch in text) + '"'


def _escaped(ch: str) -> str:
    if ch in '"\\':
        return f"\\{ch}"
    # What does not print (control characters, marks of direction) is best seen in a mapping.
    return ch if ch.isprintable() else f"\\U{ord(ch):08x}"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def variants(name: str) -> tuple[str, ...]:
    """Return the shorter names that a column may stand for, the nearest first."""
    whole = same(name)
    ends = [whole.removesuffix(end) for end in _SUFFIXES if whole.endswith(end)]
    starts = [one.removeprefix(p) for one in (whole, *ends) for p in _PREFIXES if one.startswith(p)]
    return tuple(one for one in dict.fromkeys((*ends, *starts)) if one)


def property_name(column: str, number: int) -> str:
    """Make the name of a custom property of a column's name: ``AnnualIncome``, annual_income.

    :param number: the column's number, for one whose name has no Latin letter.
    """
    latin = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = _NOT_A_NAME.sub("_", _WORD_ENDS.sub("_", latin).lower()).strip("_")
    if not name or name.isdigit():
        name = f"column_{number}"
    return f"{name}_property" if name in RESERVED_NAMES else name
