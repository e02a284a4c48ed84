"""Where records come from: files of any kind, queries, iterables, and several as one."""

from personaclick_async.sync.sources.base import Sample, SourceFailed, TableSource
from personaclick_async.sync.sources.csv_source import CsvSource, Layout
from personaclick_async.sync.sources.encodings import Candidate, UnknownEncoding
from personaclick_async.sync.sources.files import FileInput, RemoteInput, StreamInput
from personaclick_async.sync.sources.objects import IterableSource, JsonSource
from personaclick_async.sync.sources.opening import SeveralSources, SourceKind, open_source
from personaclick_async.sync.sources.tables import ParquetSource, SheetSource, SqlSource

__all__ = [
    "Candidate",
    "CsvSource",
    "FileInput",
    "IterableSource",
    "JsonSource",
    "Layout",
    "ParquetSource",
    "RemoteInput",
    "Sample",
    "SeveralSources",
    "SheetSource",
    "SourceFailed",
    "SourceKind",
    "SqlSource",
    "StreamInput",
    "TableSource",
    "UnknownEncoding",
    "open_source",
]
