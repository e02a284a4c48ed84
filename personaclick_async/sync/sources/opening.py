"""Making the right source of a path, a pattern, a URL, or ``-`` for standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import TableSource
from personaclick_async.sync.sources.csv_layout import CsvLayout
from personaclick_async.sync.sources.csv_source import CsvSource
from personaclick_async.sync.sources.inputs import FileInput, Input, StreamInput
from personaclick_async.sync.sources.json_lines import JsonLinesSource
from personaclick_async.sync.sources.parquet import ParquetSource
from personaclick_async.sync.sources.several import SeveralSources
from personaclick_async.sync.sources.sql import SqlSource

STANDARD_INPUT: Final = "-"
_PATTERN: Final = frozenset("*?[")
_GZIP: Final = ".gz"
_PARQUET: Final = b"PAR1"


class SourceKind(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


_KINDS: Final = {
    ".csv": SourceKind.CSV,
    ".tsv": SourceKind.CSV,
    ".tab": SourceKind.CSV,
    ".txt": SourceKind.CSV,
    ".jsonl": SourceKind.JSON_LINES,
    ".ndjson": SourceKind.JSON_LINES,
    ".parquet": SourceKind.PARQUET,
    ".pq": SourceKind.PARQUET,
}


def open_source(
    where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    mapping: FieldMapping | None = None,
    *,
    kind: SourceKind | None = None,
    layout: CsvLayout | None = None,
    query: str | None = None,
    parameters: Mapping[str, Json] | None = None,
    version: str | None = None,
) -> TableSource:
    """Make a source of a file, of several, of a query, or of standard input.

    :param where: a path, whose suffix says what it is (``.csv``, ``.tsv``, ``.txt``, ``.jsonl``,
        ``.ndjson``, ``.parquet``, ``.pq``, each with ``.gz`` if you like); a pattern such as
        ``export/*.csv``, in the order of names; several of these; a database's URL, with a
        ``query``; or ``-`` for standard input, which is looked at to tell what it is.
    :param mapping: which column becomes which field.
    :param kind: what it is, where the suffix does not say.
    :param layout: how delimited text is written; of JSON Lines, the encoding.
    :param query: what to ask the database.
    :param parameters: the query's parameters.
    :param version: see :class:`SqlSource`.
    :raises ConfigurationError: there is no such file, or it can't be told what it is.
    """
    if not isinstance(where, str | os.PathLike):
        sources = [open_source(one, mapping, kind=kind, layout=layout) for one in where]
        return SeveralSources(sources)
    text = os.fspath(where)
    if "://" in text:
        if query is None:
            raise ConfigurationError("query: expected one, as the source is a database")
        return SqlSource(text, query, mapping, parameters=parameters, version=version)
    if query is not None:
        raise ConfigurationError("query: only a database can be asked, and that is not a URL")
    if text == STANDARD_INPUT:
        return _of_kind(kind, StreamInput(sys.stdin.buffer), mapping, layout)
    if not Path(text).exists() and _PATTERN & set(text):
        found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path has no absolute patterns
        if not found:
            raise ConfigurationError("source: no file fits the pattern")
        return SeveralSources([_file(one, mapping, kind, layout) for one in found])
    return _file(text, mapping, kind, layout)


def _file(
    path: str, mapping: FieldMapping | None, kind: SourceKind | None, layout: CsvLayout | None
) -> TableSource:
    source = FileInput(path)
    suffix = Path(path.lower().removesuffix(_GZIP)).suffix
    kind = kind or _KINDS.get(suffix)
    if kind is None and suffix:
        known = ", ".join(_KINDS)
        raise ConfigurationError(f"{source.name}: expected one of {known} or a kind, to know it by")
    return _of_kind(kind, source, mapping, layout)


def _of_kind(
    kind: SourceKind | None,
    source: Input,
    mapping: FieldMapping | None,
    layout: CsvLayout | None,
) -> TableSource:
    match kind or _look(source.head()):
        case SourceKind.CSV:
            return CsvSource(source, mapping, layout=layout)
        case SourceKind.JSON_LINES:
            return JsonLinesSource(source, mapping, encoding=layout.encoding if layout else None)
        case SourceKind.PARQUET:
            return ParquetSource(source, mapping)


def _look(head: bytes) -> SourceKind:
    if head.startswith(_PARQUET):
        return SourceKind.PARQUET
    return SourceKind.JSON_LINES if head.lstrip()[:1] == b"{" else SourceKind.CSV
