"""Where one field's value comes from, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from personaclick_async.codec import Json
from personaclick_async.sync.mapping.kinds import Case, Kind

EMPTY: Final = frozenset({""})


@attrs.frozen(kw_only=True)
class Origin:
    """A field's columns, or its constant, and the way from there to the field.

    In this order: columns are joined, white space around the text goes, absent markers count as
    nothing, whole texts are replaced by ``values``, letters change case, lists are split, and what
    is left is read as its ``kind``.

    :ivar kind: what the field holds.
    :ivar columns: the columns' names; none for a constant.
    :ivar join: what goes between the texts of several columns.
    :ivar value: the constant, where there are no columns.
    :ivar strip: whether white space around a text goes.
    :ivar absent: texts that say nothing; the empty one is always among them.
    :ivar values: what certain texts stand for.
    :ivar case: how letters are changed.
    :ivar split: what separates the items of a list.
    :ivar formats: how dates are written; ISO 8601 if there are none.
    :ivar decimal: what stands before the decimals of a number.
    """

    kind: Kind
    columns: tuple[str, ...] = ()
    join: str = " "
    value: Json = None
    strip: bool = True
    absent: frozenset[str] = EMPTY
    values: Mapping[str, Json] = attrs.field(factory=dict, hash=False)
    case: Case | None = None
    split: str | None = None
    formats: tuple[str, ...] = ()
    decimal: str = "."
