"""Delimited text as a source: CSV, tab separated values and their kin."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from os import PathLike
from typing import Final, TypeGuard

import attrs

from personaclick_async.sync.mapping import CompiledMapping, FieldMapping
from personaclick_async.sync.records import Outcome
from personaclick_async.sync.sources.base import (
    BOOKKEEPING,
    SENT,
    Numbered,
    Sample,
    distinct,
    fingerprint,
    in_batches,
    malformed,
)
from personaclick_async.sync.sources.broken_text import KEEP_BYTES
from personaclick_async.sync.sources.csv_layout import CsvLayout, SeenLayout, see_layout
from personaclick_async.sync.sources.csv_rows import BrokenRow, Row, read_rows
from personaclick_async.sync.sources.flat import outcome_of_sent
from personaclick_async.sync.sources.inputs import FileInput, Input, lines_hint

_ROWS_AT_ONCE: Final = 512


class CsvSource:
    """Rows of delimited text, plain or gzipped.

    Rows with more or fewer fields than the header, with a quote that is never closed, or with
    bytes that are no text, are rejected one by one; the rest is read. Lines with nothing on them
    are no rows.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :param layout: what is known of how the text is written; the rest is found out.
    :raises ConfigurationError: there is no such file.
    """

    def __init__(
        self,
        source: str | PathLike[str] | Input,
        mapping: FieldMapping | None = None,
        *,
        layout: CsvLayout | None = None,
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        self._mapping = mapping
        self._given = layout or CsvLayout()

    @property
    def name(self) -> str:
        """The file's name."""
        return self._input.name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, those of a reject file's bookkeeping left out."""
        return distinct(self._header)

    @property
    def delimiter(self) -> str:
        """What separates fields."""
        return self._layout.marks.delimiter

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content, of the mapping, and of the way it is read."""
        content = self._input.content_hash
        if content is None:
            return None
        layout = self._layout
        options = {
            **attrs.asdict(layout.marks),
            "encoding": layout.encoding.name,
            "header": list(layout.header),
            "has_header": layout.has_header,
        }
        return fingerprint("csv", content, self._mapping, options)

    @property
    def size_hint(self) -> int | None:
        """The number of rows if all are as long as the first ones; exact for a small file."""
        return lines_hint(self._input, header_lines=int(self._layout.has_header))

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``.

        :raises ConfigurationError: the mapping asks for a column that is not there.
        :raises SourceFailed: the file can't be read to its end, or was changed meanwhile.
        """
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        columns, extra = self.columns, self._bookkeeping
        width = len(columns)
        # An empty file has no header, and no rows that would need one.
        compiled = self._compiled() if columns else None
        with self._rows() as rows:
            number = sum(1 for _ in islice(rows, after_row))
            for batch in in_batches(rows, _ROWS_AT_ONCE):
                first = before + number + 1
                number += len(batch)
                if compiled is not None and not extra and _are_whole(batch, width):
                    yield from compiled.rows(first, list(zip(*batch, strict=True)))
                else:
                    for row, values in enumerate(batch, first):
                        yield self._outcome(row, values, compiled)
            return number

    def _outcome(self, number: int, row: Row, compiled: CompiledMapping | None) -> Outcome:
        columns, extra = self.columns, self._bookkeeping
        if isinstance(row, BrokenRow):
            fields = _without(row.fields, extra)
            return malformed(number, row.rule, row.given, columns, fields)
        sent = self._layout.header.index(SENT) if SENT in self._layout.header else None
        if sent is not None and len(row) > sent and row[sent]:
            return outcome_of_sent(number, row[sent])
        fields = _without(row, extra)
        if compiled is None or len(fields) != len(columns):
            rule = f"{len(columns)} fields, as there are columns"
            return malformed(number, rule, f"{len(fields)} fields", columns, fields)
        return compiled.row(number, fields)

    def sample(self, limit: int = 100) -> Sample:
        """Give the first rows that have all fields."""
        columns, extra = self.columns, self._bookkeeping
        with self._rows() as rows:
            whole = (_without(row, extra) for row in rows if isinstance(row, list))
            fitting = (row for row in whole if len(row) == len(columns))
            return Sample(columns, list(islice(fitting, limit)))

    @cached_property
    def _layout(self) -> SeenLayout:
        return see_layout(self._input, self._given)

    @cached_property
    def _bookkeeping(self) -> tuple[int, ...]:
        header = self._layout.header
        return tuple(i for i in reversed(range(len(header))) if header[i] in BOOKKEEPING)

    @cached_property
    def _header(self) -> list[str]:
        return _without(self._layout.header, self._bookkeeping)

    def _compiled(self) -> CompiledMapping:
        mapping = self._mapping or FieldMapping.by_name(self._header)
        return mapping.compile(self._header, columns=self.columns, only_text=True)

    @contextmanager
    def _rows(self) -> Iterator[Iterator[Row]]:
        layout = self._layout
        with self._input.open() as stream:
            stream.read(layout.encoding.bom_bytes)
            text = io.TextIOWrapper(
                stream, encoding=layout.encoding.name, errors=KEEP_BYTES, newline=""
            )
            rows = read_rows(text, layout.marks)
            if layout.has_header:
                next(rows, None)
            try:
                yield rows
            finally:
                # Or the wrapper closes the file, which is not its own.
                text.detach()


def _are_whole(rows: Sequence[Row], width: int) -> TypeGuard[Sequence[list[str]]]:
    """Whether all rows are such, with as many fields as there are columns."""
    return set(map(type, rows)) == {list} and set(map(len, rows)) == {width}  # type: ignore[arg-type]


def _without(row: Sequence[str], positions: Sequence[int]) -> list[str]:
    """Take out the fields at positions that are given from the last to the first."""
    kept = list(row)
    for position in positions:
        del kept[position : position + 1]
    return kept
