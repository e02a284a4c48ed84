"""How ``sync`` and ``mapping`` are told to read a source. The sync is imported when one is read."""

from __future__ import annotations

import csv
import glob
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import attrs
import typer

if TYPE_CHECKING:
    from personaclick_async.sync.mapping import FieldMapping
    from personaclick_async.sync.records import Outcome
    from personaclick_async.sync.sources import Layout, SourceKind, TableSource
    from personaclick_async.sync.sources.base import Numbered, Sample

_TABS: Final = ("\\t", "tab")  # a tab is hard to type in a shell

KindName: TypeAlias = Literal["csv", "jsonl", "json", "parquet", "workbook"]

_option: Final = partial(typer.Option, rich_help_panel="How the source is read")


@attrs.frozen(kw_only=True)
class Reading:
    """What the command line says about the source."""

    source: Annotated[
        str,
        typer.Argument(
            help="A file (CSV, JSON, Parquet, Excel; also .gz, .zip …), here or at an address "
            "such as s3://…; a pattern; a database's URL; or - for standard input.",
        ),
    ]
    kind: Annotated[
        KindName | None, _option("--kind", help="What it is; found out if not given.")
    ] = None
    encoding: Annotated[
        str | None, _option("--encoding", help="Of text, such as cp1252; UTF-8 is found out.")
    ] = None
    delimiter: Annotated[
        str | None, _option("--delimiter", help="Of CSV; found out if not given.")
    ] = None
    quote: Annotated[
        str, _option("--quote", help="What stands around texts in CSV; none if nothing does.")
    ] = '"'
    escape: Annotated[
        str | None,
        _option("--escape", help="What stands before a quote in CSV, as a backslash."),
    ] = None
    header: Annotated[
        bool | None,
        _option("--header/--no-header", help="Whether the first row holds the columns' names."),
    ] = None
    columns: Annotated[
        str | None,
        _option("--columns", help="The columns' names, comma-separated, if there is no header."),
    ] = None
    skip_rows: Annotated[int, _option("--skip-rows", min=0, help="Rows above the header.")] = 0
    sheet: Annotated[
        str | None, _option("--sheet", help="Of a workbook; the first with rows if not given.")
    ] = None
    country: Annotated[
        str | None,
        _option("--country", help="Of national phone numbers, such as CH."),
    ] = None
    query: Annotated[str | None, _option("--query", help="What to ask the database.")] = None
    limit: Annotated[
        int | None, _option("--limit", min=1, help="Only the first rows, to try it out.")
    ] = None

    @property
    def layout(self) -> Layout:
        """How delimited text is laid out.

        :raises ConfigurationError: an option is not one of those that make sense.
        """
        from personaclick_async.sync.sources import Layout  # noqa: PLC0415 - only syncs need it

        return Layout(
            encoding=self.encoding,
            delimiter="\t" if self.delimiter in _TABS else self.delimiter,
            quote=None if self.quote in ("", "none") else self.quote,
            escape=self.escape,
            header=self.header,
            columns=None if self.columns is None else next(csv.reader([self.columns]), []),
            skip_rows=self.skip_rows,
            sheet=self.sheet,
        )

    @property
    def source_kind(self) -> SourceKind | None:
        """What the file is, if that was said."""
        from personaclick_async.sync.sources import SourceKind  # noqa: PLC0415 - only syncs need it

        return None if self.kind is None else SourceKind(self.kind)

    @property
    def is_resumable(self) -> bool:
        """Whether a sync of the source can be resumed: its content can be known beforehand."""
        return self.source != "-" and self.query is None

    @property
    def files(self) -> list[Path]:
        """The local files of the source, which nothing else may write to."""
        scheme, is_url, rest = self.source.partition("://")
        if is_url:
            path = rest.partition("?")[0]
            if scheme == "file":
                return [Path(path)]
            return [Path(path[1:])] if scheme.startswith(("sqlite", "duckdb")) else []
        if self.source == "-":
            return [Path("/dev/stdin")]
        from personaclick_async.sync.sources.opening import holds_rejects  # noqa: PLC0415 - as above

        found = map(Path, glob.glob(self.source, recursive=True))  # noqa: PTH207 - as sources do
        # A pattern leaves out what earlier runs have rejected, which may be written to again.
        return [Path(self.source), *(one for one in found if not holds_rejects(str(one)))]

    def open(self, mapping: FieldMapping | None = None) -> TableSource:
        """Open the source.

        :raises ConfigurationError: there is no such file, or it can't be told what it is.
        """
        from personaclick_async.sync.sources import open_source  # noqa: PLC0415 - only syncs need it

        source = open_source(
            self.source, mapping, kind=self.source_kind, layout=self.layout, query=self.query
        )
        return source if self.limit is None else _Rows(source, limit=self.limit)


def watched(source: TableSource, see: Callable[[Outcome], None]) -> TableSource:
    """Return the source, each of whose rows is shown to ``see`` as it is read."""
    return _Rows(source, see=see)


class _Rows:
    """The rows of a source, or the first ones of them."""

    def __init__(
        self,
        source: TableSource,
        *,
        limit: int | None = None,
        see: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._source = source
        self._limit = limit
        self._see = see
        self.name = source.name if limit is None else f"{source.name}, the first {limit:,} rows"

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._source.columns

    @property
    def notices(self) -> tuple[str, ...]:
        return self._source.notices

    @property
    def fingerprint(self) -> str | None:
        return self._source.fingerprint

    @property
    def size_hint(self) -> int | None:
        hint = self._source.size_hint
        return hint if hint is None or self._limit is None else min(hint, self._limit)

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        with closing(self._source.numbered(after_row=after_row, before=before)) as rows:
            while True:
                try:
                    outcome = next(rows)
                except StopIteration as end:
                    last: int = end.value
                    return last
                if self._limit is not None and outcome.row - before > self._limit:
                    return self._limit
                if self._see is not None:
                    self._see(outcome)
                yield outcome

    def sample(self, limit: int = 100) -> Sample:
        return self._source.sample(limit if self._limit is None else min(limit, self._limit))
