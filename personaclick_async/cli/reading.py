"""How ``sync`` and ``mapping`` are told to read a source. The sync is imported when one is read."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import attrs
import typer

if TYPE_CHECKING:
    from personaclick_async.sync.mapping import FieldMapping
    from personaclick_async.sync.sources import CsvLayout, SourceKind, TableSource

_READING: Final = "How the source is read"
_TABS: Final = ("\\t", "tab")  # a tab is hard to type in a shell

KindName: TypeAlias = Literal["csv", "jsonl", "parquet"]

Where: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="A file (CSV, JSON Lines, Parquet; also .gz), a pattern, a database's URL, or - "
        "for standard input.",
        metavar="SOURCE",
    ),
]
Kind: TypeAlias = Annotated[
    KindName | None,
    typer.Option(
        "--kind", help="What it is, if the suffix does not say.", rich_help_panel=_READING
    ),
]
Delimiter: TypeAlias = Annotated[
    str | None,
    typer.Option("--delimiter", help="Of CSV; found out if not given.", rich_help_panel=_READING),
]
Encoding: TypeAlias = Annotated[
    str | None,
    typer.Option("--encoding", help="Of text; found out if not given.", rich_help_panel=_READING),
]
Query: TypeAlias = Annotated[
    str | None,
    typer.Option("--query", help="What to ask the database.", rich_help_panel=_READING),
]


@attrs.frozen(kw_only=True)
class Reading:
    """What the command line says about the source."""

    where: str
    kind: KindName | None = None
    delimiter: str | None = None
    encoding: str | None = None
    query: str | None = None

    @property
    def layout(self) -> CsvLayout:
        """How delimited text is laid out.

        :raises ConfigurationError: an option is not one of those that make sense.
        """
        from personaclick_async.sync.sources import CsvLayout  # noqa: PLC0415 - only syncs need it

        delimiter = "\t" if self.delimiter in _TABS else self.delimiter
        return CsvLayout(delimiter=delimiter, encoding=self.encoding)

    @property
    def source_kind(self) -> SourceKind | None:
        """What the file is, if that was said."""
        from personaclick_async.sync.sources import SourceKind  # noqa: PLC0415 - only syncs need it

        return None if self.kind is None else SourceKind(self.kind)

    @property
    def is_resumable(self) -> bool:
        """Whether a sync of the source can be resumed: its content can be known beforehand."""
        return self.where != "-" and self.query is None

    @property
    def files(self) -> list[Path]:
        """The local files of the source, which nothing else may write to."""
        scheme, is_url, rest = self.where.partition("://")
        if is_url:
            path = rest.partition("?")[0]
            if scheme == "file":
                return [Path(path)]
            return [Path(path[1:])] if scheme.startswith(("sqlite", "duckdb")) else []
        if self.where == "-":
            return [Path("/dev/stdin")]
        return [Path(self.where), *map(Path, glob.glob(self.where, recursive=True))]  # noqa: PTH207

    def source(self, mapping: FieldMapping | None = None) -> TableSource:
        """Open the source.

        :raises ConfigurationError: there is no such file, or it can't be told what it is.
        """
        from personaclick_async.sync.sources import open_source  # noqa: PLC0415 - only syncs need it

        return open_source(
            self.where, mapping, kind=self.source_kind, layout=self.layout, query=self.query
        )
