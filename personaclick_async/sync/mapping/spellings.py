"""How columns are called in the world, and which field that means."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from personaclick_async.models.update import RESERVED_NAMES

PLACES: Final = (
    ("city", "town", "город"),
    ("state", "stateprovince", "province", "region", "регион"),
    ("country", "countryregion", "countryname", "страна"),
)
"""The names of columns that make a location together, from the smallest place to the largest."""

_WORD_ENDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_NAME: Final = re.compile(r"[^a-z0-9]+")


def same(name: str) -> str:
    """Write a name so that its spellings agree: ``E-mail address`` is ``EmailAddress``."""
    return "".join(ch for ch in unicodedata.normalize("NFKC", name).casefold() if ch.isalnum())


def property_name(column: str, number: int) -> str:
    """Make the name of a custom property of a column's name: ``AnnualIncome``, annual_income.

    :param number: the column's number, for one whose name has no Latin letter.
    """
    latin = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    name = _NOT_A_NAME.sub("_", _WORD_ENDS.sub("_", latin).lower()).strip("_")
    if not name or name.isdigit():
        name = f"column_{number}"
    return f"{name}_property" if name in RESERVED_NAMES else name
