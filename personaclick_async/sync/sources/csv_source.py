"""Delimited text as a source: CSV, tab separated values and their kin."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from typing import Final

import attrs

from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import Row, Table
from personaclick_async.sync.sources.csv_rows import read_rows
from personaclick_async.sync.sources.encodings import KEEP_BYTES
from personaclick_async.sync.sources.files import FileInput, Input, lines_hint
from personaclick_async.sync.sources.layout import Layout, SeenLayout, see_layout

_MARKS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class CsvSource(Table):
    """Rows of delimited text, plain or packed.

    Rows with more values than the header has columns, with misplaced quotes, or with bytes that
    are no text, are rejected one by one; the rest is read. Lines with nothing on them are no
    rows.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :param layout: what is known of how the text is written; the rest is found out.
    :raises ConfigurationError: there is no such file.
    """

    kind = "csv"
    only_text = True

    def __init__(
        self,
        source: str | PathLike[str] | Input,
        mapping: FieldMapping | None = None,
        *,
        layout: Layout | None = None,
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        super().__init__(self._input.name, mapping)
        self._given = layout or Layout()

    @property
    def encoding(self) -> str:
        """The text's encoding."""
        return self._layout.encoding.name

    @property
    def notices(self) -> tuple[str, ...]:
        """The encoding and the delimiter, and how they were found."""
        encoding, mark = self._layout.encoding, self._layout.marks.delimiter
        by = _MARKS.get(mark, f"'{mark}'")
        return (f"{self.name}: read as {encoding.name} ({encoding.reason}), separated by {by}",)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content, of the mapping, and of the way it is read."""
        content = self._input.content_hash
        if content is None:
            return None
        layout = self._layout
        return self.fingerprint_of(
            content,
            **attrs.asdict(layout.marks),
            encoding=layout.encoding.name,
            columns=list(layout.columns),
            has_header=layout.has_header,
            lines_before=layout.lines_before,
        )

    @property
    def size_hint(self) -> int | None:
        """The number of rows if all are as long as the first ones; exact for a small file."""
        layout = self._layout
        return lines_hint(self._input, header_lines=layout.has_header + layout.lines_before)

    def _header(self) -> tuple[str, ...]:
        return self._layout.columns

    @cached_property
    def _layout(self) -> SeenLayout:
        return see_layout(self._input, self._given)

    @contextmanager
    def _rows(self) -> Iterator[Iterator[Row]]:
        layout = self._layout
        with self._input.open() as stream:
            stream.read(layout.encoding.bom_bytes)
            text = io.TextIOWrapper(
                stream, encoding=layout.encoding.name, errors=KEEP_BYTES, newline=""
            )
            for _ in range(layout.lines_before):
                text.readline()
            rows = read_rows(text, layout.marks)
            if layout.has_header:
                next(rows, None)
            try:
                yield rows
            finally:
                # Or the wrapper closes the file, which is not its own.
                text.detach()
