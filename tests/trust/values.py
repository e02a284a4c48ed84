"""Strategies for what nobody would send, and somebody does."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from hypothesis import strategies as st

from personaclick_async.models.update import RESERVED_NAMES
from personaclick_async.names import Gender


class Tier(str, Enum):  # noqa: UP042 - str() of a StrEnum would be its value
    """As an application has them: a text that is more than a text."""

    GOLD = "gold"


FIRST: Final = datetime(1, 1, 1)  # noqa: DTZ001 - one without a zone is what is meant

TEXT: Final = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Co", "Zs", "Ll"]), max_size=5),
    st.sampled_from(
        ["", " ", "\0", "\ud800", "\udfff\ud800", "\u202e", "İ", "ς", "\ufeff", "null"]
    ),
    st.sampled_from(["a@b.example", "2001-02-03", "+7 (999) 000-11-22", "m", "9" * 5000, "1e400"]),
)

NUMBERS: Final = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([2**63, -(2**63), 2**64, 10**400, -0.0, math.nan, math.inf, 5e-324]),
)

JSON: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value, and what only looks like one: NaN, lone surrogates, numbers too large."""

ANYTHING: Final[st.SearchStrategy[Any]] = st.one_of(
    JSON,
    st.binary(max_size=8),
    st.decimals() | st.sampled_from([Decimal("1e999999"), Decimal("sNaN"), Decimal("-0")]),
    st.dates() | st.sampled_from([date.min, date.max, FIRST, FIRST.replace(year=9999)]),
    st.datetimes(timezones=st.just(UTC) | st.none()),
    st.sampled_from([Tier.GOLD, Gender.MALE, Ellipsis, object, {1, 2}, {1: 2}, range(3), ()]),
    st.dictionaries(st.one_of(TEXT, st.integers(), st.none(), st.tuples()), TEXT, max_size=3),
)
"""Any value that a Python program may pass by mistake."""

FIELD_NAMES: Final = st.one_of(
    st.sampled_from(sorted(RESERVED_NAMES)),
    st.sampled_from(["tier", "_", "a" * 300, "a b", "custom", "fields", "self", "cls", "__init__"]),
    TEXT,
)
