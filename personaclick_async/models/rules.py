"""The rules for what a caller may send: one function per kind of value.

Each rule takes the field's name and a value, and returns the value in the wire's form (but for
:func:`day`). Errors name the field, the rule, and the type and size of the value, never the value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError

T = TypeVar("T")
Rule: TypeAlias = Callable[[str, object], T]
Number: TypeAlias = int | float

CustomValue: TypeAlias = (
    str | int | float | Decimal | date | Enum | Sequence[Json] | Mapping[str, Json]
)
"""What a custom property may be: text, number, boolean, date, date-time, list or JSON object.

A member of an enumeration stands for its value.
"""

# Letters, digits and hyphens of any script, by what they are not: re compiles that ten times as
# fast. No quantifier gives back what it took.
_LABEL: Final = r"(?!-)[^\x00-,./:-@\[-`{-\x7f]{1,63}+(?<!-)"
_LAST_LABEL: Final = rf"(?:[Xx][Nn]--{_LABEL}|(?!-)[^\x00-,.-@\[-`{{-\x7f]{{1,63}}+(?<!-))"
_ATOM: Final = r'[^\x00- "(),.:;<>@\[\\\]\x7f]++'
# Dots between atoms only; no quoted local parts, comments, address literals or dotless domains;
# no digit in the last label. A quote or = in front is left over from a spreadsheet.
_EMAIL: Final = re.compile(rf"(?!['=])({_ATOM}(?:\.{_ATOM})*+)@((?:{_LABEL}\.)++{_LAST_LABEL})")
_EMAIL_MAX_CHARACTERS: Final = 254
_LOCAL_MAX_CHARACTERS: Final = 64
_PHONE: Final = re.compile(r"\+?[0-9]{5,15}")
# Nothing to take away, and no placeholder such as 0000000: what nearly all numbers are.
is_plain_phone: Final = re.compile(r"\+?([0-9])(?!\1+$)[0-9]{4,14}").fullmatch
_PHONE_MAX_CHARACTERS: Final = 40
_PHONE_SEPARATORS: Final = str.maketrans("", "", " \u00a0().-")
_DAY: Final = r"(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH: Final = r"(?:0?[1-9]|1[0-2])"
_YEAR: Final = r"(?:19|20)[0-9]{2}"
_BYTE: Final = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
# Dates, IP addresses, and a trunk zero, +49 (0)30, which is not dialled after the country's code.
_NO_PHONE: Final = re.compile(
    rf"{_YEAR}[-. ]{_MONTH}[-. ]{_DAY}"
    rf"|(?:{_DAY}[-. ]{_MONTH}|{_MONTH}[-. ]{_DAY})(?:[-. ]{_YEAR}|[-.][0-9]{{2}})"
    rf"|{_BYTE}(?:\.{_BYTE}){{3}}|.+\(0\).*"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GENDERS: Final = {"m": "m", "f": "f", "male": "m", "female": "f"}
_INT64: Final = range(-(2**63), 2**63)
_INT64_DIGITS: Final = 19
_MAX_DEPTH: Final = 32
_OLDEST_YEARS: Final = 120
_EASTERNMOST: Final = timezone(timedelta(hours=14))
_REPLACEMENT: Final = "\ufffd"
_NUMPY_SCALARS: Final = "biufU"


def given(value: object) -> str:
    """Describe a value without showing it: its type, and its size where it has one."""
    kind = type(value).__name__
    match value:
        case str() if not value:
            return "an empty str"
        case str():
            noun = "character"
        case bytes() | bytearray():
            noun = "byte"
        case list() | tuple() | dict() | set() | frozenset():
            noun = "item"
        case _:
            return kind
    return f"{kind} of {len(value)} {noun}{'' if len(value) == 1 else 's'}"


def refuse(field: str, rule: str, value: object) -> ValidationError:
    """Return the error of a value that breaks a rule."""
    return ValidationError(field, rule, given(value))


def _exact(value: object) -> object:
    """Return the value of an enum member, and the plain form of subclasses and numpy scalars."""
    if type(value) is str:
        return value
    if isinstance(value, Enum):
        value = value.value
    if type(value).__module__ == "numpy" and not getattr(value, "shape", True):
        kind = getattr(getattr(value, "dtype", None), "kind", "")
        value = value.item() if kind in _NUMPY_SCALARS else value  # type: ignore[attr-defined]
    if isinstance(value, str):
        return str.__str__(value)  # str() of a subclass may be anything
    return value if isinstance(value, bool) or not isinstance(value, int) else int(value)


def text(field: str, value: object) -> str:
    """Accept a ``str`` that is not empty."""
    # To empty ones the service answers 422 in several places (protocol, section 12).
    exact = _exact(value)
    if not isinstance(exact, str) or not exact:
        raise refuse(field, "a non-empty str", value)
    _check_encodable(field, exact)
    return exact


def _check_encodable(field: str, value: str) -> None:
    if value.isascii():
        return
    with suppress(UnicodeEncodeError):
        value.encode()
        return
    # Outside the handler, here as elsewhere: Python's own error holds the text, and would stay
    # reachable from ours.
    raise ValidationError(
        field, "text that UTF-8 can carry", f"{given(value)} with a lone surrogate"
    )


def user_id(field: str, value: object) -> str | int:
    """Accept the shop's own user id: an ``int``, or a ``str`` that is not blank."""
    exact = _exact(value)
    if isinstance(exact, str) and (bare := exact.strip()):
        _check_visible(field, exact)
        if exact != bare:
            raise refuse(field, "an identifier without white space around it", value)
        return exact
    if isinstance(exact, int) and not isinstance(exact, bool):
        return _int64(field, exact)
    raise refuse(field, "a non-blank str or an int", value)


