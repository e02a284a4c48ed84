"""Finding the records at fault in a chunk that was refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

_ONE: Final = 1


@attrs.define
class Part:
    """Some records of a chunk, one after the other: ``first`` included, ``end`` not.

    :ivar is_bad: whether it is known without asking that it will be refused.
    :ivar twin_decides: whether it is bad if the half before it turns out to be good.
    """

    first: int
    end: int
    is_bad: bool = False
    twin_decides: bool = False

    def __len__(self) -> int:
        return self.end - self.first


class Bisection:
    """Says what to send next, from the whole chunk down to single records, in order.

    ::

        while (part := bisection.next()) is not None:
            …send it, then say: accepted(), refused(), or too_large()

    A half that follows an accepted half of a refused whole is not sent: it must be bad.

    :param ends: where each record ends, in bytes; the size of a part follows from it.
    :param start: where the first record starts.
    :param most: the bytes that a part may have; larger ones are halved without being sent. A
        single record is sent whatever its size.
    """

    def __init__(self, ends: Sequence[int], *, start: int, most: int) -> None:
        self._ends = ends
        self._start = start
        self.most = most
        self._left = [Part(0, len(ends))] if len(ends) else []
        self._part = Part(0, 0)

    def size(self, part: Part) -> int:
        """Return the bytes of a part's records with the commas between them."""
        return self._ends[part.end - 1] - self.begin(part)

    def begin(self, part: Part) -> int:
        """Return where a part's first record starts."""
        return self._ends[part.first - 1] + 1 if part.first else self._start

    def end(self, part: Part) -> int:
        """Return where a part's last record ends."""
        return self._ends[part.end - 1]

    def next(self) -> Part | None:
        """Return the part to send now; None when there is none left."""
        while self._left:
            self._part = self._left.pop()
            if len(self._part) > _ONE and (self._part.is_bad or self.size(self._part) > self.most):
                self._halve(bad=self._part.is_bad)
                continue
            return self._part
        return None

    def accepted(self) -> None:
        """Say that the service took the part."""
        if self._left and self._left[-1].twin_decides:
            self._left[-1].is_bad = True
            self._left[-1].twin_decides = False

    def refused(self) -> int | None:
        """Say that the service found the part bad; gives the record at fault once it is alone."""
        self._forget_twin()
        if len(self._part) == _ONE:
            return self._part.first
        self._halve(bad=True)
        return None

    def too_large(self) -> int | None:
        """Say that the part is too large for the service; gives the record if it is alone.

        No later part will be as large.
        """
        self._forget_twin()
        if len(self._part) == _ONE:
            return self._part.first
        self.most = min(self.most, self.size(self._part) // 2)
        self._halve(bad=False)
        return None

    def _forget_twin(self) -> None:
        if self._left and self._left[-1].twin_decides:
            self._left[-1].twin_decides = False

    def _halve(self, *, bad: bool) -> None:
        """Split the part in two."""
        part = self._part
        self._forget_twin()
        middle = (part.first + part.end) // 2
        self._left.append(Part(middle, part.end, twin_decides=bad))
        self._left.append(Part(part.first, middle))
