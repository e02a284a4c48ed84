"""Phone numbers as people write them, made international where the country is known."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final

from personaclick_async.errors import ConfigurationError
from personaclick_async.models import rules
from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping.words import narrowed, pattern

# In place of a country: numbers are not made international.
_AS_WRITTEN: Final = "none"
_LONGEST: Final = 80
_SHORTEST_WITH_CODE: Final = 11
_ZEROS: Final = "0000000"
# Countries whose national numbers are as long as others with a country's code.
_LONG: Final = ("CN", "BR", "DE")
# The library's names for the kinds of numbers that a country may have.
_KINDS: Final = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number"),
    *("voip", "pager", "uan", "voicemail"),
)
_ONE: Final = "one phone number"
_NEEDS_COUNTRY: Final = (
    "an international number such as +41 44 668 18 00; national ones are read where the mapping"
    ' says the country, such as country = "CH"'
)


@cache
def _library() -> Any:  # noqa: ANN401 - a module without types
    """Return the library that knows the numbers of all countries; None if it is not installed."""
    with suppress(ImportError):
        return import_module("phonenumbers")
    return None


def check_country(country: str) -> None:
    """Make sure that a country's national numbers can be read.

    :raises ConfigurationError: the extra is missing, or there is no such country.
    """
    if country == _AS_WRITTEN:
        return
    if (library := _library()) is None:
        raise ConfigurationError(
            "country: needs another package; pip install 'personaclick-async[phones]'"
        )
    if country not in library.SUPPORTED_REGIONS:
        raise ConfigurationError('country: expected two capital letters such as "CH", or "none"')


def read_phone(
    field: str, text: str, country: str | None, notes: list[str], *, is_plain: bool = False
) -> str:
    """Read a phone number.

    Trunk zeros, ``00``, extensions, dashes and spaces are removed. With a country national
    numbers become international; without one they are refused: in another country the same digits
    are somebody else's number.

    :param country: two letters, ``none`` for numbers as they are written, or None.
    :param notes: what is changed is added to it.
    :param is_plain: the text has nothing but digits, after a + at most.
    """
    digits = text if is_plain else rules.phone(field, _stripped(field, text, notes))
    if country == _AS_WRITTEN:
        return digits
    plus = f"+{digits[2:]}" if digits.startswith("00") else digits
    if (library := _library()) is None:
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", plus):
            raise refuse(field, _NEEDS_COUNTRY, text)
        return plus
    if plus[0] == "+" and _is_valid(plus):
        return plus
    if plus[0] != "+" and country is None:
        if not _has_code(library, digits):
            raise refuse(field, _NEEDS_COUNTRY, text)
        # With and without it, one number would be two people.
        notes.append("made international")
        return f"+{digits}"
    if digits.endswith(_ZEROS):
        raise refuse(field, "a phone number, not a placeholder", text)
    whole = ""
    with suppress(library.NumberParseException):
        found = library.parse(plus, country)
        is_possible = library.ValidationResult.IS_POSSIBLE
        if library.is_possible_number_with_reason(found) == is_possible:
            whole = library.format_number(found, library.PhoneNumberFormat.E164)
    if not whole:
        raise refuse(field, "a phone number as long as those of its country", text)
    if whole != plus:
        notes.append("made international")
    return rules.phone(field, whole)  # a country's numbers may be longer than any that is dialled


def _has_code(library: Any, digits: str) -> bool:  # noqa: ANN401 - a module without types
    """Return whether digits without a + can only be an international number."""
    # 8 495 123-45-67 of Moscow would be a number in Vietnam.
    maybe_trunk = digits[0] == "0" or (digits[0] == "8" and len(digits) == _SHORTEST_WITH_CODE)
    if len(digits) < _SHORTEST_WITH_CODE or maybe_trunk:
        return False
    plus = f"+{digits}"
    try:
        if not _is_valid(plus) and not library.is_valid_number(library.parse(plus)):
            return False
        if digits[0] == "7":  # Russian ones are written so
            return True
        # 150 1234 5678 of China would be a number in Arkansas; so would 0160 … of Germany in
        # Mississippi once a spreadsheet has taken its zero away.
        found = [library.parse(digits, region) for region in _LONG]
    except library.NumberParseException:
        return False
    # Those that begin with their own country's code are what they seem.
    national = [number for number in found if str(number.national_number) == digits]
    return library.PhoneNumberType.MOBILE not in map(library.number_type, national)


def _is_valid(plus: str) -> bool:
    """Return whether an international number is surely valid; False leaves it to the library."""
    numbers = _numbers(plus[1:2]) or _numbers(plus[1:3]) or _numbers(plus[1:4])
    return numbers is not None and numbers.fullmatch(plus) is not None


@cache
def _numbers(code: str) -> re.Pattern[str] | None:
    """Compile the library's valid numbers of a country's code; None if there is no such code.

    The library's own parsing takes twenty times as long.
    """
    library, number = _library(), int(code)
    known = library.PhoneMetadata.metadata_for_region_or_calling_code
    regions = library.COUNTRY_CODE_TO_REGION_CODE.get(number, ())
    numbers = []
    for plan in (plans := [known(number, region) for region in regions]):
        kinds = filter(None, (getattr(plan, kind) for kind in _KINDS))
        of_kinds = [kind.national_number_pattern for kind in kinds if kind.national_number_pattern]
        numbers.append(f"(?={plan.general_desc.national_number_pattern}$)(?:{'|'.join(of_kinds)})")
    if not plans:
        return None
    # A trunk prefix must not follow the code.
    inside = f"(?!{prefix})" if (prefix := plans[0].national_prefix_for_parsing) else ""
    return re.compile(rf"\+{number}{inside}(?:{'|'.join(numbers)})")


def _stripped(field: str, text: str, notes: list[str]) -> str:
    """Return a number without labels, extension and trunk zero, in plain digits and dashes."""
    if len(text) > _LONGEST:
        raise refuse(field, _ONE, text)
    plain = narrowed(text)
    if not plain.isascii():
        dashed = ("-" if unicodedata.category(ch) == "Pd" else ch for ch in plain)
        plain = "".join(str(unicodedata.decimal(ch, ch)) for ch in dashed)
    if plain[0].isalpha():
        plain = pattern("phone_label").sub("", plain, count=1)
    if (found := pattern("with_extension").fullmatch(plain)) is not None:
        plain = found[1]
        notes.append("extension left out")
    plain = pattern("area").sub(r"\1 ", plain, count=1) if "/" in plain else plain
    if plain.count("+") > 1 or pattern("several_phones").fullmatch(plain):
        raise refuse(field, _ONE, text)
    if "(" in plain and plain.lstrip("( ").startswith(("+", "00")):
        plain = re.sub(r"\(\s*0\s*\)", " ", plain, count=1)
    return plain.strip()
