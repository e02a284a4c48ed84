"""Tables whose values have types: workbooks, Parquet files, and the results of SQL queries."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import reduce
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import attrs

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import (
    EMPTY,
    Opened,
    Row,
    Seen,
    SourceFailed,
    Table,
    Unreadable,
    distinct,
    need,
)
from personaclick_async.sync.sources.csv_source import ROWS_TO_JUDGE_BY, Layout
from personaclick_async.sync.sources.files import Where, input_of, seekable

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ROWS_OF_SHEET: Final = 512
_ROWS_OF_PARQUET: Final = 4096
_ROWS_OF_QUERY: Final = 1000
# A spreadsheet keeps 15 digits of a number; those of a longer id have become zeros.
_LARGEST_NUMBER: Final = 10**15
_LARGEST_FLOAT32: Final = 2**24

_FORMULA_OR_ERROR: Final = re.compile(rb"""<(\w+:)?f\b|\bt=["']e["']""")
_CELL_NAME: Final = re.compile(r"([A-Z]+)(\d+)")
_STYLES: Final = "xl/styles.xml"
# What a number's format may hold besides its digits: colours, the formats of others, separators.
_NO_DIGITS: Final = re.compile(r"\[[^]]*\]|;.*|[\\\"_ ()-]")
_ORDERED: Final = re.compile(r"\border\s+by\b", re.IGNORECASE)
# The packages of drivers whose module has another name.
_PACKAGES: Final = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"}
# What drivers say if a server refuses the user.
_USER_REFUSED: Final = re.compile(r"password|authenticat|denied|role .* not exist", re.IGNORECASE)


class SheetSource(Table):
    """Rows of one sheet of a workbook: .xlsx, .xls, .ods.

    Needs the extra ``excel``. Dates, numbers and yes or no come with their types; of formulas the
    values count. A number with more digits than a spreadsheet keeps is refused by whatever field
    it is for; so is a cell with an error in an .xlsx, which is empty in other workbooks.

    :param layout: the sheet, and what is known of header, columns and lines before them.
    """

    def __init__(
        self, source: Where, mapping: FieldMapping | None = None, *, layout: Layout | None = None
    ) -> None:
        self._input, self._layout = input_of(source, whole=True), layout or Layout()
        version, reading = lambda: self._input.content_hash, attrs.asdict(self._layout)
        super().__init__(self._input.name, mapping, version, reading)
        self._calamine = need("python_calamine", extra="excel", purpose=self.name)

    def _open(self) -> AbstractContextManager[Opened]:
        with self._input.open() as stream:
            file = seekable(stream)
            try:
                with self._calamine.CalamineWorkbook.from_filelike(file) as book:
                    return nullcontext(self._sheet(book, file))
            except self._calamine.PasswordError:
                rule = "is protected by a password; save it without one"
                raise ConfigurationError(f"{self.name}: {rule}") from None
            except BaseException as error:
                # Some broken files make calamine panic, which is no Exception.
                is_broken = isinstance(error, self._calamine.CalamineError)
                if not is_broken and type(error).__name__ != "PanicException":
                    raise
                raise SourceFailed(f"{self.name}: is broken, or no workbook") from None

    def _sheet(self, book: Any, file: IO[bytes]) -> Opened:  # noqa: ANN401 - calamine may not be there
        visible = self._calamine.SheetVisibleEnum.Visible
        shown = [sheet.name for sheet in book.sheets_metadata if sheet.visible == visible]
        full = [name for name in shown if book.get_sheet_by_name(name).height]
        names = list(book.sheet_names)
        chosen = self._layout.sheet or next(iter(full or shown), "")
        if chosen not in names:
            known = f"its sheets: {', '.join(names)}"
            raise ConfigurationError(f"{self.name}: has no sheet of that name; {known}")
        others = ", ".join(name for name in full if name != chosen)
        notice = f"sheet '{chosen}' of a workbook{'; not read: ' if others else ''}{others}"
        cells = book.get_sheet_by_name(chosen)
        corrected = _corrected(file, names.index(chosen))
        if corrected is None:
            notice += (
                "; errors in it are read as empty cells, and zeros that only a format shows are"
                " lost: save it as .xlsx"
            )
        rows = self._rows(cells, corrected or {})
        first = list(islice(rows, ROWS_TO_JUDGE_BY))
        columns, has_header = self._layout.name_columns(first, self.name)
        seen = Seen(
            columns=columns,
            notices=(f"{self.name}: {notice}",),
            # As if the first were a header.
            size_hint=max(0, cells.total_height - self._layout.skip_rows),
        )
        return seen, chain(
            [first[has_header:]], iter(lambda: list(islice(rows, _ROWS_OF_SHEET)), [])
        )

    def _rows(self, cells: Any, corrected: Mapping[int, Mapping[int, object]]) -> Iterator[Row]:  # noqa: ANN401
        left = cells.start[1] if cells.start else 0  # empty columns before the first
        for number, read in islice(enumerate(cells.iter_rows()), self._layout.skip_rows, None):
            row = list(map(_cell, read))
            for column, value in corrected.get(number, {}).items():
                place = max(0, column - left)
                row += [""] * (place + 1 - len(row))
                row[place] = value
            if any(cell not in EMPTY for cell in row):
                yield row


def _cell(cell: object) -> object:
    if not isinstance(cell, float):
        return cell
    if abs(cell) >= _LARGEST_NUMBER:
        return Unreadable(repr(cell))
    # A spreadsheet has no other numbers: ids and phones come as 1001.0.
    return int(cell) if cell.is_integer() else cell


def _corrected(file: IO[bytes], sheet: int) -> Mapping[int, Mapping[int, object]] | None:
    """Return the cells of an .xlsx that calamine misreads, by row and column; None of others.

    These are errors, formulas without a result, and numbers whose leading zeros are only in their
    format.
    """
    found: dict[int, dict[int, object]] = defaultdict(dict)
    broken = (zipfile.BadZipFile, KeyError, IndexError, ValueError, ET.ParseError)
    with suppress(*broken), zipfile.ZipFile(file) as archive:
        names = ("workbook.xml", "_rels/workbook.xml.rels")
        book, links = (ET.fromstring(archive.read(f"xl/{name}")) for name in names)  # noqa: S314 - expat has limits
        facts = book.findall("{*}sheets/{*}sheet")[sheet].items()
        [number] = [value for name, value in facts if name.endswith("}id")]
        target = {link.get("Id"): link.get("Target", "") for link in links}[number]
        content = archive.read(posixpath.join("xl", target).removeprefix("/"))
        widths = _padded(archive)
        if not widths and not _FORMULA_OR_ERROR.search(content):
            return found
        row_at = -1
        for _, row in ET.iterparse(io.BytesIO(content)):  # noqa: S314 - expat has limits
            if not row.tag.endswith("}row"):
                continue
            # Some writers number neither rows nor cells.
            row_at, column = int(row.get("r", row_at + 2)) - 1, -1
            for cell in row:
                column += 1
                if name := _CELL_NAME.fullmatch(cell.get("r", "")):
                    row_at, column = int(name[2]) - 1, _column_at(name[1])
                kind, value = cell.get("t", "n"), cell.findtext("{*}v") or ""
                width = widths.get(cell.get("s", "")) if kind == "n" and value.isdecimal() else None
                is_unknown = cell.find("{*}f") is not None and not value and kind != "str"
                if kind == "e" or is_unknown or width:
                    correct = value.zfill(width) if width else Unreadable(value or "=?")
                    found[row_at][column] = correct
            row.clear()
        return found
    return None


def _column_at(letters: str) -> int:
    """Return a column's place; AA is 26."""
    return reduce(lambda at, one: (at + 1) * 26 + ord(one) - ord("A"), letters, -1)


def _padded(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return the least number of digits by a cell's style, of styles that pad with zeros."""
    if _STYLES not in archive.namelist():
        return {}
    styles = ET.fromstring(archive.read(_STYLES))  # noqa: S314 - expat has limits
    zeros: dict[str | None, int] = {}
    for one in styles.findall("{*}numFmts/{*}numFmt"):
        digits = _NO_DIGITS.sub("", one.get("formatCode", ""))
        if re.fullmatch("00+", digits):
            zeros[one.get("numFmtId")] = len(digits)
    used = [one.get("numFmtId") for one in styles.findall("{*}cellXfs/{*}xf")]
    return {str(style): zeros[number] for style, number in enumerate(used) if number in zeros}


class ParquetSource(Table):
    """Rows of a Parquet file; also of a packed one, by way of a temporary file.

    Needs the extra ``parquet``.
    """

    def __init__(self, source: Where, mapping: FieldMapping | None = None) -> None:
        self._input = input_of(source, whole=True)
        super().__init__(self._input.name, mapping, lambda: self._input.content_hash)
        self._arrow = need("pyarrow", extra="parquet", purpose=self.name)
        self._parquet = need("pyarrow.parquet", extra="parquet", purpose=self.name)
        self._unreadable = (self._arrow.ArrowException, ValueError, OverflowError, KeyError)

    @contextmanager
    def _open(self) -> Iterator[Opened]:
        with self._input.open() as stream:
            whole = seekable(stream)  # Parquet is read from its end, which a packed file can't do
            try:
                file = self._parquet.ParquetFile(whole)
                names, size = distinct(file.schema_arrow.names), file.metadata.num_rows
                batches = (batch.columns for batch in file.iter_batches(_ROWS_OF_PARQUET))
                rows = (list(zip(*map(self._values, columns), strict=True)) for columns in batches)
                yield Seen(columns=names, size_hint=size), rows
            except (self._arrow.ArrowException, OSError):
                raise SourceFailed(f"{self.name}: is broken, or not Parquet") from None

    def _values(self, column: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        kind = column.type
        if self._arrow.types.is_timestamp(kind) and kind.unit == "ns":
            # Python's date-times end at microseconds.
            column = column.cast(self._arrow.timestamp("us", kind.tz), safe=False)
        try:
            values: list[Any] = column.to_pylist()
        except self._unreadable:
            values = list(map(self._cell, column))
        if kind == self._arrow.float32():  # which holds no greater number exactly
            values = [
                Unreadable() if abs(value or 0) >= _LARGEST_FLOAT32 else value for value in values
            ]
        # Tables without empty numbers say NaN.
        is_float = self._arrow.types.is_floating(kind)
        return [None if value != value else value for value in values] if is_float else values  # noqa: PLR0124

    def _cell(self, cell: Any) -> object:  # noqa: ANN401 - pyarrow has no types
        try:
            value: object = cell.as_py()
        except self._unreadable:
            return Unreadable()
        return value


class SqlSource(Table):
    """Rows of a query, a thousand at a time, by a cursor on the server where there are such.

    Needs the extra ``sql``, and the database's driver.

    A database says nothing about whether the answer to a query has changed. Such a sync can be
    resumed only if the caller says which ``version`` of the data this is (a load's number, a
    snapshot's date) and the query has an ORDER BY that leaves no two rows in any order. Without
    one, a sync with a journal and ``skip_unchanged`` is the way not to send everything again.

    :param database: SQLAlchemy's URL, such as ``sqlite:///shop.db``, or an engine.
    :param query: one SELECT; ``:name`` stands for a parameter, whose value is in ``parameters``.
    :param version: what the caller vouches for: the same version has the same rows in one order.
    :raises ConfigurationError: SQLAlchemy or the driver is not installed, the URL is none, an
        SQLite file is not there, or there is a version but no ORDER BY.
    """

    def __init__(
        self,
        database: str | Engine,
        query: str,
        mapping: FieldMapping | None = None,
        *,
        parameters: Mapping[str, Json] | None = None,
        version: str | None = None,
    ) -> None:
        self._sqlalchemy = need("sqlalchemy", extra="sql", purpose="database")
        if version is not None and not _ORDERED.search(query):
            raise ConfigurationError("query: expected an ORDER BY, as a version is given")
        try:
            url = self._sqlalchemy.make_url(database) if isinstance(database, str) else database.url
        except self._sqlalchemy.exc.ArgumentError:  # its text has the URL, password and all
            raise ConfigurationError("database: expected a URL such as sqlite:///shop.db") from None
        self._query, self._parameters = query, dict(parameters or {})
        server = f"{url.host or ''}:{url.port or ''}".strip(":")
        self._server = f"the server at {server}" if server else "the database"
        backend, path = url.get_backend_name(), url.database or ":memory:"
        name = f"{backend} {PurePath(url.database or '').name}".strip()
        asked = [query, sorted([key, repr(value)] for key, value in self._parameters.items())]
        super().__init__(name, mapping, lambda: version, [name, *asked])
        self._engine: Any = database
        self._has_own_engine = isinstance(database, str)
        if self._has_own_engine:
            is_file = backend == "sqlite" and not path.startswith(("file:", ":memory:"))
            if is_file and not Path(path).is_file():
                # SQLite would make one, and say that it has no such table.
                raise ConfigurationError(f"{name}: expected a database file, found none")
            self._engine = self._engine_of(url)

    @property
    def size_hint(self) -> None:
        """None: to count would be another query, and not a cheap one."""

    @contextmanager
    def _open(self) -> Iterator[Opened]:
        doing = "connect"
        try:
            with self._engine.connect() as connection:
                doing = "for the query"
                options = connection.execution_options(yield_per=_ROWS_OF_QUERY)
                answer = options.execute(self._sqlalchemy.text(self._query), self._parameters)
                seen = Seen(columns=distinct([*answer.keys()]))
                doing = "while reading"
                yield seen, answer.partitions(_ROWS_OF_QUERY)
        except self._sqlalchemy.exc.SQLAlchemyError as error:
            raise SourceFailed(f"{self.name}: {self._reason(doing, error)}") from None
        finally:
            if self._has_own_engine:
                self._engine.dispose()

    def _engine_of(self, url: Any) -> Any:  # noqa: ANN401 - SQLAlchemy may not be there
        try:
            return self._sqlalchemy.create_engine(url, hide_parameters=True)
        except ImportError as error:
            package = _PACKAGES.get(str(error.name), error.name)
            needs = f"its driver is not installed: pip install {package}"
        except self._sqlalchemy.exc.NoSuchModuleError:
            needs = f"SQLAlchemy has no driver for {url.drivername}"
        raise ConfigurationError(f"database: {needs}") from None

    def _reason(self, doing: str, error: Any) -> str:  # noqa: ANN401 - SQLAlchemy may not be there
        text = str(getattr(error, "orig", None) or "")
        if doing == "connect":
            does = "refuses this user" if _USER_REFUSED.search(text) else "does not answer"
            return f"{self._server} {does}"
        kinds = (self._sqlalchemy.exc.OperationalError, self._sqlalchemy.exc.ProgrammingError)
        if doing == "for the query" and text and isinstance(error, kinds):
            return text.splitlines()[0]  # a table that is not there, or an error in the text
        # No more than the kind: drivers quote the row that they failed on.
        return f"{type(error).__name__} {doing}"
