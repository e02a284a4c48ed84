"""Anything that can be iterated as a source: lists, generators, what another library reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import attrs

from personaclick_async.models import rules
from personaclick_async.sync.admission import Item
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Fault, Outcome, Record, Rejected
from personaclick_async.sync.sources.base import (
    Numbered,
    NumberedSource,
    Sample,
    SourceFailed,
    fingerprint,
    outcome_of_item,
)


class IterableSource(NumberedSource):
    """Records from an iterable of updates, of flat mappings, or of mappings with a mapping.

    An item that is a record with a number keeps it, and those after it are numbered on from there.

    :param items: what to send. An iterator, such as a generator, can be read once.
    :param mapping: which key becomes which field; all items must be mappings then.
    :param name: what reports call it.
    :param version: what the caller vouches for: the same items in the same order for the same
        version. Without one a sync of them can't be resumed.
    """

    columns = None

    def __init__(
        self,
        items: Iterable[Item],
        mapping: FieldMapping | None = None,
        *,
        name: str = "records",
        version: str | None = None,
    ) -> None:
        self.name = name
        self._items = items
        self._mapping = mapping
        self._version = version
        self._used_up = False

    @property
    def fingerprint(self) -> str | None:
        """A hash of the version and the mapping; None without a version."""
        return fingerprint("iterable", self._version, self._mapping, {"name": self.name})

    @property
    def size_hint(self) -> int | None:
        """The number of items, where the iterable knows it."""
        try:
            return len(self._items)  # type: ignore[arg-type]  # that it may have none is the point
        except TypeError:
            return None

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the items after ``after_row``, numbered from ``before`` + 1."""
        to_outcome = outcome_of_record(self._mapping)
        row = before
        for item in self._begin():
            row = item.row if isinstance(item, Record | Rejected) else row + 1
            if row - before > after_row:
                yield to_outcome(row, item)
        return row - before

    def sample(self, limit: int = 100) -> Sample:
        """Return the first mappings; the columns are all their keys."""
        first = islice(self._begin(), limit)
        return Sample.of([dict(item) for item in first if isinstance(item, Mapping)])

    def _begin(self) -> Iterator[Item]:
        iterator = iter(self._items)
        if iterator is self._items:
            if self._used_up:
                raise SourceFailed(f"{self.name}: an iterator can be read only once")
            self._used_up = True
        return iterator


def outcome_of_record(mapping: FieldMapping | None) -> Callable[[int, Item], Outcome]:
    """Return what turns an item into an outcome; with a mapping, all must be mappings."""
    if mapping is None:
        return outcome_of_item
    columns = mapping.columns
    map_row = mapping.compile(columns).row

    def mapped(row: int, record: Item) -> Outcome:
        if not isinstance(record, Mapping):
            return Rejected(row, (Fault("record", "a mapping", rules.given(record)),), {})
        outcome = map_row(row, [value_at(record, column) for column in columns])
        # To correct it, all of it is needed.
        if isinstance(outcome, Rejected):
            return attrs.evolve(outcome, source_row=record)
        if outcome.omitted is not None:
            return attrs.evolve(outcome, omitted=attrs.evolve(outcome.omitted, source_row=record))
        return outcome

    return mapped


def value_at(record: Mapping[str, Any], path: str) -> object:
    """Return the value of a key; ``address.city`` is also the key ``city`` inside ``address``."""
    if path in record:
        return record[path]
    outer, dot, inner = path.partition(".")
    nested = record.get(outer) if dot else None
    return value_at(nested, inner) if isinstance(nested, Mapping) else None
