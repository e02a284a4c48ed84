"""Parquet files as a source, read in batches with pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from typing import Any, Final

import attrs

from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Rejected
from personaclick_async.sync.sources.base import (
    Numbered,
    Row,
    SourceFailed,
    Table,
    Unreadable,
    distinct,
    need,
)
from personaclick_async.sync.sources.files import FileInput, Input, seekable

_BATCH_ROWS: Final = 4096


class ParquetSource(Table):
    """Rows of a Parquet file; also of a gzipped one, by way of a temporary file.

    Needs the extra ``parquet``.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :raises ConfigurationError: there is no such file, or pyarrow is not installed.
    """

    kind = "parquet"

    def __init__(
        self, source: str | PathLike[str] | Input, mapping: FieldMapping | None = None
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        super().__init__(self._input.name, mapping)
        self._arrow = need("pyarrow", extra="parquet", purpose=self.name)
        self._parquet = need("pyarrow.parquet", extra="parquet", purpose=self.name)
        self._unreadable = (self._arrow.ArrowException, ValueError, OverflowError, KeyError)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content and of the mapping."""
        return self.fingerprint_of(self._input.content_hash)

    @property
    def size_hint(self) -> int | None:
        """The number of rows, which the file says."""
        if self._input.content_hash is None:
            return None
        with self._file() as file:
            count: int = file.metadata.num_rows
            return count

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        with self._file() as file:
            self._names = _names_of(file)  # a stream can't be asked for them beforehand
            columns = self.columns
            self.compiled()
            # Reading a column into Python costs more than all else: only what is mapped.
            mapping = self._mapping or FieldMapping.by_name(columns)
            mapped = [(name, columns.index(name)) for name in mapping.columns]
            compiled = mapping.compile([name for name, _ in mapped])
            number, groups = _after(file.metadata, after_row)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=groups):
                skip = min(max(0, after_row - number), batch.num_rows)
                lists = [self._values(batch.column(place), skip) for _, place in mapped]
                first = before + number + skip + 1
                for index, outcome in enumerate(compiled.rows(first, lists), skip):
                    if isinstance(outcome, Rejected):
                        row = {n: self._cell(batch.column(i)[index]) for i, n in enumerate(columns)}
                        yield attrs.evolve(outcome, source_row=row)
                    else:
                        yield outcome
                number += batch.num_rows
        return number

    def _header(self) -> tuple[str, ...]:
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        with self._file() as file:
            return _names_of(file)

    @contextmanager
    def _rows(self) -> Iterator[Iterator[Row]]:
        with self._file() as file:
            self._names = _names_of(file)
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            lists = ([self._values(column, 0) for column in batch.columns] for batch in batches)
            yield (row for columns in lists for row in zip(*columns, strict=True))

    def _values(self, column: Any, skip: int) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        kind = column.type
        if self._arrow.types.is_timestamp(kind) and kind.unit == "ns":
            # Python's date-times end at microseconds.
            column = column.cast(self._arrow.timestamp("us", kind.tz), safe=False)
        column = column.slice(skip)
        values: list[Any]
        try:
            values = column.to_pylist()
        except self._unreadable:
            values = [self._cell(cell) for cell in column]
        # Tables without empty numbers say NaN.
        is_float = self._arrow.types.is_floating(kind)
        return [None if value != value else value for value in values] if is_float else values  # noqa: PLR0124

    def _cell(self, cell: Any) -> object:  # noqa: ANN401 - pyarrow has no types
        try:
            value: object = cell.as_py()
        except self._unreadable:
            return Unreadable()
        return value

    @contextmanager
    def _file(self) -> Iterator[Any]:
        # Parquet is read from its end, which a packed file or a stream can't do.
        with self._input.open() as stream, seekable(stream) as whole:
            try:
                yield self._parquet.ParquetFile(whole)
            except (self._arrow.ArrowException, OSError):
                raise SourceFailed(f"{self.name}: is broken, or not Parquet") from None


def _names_of(file: Any) -> tuple[str, ...]:  # noqa: ANN401 - pyarrow has no types
    return distinct([name.strip() for name in file.schema_arrow.names])


def _after(metadata: Any, after_row: int) -> tuple[int, list[int]]:  # noqa: ANN401
    """Return how many rows the row groups have that can be passed over, and the groups after."""
    passed = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if passed + rows > after_row:
            return passed, list(range(group, metadata.num_row_groups))
        passed += rows
    return passed, []
