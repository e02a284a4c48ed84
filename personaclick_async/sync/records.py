"""Records: what counts as one, whose it is, and which route it can take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models import rules
from personaclick_async.models.update import ProfileUpdate, to_wire
from personaclick_async.names import EMAIL, EXTERNAL_ID, IDENTIFIERS, LOYALTY_ID, PHONE

BULK_FROM: Final = 10_000
"""From this many records on, ``auto`` means bulk if they can all go there."""


class Choice(StrEnum):
    """An option that is one of a few words."""

    @classmethod
    def _missing_(cls, _: object) -> None:
        raise ConfigurationError(f"{cls.__name__.lower()}: expected one of {', '.join(cls)}")


class Route(Choice):
    """How records travel."""

    AUTO = "auto"
    """Bulk for at least 10,000 records of which the first 10,000 can all go there, else per
    profile. The choice is made once per sync and kept when it is resumed."""
    BULK = "bulk"
    """``import/audience``, many records in a request: fast, but an answer only means *queued*,
    and a field can't be cleared (what null does there is not documented; protocol, 2.9)."""
    PER_PROFILE = "per-profile"
    """``profile/set``, one record in a request, many requests at once: an answer means *done*."""


# The service ignores entries with none of these, and reports it nowhere (protocol, 2.9).
_IDENTIFIERS_IN_BULK: Final = (EMAIL, PHONE, LOYALTY_ID, EXTERNAL_ID)


@attrs.frozen
class Fault:
    """What is wrong with one value of a row, without the value."""

    field: str  # the field's name, or the column's where no field is known
    rule: str  # what would be accepted
    given: str  # the type and size of what stood there

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
    """A row with something wrong; its content stays out of every text but the reject file."""

    row: int  # as in :class:`Record`
    faults: tuple[Fault, ...]  # all that is wrong with it; at least one
    source_row: Mapping[str, object]  # as it was read, by column, to be corrected and resubmitted

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


class Omitted(FaultyRow):
    """The values that a record is sent without, because their fields can't take them."""


class Rejected(FaultyRow):
    """A row that can't be sent."""


class Refused(Rejected):
    """A record that its route or the service does not take; ``source_row`` is what was sent."""


@attrs.define(repr=False)  # not frozen, which doubles the time that it takes to make one
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
        """As ``(name, value)``; records that share one are about the same user."""
        return identifiers_of(self.wire)

    def __repr__(self) -> str:
        return f"<Record of row {self.row}>"


Outcome: TypeAlias = Record | Rejected

Item: TypeAlias = ProfileUpdate | Mapping[str, object] | Record | Rejected
"""What an iterable may yield: an update, a flat mapping of its fields, or an outcome."""


class Source(Protocol):
    """Where records come from: a file, a query, an iterable. Read in a thread, so it may block.

    Every reading starts from the beginning.
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


def outcome_of(item: Item, row: int) -> Outcome:
    """Make a record of an item, or its rejection; ``row`` is for items without a number."""
    match item:
        case Rejected():
            return item
        case Record():
            record = item
        case ProfileUpdate():
            record = Record(row, to_wire(item, user_id_name=EXTERNAL_ID))
        case dict() | Mapping():  # dict first: checking for it is several times as fast
            try:
                update = ProfileUpdate.from_flat(item)
            except ValidationError as error:
                return Rejected(row, (Fault.of(error),), item)
            except TypeError:
                fault = Fault("record", "a mapping with str keys", "other keys")
                return Rejected(row, (fault,), {})
            record = Record(row, to_wire(update, user_id_name=EXTERNAL_ID))
        case _:
            rule = "a ProfileUpdate, a mapping or a Record"
            return Rejected(row, (Fault("record", rule, rules.given(item)),), {})
    if has_identifier(record.wire):
        return record
    fault = NO_IDENTIFIER if record.wire else Fault("record", "at least one field", "none")
    return Rejected(record.row, (fault,), item if isinstance(item, Mapping) else dict(record.wire))


def identifiers_of(wire: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """Return a record's identifiers, normalized so that spellings of the same one are equal."""
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


def choose_route(first: Sequence[Outcome]) -> Route:
    """Choose the route by a source's first ``BULK_FROM`` rows, or all if it has fewer."""
    if len(first) < BULK_FROM:
        return Route.PER_PROFILE
    fit = all(isinstance(one, Rejected) or _unfit(one.wire, Route.BULK) is None for one in first)
    return Route.BULK if fit else Route.PER_PROFILE


Admitted: TypeAlias = tuple[Outcome, bytes]
"""A row admitted to a route, and its record as JSON: empty if it is rejected."""


def admitted(outcome: Outcome, route: Route, largest: int) -> Admitted:
    """Return the record and its JSON if it can take the route, else its rejection."""
    if not isinstance(outcome, Record):
        return outcome, b""
    wire = outcome.wire
    try:
        content = codec.encode(wire)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return rejected(outcome, Fault("record", "values that JSON knows", "others")), b""
    fault, needed = None, _IDENTIFIERS_IN_BULK if route is Route.BULK else IDENTIFIERS
    if len(content) > largest:
        fault = Fault("record", f"at most {largest} bytes in all", f"{len(content)} bytes")
    # Searching the bytes is faster than checking each field for None.
    elif b"null" in content or not has_identifier(wire, needed):
        fault = _unfit(wire, route)
    return (outcome, content) if fault is None else (rejected(outcome, fault), b"")


def rejected(record: Record, fault: Fault) -> Refused:
    """Reject a record that can't take its route."""
    return Refused(record.row, (fault,), dict(record.wire))


def _unfit(wire: Mapping[str, Json], route: Route) -> Fault | None:
    if not has_identifier(wire):
        return NO_IDENTIFIER
    if route is Route.BULK:
        for field, value in wire.items():
            if value is None:
                return Fault(field, "a value, or the field left out, on the bulk route", "CLEAR")
        if not has_identifier(wire, _IDENTIFIERS_IN_BULK):
            rule = f"at least one of {', '.join(_IDENTIFIERS_IN_BULK)}"
            return Fault("user", rule, "none of them")
    return None
