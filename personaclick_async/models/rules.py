"""What a caller may send: one function per kind of value, strict, saying no by field name.

Each rule takes the field's name and the value, and gives the value in the wire's form (but for
:func:`day`). Errors name the type and size of what was given, never its content.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.names import Gender

T = TypeVar("T")
Rule: TypeAlias = Callable[[str, object], T]
Number: TypeAlias = int | float

CustomValue: TypeAlias = (
    str | int | float | Decimal | date | Enum | Sequence[Json] | Mapping[str, Json]
)
"""What a custom property may be: text, number, boolean, date, date-time, list or JSON object.

A member of an enumeration stands for its value.
"""

# Brackets, quotes and separators are left over from a list or a "Name <address>", never meant.
_EMAIL: Final = re.compile(
    r"""[^@\s\x00-\x1f\x7f()<>\[\]:;,"\\]{1,64}"""
    r"""@[^@\s\x00-\x1f\x7f()<>\[\]:;,"\\./'?#]+(?:\.[^@\s\x00-\x1f\x7f()<>\[\]:;,"\\./'?#]+)+"""
)
_EMAIL_MAX_CHARACTERS: Final = 254
_PHONE: Final = re.compile(r"\+?[0-9]{5,15}")
_PHONE_SEPARATORS: Final = str.maketrans("", "", " \u00a0().-/")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GENDERS: Final[Mapping[str, str]] = {
    "m": Gender.MALE.value,
    "f": Gender.FEMALE.value,
    "male": Gender.MALE.value,
    "female": Gender.FEMALE.value,
}
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_INT64_DIGITS: Final = 19
_MAX_DEPTH: Final = 32


def given(value: object) -> str:
    """Describe a value without showing it: its type, and its size where it has one."""
    kind = type(value).__name__
    match value:
        case str():
            return "an empty str" if not value else f"{kind} of {_count(len(value), 'character')}"
        case bytes() | bytearray():
            return f"{kind} of {_count(len(value), 'byte')}"
        case list() | tuple() | dict() | set() | frozenset():
            return f"{kind} of {_count(len(value), 'item')}"
        case _:
            return kind


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def refuse(field: str, rule: str, value: object) -> ValidationError:
    """Make the error for a value that breaks a rule."""
    return ValidationError(field, rule, given(value))


def _exact(value: object) -> object:
    """Give the value of an enum member, and the plain str or int that an instance of theirs is.

    The str() of such a subclass may be anything: that of a ``class Tier(str, Enum)`` is its name.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    return value if isinstance(value, bool) or not isinstance(value, int) else int(value)


def text(field: str, value: object) -> str:
    """Accept a ``str`` that is not empty.

    The service answers 422 to empty strings in several places; leaving a field out is done by
    not passing it (protocol, section 12).
    """
    exact = value if type(value) is str else _exact(value)
    if not isinstance(exact, str) or not exact:
        raise refuse(field, "a non-empty str", value)
    if not exact.isascii():
        _check_encodable(field, exact)
    return exact


def _check_encodable(field: str, value: str) -> None:
    with suppress(UnicodeEncodeError):
        value.encode()
        return
    # Outside the handler, here as elsewhere: Python's own error holds the text, and would stay
    # reachable from ours.
    raise ValidationError(
        field, "text that UTF-8 can carry", f"{given(value)} with a lone surrogate"
    )


def identifier(field: str, value: object) -> str:
    """Accept a ``str`` that is not blank or an ``int``, as text."""
    exact = value if type(value) is str else _exact(value)
    if isinstance(exact, int) and not isinstance(exact, bool):
        return str(integer(field, exact))
    if not isinstance(exact, str) or not exact.strip():
        raise refuse(field, "a non-blank str or an int", value)
    if not exact.isascii():
        _check_encodable(field, exact)
    return exact


def user_id(field: str, value: object) -> str | int:
    """Accept the shop's own user id: an ``int``, or a ``str`` that is not blank."""
    exact = _exact(value)
    if isinstance(exact, int) and not isinstance(exact, bool):
        return integer(field, exact)
    return identifier(field, value)


def email(field: str, value: object) -> str:
    """Accept an address with one @ and a dotted domain; letters of any script."""
    exact = value if type(value) is str else _exact(value)
    if not isinstance(exact, str):
        raise refuse(field, "an e-mail address as str", value)
    if len(exact) > _EMAIL_MAX_CHARACTERS or not _EMAIL.fullmatch(exact):
        raise refuse(field, "an e-mail address such as name@shop.example", value)
    if not exact.isascii():
        _check_encodable(field, exact)
    return exact


def phone(field: str, value: object) -> str:
    """Accept 5 to 15 digits, an optional leading +; spaces, dots, dashes and brackets go."""
    exact = value if type(value) is str else _exact(value)
    if not isinstance(exact, str):
        raise refuse(field, "a phone number as str", value)
    digits = exact.translate(_PHONE_SEPARATORS)
    if not _PHONE.fullmatch(digits):
        raise refuse(field, "a phone number of 5 to 15 digits, with or without a leading +", value)
    return digits


# Of many texts at once, for files. Each may say no where the rule would say yes, never the other
# way round, and says it at a fraction of the cost.


def are_identifiers(values: Sequence[str]) -> bool:
    """Whether :func:`identifier` and :func:`user_id` give all of these back as they stand."""
    return all(map(str.strip, values)) and "".join(values).isascii()


