"""What the sources of this package have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol, TypeAlias, TypeVar

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Outcome, Rejected, Source

T = TypeVar("T")

SENT: Final = "_sent"
"""The column of a reject file with a row's fields as JSON, where no more is known of it."""

BOOKKEEPING: Final = ("_row", "_field", "_reason", SENT)
"""The columns that a reject file has before the source's own; sources pass over them."""

ROW: Final = "row"
"""The field of a Rejected whose row could not be told apart into columns."""

# Part of every fingerprint: to be raised when the same bytes come to be read differently.
_READING: Final = "sources 1"

Numbered: TypeAlias = Generator[Outcome, None, int]
"""Outcomes; in the end, the number of the last row of the source, skipped ones included."""


@attrs.frozen(repr=False)
class Sample:
    """The first rows of a source as they stand there, to propose a mapping from."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class TableSource(Source, Protocol):
    """A source whose rows can be numbered on from those of another, and looked at."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns' names; None where each row has its own."""

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""

    def sample(self, limit: int = 100) -> Sample:
        """Give the first rows, unmapped."""


def fingerprint(
    kind: str, content: str | None, mapping: FieldMapping | None, options: Mapping[str, Json]
) -> str | None:
    """Hash what is read and how it is read; None if the content can't be known."""
    if content is None:
        return None
    of_mapping = "by name" if mapping is None else mapping.fingerprint
    whole = [_READING, kind, content, of_mapping, sorted(options.items())]
    return hashlib.sha256(codec.encode(whole)).hexdigest()


def sample_of(records: Sequence[Mapping[str, object]]) -> Sample:
    """Make a sample of mappings; the columns are all their keys."""
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    return Sample(columns, [[record.get(column) for column in columns] for record in records])


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Give names of which no two are the same: ``Name``, ``Name (2)``."""
    taken: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for name in names:
        # From where the last one of this name left off: a header may be a thousand commas.
        unused, number = name, numbers.get(name, 1)
        while unused in taken:
            number += 1
            unused = f"{name} ({number})"
        numbers[name] = number
        taken[unused] = None
    return tuple(taken)


def in_batches(rows: Iterator[T], most: int) -> Iterator[list[T]]:
    """Cut rows into lists of ``most``; where reading fails, what came before is given first."""
    failure: Exception | None = None
    whole = True
    while whole:
        batch: list[T] = []
        try:
            # Row by row: of a list that is made at once nothing is left when reading fails.
            for row in islice(rows, most):
                batch.append(row)  # noqa: PERF402
        except Exception as error:  # noqa: BLE001 - it is raised below
            failure = error
        whole = len(batch) == most
        if batch:
            yield batch
    if failure is not None:
        raise failure


def by_column(columns: Sequence[str], values: Sequence[object]) -> dict[str, object]:
    """Give a row by column; what goes beyond the columns is called ``+1``, ``+2``."""
    surplus = [f"+{number}" for number in range(1, len(values) - len(columns) + 1)]
    return dict(zip((*columns, *surplus), values, strict=False))


def malformed(
    row: int, rule: str, given: str, columns: Sequence[str], values: Sequence[object]
) -> Rejected:
    """Reject a row that does not have the source's columns."""
    return Rejected(row, ROW, rule, given, by_column(columns, values))
