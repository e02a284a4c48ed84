"""Keeps the records of one person in order while others overtake them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, Self, TypeVar

import attrs


@attrs.define(eq=False)
class Work:
    """A piece of work, and where it stands in the lanes.

    :ivar persons: whom it is about.
    """

    persons: Sequence[Hashable]
    before: int = attrs.field(default=0, init=False)
    after: list[Self] | None = attrs.field(default=None, init=False)


W = TypeVar("W", bound=Work)


class Lanes(Generic[W]):
    """Says which pieces of work may begin: those that share no person with an earlier one.

    A piece may belong to several persons' lanes at once (a record with an address and a phone);
    it waits for the latest piece in each of them, which in turn waits for those before.
    Knows only what is not done yet.
    """

    def __init__(self) -> None:
        self._latest: dict[Hashable, W] = {}

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, work: W) -> bool:
        """Take work that comes after all that was added before; True if it may begin now."""
        for person in work.persons:
            latest = self._latest.get(person)
            self._latest[person] = work
            if latest is None or latest is work:
                continue
            if latest.after is None:
                latest.after = []
            if work not in latest.after:
                latest.after.append(work)
                work.before += 1
        return not work.before

    def done(self, work: W) -> list[W]:
        """Take work out that has ended; gives what may begin now, in the order of its coming."""
        for person in work.persons:
            if self._latest.get(person) is work:
                del self._latest[person]
        free: list[W] = []
        for later in work.after or ():
            later.before -= 1
            if not later.before:
                free.append(later)
        return free
