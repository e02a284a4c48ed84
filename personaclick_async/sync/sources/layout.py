"""How rows and columns are laid out: what the caller says, and what a file's head shows."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import islice
from typing import Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.models.update import FIELDS
from personaclick_async.sync.mapping.words import same
from personaclick_async.sync.sources.base import BOOKKEEPING, BrokenRow, Row, distinct
from personaclick_async.sync.sources.csv_rows import Marks, read_rows
from personaclick_async.sync.sources.encodings import (
    KEEP_BYTES,
    Encoding,
    check_encoding,
    find_encoding,
)
from personaclick_async.sync.sources.files import HEAD_BYTES, Input

_DELIMITERS: Final = (",", ";", "\t", "|")
_ROWS_TO_JUDGE_BY: Final = 100
_ONE_IN: Final = 5
# What a reject file begins with, whatever the delimiter of its source was.
_REJECTS: Final = re.compile(f'{BOOKKEEPING[0]}([^\r"])' + r"\1".join(BOOKKEEPING[1:]))
_REJECTS_HEAD: Final = 200
_REJECT_LINES: Final = f'{{"{BOOKKEEPING[0]}": '
_SAYS_DELIMITER: Final = re.compile("sep=(.)\r?\n", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
_DATA: Final = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*"  # a date
    r"|\+?[\d\s().-]{7,}"  # a phone number, or another long one
    r"|https?://.*"
)
_KNOWN: Final = frozenset(
    same(name) for field, facts in FIELDS.items() for name in (field, *facts.column_names)
)
_NUMBER: Final = re.compile(r"[-+]?\d+([.,]\d+)?")


def _names(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


@attrs.frozen(kw_only=True)
class Layout:
    """What the caller knows of how a file is laid out; what is left out is found out.

    Delimited text takes all of these but ``sheet``; a workbook takes the sheet and what is said
    of rows and columns; JSON takes the encoding.

    :ivar encoding: the text's encoding; a byte order mark is believed before this.
    :ivar delimiter: what separates fields; found among comma, semicolon, tab and bar.
    :ivar quote: what stands around fields that hold a delimiter or a newline; None if a quote is
        a character like any other.
    :ivar escape: what stands before a quote inside quotes, such as a backslash; quotes are
        doubled there unless this is said.
    :ivar header: whether the first row holds the columns' names. Unless said it does, and is
        refused if it looks like a row of data.
    :ivar columns: the columns' names, for a file without a header.
    :ivar skip_rows: how many lines stand before the header, or before the first row.
    :ivar sheet: the name of a workbook's sheet; the first one that has rows unless said.
    """

    encoding: str | None = attrs.field(
        default=None, converter=attrs.converters.optional(check_encoding)
    )
    delimiter: str | None = None
    quote: str | None = '"'
    escape: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] | None = attrs.field(default=None, converter=_names)
    skip_rows: int = 0
    sheet: str | None = None

    def __attrs_post_init__(self) -> None:
        marks = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}
        for name, mark in marks.items():
            # The csv module's own conditions.
            if mark is not None and (len(mark) != 1 or mark in "\r\n"):
                raise ConfigurationError(f"{name}: expected one character, not a newline")
        if self.quote is not None and self.quote in (" ", "\t", self.delimiter):
            raise ConfigurationError("quote: expected neither white space nor the delimiter")
        if self.escape is not None and self.escape in (" ", "\t", self.delimiter, self.quote):
            raise ConfigurationError("escape: expected another character than the other marks")
        if self.columns is not None and not self.columns:
            raise ConfigurationError("columns: expected at least one")
        if self.columns is not None and self.header:
            raise ConfigurationError("columns: expected none, as the file has a header")
        if self.skip_rows < 0:
            raise ConfigurationError("skip_rows: expected 0 or more")

    def name_columns(self, rows: Sequence[Row], name: str) -> tuple[tuple[str, ...], bool]:
        """Return the columns' names, and whether they come from the first row.

        :param rows: the first rows, to judge by.
        :param name: what errors call the file.
        :raises ConfigurationError: the first row looks like data.
        """
        if not rows:
            return (), False
        if self.columns is not None:
            return distinct(self.columns), False
        first, rest = rows[0], rows[1:]
        if isinstance(first, BrokenRow):
            raise ConfigurationError(f"{name}: header: expected {first.rule}")
        if self.header is False:
            width = max(len(row) for row in rows if not isinstance(row, BrokenRow))
            return distinct([""] * width), False
        header = [_text(cell).strip("\ufeff\u200b").strip() for cell in first]
        below = [row for row in rest if not isinstance(row, BrokenRow)]
        if _width(first) == 1 and below and min(map(_width, below)) > 1 and self.header is None:
            raise ConfigurationError(
                f"{name}: expected a header, found one word above the table; say how many lines"
                " stand before the header (--skip-rows)"
            )
        if self.header is None and _is_data(header, below):
            raise ConfigurationError(
                f"{name}: expected a header, found a row of data; if there is none, say so"
                " (--no-header) or name the columns (--columns); if it is one, say --header"
            )
        used = max(map(_width, below), default=0)
        while header and not header[-1] and len(header) > used:
            header.pop()
        return distinct(header), True


@attrs.frozen
class SeenLayout:
    """How a delimited text is laid out.

    :ivar columns: the columns' names, no two the same.
    :ivar has_header: whether the first row holds them.
    :ivar lines_before: how many lines stand before it.
    """

    encoding: Encoding
    marks: Marks
    columns: tuple[str, ...]
    has_header: bool
    lines_before: int


def see_layout(source: Input, layout: Layout) -> SeenLayout:
    """Find out what the caller has not said.

    :raises ConfigurationError: the encoding can't be told, the first row looks like data, or has
        no end.
    """
    encoding = find_encoding(source, layout.encoding)
    head = source.head()[encoding.bom_bytes :]
    text = head.decode(encoding.name, KEEP_BYTES)
    if len(head) + encoding.bom_bytes >= HEAD_BYTES:
        # Its last line is most likely cut.
        end = max(text.rfind("\n"), text.rfind("\r"))
        if end < 0:
            raise ConfigurationError(f"{source.name}: its first line has no end")
        text = text[: end + 1]
    said = _SAYS_DELIMITER.match(text)
    rejects = _REJECTS.match(text[:_REJECTS_HEAD].replace('"', ""))
    if rejects:
        # However its source was laid out, a reject file is written in one way.
        layout = Layout(delimiter=rejects[1], header=True)
    lines_before = layout.skip_rows + (said is not None)
    text = "".join(text.splitlines(keepends=True)[lines_before:]) if lines_before else text
    delimiter = layout.delimiter or (said[1] if said else _find_delimiter(text, layout))
    is_spaced = f"{delimiter} {layout.quote}" in text  # 1, "Ada"
    marks = Marks(delimiter, layout.quote, layout.escape, is_spaced)
    columns, has_header = layout.name_columns(_rows(text, marks), source.name)
    return SeenLayout(encoding, marks, columns, has_header, lines_before)


def is_reject_file(head: bytes) -> bool:
    """Tell whether a file's first bytes are those of a file of rejected rows, in any encoding."""
    text = head[:_REJECTS_HEAD].replace(b"\0", b"").decode("ascii", "ignore")
    return bool(_REJECTS.match(text.replace('"', ""))) or text.startswith(_REJECT_LINES)


