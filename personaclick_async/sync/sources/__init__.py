"""Where records come from: files of any kind, queries, iterables, and several as one."""

from personaclick_async.sync.sources.base import Sample, SourceFailed, TableSource
from personaclick_async.sync.sources.csv_source import CsvSource, Layout
from personaclick_async.sync.sources.encodings import Candidate, UnknownEncoding
from personaclick_async.sync.sources.files import FileInput, RemoteInput, StreamInput
from personaclick_async.sync.sources.objects import IterableSource, JsonSource
from personaclick_async.sync.sources.opening import SeveralSources, SourceKind, open_source
from personaclick_async.sync.sources.tables import ParquetSource, SheetSource, SqlSource

__all__ = ["SeveralSources", "SourceFailed", "SourceKind", "TableSource", "open_source"]
__all__ += ["CsvSource", "IterableSource", "JsonSource"]
__all__ += ["ParquetSource", "SheetSource", "SqlSource"]
__all__ += ["FileInput", "RemoteInput", "StreamInput"]
# How text is laid out, and what is looked at before.
__all__ += ["Candidate", "Layout", "Sample", "UnknownEncoding"]
