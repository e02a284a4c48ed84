"""From what stands in the columns of one field to a value for the field's rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from personaclick_async.models import rules
from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping import conversions, moments
from personaclick_async.sync.mapping.kinds import ABSENT, Kind
from personaclick_async.sync.mapping.origin import Origin

ReadText: TypeAlias = Callable[[str], object]
"""Gives a field's value, or ABSENT, or raises ValidationError."""
ReadAny: TypeAlias = Callable[[object], object]
"""The same for values that have a type already: from JSON, Parquet, a database."""


def text_reader(field: str, origin: Origin) -> ReadText:
    """Make what reads a text column; ``field`` is the name that errors use."""
    strip, absent, values, split = origin.strip, origin.absent, origin.values, origin.split
    case = conversions.letters(origin.case) if origin.case else None
    finish = _finisher(field, origin)

    def plain(text: str) -> object:
        if strip:
            text = text.strip()
        return ABSENT if text in absent else text

    def full(text: str) -> object:
        if strip:
            text = text.strip()
        if text in absent:
            return ABSENT
        if text in values:
            return values[text]
        if case is not None:
            text = case(text)
        if split is not None:
            return [part for one in text.split(split) if (part := one.strip())] or ABSENT
        return text if finish is None else finish(text)

    is_plain = finish is None and case is None and split is None and not values
    return plain if is_plain else full


def any_reader(field: str, origin: Origin) -> ReadAny:
    """Make what reads a column of any type."""
    from_text = text_reader(field, origin)
    known = {*origin.absent, *origin.values}

    def read(value: object) -> object:
        if isinstance(value, str):
            return from_text(value)
        if value is None:
            return ABSENT
        if known and (word := _word(value)) in known:
            return ABSENT if word in origin.absent else origin.values[word]
        return _typed(field, origin.kind, value)

    return read


def join_reader(field: str, origin: Origin) -> Callable[[Sequence[object]], object]:
    """Make what reads several columns as one text; columns that say nothing are left out."""
    from_text = text_reader(field, origin)
    strip, absent, join = origin.strip, origin.absent, origin.join

    def read(values: Sequence[object]) -> object:
        parts: list[str] = []
        for value in values:
            if value is None:
                continue
            text = value if isinstance(value, str) else _word(value)
            if text is None:
                raise refuse(field, "texts to join", value)
            if strip:
                text = text.strip()
            if text not in absent:
                parts.append(text)
        return from_text(join.join(parts)) if parts else ABSENT

    return read


def _finisher(field: str, origin: Origin) -> ReadText | None:
    number = conversions.number_reader(origin.decimal)
    match origin.kind:
        case Kind.STRING | Kind.AS_IT_COMES:
            return None
        case Kind.LIST:
            return lambda text: [text]
        case Kind.NUMBER:
            return lambda text: number(field, text)
        case Kind.INTEGER:
            return lambda text: conversions.integer(field, number(field, text))
        case Kind.FLOAT:
            return lambda text: conversions.fraction(field, number(field, text))
        case Kind.BOOLEAN:
            return lambda text: conversions.boolean(field, text)
        case Kind.JSON:
            return lambda text: conversions.json(field, text)
        case Kind.DATE:
            day = moments.day_reader(origin.formats) if origin.formats else rules.day
            return lambda text: day(field, text)
        case Kind.DATETIME:
            moment = moments.moment_reader(origin.formats) if origin.formats else moments.iso_moment
            return lambda text: moment(field, text)


def _word(value: object) -> str | None:
    """Give the text by which a mapping can name a value that is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def _typed(field: str, kind: Kind, value: object) -> object:
    match kind:
        case Kind.STRING:
            return _as_text(value)
        case Kind.INTEGER:
            return conversions.integer(field, value)
        case Kind.FLOAT:
            return conversions.fraction(field, value)
        case Kind.BOOLEAN:
            # Databases without booleans keep 0 and 1.
            return bool(value) if isinstance(value, int) and value in (0, 1) else value
        case Kind.DATE:
            return rules.day(field, value)
        case Kind.DATETIME:
            if isinstance(value, datetime):
                return value
            day = rules.day(field, value)
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - it says nothing of a zone
        case Kind.LIST:
            return value if isinstance(value, list | tuple) else [value]
        case Kind.AS_IT_COMES | Kind.NUMBER | Kind.JSON:
            return value


def _as_text(value: object) -> object:
    """Write what is a text in all but type; the rule refuses what is left."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return value
    # Ids and phone numbers come as 11000.0 from tables that know no empty integer.
    try:
        whole = int(value)
    except (ValueError, OverflowError):  # not a number, infinity
        return value
    return str(whole) if whole == value else value
