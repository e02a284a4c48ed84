"""Parquet files as a source, read in batches with pyarrow."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from os import PathLike
from typing import Any, Final

import attrs

from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Outcome, Rejected
from personaclick_async.sync.sources.base import Numbered, Sample, distinct, fingerprint
from personaclick_async.sync.sources.errors import SourceFailed
from personaclick_async.sync.sources.extras import need
from personaclick_async.sync.sources.inputs import FileInput, Input

_BATCH_ROWS: Final = 4096


class ParquetSource:
    """Rows of a Parquet file; also of a gzipped one, by way of a temporary file.

    Needs the extra ``parquet``.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :raises ConfigurationError: there is no such file, or pyarrow is not installed.
    """

    def __init__(
        self, source: str | PathLike[str] | Input, mapping: FieldMapping | None = None
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        self._mapping = mapping
        self._arrow = need("pyarrow", extra="parquet", purpose=self.name)
        self._parquet = need("pyarrow.parquet", extra="parquet", purpose=self.name)
        self._unreadable = (self._arrow.ArrowException, ValueError, OverflowError, KeyError)

    @property
    def name(self) -> str:
        """The file's name."""
        return self._input.name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns' names."""
        with self._file() as file:
            return distinct(file.schema_arrow.names)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content and of the mapping."""
        return fingerprint("parquet", self._input.content_hash, self._mapping, {})

    @property
    def size_hint(self) -> int | None:
        """The number of rows, which the file says."""
        if self._input.content_hash is None:
            return None
        with self._file() as file:
            count: int = file.metadata.num_rows
            return count

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``.

        :raises ConfigurationError: the mapping asks for a column that is not there.
        :raises SourceFailed: the file is not Parquet, is broken, or was changed meanwhile.
        """
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        with self._file() as file:
            header = file.schema_arrow.names
            columns = distinct(header)
            mapping = self._mapping or FieldMapping.by_name(header)
            # Reading a column into Python costs more than all else: only what is mapped.
            mapped = [column for column in mapping.columns if header.count(column) == 1]
            mapping.compile(header)
            compiled = mapping.compile(mapped)
            number, groups = _after(file.metadata, after_row)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=groups):
                skip = min(max(0, after_row - number), batch.num_rows)
                lists = [self._values(batch.column(header.index(name)), skip) for name in mapped]
                first = before + number + skip + 1
                for index, outcome in enumerate(compiled.rows(first, lists), skip):
                    if isinstance(outcome, Rejected):
                        row = {n: self._cell(batch.column(i)[index]) for i, n in enumerate(columns)}
                        yield attrs.evolve(outcome, source_row=row)
                    else:
                        yield outcome
                number += batch.num_rows
        return number

    def sample(self, limit: int = 100) -> Sample:
        """Give the first rows."""
        with self._file() as file:
            for batch in file.iter_batches(batch_size=limit):
                lists = [self._values(column, 0) for column in batch.columns]
                return Sample(distinct(file.schema_arrow.names), list(zip(*lists, strict=True)))
            return Sample(distinct(file.schema_arrow.names), [])

    def _values(self, column: Any, skip: int) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        kind = column.type
        if self._arrow.types.is_timestamp(kind) and kind.unit == "ns":
            # Python's date-times end at microseconds.
            column = column.cast(self._arrow.timestamp("us", kind.tz), safe=False)
        column = column.slice(skip)
        try:
            values: list[Any] = column.to_pylist()
        except self._unreadable:
            return [self._cell(cell) for cell in column]
        return values

    def _cell(self, cell: Any) -> object:  # noqa: ANN401 - pyarrow has no types
        try:
            value: object = cell.as_py()
        except self._unreadable:
            return Unreadable()
        return value

    @contextmanager
    def _file(self) -> Iterator[Any]:
        with self._input.open() as stream, ExitStack() as stack:
            whole: Any = stream
            if not isinstance(stream.raw, io.FileIO):
                # Parquet is read from its end, which a gzipped file or a stream can't do.
                whole = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(stream, whole)
            try:
                yield self._parquet.ParquetFile(whole)
            except (self._arrow.ArrowException, OSError):
                raise SourceFailed(f"{self.name}: is broken, or not Parquet") from None


class Unreadable:
    """Stands for a value that Python has no way to hold, such as the year 10000."""

    def __str__(self) -> str:
        return ""


def _after(metadata: Any, after_row: int) -> tuple[int, list[int]]:  # noqa: ANN401
    """Give how many rows the row groups have that can be passed over, and the groups after."""
    passed = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if passed + rows > after_row:
            return passed, list(range(group, metadata.num_row_groups))
        passed += rows
    return passed, []