def identifier(field: str, value: object) -> str:
    """Accept a ``str`` that is not blank or an ``int``, as text."""
    if type(value) is str and value.isalnum():  # as nearly all are: each call has one
        return value
    return str(user_id(field, value))


def _check_visible(field: str, value: str) -> None:
    """Refuse what nobody sees: with it, an identifier is another person's."""
    if not value.isprintable() or _REPLACEMENT in value:
        _check_encodable(field, value)
        raise refuse(field, "text without control, invisible or replacement characters", value)


def email(field: str, value: object) -> str:
    """Accept an address with one @ and a dotted domain, in letters of any script."""
    exact = _exact(value)
    if not isinstance(exact, str):
        raise refuse(field, "an e-mail address as str", value)
    if len(exact) > _EMAIL_MAX_CHARACTERS:
        raise refuse(field, f"an e-mail address of at most {_EMAIL_MAX_CHARACTERS} letters", value)
    is_worded = exact.isascii()
    if not is_worded:
        _check_visible(field, exact)
        local, _, domain = unicodedata.normalize("NFC", exact).rpartition("@")
        exact = f"{local}@{unicodedata.normalize('NFKC', domain)}"
        # All that is not ASCII are letters, their marks, and digits.
        is_worded = all(ch.isascii() or unicodedata.category(ch)[0] in "LMN" for ch in exact)
    found = _EMAIL.fullmatch(exact)
    if found is None or found.end(1) > _LOCAL_MAX_CHARACTERS or not is_worded:
        raise refuse(field, "an e-mail address such as name@shop.example", value)
    return f"{found[1]}@{found[2].lower()}"  # ada@Shop.example is nobody else


def phone(field: str, value: object) -> str:
    """Accept 5 to 15 digits and a leading +; spaces, dots, dashes and brackets are removed."""
    exact = _exact(value)
    if not isinstance(exact, str):
        raise refuse(field, "a phone number as str", value)
    if is_plain_phone(exact):
        return exact
    is_short = len(exact) <= _PHONE_MAX_CHARACTERS
    digits = exact.translate(_PHONE_SEPARATORS) if is_short else ""
    if not _PHONE.fullmatch(digits):
        raise refuse(field, "a phone number of 5 to 15 digits, with or without a leading +", value)
    if not is_plain_phone(digits) or _NO_PHONE.fullmatch(exact.strip()):
        rule = "a phone number, not a date, an IP address, a placeholder or one with (0)"
        raise refuse(field, rule, value)
    return digits


def gender(field: str, value: object) -> str:
    """Accept :class:`~personaclick_async.Gender`, ``m`` or ``f``, ``male`` or ``female``."""
    exact = _exact(value)
    found = _GENDERS.get(exact) if isinstance(exact, str) else None
    if found is None:
        raise refuse(field, "a Gender, 'm' or 'f'", value)
    return found


