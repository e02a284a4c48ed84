"""Anything that can be iterated as a source: lists, generators, what another library reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from personaclick_async.models import rules
from personaclick_async.sync.admission import Item
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Fault, Outcome, Record, Rejected
from personaclick_async.sync.sources.base import (
    Numbered,
    Sample,
    SourceFailed,
    fingerprint,
    sample_of,
)
from personaclick_async.sync.sources.flat import outcome_of_item, outcome_of_record


class IterableSource:
    """Records from an iterable of updates, of flat mappings, or of mappings with a mapping.

    :param items: what to send. An iterator, such as a generator, can be read once.
    :param mapping: which key becomes which field; all items must be mappings then.
    :param name: what reports call it.
    :param version: what the caller vouches for: the same items in the same order for the same
        version. Without one a sync of them can't be resumed.
    """

    columns: None = None
    notices: tuple[str, ...] = ()

    def __init__(
        self,
        items: Iterable[Item],
        mapping: FieldMapping | None = None,
        *,
        name: str = "records",
        version: str | None = None,
    ) -> None:
        self._items = items
        self._mapping = mapping
        self._name = name
        self._version = version
        self._used_up = False

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    @property
    def fingerprint(self) -> str | None:
        """A hash of the version and the mapping; None without a version."""
        return fingerprint("iterable", self._version, self._mapping, {"name": self._name})

    @property
    def size_hint(self) -> int | None:
        """The number of items, where the iterable knows it."""
        try:
            return len(self._items)  # type: ignore[arg-type]  # that it may have none is the point
        except TypeError:
            return None

    def outcomes(self, *, after_row: int = 0, before: int = 0) -> Iterator[Outcome]:
        """Read the items after ``after_row``.

        Items are numbered from ``before`` + 1, and after a record that has a number from there.

        :raises SourceFailed: it is an iterator, and was read before.
        """
        return self.numbered(after_row=after_row, before=before)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the items after ``after_row``, numbered from ``before`` + 1."""
        to_outcome = outcome_of_record(self._mapping)
        row = before
        for item in self._begin():
            row = item.row if isinstance(item, Record | Rejected) else row + 1
            if row - before <= after_row:
                continue
            if self._mapping is None:
                yield outcome_of_item(row, item)
            elif isinstance(item, Mapping):
                yield to_outcome(row, item)
            else:
                yield Rejected(row, (Fault("record", "a mapping", rules.given(item)),), {})
        return row - before

    def sample(self, limit: int = 100) -> Sample:
        """Return the first mappings; the columns are all their keys."""
        first = zip(range(limit), self._begin(), strict=False)
        return sample_of([dict(item) for _, item in first if isinstance(item, Mapping)])

    def _begin(self) -> Iterator[Item]:
        iterator = iter(self._items)
        if iterator is self._items:
            if self._used_up:
                raise SourceFailed(f"{self._name}: an iterator can be read only once")
            self._used_up = True
        return iterator
