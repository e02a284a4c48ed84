"""What travels through a sync: records ready to send, and rows that can't be sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeAlias

import attrs

from personaclick_async.codec import Json
from personaclick_async.sync.persons import persons_of


@attrs.frozen(repr=False)
class Record:
    """One user's data, checked and in the wire's form.

    :ivar row: where it stood in its source: 1 is the first row of data (a header is not counted).
    :ivar wire: the fields as the service takes them, flat, custom properties included; the shop's
        own user id is called ``external_id`` here, whatever a route calls it on the wire.
    """

    row: int
    wire: Mapping[str, Json]

    @property
    def persons(self) -> tuple[tuple[str, str], ...]:
        """The user's identifiers, as ``(name, value)``, made anew on each access.

        Two records that share one are about the same person and keep their order.
        """
        return persons_of(self.wire)

    def __repr__(self) -> str:
        return f"<Record of row {self.row}>"


@attrs.frozen(repr=False)
class Rejected:
    """A row that can't be sent, and why; its content stays out of every text but the reject file.

    :ivar row: as in :class:`Record`.
    :ivar field: the field at fault, by the field's name, or the column's where no field is known.
    :ivar rule: what would be accepted.
    :ivar given: the type and size of what stood there.
    :ivar source_row: the row as it was read, by column, so that it can be mended and fed back.
    """

    row: int
    field: str
    rule: str
    given: str
    source_row: Mapping[str, object]

    def __repr__(self) -> str:
        return f"<Rejected row {self.row}: {self.field}: expected {self.rule}, got {self.given}>"


@attrs.frozen(repr=False)
class Refused(Rejected):
    """A record that was fit to be sent, and that its route or the service does not take.

    ``source_row`` holds what was to be sent, in the wire's form: the row as it was read is not
    known any more.
    """

    def __repr__(self) -> str:
        return super().__repr__().replace("Rejected", "Refused", 1)


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
