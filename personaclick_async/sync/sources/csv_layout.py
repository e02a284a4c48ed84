"""How a delimited text is laid out: what the caller says, and what can be seen in its head."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.base import BOOKKEEPING
from personaclick_async.sync.sources.broken_text import KEEP_BYTES
from personaclick_async.sync.sources.csv_rows import BrokenRow, Marks, read_rows
from personaclick_async.sync.sources.encodings import Encoding, check_encoding, find_encoding
from personaclick_async.sync.sources.inputs import HEAD_BYTES, Input

_DELIMITERS: Final = (",", ";", "\t", "|")
_ROWS_TO_JUDGE_BY: Final = 100
# What a reject file begins with, whatever the delimiter of its source was.
_REJECTS: Final = re.compile(f'{BOOKKEEPING[0]}([^\r"])' + r"\1".join(BOOKKEEPING[1:]))


def _names(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


@attrs.frozen(kw_only=True)
class CsvLayout:
    """What the caller knows about a delimited text; what is left out is found out.

    :ivar delimiter: what separates fields; found among comma, semicolon, tab and bar.
    :ivar quote: what stands around fields that hold a delimiter or a newline; None if a quote is
        a character like any other.
    :ivar encoding: the text's encoding; a byte order mark is believed before this.
    :ivar columns: the columns' names, for a text without a header.
    """

    delimiter: str | None = None
    quote: str | None = '"'
    encoding: str | None = attrs.field(
        default=None, converter=attrs.converters.optional(check_encoding)
    )
    columns: tuple[str, ...] | None = attrs.field(default=None, converter=_names)

    def __attrs_post_init__(self) -> None:
        for name, mark in (("delimiter", self.delimiter), ("quote", self.quote)):
            # The csv module's own conditions.
            if mark is not None and (len(mark) != 1 or mark in "\r\n"):
                raise ConfigurationError(f"{name}: expected one character, not a newline")
        if self.quote is not None and self.quote in (" ", "\t", self.delimiter):
            raise ConfigurationError("quote: expected neither white space nor the delimiter")
        if self.columns is not None and not self.columns:
            raise ConfigurationError("columns: expected at least one")


@attrs.frozen
class SeenLayout:
    """How a delimited text is laid out.

    :ivar header: the columns' names as they stand there, white space around them gone.
    :ivar has_header: whether the first row holds them.
    """

    encoding: Encoding
    marks: Marks
    header: tuple[str, ...]
    has_header: bool


def see_layout(source: Input, layout: CsvLayout) -> SeenLayout:
    """Find out what the caller has not said.

    :raises ConfigurationError: the encoding can't be told, or there is no end to the first row.
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
    rejects = _REJECTS.match(text)
    delimiter = rejects[1] if rejects else layout.delimiter or _find_delimiter(text, layout.quote)
    quote = layout.quote
    if rejects and quote in (None, delimiter):
        quote = '"'
    marks = Marks(delimiter, quote)
    has_header = layout.columns is None or rejects is not None
    header: Sequence[str] = layout.columns or ()
    if has_header:
        first = next(read_rows(io.StringIO(text, newline=""), marks), [])
        if isinstance(first, BrokenRow):
            raise ConfigurationError(f"{source.name}: header: expected {first.rule}")
        header = first
    return SeenLayout(encoding, marks, tuple(name.strip() for name in header), has_header)


def _find_delimiter(text: str, quote: str | None) -> str:
    """Take the delimiter that cuts the rows into the same number of fields, and into most."""

    def merit(delimiter: str) -> tuple[bool, float, int]:
        widths = [len(row) for row in _rows(text, Marks(delimiter, quote))]
        first = widths[0] if widths else 0
        return first > 1, widths.count(first) / max(len(widths), 1), first

    return max((one for one in _DELIMITERS if one != quote), key=merit)


def _rows(text: str, marks: Marks) -> list[list[str]]:
    rows: list[list[str]] = []
    for row in read_rows(io.StringIO(text, newline=""), marks):
        if len(rows) == _ROWS_TO_JUDGE_BY:
            break
        if isinstance(row, list):
            rows.append(row)
    return rows
