"""What travels through a sync: records ready to send, and rows that can't be sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ValidationError
from personaclick_async.names import IDENTIFIERS


@attrs.frozen
class Fault:
    """What is wrong with one value of a row, without the value.

    :ivar field: the field's name, or the column's where no field is known.
    :ivar rule: what would be accepted.
    :ivar given: the type and size of what stood there.
    """

    field: str
    rule: str
    given: str

    @classmethod
    def of(cls, error: ValidationError) -> Fault:
        """Return what an error says."""
        return cls(error.field, error.rule, error.given)

    def __str__(self) -> str:
        return f"{self.field}: expected {self.rule}, got {self.given}"


NO_IDENTIFIER: Final = Fault("user", f"at least one of {', '.join(IDENTIFIERS)}", "none of them")
"""The fault of a row that names no user."""


@attrs.frozen(repr=False)
class FaultyRow:
    """A row with something wrong; its content stays out of every text but the reject file.

    :ivar row: as in :class:`Record`.
    :ivar faults: all that is wrong with it; at least one.
    :ivar source_row: the row as it was read, by column, so that it can be corrected and
        resubmitted.
    """

    row: int
    faults: tuple[Fault, ...]
    source_row: Mapping[str, object]

    @property
    def field(self) -> str:
        """The field of the first fault."""
        return self.faults[0].field

    @property
    def rule(self) -> str:
        """What would be accepted there."""
        return self.faults[0].rule

    @property
    def given(self) -> str:
        """The type and size of what stood there."""
        return self.faults[0].given

    def __repr__(self) -> str:
        return f"<{type(self).__name__} row {self.row}: {'; '.join(map(str, self.faults))}>"


class Rejected(FaultyRow):
    """A row that can't be sent."""

    __slots__ = ()


class Refused(Rejected):
    """A record that was fit to be sent, and that its route or the service does not take.

    ``source_row`` holds what was to be sent, in the wire's form: the row as it was read is not
    known any more.
    """

    __slots__ = ()


class Omitted(FaultyRow):
    """The values that a record is sent without, because their fields can't take them."""

    __slots__ = ()


@attrs.frozen(repr=False)
class Record:
    """One user's data, checked and in the wire's form.

    :ivar row: where it stood in its source: 1 is the first row of data (a header is not counted).
    :ivar wire: the fields as the service takes them, flat, custom properties included; the shop's
        own user id is called ``external_id`` here, whatever a route calls it on the wire.
    :ivar omitted: the values that the row had and the record has not; None if it has them all.
    """

    row: int
    wire: Mapping[str, Json]
    omitted: Omitted | None = None

    @property
    def identifiers(self) -> tuple[tuple[str, str], ...]:
        """The user's identifiers, as ``(name, value)``, made anew on each access.

        Two records that share one are about the same user and keep their order.
        """
        return identifiers_of(self.wire)

    def __repr__(self) -> str:
        return f"<Record of row {self.row}>"


Outcome: TypeAlias = Record | Rejected


class Source(Protocol):
    """Where records come from: a file, a query, an iterable. Reads again from the start each time.

    Blocking: the engine reads it in a thread, a slice at a time.
    """

    @property
    def name(self) -> str:
        """A name for progress and reports, without personal data."""

    @property
    def fingerprint(self) -> str | None:
        """Changes when the content or the way it is read changes; None if that can't be known.

        A sync without a fingerprint can't be resumed.
        """

    @property
    def size_hint(self) -> int | None:
        """How many rows there are, roughly, where that can be told without reading them all."""

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``, in order, each checked and mapped."""


def identifiers_of(wire: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """Return a record's identifiers, written so that spellings of one user's agree."""
    return tuple(
        [
            (name, str(value).casefold().removeprefix("+"))
            for name in IDENTIFIERS
            if (value := wire.get(name)) is not None
        ]
    )


def has_identifier(wire: Mapping[str, Json], among: Sequence[str] = IDENTIFIERS) -> bool:
    """Return whether a record names its user, by one of these identifiers."""
    for name in among:  # noqa: SIM110 - any() would take three times as long
        if wire.get(name) is not None:
            return True
    return False
