"""Where records come from: CSV, JSON Lines, Parquet, queries, iterables, and several as one."""

from personaclick_async.sync.sources.base import Sample, TableSource
from personaclick_async.sync.sources.csv_layout import CsvLayout
from personaclick_async.sync.sources.csv_source import CsvSource
from personaclick_async.sync.sources.errors import SourceFailed
from personaclick_async.sync.sources.inputs import FileInput, StreamInput
from personaclick_async.sync.sources.iterable import IterableSource
from personaclick_async.sync.sources.json_lines import JsonLinesSource
from personaclick_async.sync.sources.opening import SourceKind, open_source
from personaclick_async.sync.sources.parquet import ParquetSource
from personaclick_async.sync.sources.several import SeveralSources
from personaclick_async.sync.sources.sql import SqlSource

__all__ = [
    "CsvLayout",
    "CsvSource",
    "FileInput",
    "IterableSource",
    "JsonLinesSource",
    "ParquetSource",
    "Sample",
    "SeveralSources",
    "SourceFailed",
    "SourceKind",
    "SqlSource",
    "StreamInput",
    "TableSource",
    "open_source",
]
