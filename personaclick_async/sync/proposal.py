"""A first mapping for a source, from its columns' names and a sample of its rows.

What is written holds names of columns, formats and known words such as ``M`` for a gender, nothing
else from the rows: a mapping is kept with the code of a shop and holds no personal data. Each line
is tried on the sample before it is written.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from personaclick_async.errors import ConfigurationError
from personaclick_async.models.update import FIELDS, RESERVED_NAMES
from personaclick_async.names import EMAIL, EXTERNAL_ID, ID, IDENTIFIERS, PHONE
from personaclick_async.sync.mapping.convert import Converter
from personaclick_async.sync.mapping.definition import FieldMapping, looks_like_data
from personaclick_async.sync.mapping.guessing import (
    NAMES,
    Column,
    Line,
    Option,
    guess_field,
    guess_part,
    guess_property,
)
from personaclick_async.sync.mapping.words import ALWAYS_NOTHING, COLUMNS, GENDERS, same
from personaclick_async.sync.records import Fault
from personaclick_async.sync.sources.base import BOOKKEEPING, Sample

_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9]+")
_WITH_VARIANTS: Final = (EMAIL, PHONE, *NAMES)
# The columns of files whose rows are what people did, with ids that are not theirs.
_DEEDS: Final = re.compile(
    r"(?:order|invoice|ticket|event|transaction|payment|charge|subscription|product|form|ad)"
    r"(?:id|no|nr|number|date|type|name|status|total)|lineitem\w+|quantity|price|subject|captured"
    r"|amount(?:refunded)?|(?:financial|fulfillment)status|(?:bestell|rechnungs|auftrags)\w+"
    r"|(?:numero|date)(?:de)?(?:commande|pedido)|заказ|(?:номер|дата)заказа|注文番号|订单号"
)
_WHOLE: Final = ("first_name", "last_name")
_TWO_NAMES: Final = re.compile(r" |[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_ONE_IN: Final = 10

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
    columns = [
        Column(name, [row[place] for row in sample.rows])
        for place, name in enumerate(sample.columns)
        if name not in BOOKKEEPING
    ]
    found = _recognise(columns)
    if not found:
        # The names may be the first row's data: they are not shown.
        raise ConfigurationError(
            "columns: none of their names is known; if the first row is data, give the names"
            " (--columns), else rename the column of the e-mail address to email"
        )
    if "location" in found and any(
        column.are_mostly(lambda text: "@" in text) for column in found["location"].columns
    ):
        raise ConfigurationError(
            "location: e-mail addresses stand in its column: the rows do not fit the header"
        )
    head = [_HEAD.format(rows=len(sample.rows), absent=", ".join(map(_quoted, ALWAYS_NOTHING)))]
    if country is not None:
        head.append(f"# Whose national phone numbers are read.\ncountry = {_quoted(country)}\n")
    top = "\n".join(head)
    first, last = (found[field].columns if field in found else None for field in _WHOLE)
    for field, line in found.items():
        if len(line.columns) == 1:
            (guess_part if field in _WHOLE and first == last else guess_field)(line)
            _try(line, top)
    written = [top, "[fields]", *map(_written, found.values())]
    if not any(field in IDENTIFIERS and not line.is_asked for field, line in found.items()):
        written.append(_NOBODY.format(identifiers=", ".join(IDENTIFIERS)))
    taken = [column for line in found.values() for column in line.columns]
    rest = [column for column in columns if column not in taken]
    if rest:
        written += [_CUSTOM.rstrip("\n"), *map(_written, _properties(rest))]
    return "\n".join(written) + "\n"


def _recognise(columns: Sequence[Column]) -> dict[str, Line]:
    """Return a line for each field that a column, or several, are named like."""
    by_name = {column.spelling: column for column in reversed(columns)}
    by_variant = {one: column for column in reversed(columns) for one in _variants(column.spelling)}
    are_deeds = any(map(_DEEDS.fullmatch, by_name))
    found: dict[str, Line] = {}
    for field, facts in FIELDS.items():
        names = list(map(same, (field, *facts.column_names)))
        named = _called(names, by_name)
        if field in _WITH_VARIANTS:
            named += _called(names, by_variant)
        taken = {column for line in found.values() for column in line.columns}
        named = [column for column in named if column not in taken]
        if field == EXTERNAL_ID and (line := _id_line(named, are_deeds=are_deeds)) is not None:
            found[field] = line
        elif named and field != EXTERNAL_ID:
            # A file may have a column for each purpose, and fill one of them.
            found[field] = Line(field, (min(named, key=lambda column: not column.values),))
    if "location" not in found:
        places = [_called(COLUMNS[what], by_name)[:1] for what in ("city", "region", "country")]
        if places[0] or places[2]:  # a region alone says too little
            options: dict[str, Option] = {"join": ", "} if sum(map(len, places)) > 1 else {}
            found["location"] = Line("location", [*chain(*places)], options)
    if "gender" not in found:
        for column in _called(COLUMNS["title"], by_name):
            if column.are_mostly(lambda text: text.casefold() in GENDERS):
                found["gender"] = Line("gender", (column,))
    found |= {field: Line(field, named) for field, named in _names_of(found, by_name).items()}
    if shared := _shared_phones(found):
        found[PHONE].ask(f"{shared:,} rows share a number with others: is it the person's?")
    return {field: found[field] for field in FIELDS if field in found}


def _called(names: Iterable[str], columns: Mapping[str, Column]) -> list[Column]:
    return [columns[name] for name in names if name in columns]


def _variants(name: str) -> list[str]:
    """Return shorter names that a column's name may stand for: ``Billing Email``, email."""
    ends = [name.removesuffix(end) for end in COLUMNS["suffixes"] if name.endswith(end)]
    starts = [(start, one) for one in (name, *ends) for start in COLUMNS["prefixes"]]
    return [*ends, *(one.removeprefix(start) for start, one in starts if one.startswith(start))]


