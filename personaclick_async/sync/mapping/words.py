"""The words of ``words.toml``, as sets, tables and patterns."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any, Final

from personaclick_async.models.update import FIELDS

_WORDS: Final = tomllib.loads(files(__package__).joinpath("words.toml").read_text("utf-8"))
_LETTERS: Final = str.maketrans({"\u0131": "i", "ł": "l", "ø": "o", "đ": "d"})


def simplified(name: str) -> str:
    """Return a column's name without case, accents, spaces and signs: ``E-mail`` is ``email``."""
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_LETTERS)
    return "".join(ch for ch in plain if ch.isalnum())


def narrowed(text: str) -> str:
    """Return a text with ASCII in place of full-width letters, digits and signs, and of a minus."""
    # Raised digits mark footnotes: what has them is not read.
    if text.isascii() or any(unicodedata.category(ch) == "No" for ch in text):
        return text
    return unicodedata.normalize("NFKC", text).replace("\u2212", "-")


ALWAYS_ABSENT: Final[list[str]] = _WORDS["always_absent"]
NO_NAMES: Final = frozenset(_WORDS["no_names"])
ABSENT_IN_SAMPLES: Final = frozenset((*ALWAYS_ABSENT, *_WORDS["absent_in_samples"]))
TOTALS: Final = frozenset(_WORDS["totals"])
NAMES: Final = ("first_name", "last_name", "middle_name")
# Words that any mapping reads as true or false; below, all words.
FLAGS: Final = {
    **dict.fromkeys(_WORDS["true"].split(), True),
    **dict.fromkeys(_WORDS["false"].split(), False),
}
YES: Final = frozenset(f"{_WORDS['true']} {_WORDS['yes']}".split())
NO: Final = frozenset(f"{_WORDS['false']} {_WORDS['no']}".split())

# Pairs of words, the male one first. A word can be in several pairs, of which the first counts.
GENDERS: Final = [tuple(pair.split("/")) for pair in _WORDS["genders"].split()]
# By all letters for genders in a column, sorted: the pair, the male one first.
GENDER_LETTERS: Final[dict[str, str]] = _WORDS["gender_letters"]

DATES: Final[dict[str, Any]] = _WORDS["dates"]

# The names of columns that are no field by themselves, by what they hold; the surest ones first.
COLUMNS: Final = {
    what: tuple(map(simplified, names.split())) for what, names in _WORDS["columns"].items()
}

# The names of columns of each field, its own first.
FIELD_COLUMNS: Final = {
    name: tuple(
        map(simplified, f"{name} {facts.column_names} {_WORDS['fields'].get(name, '')}".split())
    )
    for name, facts in FIELDS.items()
}

KNOWN_COLUMNS: Final = frozenset(chain.from_iterable(FIELD_COLUMNS.values()))
# A column's name stands among its ids where a file has a second line of headers.
NO_IDS: Final = ABSENT_IN_SAMPLES.union(_WORDS["no_ids"].split(), KNOWN_COLUMNS, FIELDS)

TEXTS: Final[dict[str, str]] = _WORDS["texts"]

# The number of a month by its name.
MONTHS: Final = {
    word: number for number, names in enumerate(_WORDS["months"], 1) for word in names.split()
}


@cache
def pattern(what: str) -> re.Pattern[str]:
    """Compile one of the patterns, when it is first needed."""
    return re.compile(_WORDS["patterns"][what], re.VERBOSE)
