"""Parquet files as a source, read in batches with pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from typing import Any, Final

from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import (
    Row,
    SourceFailed,
    Table,
    Unreadable,
    distinct,
    fingerprint,
    need,
)
from personaclick_async.sync.sources.files import Input, input_of, seekable

_BATCH_ROWS: Final = 4096


class ParquetSource(Table):
    """Rows of a Parquet file; also of a packed one, by way of a temporary file.

    Needs the extra ``parquet``.

    :param source: the file, or another input such as :class:`StreamInput`, of which a copy is kept.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :raises ConfigurationError: there is no such file, or pyarrow is not installed.
    """

    def __init__(
        self, source: str | PathLike[str] | Input, mapping: FieldMapping | None = None
    ) -> None:
        self._input = input_of(source, whole=True)
        super().__init__(self._input.name, mapping)
        self._arrow = need("pyarrow", extra="parquet", purpose=self.name)
        self._parquet = need("pyarrow.parquet", extra="parquet", purpose=self.name)
        self._unreadable = (self._arrow.ArrowException, ValueError, OverflowError, KeyError)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content and of the mapping."""
        return fingerprint("parquet", self._input.content_hash, self._mapping, {})

    @property
    def size_hint(self) -> int | None:
        """The number of rows, which the file says."""
        with self._file() as file:
            count: int = file.metadata.num_rows
            return count

    @cached_property
    def _header(self) -> tuple[str, ...]:
        with self._file() as file:
            return distinct([name.strip() for name in file.schema_arrow.names])

    @contextmanager
    def _batches(self) -> Iterator[Iterator[list[Row]]]:
        with self._file() as file:
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            yield (list(zip(*map(self._values, batch.columns), strict=True)) for batch in batches)

    def _values(self, column: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        kind = column.type
        if self._arrow.types.is_timestamp(kind) and kind.unit == "ns":
            # Python's date-times end at microseconds.
            column = column.cast(self._arrow.timestamp("us", kind.tz), safe=False)
        values: list[Any]
        try:
            values = column.to_pylist()
        except self._unreadable:
            values = list(map(self._cell, column))
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
        # Parquet is read from its end, which a packed file can't do.
        with self._input.open() as stream, seekable(stream) as whole:
            try:
                yield self._parquet.ParquetFile(whole)
            except (self._arrow.ArrowException, OSError):
                raise SourceFailed(f"{self.name}: is broken, or not Parquet") from None
