"""Keeps the records of one person in order while others overtake them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import attrs

W = TypeVar("W")


@attrs.define(eq=False)
class _Waiting(Generic[W]):
    work: W
    persons: tuple[Hashable, ...]
    before: int = 0
    after: list[_Waiting[W]] = attrs.field(factory=list)


class Lanes(Generic[W]):
    """Says which pieces of work may begin: those that share no person with an earlier one.

    A piece may belong to several persons' lanes at once (a record with an address and a phone);
    it waits for the latest piece in each of them, which in turn waits for those before.
    Knows only what is not done yet.
    """

    def __init__(self) -> None:
        self._latest: dict[Hashable, _Waiting[W]] = {}
        self._open: dict[int, _Waiting[W]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, work: W, persons: Iterable[Hashable]) -> bool:
        """Take work that comes after all that was added before; True if it may begin now."""
        piece = _Waiting(work, tuple(dict.fromkeys(persons)))
        self._open[id(work)] = piece
        ahead: dict[int, _Waiting[W]] = {}
        for person in piece.persons:
            latest = self._latest.get(person)
            if latest is not None:
                ahead[id(latest)] = latest
            self._latest[person] = piece
        for earlier in ahead.values():
            earlier.after.append(piece)
        piece.before = len(ahead)
        return not ahead

    def done(self, work: W) -> list[W]:
        """Take work out that has ended; gives what may begin now, in the order of its coming."""
        piece = self._open.pop(id(work))
        for person in piece.persons:
            if self._latest[person] is piece:
                del self._latest[person]
        free: list[W] = []
        for later in piece.after:
            later.before -= 1
            if not later.before:
                free.append(later.work)
        return free