def day(field: str, value: object) -> date:
    """Accept a date, or ``YYYY-MM-DD`` that is in the calendar."""
    rule = "a date or YYYY-MM-DD"
    if isinstance(value, str):
        if _DATE.fullmatch(value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                rule = "a day of the calendar as YYYY-MM-DD"
    elif isinstance(value, date) and value == value:  # noqa: PLR0124 - NaT is not
        return value.date() if isinstance(value, datetime) else value
    raise refuse(field, rule, value)


def birthday(field: str, value: object) -> str:
    """Accept a :class:`datetime.date`, or ``YYYY-MM-DD``, of the last 120 years."""
    found = day(field, value)
    # Where the day begins first, a child may have been born on it.
    today = datetime.now(_EASTERNMOST)
    years = today.year - found.year
    if not 0 < years <= _OLDEST_YEARS:  # else the day of the year makes no difference
        years -= (today.month, today.day) < (found.month, found.day)
        if not 0 <= years <= _OLDEST_YEARS:
            rule = "a day of the last 120 years"
            raise ValidationError(field, rule, "one in the future or older")
    return value if type(value) is str else found.isoformat()


def boolean(field: str, value: object) -> bool:
    """Accept ``True`` or ``False``."""
    exact = _exact(value)
    if not isinstance(exact, bool):
        raise refuse(field, "a bool", value)
    return exact


def _int64(field: str, value: int) -> int:
    if value not in _INT64:
        raise ValidationError(field, "an int of at most 64 bits", "a larger int")
    return value


def number(field: str, value: object) -> Number:
    """Accept an int, a finite float, or a finite Decimal."""
    exact = _exact(value)
    if isinstance(exact, int) and not isinstance(exact, bool):
        return _int64(field, exact)
    if isinstance(exact, Decimal) and exact.is_finite():
        if exact and exact.adjusted() >= _INT64_DIGITS:
            # Its exponent may be anything: int() of a short Decimal can fill the memory.
            raise ValidationError(field, "a number of at most 64 bits", "a larger Decimal")
        whole = int(exact) if exact else 0
        return _int64(field, whole) if exact == whole else float(exact)
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
            isinstance(value, str | bytes | Mapping)
            or not isinstance(value, Iterable)
            or not getattr(value, "shape", True)  # numpy's, of no dimension
        ):
            raise refuse(field, "a list", value)
        return [rule(f"{field}[{index}]", item) for index, item in enumerate(value)]

    return items


def custom_value(field: str, value: object, *, depth: int = _MAX_DEPTH) -> Json:
    """Accept what a custom property may hold, and return it as JSON."""
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
        case datetime() if exact == exact:  # noqa: PLR0124 - the NaT of pandas is not
            return _without_zone(field, exact).isoformat(" ", "seconds")
        case date() if not isinstance(exact, datetime):
            return exact.isoformat()
        case Mapping():
            return dict(_items(field, exact, depth - 1))
        case Sequence() if not isinstance(exact, bytes | bytearray | memoryview):
            return [_inner(f"{field}[{i}]", item, depth - 1) for i, item in enumerate(exact)]
        case _:
            raise refuse(field, "text, a number, a date, a list or a JSON object", value)


def _without_zone(field: str, value: datetime) -> datetime:
    # The service documents no zone, so one that is known is taken off: in UTC.
    if value.tzinfo is None:
        return value
    with suppress(OverflowError):
        return value.astimezone(UTC).replace(tzinfo=None)
    raise refuse(field, "a date-time of the years 1 to 9999 in UTC", value)


def _inner(field: str, value: object, depth: int) -> Json:
    # Inside a JSON object the service only stores: null and empty text mean themselves there.
    if value is None or (isinstance(value, str) and not value):
        return value
    return custom_value(field, value, depth=depth)


def _items(field: str, value: Mapping[Any, object], depth: int) -> Iterator[tuple[str, Json]]:
    for key, item in value.items():
        if not isinstance(key, str):
            raise refuse(field, "a JSON object with str keys", key)
        _check_encodable(field, key)
        # A key of a JSON object may be personal data itself; a plain name is not.
        plain = key.isidentifier() and key.isascii()
        yield key, _inner(f"{field}.{key}" if plain else f"{field}.*", item, depth)
