"""A share of a source, for one of several machines that know nothing of each other.

Each reads the whole source and leaves out the people who are not in its share, so the records of
one person stay together and in order. What a share is follows from the source alone.
"""

from __future__ import annotations

import re
from functools import cached_property
from hashlib import blake2b, sha256
from itertools import islice
from typing import Final, Self

import attrs

from personaclick_async import codec
from personaclick_async.config import RateLimit
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.admission import PRIORITY, rejected
from personaclick_async.sync.records import Fault, Outcome, Record
from personaclick_async.sync.sources.base import SourceView, TableSource

_SHARD: Final = re.compile(r"(\d{1,6})/(\d{1,6})")
_FORMAT: Final = "shards 1"


@attrs.frozen
class Shard:
    """One of several shares: ``Shard(2, 8)`` is the second of eight.

    :raises ConfigurationError: there is no such share.
    """

    number: int
    of: int

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigurationError("shard: expected 1/N to N/N, such as 2/8")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2/8``.

        :raises ConfigurationError: it is not written like that, or there is no such share.
        """
        found = _SHARD.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else cls(0, 0)

    def has(self, text: str) -> bool:
        """Tell whether something belongs to this share; it belongs to one only."""
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) % self.of == self.number - 1

    def part_of(self, limit: RateLimit) -> RateLimit:
        """Return this share's part of a limit that holds for all shares together.

        All parts together never exceed it, and need no word between the machines.
        """
        if requests := limit.requests // self.of:
            return RateLimit(requests, limit.seconds)
        return RateLimit(1, limit.seconds * self.of / limit.requests)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class ShardOf(SourceView):
    """Those rows of a source whose people belong to a share.

    People are told apart by one identifier, and rows without it are rejected, on one of the
    shards: nobody could say where that person's other records are. Records that share another
    identifier (a family's phone, say) but not this one may be on different shards; they are
    not kept in order.

    :param by: that identifier; the first that the source's first record has of email, external
        id, phone, loyalty id and Telegram id unless given.
    :raises ConfigurationError: there is no such identifier.
    """

    def __init__(self, source: TableSource, shard: Shard, *, by: str | None = None) -> None:
        if by is not None and by not in IDENTIFIERS:
            raise ConfigurationError(f"shard: expected one of {', '.join(IDENTIFIERS)} to go by")
        super().__init__(source)
        self._shard = shard
        self._given = by

    @property
    def name(self) -> str:
        """The source's name, and which share of it this is."""
        return f"{self._source.name}, shard {self._shard.number} of {self._shard.of}"

    @property
    def fingerprint(self) -> str | None:
        """A hash of the source's fingerprint and of the share; None if the source has none."""
        whole = self._source.fingerprint
        options = [_FORMAT, whole, str(self._shard), self._given]
        return whole and sha256(codec.encode(options)).hexdigest()

    @property
    def size_hint(self) -> int | None:
        """The source's, divided."""
        hint = self._source.size_hint
        return None if hint is None else hint // self._shard.of

    @cached_property
    def by(self) -> str | None:
        """The identifier by which people are told apart; None if there are no records."""
        if self._given is not None:
            return self._given
        records = (one for one in self._source.outcomes() if isinstance(one, Record))
        has = {kind for first in islice(records, 1) for kind, _ in first.identifiers}
        return next((kind for kind in PRIORITY if kind in has), None)

    def _choose(self, outcome: Outcome) -> Outcome | None:
        if not isinstance(outcome, Record):
            return outcome if self._shard.has(f"row {outcome.row}") else None
        person = dict(outcome.identifiers).get(str(self.by))
        if person is None:
            fault = Fault(str(self.by), "a value, by which shards are told apart", "none")
            outcome = rejected(outcome, fault)
            person = f"row {outcome.row}"
        return outcome if self._shard.has(person) else None
