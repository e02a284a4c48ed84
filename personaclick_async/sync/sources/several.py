"""Several sources as one, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.records import Outcome
from personaclick_async.sync.sources.base import Numbered, Sample, TableSource


class SeveralSources:
    """The rows of several sources in their order, numbered through from 1.

    Each may have its columns in an order of its own.

    :raises ConfigurationError: there are none.
    """

    def __init__(self, sources: Sequence[TableSource]) -> None:
        if not sources:
            raise ConfigurationError("sources: expected at least one")
        self._sources = tuple(sources)

    @property
    def name(self) -> str:
        """The first one's name, and how many more there are."""
        more = len(self._sources) - 1
        return f"{self._sources[0].name} and {more} more" if more else self._sources[0].name

    @property
    def columns(self) -> tuple[str, ...] | None:
        """All columns; None if a source has none of its own."""
        every: dict[str, None] = {}
        for source in self._sources:
            if source.columns is None:
                return None
            every |= dict.fromkeys(source.columns)
        return tuple(every)

    @property
    def fingerprint(self) -> str | None:
        """A hash of all fingerprints in order; None if one has none."""
        prints = [source.fingerprint for source in self._sources]
        if None in prints:
            return None
        return hashlib.sha256(repr(prints).encode()).hexdigest()

    @property
    def size_hint(self) -> int | None:
        """The sum; None if one is not known."""
        hints = [source.size_hint for source in self._sources]
        known = [hint for hint in hints if hint is not None]
        return sum(known) if len(known) == len(hints) else None

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``."""
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        total = 0
        for source in self._sources:
            skip = max(0, after_row - total)
            total += yield from source.numbered(after_row=skip, before=before + total)
        return total

    def sample(self, limit: int = 100) -> Sample:
        """Give the first rows of the first source."""
        return self._sources[0].sample(limit)
