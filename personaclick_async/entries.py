"""What is kept of reads: so many at most, and who goes first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import islice
from typing import Protocol, Self, TypeVar

from cachetools import Cache

from personaclick_async.config import Seconds


class Kept(Protocol):
    """What can be kept.

    :ivar until: when it ceases to be fresh.
    :ivar is_wanted: whether it was asked for since it has been kept.
    """

    until: Seconds
    is_wanted: bool

    def folded(self, until: Seconds) -> Self:
        """Give the form to be kept, until then at most."""
        ...

    def fold(self) -> None:
        """Be as nobody had asked for it."""


K = TypeVar("K", bound=Kept)


class Entries(Cache[Hashable, K]):
    """Values by key; where there is no room, those that were kept longest ago go.

    One that somebody has asked for since then stays for another round, which serves about as well
    as the order of use (as in ``LRUCache``) and costs less than half: nothing is moved by a read,
    and room is made for many at a time. Nor is this a ``TTLCache``, which keeps the order of age
    besides: whoever reads looks at ``until``.
    """

    def __init__(self, most: int, clock: Callable[[], Seconds]) -> None:
        super().__init__(most)
        self._clock = clock
        # Enough that an entry costs little, and not so many that the event loop waits for them.
        self._at_once = min(1000, 1 + most // 64)

    def popitem(self) -> tuple[Hashable, K]:
        """Make room for several entries, and give one of those that went.

        :raises KeyError: there are none.
        """
        now = self._clock()
        going: list[tuple[Hashable, K]] = []
        staying: list[tuple[Hashable, K]] = []
        for key in list(islice(self, self._at_once)):
            kept = self[key]
            del self[key]
            stays = kept.is_wanted and kept.until > now
            (staying if stays else going).append((key, kept))
        if not going:
            # All are wanted, and somebody has to go.
            going, staying = staying[:1], staying[1:]
        for key, kept in staying:
            kept.fold()
            self[key] = kept
        if not going:
            raise KeyError("there are no entries")
        return going[0]