def _id_line(named: list[Column], *, are_deeds: bool) -> Line | None:
    """Return a line for the user's id: the row's own one if it tells rows apart.

    :param are_deeds: whether the rows are what people did, so that their ids are not people's.
    """
    own = [column for column in named if column.spelling == ID]
    others = [column for column in named if column not in own]
    if are_deeds and own and not others:
        remark = "is this the id of a person, not of what one did?"
        return Line(EXTERNAL_ID, own[:1], remark=remark, is_asked=True)
    candidates = others if are_deeds else [*own, *others]
    if not candidates:
        return None
    best = min(candidates, key=lambda column: (not column.values, column.repeated))
    remarks = [f"{best.repeated:,} rows of the sample share one"] if best.repeated else []
    if len(candidates) > 1:
        rest = ", ".join(_quoted(column.name) for column in candidates if column is not best)
        remarks.append(f"or is it {rest}?")
    return Line(EXTERNAL_ID, (best,), remark="; ".join(remarks))


def _names_of(
    found: Mapping[str, Line], columns: Mapping[str, Column]
) -> Mapping[str, tuple[Column, ...]]:
    """Return the columns of names where the file does not have one for each."""
    first, last = (found[field].columns[0] if field in found else None for field in _WHOLE)
    prefix, name = columns.get("tussenvoegsel"), columns.get("name")
    if prefix is not None and last is not None:
        return {"last_name": (prefix, last)}
    if first is not None and last is not None:
        return {}
    if first is not None and name is not None and first.spelling in ("vorname", "voornaam"):
        pairs = zip(first.cells, name.cells, strict=True)
        is_whole = any(one and other and str(one) in str(other) for one, other in pairs)
        return {} if is_whole else {"last_name": (name,)}
    one = first or last
    if one is not None:
        is_either = one.spelling in COLUMNS["either_name"]
        whole = [one] if is_either and one.are_mostly(_TWO_NAMES.search) else []
    else:
        whole = _called((*COLUMNS["whole_name"], *COLUMNS["family_first"]), columns)
        whole.sort(key=lambda column: not column.may_be_names)
    return {field: (column,) for column in whole[:1] for field in _WHOLE}


def _shared_phones(found: Mapping[str, Line]) -> int:
    """Return how many rows have a number of somebody else, if many have."""
    whose = found.get(EXTERNAL_ID) or found.get(EMAIL)
    if whose is None or PHONE not in found:
        return 0
    cells = (line.columns[0].cells for line in (found[PHONE], whose))
    pairs = {(str(phone), str(person)) for phone, person in zip(*cells, strict=True)}
    numbers = [number for number, _ in pairs if number not in ("", "None")]
    shared = len(numbers) - len(set(numbers))
    return shared if shared > 1 and shared * _ONE_IN > len(numbers) else 0


def _try(line: Line, top: str) -> None:
    """Try a line on the sample; one that refuses much of it becomes a comment with the reason."""
    if line.is_asked:
        return
    other = next(name for name in IDENTIFIERS if name != line.field)
    mapping = FieldMapping.parse(f'{top}\n[fields]\n{other} = "x"\n{_toml(line)}')
    values = line.column.values
    tried = Converter(line.field, mapping.fields[line.field]).column(values)
    refusals = Counter(one.rule for one in tried if isinstance(one, Fault))
    if refusals:
        [(rule, _)] = refusals.most_common(1)
        refused = refusals.total()
        remark = f"{refused:,} of {len(values):,} values would be left out: expected {rule}"
        line.remark = f"{line.remark}; {remark}" if line.remark else remark
        line.is_asked = refused * 2 >= len(values)


def _properties(columns: Iterable[Column]) -> Iterable[Line]:
    taken: set[str] = set()
    for number, column in enumerate(columns, 1):
        name = _property_name(column.name, number)
        if name in taken:
            name = f"{name}_{number}"
        taken.add(name)
        line = Line(name, [column])
        guess_property(line)
        line.is_asked = True
        yield line


def _property_name(column: str, number: int) -> str:
    """Make the name of a custom property of a column's name: ``AnnualIncome``, annual_income.

    :param number: the column's number, for one whose name has no Latin letter.
    """
    latin = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = _NOT_A_NAME.sub("_", _WORD_ENDS.sub("_", latin).lower()).strip("_")
    if not name or name.isdigit():
        name = f"column_{number}"
    return f"{name}_property" if name in RESERVED_NAMES else name


def _written(line: Line) -> str:
    remark = f"  # {line.remark}" if line.remark else ""
    return f"{'# ' if line.is_asked else ''}{_toml(line)}{remark}"


def _toml(line: Line) -> str:
    quoted = [_quoted(column.name) for column in line.columns]
    said = "".join(f", {key} = {_value(value)}" for key, value in line.options.items() if value)
    if len(quoted) > 1:
        return f"{line.field} = {{ columns = [{', '.join(quoted)}]{said} }}"
    return f"{line.field} = " + (f"{{ column = {quoted[0]}{said} }}" if said else quoted[0])


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
    backslash, quote = "\\", '"'
    escaped = text.replace(backslash, backslash * 2).replace(quote, backslash + quote)
    return f'"{escaped}"'
