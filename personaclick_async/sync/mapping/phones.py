"""Phone numbers as people write them, made international where the country is known."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.rules import refuse
from personaclick_async.sync.mapping.words import pattern

# The country of numbers that are not to be made international.
_AS_WRITTEN: Final = "none"
_TRUNK: Final = re.compile(r"\(\s*0\s*\)")
# 030/123456 is an area and a number; 044 123 45 67/68 is two numbers.
_AREA: Final = re.compile(
    r"((?:\+|00)[0-9]{1,3}[ (]*[0-9]{1,5}\)?|\(?0[0-9]{1,5}\)?) ?/ ?(?=(?:[^0-9/]*[0-9]){4})"
)
_INTERNATIONAL: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST: Final = 80
_SHORTEST_WITH_CODE: Final = 11
# Whose national numbers are as long as others' with their country's code.
_LONG: Final = ("CN", "BR")
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
def _library() -> Any | None:  # noqa: ANN401 - a module without types
    """Return the library that knows the numbers of all countries, if it is installed."""
    if find_spec("phonenumbers") is None:
        return None
    import phonenumbers  # noqa: PLC0415 - an extra

    return phonenumbers


def check_country(country: str) -> None:
    """Make sure that a country's national numbers can be read.

    :raises ConfigurationError: the extra is missing, or there is no such country.
    """
    if country == _AS_WRITTEN:
        return
    library = _library()
    if library is None:
        raise ConfigurationError(
            "country: needs another package; pip install 'personaclick-async[phones]'"
        )
    if country not in library.SUPPORTED_REGIONS:
        raise ConfigurationError('country: expected two capital letters such as "CH", or "none"')


def read_phone(field: str, text: str, country: str | None, notes: list[str]) -> str:
    """Read a phone number.

    Trunk zeros, ``00``, extensions and the world's dashes and spaces go. With a country national
    numbers become international; without one they are refused, for the same digits are somebody
    else's number in another country.

    :param country: two letters, ``none`` for numbers as they are written, or None.
    :param notes: takes what is changed.
    """
    digits = rules.phone(field, _without_additions(field, text, notes))
    try:
        return read_plain_phone(field, digits, country, notes)
    except ValidationError as error:
        raise refuse(field, error.rule, text) from None


def read_plain_phone(field: str, digits: str, country: str | None, notes: list[str]) -> str:
    """Read a phone number of digits and a leading + at most; see :func:`read_phone`."""
    if country == _AS_WRITTEN:
        return digits
    plus = f"+{digits[2:]}" if digits.startswith("00") else digits
    library = _library()
    if library is None:
        if not _INTERNATIONAL.fullmatch(plus):
            raise refuse(field, _NEEDS_COUNTRY, digits)
        return plus
    if plus[0] == "+" and (plan := _plan_of(plus)) is not None and plan.possible.fullmatch(plus):
        return plus
    if country is None and plus[0] != "+":
        if not _has_code(library, digits):
            raise refuse(field, _NEEDS_COUNTRY, digits)
        # With and without it, one number would be two people.
        notes.append("made international")
        return f"+{digits}"
    whole = ""
    with suppress(library.NumberParseException):
        found = library.parse(plus, country)
        is_possible = library.ValidationResult.IS_POSSIBLE
        if library.is_possible_number_with_reason(found) == is_possible:
            whole = library.format_number(found, library.PhoneNumberFormat.E164)
    if not whole:
        raise refuse(field, "a phone number as long as those of its country", digits)
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
        plan = _plan_of(plus)
        if plan is not None and plan.possible.fullmatch(plus):
            is_valid = plan.valid.fullmatch(plus) is not None
        else:
            is_valid = library.is_valid_number(library.parse(plus))
        if not is_valid or digits[0] == "7":  # Russian ones are written so
            return is_valid
        # 150 1234 5678 of China would be a number in Arkansas.
        types = [library.number_type(library.parse(digits, region)) for region in _LONG]
    except library.NumberParseException:
        return False
    return library.PhoneNumberType.MOBILE not in types


class _Plan(NamedTuple):
    """What the international numbers of a country look like, as its library has it.

    The library's own parsing takes twenty times as long, and is left with all other numbers.
    """

    possible: re.Pattern[str]  # as long as they may be, without what is dialled inside the country
    valid: re.Pattern[str]  # those that can belong to somebody


def _plan_of(plus: str) -> _Plan | None:
    """Return the plan that a number with a + keeps."""
    return _plan(plus[1:2]) or _plan(plus[1:3]) or _plan(plus[1:4])


@cache
def _plan(code: str) -> _Plan | None:
    library = _library()
    regions = library and library.COUNTRY_CODE_TO_REGION_CODE.get(int(code))
    if library is None or not regions:
        return None
    known = library.PhoneMetadata.metadata_for_region_or_calling_code
    plans = [known(int(code), region) for region in regions]
    prefix = plans[0].national_prefix_for_parsing
    lengths = "|".join(f"[0-9]{{{n}}}" for n in plans[0].general_desc.possible_length)
    numbers = []
    for plan in plans:
        kinds = filter(None, (getattr(plan, kind) for kind in _KINDS))
        of_kinds = [kind.national_number_pattern for kind in kinds if kind.national_number_pattern]
        numbers.append(f"(?={plan.general_desc.national_number_pattern}$)(?:{'|'.join(of_kinds)})")
    return _Plan(
        re.compile(rf"\+{code}{f'(?!{prefix})' if prefix else ''}(?:{lengths})"),
        re.compile(rf"\+{code}(?:{'|'.join(numbers)})"),
    )


def _without_additions(field: str, text: str, notes: list[str]) -> str:
    """Return a number without labels, extension and trunk zero, in plain digits and dashes."""
    if len(text) > _LONGEST:
        raise refuse(field, _ONE, text)
    plain = unicodedata.normalize("NFKC", text)
    if not plain.isascii():
        plain = plain.replace("\u2212", "-")  # a minus sign
        dashed = ("-" if unicodedata.category(ch) == "Pd" else ch for ch in plain)
        plain = "".join(str(unicodedata.decimal(ch, ch)) for ch in dashed)
    plain = pattern("phone_label").sub("", plain, count=1) if plain[0].isalpha() else plain
    if (found := pattern("with_extension").fullmatch(plain)) is not None:
        plain = found[1]
        notes.append("extension left out")
    plain = _AREA.sub(r"\1 ", plain, count=1)
    if plain.count("+") > 1 or pattern("several_phones").fullmatch(plain):
        raise refuse(field, _ONE, text)
    if _TRUNK.search(plain) and plain.lstrip("( ").startswith(("+", "00")):
        plain = _TRUNK.sub(" ", plain, count=1)
    return plain.strip()
