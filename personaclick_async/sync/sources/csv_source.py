"""Delimited text as a source: CSV, tab separated values and their kin."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice, zip_longest
from typing import Any, Final, TextIO

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.mapping.words import KNOWN_COLUMNS, simplified
from personaclick_async.sync.sources.base import (
    BOOKKEEPING,
    EMPTY,
    BrokenRow,
    Opened,
    Row,
    Seen,
    Table,
    distinct,
)
from personaclick_async.sync.sources.encodings import (
    KEEP_BYTES,
    Encoding,
    as_text,
    check_encoding,
    find_encoding,
)
from personaclick_async.sync.sources.files import HEAD_BYTES, Where, input_of

# Of a line, and of a field of several lines; it bounds the memory of a read.
MOST_CHARACTERS: Final = 4 * 1024 * 1024
MOST_LINES: Final = 1000  # of one row; it bounds what is read again after a broken one
_MOST_SKIPPED: Final = 10**9  # lines above the header
ROWS_TO_JUDGE_BY: Final = 100  # the first ones, which show how the others are laid out
_ROWS_TO_SEE_BY: Final = 3
_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NEWLINES: Final = ("\n", "\r")
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_BLOCK: Final = 64 * 1024
_CUT: Final = ""  # in place of a line that was too long; no other is empty
# How a reject file begins, with the delimiter of its source, or as JSON Lines.
_REJECTS: Final = re.compile(f'{BOOKKEEPING[0]}([^\r"])' + r"\1".join(BOOKKEEPING[1:]))
_REJECT_LINES: Final = f'{{"{BOOKKEEPING[0]}": '
_REJECTS_HEAD: Final = 200
_DELIMITER_LINE: Final = re.compile("sep=(.)\r?\n", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
_VALUE: Final = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}.*"  # a date
    r"|\+?[\d\s().-]{7,}"  # a phone number, or another long one
    r"|https?://.*"
)
_NUMBER: Final = re.compile(r"[-+]?\d+([.,]\d+)?")
_COMMON_ONE_IN: Final = 5  # a name that is that common in the cells below is a cell itself


@attrs.frozen(kw_only=True)
class Layout:
    """What the caller knows of how a file is laid out; the rest is found out.

    Delimited text uses all of these but ``sheet``; a workbook ``sheet``, ``header``, ``columns``
    and ``skip_rows``; JSON the encoding.

    :ivar encoding: the text's encoding; a byte order mark is believed before this.
    :ivar delimiter: what separates fields; found among comma, semicolon, tab and bar.
    :ivar quote: the quote around fields with a delimiter or a newline; None if there is none.
    :ivar escape: what escapes a quote inside quotes, such as a backslash; None if it is doubled.
    :ivar header: whether the first row holds the columns' names. If None, it does, and is
        refused if it looks like a row of data.
    :ivar columns: the columns' names, for a file without a header.
    :ivar skip_rows: how many lines stand before the header, or before the first row.
    :ivar sheet: the name of a workbook's sheet; by default the first one that has rows.
    """

    encoding: str | None = attrs.field(
        default=None, converter=attrs.converters.optional(check_encoding)
    )
    delimiter: str | None = None
    quote: str | None = '"'
    escape: str | None = None
    header: bool | None = None
    columns: Sequence[str] | None = None
    skip_rows: int = 0
    sheet: str | None = None

    def __attrs_post_init__(self) -> None:
        marks = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}
        taken = {" ", "\t"}
        for name, mark in ((name, mark) for name, mark in marks.items() if mark is not None):
            # The csv module's own conditions.
            if len(mark) != 1 or mark in "\r\n":
                raise ConfigurationError(f"{name}: expected one character, not a newline")
            if mark in taken and name != "delimiter":
                raise ConfigurationError(f"{name}: expected no white space and no other mark")
            taken.add(mark)
        if self.columns is not None and (self.header or not self.columns):
            raise ConfigurationError("columns: expected at least one, and no header in the file")
        if not 0 <= self.skip_rows <= _MOST_SKIPPED:
            raise ConfigurationError(f"skip_rows: expected 0 to {_MOST_SKIPPED}")

    def name_columns(self, rows: Sequence[Row], name: str) -> tuple[tuple[str, ...], bool]:
        """Return the columns' names, and whether they stand in the first row.

        :param rows: the first rows, to judge by.
        :param name: what errors call the file.
        :raises ConfigurationError: the first row looks like data.
        """
        if not rows:
            return (), False
        if self.columns is not None:
            return distinct(self.columns), False
        first, *rest = rows
        if isinstance(first, BrokenRow):
            raise ConfigurationError(f"{name}: header: expected {first.rule}")
        below = [row for row in rest if not isinstance(row, BrokenRow)]
        is_short = {*map(len, below)} == {len(first) + 1} and max(map(_width, below)) > len(first)
        if self.header is None and is_short and len(below) >= _ROWS_TO_SEE_BY:
            # Of row numbers, perhaps, so that all names are one too far to the left.
            raise ConfigurationError(
                f"{name}: expected a header with a name for each value, found one name less; name"
                " the columns (--columns) in its place (--skip-rows 1)"
            )
        if self.header is False:
            return distinct([""] * max(map(len, (first, *below)))), False
        header = [str(cell).strip("\ufeff\u200b ").strip() for cell in first]
        widths = sorted(map(_width, below)) or [0]
        if self.header is None and _width(first) == 1 < widths[len(widths) // 2]:
            raise ConfigurationError(
                f"{name}: expected a header, found one word above the table; say how many lines"
                " stand before the header (--skip-rows)"
            )
        if self.header is None and _is_data(header, below):
            raise ConfigurationError(
                f"{name}: expected a header, found a row of data; if there is none, say so"
                " (--no-header) or name the columns (--columns); if it is one, say --header"
            )
        return distinct(header[: max(_width(header), widths[-1])]), True


class CsvSource(Table):
    """Rows of delimited text, plain or packed.

    Rows with more values than the header has columns, with misplaced quotes, or with bytes that
    are no text, are rejected one by one; the rest is read. Lines with nothing on them are no rows.

    :param layout: what is known of how the text is written; the rest is found out.
    """

    def __init__(
        self, source: Where, mapping: FieldMapping | None = None, *, layout: Layout | None = None
    ) -> None:
        self._input, self._layout = input_of(source), layout or Layout()
        version, reading = lambda: self._input.content_hash, attrs.asdict(self._layout)
        super().__init__(self._input.name, mapping, version, reading)

    @cached_property
    def seen(self) -> _SeenText:
        """How the text is laid out, as far as its beginning shows it."""
        source, layout = self._input, self._layout
        encoding, count = find_encoding(source, layout.encoding), source.lines
        head = source.head()
        is_cut = len(head) >= HEAD_BYTES
        text = head[encoding.bom_bytes :].decode(encoding.name, KEEP_BYTES)
        del head
        if is_cut:
            # Its last line is most likely cut.
            end = max(map(text.rfind, _NEWLINES))
            if end < 0:
                raise ConfigurationError(f"{self.name}: its first line has no end")
            text = text[: end + 1]
        # Not by way of a StringIO, which takes four bytes for each character.
        found = islice(_LINE.finditer(text), layout.skip_rows + MOST_LINES)
        lines = [line[0] for line in found]
        first = lines[0] if lines else ""
        named = _DELIMITER_LINE.fullmatch(first)
        if rejects := _REJECTS.match(first.replace('"', "")):
            # However its source was laid out, a reject file is written in one way.
            layout = Layout(delimiter=rejects[1], header=True)
        lines_before = layout.skip_rows + (named is not None)
        del lines[:lines_before]
        dialect: dict[str, Any] = {
            "quotechar": layout.quote,
            "quoting": csv.QUOTE_NONE if layout.quote is None else csv.QUOTE_MINIMAL,
            "escapechar": layout.escape,
            "strict": True,  # anything but a delimiter after a quote is an error
        }
        delimiter = layout.delimiter or (named[1] if named else _find_delimiter(lines, dialect))
        is_spaced = f"{delimiter} {layout.quote}" in text  # 1, "Ada"
        dialect |= {"delimiter": delimiter, "skipinitialspace": is_spaced}
        columns, has_header = layout.name_columns(_first_rows(lines, dialect), self.name)
        by = _DELIMITERS.get(delimiter, f"'{delimiter}'")
        return _SeenText(
            columns=columns,
            notices=(f"{self.name}: read as {encoding}, separated by {by}",),
            size_hint=count and max(0, count - has_header - lines_before),
            encoding=encoding,
            dialect=dialect,
            lines_before=lines_before,
            has_header=has_header,
        )

    @contextmanager
    def _open(self) -> Iterator[Opened]:
        seen = self.seen
        with as_text(self._input, seen.encoding) as text:
            for _ in range(seen.lines_before):
                text.readline()
            batches = _batches(_blocks(text), seen.dialect)
            first = next(batches, [])
            yield seen, chain([first[seen.has_header :]], batches)


@attrs.frozen(kw_only=True)
class _SeenText(Seen):
    """How a delimited text is laid out; the dialect is for the csv module."""

    encoding: Encoding
    dialect: Mapping[str, Any]
    lines_before: int
    has_header: bool


def _batches(blocks: Iterator[list[str]], dialect: Mapping[str, Any]) -> Iterator[list[Row]]:
    """Read all rows, in batches; lines with nothing but delimiters on them are none.

    A quote that is never closed makes Python's csv reader swallow the lines that follow, up to the
    next quote or the end of the file. Here that costs one row: the line with the quote is broken,
    and those after it are read anew.
    """
    # The module has one limit for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), MOST_CHARACTERS))
    lines: list[str] = []
    more = [""]
    while more or lines:
        while more and len(lines) < MOST_LINES and sum(map(len, lines)) < 2 * MOST_CHARACTERS:
            more = next(blocks, [])
            lines += more
        # From the first line of a row to the last one that it may have; a cut line ends any row.
        window = lines[:MOST_LINES]
        window = window[: window.index(_CUT)] if _CUT in window else window
        whole: list[list[str]] = []
        used = len(window)
        try:
            whole.extend(csv.reader(window, **dialect))
        except csv.Error:  # a misplaced quote, one that is not closed, or too long a field
            again = csv.reader(window, **dialect)
            deque(islice(again, len(whole)), maxlen=0)
            used = again.line_num
        rows: list[Row] = [*filter(any, whole)]
        if lines and not used:
            rows, used = [_broken(lines[0], dialect["delimiter"])], 1
        del lines[:used]
        if rows:
            yield rows


def _broken(line: str, delimiter: str) -> BrokenRow:
    if line == _CUT:
        return BrokenRow(f"a line of at most {MOST_CHARACTERS} characters", "a longer one")
    rule = f"quotes that are closed within {MOST_LINES} lines, and doubled inside quotes"
    # Unchanged, with all quotes: to correct it, one must see what is wrong.
    return BrokenRow(rule, "other ones", line.rstrip("\r\n").split(delimiter))


def _blocks(text: TextIO) -> Iterator[list[str]]:
    while block := text.read(_BLOCK) + text.readline(MOST_CHARACTERS):
        lines = list(io.StringIO(block, newline=""))
        if len(block) >= MOST_CHARACTERS:
            while not block.endswith(_NEWLINES) and (block := text.readline(MOST_CHARACTERS)):
                pass
            lines = [line if len(line) < MOST_CHARACTERS else _CUT for line in lines]
        yield lines


def is_reject_file(source: Where) -> bool:
    """Return whether a file holds rejected rows, by how it begins, in any encoding."""
    text = input_of(source).head()[:_REJECTS_HEAD].replace(b"\0", b"").decode("ascii", "ignore")
    return bool(_REJECTS.match(text.replace('"', ""))) or text.startswith(_REJECT_LINES)


def _find_delimiter(lines: Sequence[str], dialect: Mapping[str, Any]) -> str:
    """Return the delimiter that cuts the rows most evenly, and into the most fields."""

    def merit(mark: str) -> tuple[bool, bool, float, int]:
        rows = _first_rows(lines, {**dialect, "delimiter": mark})
        widths = [len(row) for row in rows if not isinstance(row, BrokenRow)] or [0]
        first, usual = widths[0], max(widths, key=widths.count)
        return first > 1, usual > 1, widths.count(first) / len(widths), first

    return max((mark for mark in _DELIMITERS if mark not in dialect.values()), key=merit)


def _first_rows(lines: Sequence[str], dialect: Mapping[str, Any]) -> list[Row]:
    rows = chain.from_iterable(_batches(iter([list(lines)]), dialect))
    return list(islice(rows, ROWS_TO_JUDGE_BY))


def _is_data(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bool:
    """Return whether what should be a header looks like one more row."""
    if any(map(_ADDRESS.fullmatch, header)):
        return True
    if any(simplified(name) in KNOWN_COLUMNS for name in header):
        return False
    if any(map(_VALUE.fullmatch, header)):
        return True
    others = [cells for row in rows if (cells := [str(cell).strip() for cell in row]) != header]
    for name, *cells in zip_longest(header, *others, fillvalue=""):
        below = [*filter(None, cells)]
        is_one_of_them = below.count(name) * _COMMON_ONE_IN >= len(below)
        are_numbers = _NUMBER.fullmatch(name) and all(map(_NUMBER.fullmatch, below))
        if name and below and (is_one_of_them or are_numbers):
            return True
    return False


def _width(row: Sequence[object]) -> int:
    """Return how many cells a row has up to its last value."""
    return max((place for place, cell in enumerate(row, 1) if cell not in EMPTY), default=0)
