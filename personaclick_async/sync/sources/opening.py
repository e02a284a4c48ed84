"""Making the right source of a path, a pattern, a URL, or ``-`` for standard input."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Outcome
from personaclick_async.sync.sources.base import Outcomes, Sample, Seen, Table, TableSource, need
from personaclick_async.sync.sources.csv_source import CsvSource, Layout, is_reject_file
from personaclick_async.sync.sources.files import URL, Input, StreamInput, input_of
from personaclick_async.sync.sources.objects import JsonSource
from personaclick_async.sync.sources.tables import ParquetSource, SheetSource, SqlSource

_WILDCARDS: Final = frozenset("*?[")
_DATABASE: Final = re.compile(
    r"(sqlite|postgres(ql)?|mysql|mariadb|oracle|mssql|duckdb|snowflake|redshift|cockroachdb"
    r"|clickhouse|bigquery|trino|db2)(\+\w+)?://"
)
_WEB: Final = ("http://", "https://")  # there is no asking what else is there
_PACKED: Final = re.compile(r"\.(gz|bz2|xz|zst|zip)$")


class SourceKind(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"
    JSON = "json"
    PARQUET = "parquet"
    WORKBOOK = "workbook"


# What the first bytes say: a kind, or what it is that can't be read.
_BEGINNINGS: Final[Mapping[bytes, SourceKind | str]] = {
    rb"PAR1": SourceKind.PARQUET,
    rb"PK\x03\x04|\xd0\xcf\x11\xe0": SourceKind.WORKBOOK,
    rb"(?i)\s*<(!doctype html|html|table|meta|head)": "a web page (HTML)",
    rb"(?i)\s*<(\?xml|[a-z])": "XML",
    rb"%PDF": "a PDF document",
    rb"7z\xbc\xaf|Rar!|(?s:.{257})ustar": "an archive (unpack it first)",
    rb"\{\\rtf": "a text document (RTF)",
    rb"SQLite format 3\0": "an SQLite database (give sqlite:///PATH and a query)",
    rb"Obj\x01": "an Avro file",
    rb"ORC": "an ORC file",
}
_SUFFIXES: Final = {
    **dict.fromkeys([".jsonl", ".ndjson"], SourceKind.JSON_LINES),
    ".json": SourceKind.JSON,
    **dict.fromkeys([".parquet", ".pq"], SourceKind.PARQUET),
    **dict.fromkeys([".xlsx", ".xls", ".ods"], SourceKind.WORKBOOK),
}
_JSON_TEXT: Final = re.compile(rb'\s*(\{\s*["}]|\[\s*[{\]])')


def open_source(
    where: str | os.PathLike[str] | Input | Sequence[str | os.PathLike[str]],
    mapping: FieldMapping | None = None,
    *,
    kind: SourceKind | None = None,
    layout: Layout | None = None,
    query: str | None = None,
    parameters: Mapping[str, Json] | None = None,
    version: str | None = None,
) -> TableSource:
    """Make a source of a file, of several, of a query, or of standard input.

    :param where: a path, or an address that fsspec knows (``s3://…``, ``https://…``); its first
        bytes say what it is: delimited text, JSON, Parquet, a workbook, each also packed (gzip,
        bzip2, xz, zstd, or a zip file with one file). Or a pattern such as ``export/*.csv``, in
        the order of names, files of rejected rows left out; several of these; a database's URL,
        with a ``query``; ``-`` for standard input; or another stream, as a :class:`StreamInput`.
    :param mapping: which column becomes which field.
    :param kind: what it is, where the first bytes are not to be believed.
    :param layout: how its rows and columns are laid out; of JSON, the encoding.
    :param query: what to ask the database, with ``parameters`` and ``version`` as for
        :class:`SqlSource`.
    :raises ConfigurationError: there is no such file, or it is of a kind that can't be read.
    """
    if isinstance(where, Sequence) and not isinstance(where, str):
        opened = [open_source(one, mapping, kind=kind, layout=layout) for one in where]
        return SeveralSources(opened)
    source_of = partial(_source_of_kind, mapping=mapping, kind=kind, layout=layout or Layout())
    if isinstance(where, Input):
        return source_of(where)
    text = os.fspath(where)
    if query is not None or _DATABASE.match(text):
        if not URL.match(text):
            raise ConfigurationError("query: only a database can be asked, and that is not a URL")
        if query is None:
            raise ConfigurationError("query: expected one, as the source is a database")
        return SqlSource(text, query, mapping, parameters=parameters, version=version)
    if text == "-":
        return source_of(StreamInput(sys.stdin.buffer))
    paths = expand(text)
    inputs = [input_of(path) for path in paths]
    if paths == [text]:
        return source_of(inputs[0])
    rejects = [one for one in inputs if is_reject_file(one)]
    if len(rejects) == len(inputs):
        raise ConfigurationError("source: only files of rejected rows fit; name the one to read")
    notices = [f"{one.name}: left out, as it holds rejected rows" for one in rejects]
    return SeveralSources([source_of(one) for one in inputs if one not in rejects], notices=notices)


def expand(where: str) -> list[str]:
    """Return the files that a path, an address or a pattern names, in the order of their names."""
    if not _WILDCARDS & set(where) or Path(where).exists() or where.startswith(_WEB):
        return [where]
    if URL.match(where):
        files, path = need("fsspec.core", extra="files", purpose="source").url_to_fs(where)
        found = sorted(files.unstrip_protocol(one) for one in files.glob(path))
    else:
        paths = sorted(glob.glob(where, recursive=True))  # noqa: PTH207 - no absolute patterns there
        found = [path for path in paths if Path(path).is_file()]
    if not found:
        raise ConfigurationError("source: no file fits the pattern")
    return found


class SeveralSources(TableSource):
    """The rows of several sources, or some of them, in order and numbered on from 1.

    Each may have its columns in an order of its own; each must have those of the mapping.

    :param notices: more sentences for whoever started the sync.
    :param limit: the most rows to read.
    :param choose: is given each row as it is read, and returns it, or None to leave it out.
    :raises ConfigurationError: there are none.
    """

    def __init__(
        self,
        sources: Sequence[TableSource],
        *,
        notices: Sequence[str] = (),
        limit: int = sys.maxsize,
        choose: Callable[[Outcome], Outcome | None] | None = None,
    ) -> None:
        if not sources:
            raise ConfigurationError("sources: expected at least one")
        more = f" and {len(sources) - 1} more" if sources[1:] else ""
        first = f", the first {limit:,} rows" if limit < sys.maxsize else ""
        super().__init__(f"{sources[0].name}{more}{first}")
        self._sources = tuple(sources)
        self._notices = tuple(notices)
        self._limit = limit
        self._choose = choose

    @property
    def seen(self) -> Seen:
        """All columns, and the sum of rows; None where one source has none or does not know."""
        columns = [source.columns for source in self._sources]
        sizes = [source.size_hint for source in self._sources]
        return Seen(
            columns=None
            if None in columns
            else tuple(dict.fromkeys(chain(*filter(None, columns)))),
            notices=(*self._notices, *_merged(source.notices for source in self._sources)),
            size_hint=None if None in sizes else min(sum(filter(None, sizes)), self._limit),
        )

    @property
    def fingerprint(self) -> str | None:
        """A hash of all fingerprints in order, the only one as it is; None if one has none."""
        prints = [source.fingerprint for source in self._sources]
        if len(prints) == 1:
            return prints[0]
        return None if None in prints else hashlib.sha256(repr(prints).encode()).hexdigest()

    def outcomes(self, *, after_row: int = 0, before: int = 0) -> Outcomes:
        """Read the rows after number ``after_row``."""
        for source in self._sources:
            if isinstance(source, Table) and source.columns:
                source.compiled()  # or a missing column would be found after much was sent
        is_whole = self._choose is None and self._limit == sys.maxsize
        for source in self._sources:
            rows = source.outcomes(after_row=after_row, before=before)
            before = yield from rows if is_whole else self._chosen(rows)
        return before

    def _chosen(self, rows: Outcomes) -> Outcomes:
        with closing(rows):
            while True:
                try:
                    outcome = next(rows)
                except StopIteration as end:
                    last: int = end.value
                    return last
                if outcome.row > self._limit:
                    return self._limit
                chosen = outcome if self._choose is None else self._choose(outcome)
                if chosen is not None:
                    yield chosen

    def sample(self, limit: int = 100) -> Sample:
        """Return the first rows of the first source that has any."""
        for source in self._sources:
            sample = source.sample(min(limit, self._limit))
            if sample.rows:
                break
        return sample


def _merged(notices: Iterable[Iterable[str]]) -> Iterator[str]:
    """Return notices, those that say the same of several files as one."""
    names: dict[str, list[str]] = {}
    for notice in chain.from_iterable(notices):
        name, _, sentence = notice.partition(": ")
        names.setdefault(sentence, []).append(name)
    for sentence, (first, *others) in names.items():
        yield f"{first}{f' and {len(others)} more' if others else ''}: {sentence}"


def _source_of_kind(
    source: Input, mapping: FieldMapping | None, kind: SourceKind | None, layout: Layout
) -> TableSource:
    match kind or _kind_of(source):
        case SourceKind.CSV:
            return CsvSource(source, mapping, layout=layout)
        case SourceKind.PARQUET:
            return ParquetSource(source, mapping)
        case SourceKind.WORKBOOK:
            return SheetSource(source, mapping, layout=layout)
        case found:
            lines = found is SourceKind.JSON_LINES
            return JsonSource(source, mapping, encoding=layout.encoding, lines=lines)


def _kind_of(source: Input) -> SourceKind:
    """Return a file's kind by its first bytes, and by its suffix only where these can't tell."""
    head = source.head()
    found = next((what for begin, what in _BEGINNINGS.items() if re.match(begin, head)), None)
    if isinstance(found, SourceKind):
        return found
    if found is not None:
        raise ConfigurationError(f"{source.name}: is {found}, which can't be read")
    suffix = Path(_PACKED.sub("", source.name.lower())).suffix
    by_suffix = _SUFFIXES.get(suffix, SourceKind.CSV)
    is_json = by_suffix in (SourceKind.JSON, SourceKind.JSON_LINES)
    text = head[:1000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe")
    if _JSON_TEXT.match(text):
        return by_suffix if is_json else SourceKind.JSON
    # A workbook or a Parquet file that does not begin like one is broken; its reader will say so.
    return by_suffix if is_json or not text.isascii() else SourceKind.CSV