def _find_delimiter(text: str, layout: Layout) -> str:
    """Take the delimiter that cuts the rows into the same number of fields, and into most."""

    def merit(delimiter: str) -> tuple[bool, bool, float, int]:
        rows = _rows(text, Marks(delimiter, layout.quote, layout.escape))
        widths = [len(row) for row in rows if not isinstance(row, BrokenRow)] or [0]
        first, usual = widths[0], max(widths, key=widths.count)
        return first > 1, usual > 1, widths.count(first) / len(widths), first

    taken = (layout.quote, layout.escape)
    return max((one for one in _DELIMITERS if one not in taken), key=merit)


def _rows(text: str, marks: Marks) -> list[Row]:
    return list(islice(read_rows(io.StringIO(text, newline=""), marks), _ROWS_TO_JUDGE_BY))


def _is_data(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bool:
    """Tell whether what should be a header looks like one more row."""
    if any(map(_ADDRESS.fullmatch, header)):
        return True
    if any(same(name) in _KNOWN for name in header):
        return False
    if any(map(_DATA.fullmatch, header)):
        return True
    others = [list(map(_text, row)) for row in rows if list(map(_text, row)) != list(header)]
    for index, name in enumerate(header):
        below = [row[index] for row in others if index < len(row) and row[index]]
        if not name or not below:
            continue
        is_one_of_them = below.count(name) * _ONE_IN >= len(below)
        are_numbers = _NUMBER.fullmatch(name) and all(map(_NUMBER.fullmatch, below))
        if is_one_of_them or are_numbers:
            return True
    return False


def _width(row: Sequence[object]) -> int:
    """Return how many cells a row has up to its last value."""
    return max((place for place, cell in enumerate(row, 1) if cell not in ("", None)), default=0)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
