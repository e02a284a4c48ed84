"""A view of a source: its first rows, or those that a subclass chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from personaclick_async.sync.records import Outcome
from personaclick_async.sync.sources.base import Numbered, Sample, TableSource


class SourceView:
    """Another source's rows, under their own numbers: the first ones, or what a subclass chooses.

    :param limit: how many rows there are at most.
    :param see: is shown each row as it is read.
    """

    def __init__(
        self,
        source: TableSource,
        *,
        limit: int | None = None,
        see: Callable[[Outcome], object] | None = None,
    ) -> None:
        self._source = source
        self._limit = limit
        self._see = see

    @property
    def name(self) -> str:
        """The source's name, and how many rows of it these are."""
        first = "" if self._limit is None else f", the first {self._limit:,} rows"
        return f"{self._source.name}{first}"

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The source's columns."""
        return self._source.columns

    @property
    def notices(self) -> tuple[str, ...]:
        """How the source is read."""
        return self._source.notices

    @property
    def fingerprint(self) -> str | None:
        """The source's fingerprint."""
        return self._source.fingerprint

    @property
    def size_hint(self) -> int | None:
        """How many rows there are, roughly."""
        hint = self._source.size_hint
        return hint if hint is None or self._limit is None else min(hint, self._limit)

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``; they keep the numbers of the source."""
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        with closing(self._source.numbered(after_row=after_row, before=before)) as rows:
            while True:
                try:
                    outcome = next(rows)
                except StopIteration as end:
                    last: int = end.value
                    return last
                if self._limit is not None and outcome.row - before > self._limit:
                    return self._limit
                chosen = self._choose(outcome)
                if chosen is not None:
                    if self._see is not None:
                        self._see(chosen)
                    yield chosen

    def _choose(self, outcome: Outcome) -> Outcome | None:
        return outcome

    def sample(self, limit: int = 100) -> Sample:
        """Return the first rows, unmapped."""
        return self._source.sample(limit if self._limit is None else min(limit, self._limit))