def are_emails(values: Sequence[str]) -> bool:
    """Whether :func:`email` gives all of these back as they stand."""
    return (
        all(map(_EMAIL.fullmatch, values))
        and max(map(len, values), default=0) <= _EMAIL_MAX_CHARACTERS
        and "".join(values).isascii()
    )


def are_phones(values: Sequence[str]) -> bool:
    """Whether :func:`phone` gives all of these back as they stand."""
    return all(map(_PHONE.fullmatch, values))


def gender(field: str, value: object) -> str:
    """Accept :class:`Gender`, ``m`` or ``f``, and the words that the official SDKs take.

    Gives ``m`` or ``f``.
    """
    exact = value if type(value) is str else _exact(value)
    found = _GENDERS.get(exact) if isinstance(exact, str) else None
    if found is None:
        raise refuse(field, "a Gender, 'm' or 'f'", value)
    return found


def day(field: str, value: object) -> date:
    """Accept a date, or ``YYYY-MM-DD`` that is in the calendar."""
    if not isinstance(value, str):
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        raise refuse(field, "a date or YYYY-MM-DD", value)
    if not _DATE.fullmatch(value):
        raise refuse(field, "a date or YYYY-MM-DD", value)
    try:
        found = date.fromisoformat(value)
    except ValueError:
        found = None
    if found is None:
        raise refuse(field, "a day of the calendar as YYYY-MM-DD", value)
    return found


def day_text(field: str, value: object) -> str:
    """Accept a :class:`datetime.date`, or ``YYYY-MM-DD`` that is in the calendar."""
    found = day(field, value)
    return value if type(value) is str else found.isoformat()


def boolean(field: str, value: object) -> bool:
    """Accept ``True`` and ``False`` alone."""
    if not isinstance(value, bool):
        raise refuse(field, "a bool", value)
    return value


def integer(field: str, value: object) -> int:
    """Accept an int that fits into 64 bits."""
    exact = _exact(value)
    if isinstance(exact, bool) or not isinstance(exact, int):
        raise refuse(field, "an int", value)
    if not _INT64_MIN <= exact <= _INT64_MAX:
        raise ValidationError(field, "an int of at most 64 bits", "a larger int")
    return exact


def number(field: str, value: object) -> Number:
    """Accept an int, a finite float, or a finite Decimal."""
    exact = _exact(value)
    if isinstance(exact, int):
        return integer(field, exact)
    if isinstance(exact, Decimal) and exact.is_finite():
        if exact and exact.adjusted() >= _INT64_DIGITS:
            # Its exponent may be anything: int() of a short Decimal can fill the memory.
            raise ValidationError(field, "a number of at most 64 bits", "a larger Decimal")
        whole = int(exact) if exact else 0
        return integer(field, whole) if exact == whole else float(exact)
    if isinstance(exact, float) and math.isfinite(exact):
        return float(exact)
    raise refuse(field, "a finite number", value)


def age(field: str, value: object) -> Number:
    """Accept a number of years, not negative."""
    years = number(field, value)
    if years < 0:
        raise ValidationError(field, "a number of years, 0 or more", f"a negative {given(value)}")
    return years


def each(rule: Rule[T]) -> Rule[list[T]]:
    """Accept any iterable whose items all keep ``rule``; errors name the index."""

    def items(field: str, value: object) -> list[T]:
        if type(value) is not list and (
            isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)
        ):
            raise refuse(field, "a list", value)
        return [rule(f"{field}[{index}]", item) for index, item in enumerate(value)]

    return items


def custom_value(field: str, value: object) -> Json:
    """Accept what a custom property may hold, and give it as JSON.

    Date-times are written ``YYYY-MM-DD hh:mm:ss``; one with a time zone is written in UTC
    (the service documents no zone).
    """
    return _json(field, value, _MAX_DEPTH)


def _json(field: str, value: object, depth: int) -> Json:
    if depth == 0:
        raise ValidationError(field, f"at most {_MAX_DEPTH} levels", "a deeper value")
    exact = _exact(value)
    match exact:
        case str():
            return text(field, exact)
        case bool():
            return exact
        case int() | float() | Decimal():
            return number(field, exact)
        case datetime():
            return _without_zone(field, exact).isoformat(" ", "seconds")
        case date():
            return exact.isoformat()
        case Mapping():
            return {
                _key(field, key): _inner(_path(field, key), item, depth - 1)
                for key, item in exact.items()
            }
        case Sequence() if not isinstance(exact, bytes | bytearray | memoryview):
            return [_inner(f"{field}[{i}]", item, depth - 1) for i, item in enumerate(exact)]
        case _:
            raise refuse(field, "text, a number, a date, a list or a JSON object", value)


def _without_zone(field: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        return value
    with suppress(OverflowError):
        return value.astimezone(UTC).replace(tzinfo=None)
    raise refuse(field, "a date-time of the years 1 to 9999 in UTC", value)


def _inner(field: str, value: object, depth: int) -> Json:
    # Inside a JSON object the service only stores: null and empty text mean themselves there.
    if value is None or value == "":
        return value
    return _json(field, value, depth)


def _path(field: str, key: object) -> str:
    # A key of a JSON object may be personal data itself; a plain name is not.
    plain = isinstance(key, str) and key.isidentifier() and key.isascii()
    return f"{field}.{key}" if plain else f"{field}.*"


def _key(field: str, key: object) -> str:
    if not isinstance(key, str):
        raise refuse(field, "a JSON object with str keys", key)
    if not key.isascii():
        _check_encodable(field, key)
    return key
