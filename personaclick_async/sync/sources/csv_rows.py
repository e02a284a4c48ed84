"""Rows of a delimited text, whatever is wrong with some of them.

Python's csv reader does the work. What it does not do: a quote that is never closed makes it
swallow the lines that follow, up to the next quote or the end of the file. Here that costs one
row: the line with the quote is broken, and those after it are read anew.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any, Final, TextIO

import attrs

from personaclick_async.sync.sources.base import BrokenRow, Row

MOST_CHARACTERS: Final = 4 * 1024 * 1024
"""The longest line, and the longest field of several lines; it bounds the memory of a read."""

MOST_LINES: Final = 1000
"""The most lines of one row; it bounds what is read again for the sake of a broken one."""

_CUT: Final = "a line that was too long\n"
_NEWLINES: Final = ("\n", "\r")


@attrs.frozen
class Marks:
    """What separates fields, and what stands around those that hold a separator, if anything.

    :ivar escape: what stands before a quote inside quotes, where it is not doubled.
    :ivar is_spaced: whether white space stands between a delimiter and what it separates.
    """

    delimiter: str
    quote: str | None
    escape: str | None = None
    is_spaced: bool = False

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Split lines with these marks; anything but a delimiter after a quote is an error."""
        quoting: Any = {"quoting": csv.QUOTE_NONE} if self.quote is None else {}
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            skipinitialspace=self.is_spaced,
            strict=True,
            **quoting,
        )


def read_rows(text: TextIO, marks: Marks) -> Iterator[Row]:
    """Read all rows; lines with nothing on them, or nothing but delimiters, are none.

    The csv module has one limit on the length of fields, for the whole process. It is raised
    here if it is lower than ours.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MOST_CHARACTERS))
    lines = _Lines(text)
    while (yield from _up_to_a_broken_one(lines, marks)):
        pass


def _up_to_a_broken_one(lines: _Lines, marks: Marks) -> Generator[Row, None, bool]:
    """Read on; return whether there may be more."""
    seen = lines.seen
    try:
        for row in marks.reader(iter(lines)):
            if lines.cut:
                break
            seen.clear()
            if any(row):
                yield row
        else:
            return False
    except csv.Error:  # a misplaced quote, or a field or a row that is too long
        pass
    yield _broken(lines.give_up(), marks)
    return True


def _broken(line: str, marks: Marks) -> BrokenRow:
    if line is _CUT:
        return BrokenRow(f"a line of at most {MOST_CHARACTERS} characters", "a longer one")
    rule = f"quotes that are closed within {MOST_LINES} lines, and doubled inside quotes"
    # As it stands there, marks and all: whoever corrects it must see what is wrong.
    return BrokenRow(rule, "other ones", line.rstrip("\r\n").split(marks.delimiter))


class _Lines:
    """The lines of a text, and those again that a broken row had swallowed.

    :ivar seen: the lines of the row that is being read.
    :ivar cut: whether one of them was too long and is not really there.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._rest = iter(partial(text.readline, MOST_CHARACTERS), "")
        self._again: deque[str] = deque()
        self._size = 0
        self.seen: list[str] = []
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        seen = self.seen
        while self._again:
            yield self._see(self._again.popleft())
        for line in self._rest:
            if seen or len(line) == MOST_CHARACTERS:
                yield self._see(self._whole(line))
            else:
                seen.append(line)
                yield line

    def _whole(self, line: str) -> str:
        """Pass over the rest of a line that is too long."""
        if len(line) < MOST_CHARACTERS or line.endswith(_NEWLINES):
            return line
        while (more := self._text.readline(MOST_CHARACTERS)) and not more.endswith(_NEWLINES):
            pass
        return _CUT

    def _see(self, line: str) -> str:
        self._size = len(line) + (self._size if self.seen else 0)
        self.seen.append(line)
        self.cut = self.cut or line is _CUT
        if len(self.seen) > MOST_LINES or self._size > 2 * MOST_CHARACTERS:
            raise csv.Error
        return line

    def give_up(self) -> str:
        """Return the first line of the row that is being read; those after it will come again."""
        first, *swallowed = self.seen
        self._again.extendleft(reversed(swallowed))
        self.seen.clear()
        self.cut = False
        return first
