"""A first mapping for a source, from its columns' names and a sample of its rows.

What is written holds names of columns, formats and words such as ``M`` for a gender, nothing else
from the rows: a mapping is kept with the code of a shop and holds no personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.update import FIELDS
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.mapping.guessing import (
    Guess,
    guess_day,
    guess_gender,
    guess_kind,
    texts_of,
)
from personaclick_async.sync.mapping.kinds import STANDARD_KINDS, Kind
from personaclick_async.sync.mapping.spellings import PLACES, property_name, same
from personaclick_async.sync.sources.base import BOOKKEEPING, Sample

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_NAMES: Final = ("first_name", "last_name", "middle_name")

_HEAD: Final = """\
# Proposed from the names of the columns and the first {rows} rows: read it before you use it.
# On the left the platform's field, on the right the column.
"""
_NOBODY: Final = """
# No column looks like one of {identifiers}.
# Each row needs one of these to say whom it is about.
"""
_CUSTOM: Final = """
# Columns that are no field of the platform can be sent as custom properties, which must exist in
# the account first (Settings > Profile Property). Take away the # before those that you want.
[custom]
"""


def propose_mapping(sample: Sample) -> str:
    """Write a mapping as TOML, to be read and corrected by a person.

    Columns whose names are known to mean a field are mapped to it, with the format of dates and
    the words for genders that the sample shows. All other columns are there as comments: nothing
    is sent that nobody has asked for.

    :param sample: what a source's ``sample()`` gives.
    :raises ConfigurationError: the names of the columns are somebody's data: there is no header.
    """
    if any(_is_data(name) for name in sample.columns):
        raise ConfigurationError(
            "columns: expected a header, found a row of data; give the columns' names"
        )
    columns = {
        name: [row[index] for row in sample.rows]
        for index, name in enumerate(sample.columns)
        if name not in BOOKKEEPING and _is_text(name)
    }
    lines = [_HEAD.format(rows=len(sample.rows)), "[fields]"]
    found = _recognise(columns)
    lines += [f"{field} = {_field(field, found[field], columns)}" for field in found]
    if not any(field in found for field in IDENTIFIERS):
        lines.append(_NOBODY.format(identifiers=", ".join(IDENTIFIERS)))
    taken = {column for sources in found.values() for column in sources}
    rest = {name: values for name, values in columns.items() if name not in taken}
    if rest:
        lines.append(_CUSTOM.rstrip("\n"))
        lines += _properties(rest)
    return "\n".join(lines) + "\n"


def _recognise(columns: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Give the columns of each field that is recognised."""
    by_spelling: dict[str, str] = {}
    for column in columns:
        by_spelling.setdefault(same(column), column)
    found: dict[str, tuple[str, ...]] = {}
    for field, facts in FIELDS.items():
        names = (same(field), *facts.column_names)
        known = [by_spelling[one] for one in names if one in by_spelling]
        if known:
            found[field] = (known[0],)
    if "location" not in found:
        places = [
            by_spelling[next(one for one in spellings if one in by_spelling)]
            for spellings in PLACES
            if any(one in by_spelling for one in spellings)
        ]
        if places:
            found["location"] = tuple(places)
    return found


def _field(field: str, sources: Sequence[str], columns: Mapping[str, Sequence[object]]) -> str:
    if len(sources) > 1:
        listed = ", ".join(map(_quoted, sources))
        return f'{{ columns = [{listed}], join = ", " }}'
    [column] = sources
    values = columns[column]
    texts = texts_of(values)
    if field == "gender":
        words, absent = guess_gender(texts)
        return _table(column, values=words, absent=absent)
    if field in _NAMES and texts and all(text.isupper() for text in texts):
        return _table(column, case="name") + "  # JON -> Jon"
    if STANDARD_KINDS[field] is Kind.DATE and texts:
        return _day(column, texts)
    if STANDARD_KINDS[field] is Kind.NUMBER:
        return _table(column, absent=guess_kind(values).absent)
    return _quoted(column)


def _day(column: str, texts: Sequence[str]) -> str:
    absent = guess_kind(texts).absent
    guess = guess_day([text for text in texts if text not in absent], packed=True)
    if guess is None:
        return f'{_table(column, absent=absent)}  # say how: format = "%m/%d/%Y" or another'
    return _table(column, format=_first(guess), absent=absent) + _doubt(guess)


def _properties(columns: Mapping[str, Sequence[object]]) -> list[str]:
    lines: list[str] = []
    taken: set[str] = set()
    for number, (column, values) in enumerate(columns.items(), 1):
        name = property_name(column, number)
        if name in taken:
            name = f"{name}_{number}"
        taken.add(name)
        guess = guess_kind(values)
        if guess.kind in (Kind.STRING, Kind.AS_IT_COMES):
            lines.append(f"# {name} = {_quoted(column)}")
            continue
        table = _table(column, type=guess.kind.value, format=_first(guess), absent=guess.absent)
        lines.append(f"# {name} = {table}{_doubt(guess)}")
    return lines


def _first(guess: Guess) -> str:
    return guess.formats[0] if guess.formats else ""


def _doubt(guess: Guess) -> str:
    return f"  # or {guess.formats[1]}: the sample fits both" if len(guess.formats) > 1 else ""


def _table(column: str, **options: str | Sequence[str] | Mapping[str, str]) -> str:
    """Write a field's table, or the column alone if there is nothing else to say."""
    said = "".join(f", {name} = {_value(value)}" for name, value in options.items() if value)
    return f"{{ column = {_quoted(column)}{said} }}" if said else _quoted(column)


def _value(value: str | Sequence[str] | Mapping[str, str]) -> str:
    match value:
        case str():
            return _quoted(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_quoted(v)}" for k, v in value.items()) + " }"
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


def _is_data(name: str) -> bool:
    try:
        rules.email("", name)
    except ValidationError:
        return guess_day([name]) is not None
    return True


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
