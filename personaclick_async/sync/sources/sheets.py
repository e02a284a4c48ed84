"""Sheets of workbooks as a source: Excel's, old and new, and OpenDocument's, by python-calamine."""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, reduce
from itertools import islice
from typing import IO, Any, Final
from xml.etree import ElementTree as ET

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import (
    EMPTY,
    Row,
    Seen,
    SourceFailed,
    Table,
    Unreadable,
    need,
)
from personaclick_async.sync.sources.csv_source import ROWS_TO_JUDGE_BY, Layout
from personaclick_async.sync.sources.files import Where, input_of, seekable

_BATCH_ROWS: Final = 512
# A spreadsheet keeps 15 digits of a number; the others of a longer id are zeros by now.
_LARGEST_NUMBER: Final = 10**15

_FORMULA: Final = re.compile(rb"<(\w+:)?f\b")
_FORMATS: Final = "{*}numFmts/{*}numFmt"
_CELL_NAME: Final = re.compile(r"([A-Z]+)(\d+)")


@attrs.frozen
class _Sheet:
    """A sheet as calamine has it, the names of the others, and its cells that are otherwise."""

    name: str = ""
    others: Sequence[str] = ()
    cells: Any = None
    corrected: Mapping[int, Mapping[int, object]] = {}


class SheetSource(Table):
    """Rows of one sheet of a workbook: .xlsx, .xls, .ods.

    Needs the extra ``excel``. Dates, numbers and yes or no come with their types; of formulas the
    values count. A cell with an error in it, and a number with more digits than a spreadsheet
    keeps, is refused by whatever field it is for.

    :param source: the file, or another input such as :class:`StreamInput`, of which a copy is kept.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :param layout: the sheet, and what is known of header, columns and lines before them.
    :raises ConfigurationError: there is no such file, or python-calamine is not installed.
    """

    def __init__(
        self, source: Where, mapping: FieldMapping | None = None, *, layout: Layout | None = None
    ) -> None:
        self._input = input_of(source, whole=True)
        self._layout = layout or Layout()
        version, reading = lambda: self._input.content_hash, attrs.asdict(self._layout)
        super().__init__(self._input.name, mapping, version, reading)
        self._calamine = need("python_calamine", extra="excel", purpose=self.name)

    @cached_property
    def seen(self) -> Seen:
        """The sheet, and which others there are; without its cells: several may be too large."""
        sheet = self._read()
        first = list(islice(self._rows(sheet), ROWS_TO_JUDGE_BY))
        columns, has_header = self._layout.name_columns(first, self.name)
        also = f"; not read: {', '.join(sheet.others)}" if sheet.others else ""
        # The place of its last row, counted from 0: as if the first were a header.
        size = sheet.cells.total_height - self._layout.skip_rows if sheet.cells else 0
        return Seen(
            columns=columns,
            has_header=has_header,
            notices=(f"{self.name}: sheet '{sheet.name}' of a workbook{also}",),
            size_hint=max(0, size),
        )

    @contextmanager
    def _batches(self) -> Iterator[Iterator[list[Row]]]:
        rows = self._rows(self._read())
        yield iter(lambda: list(islice(rows, _BATCH_ROWS)), [])

    def _rows(self, sheet: _Sheet) -> Iterator[Row]:
        """Read all rows that have values, that of the header among them."""
        if not sheet.cells:
            return
        left = sheet.cells.start[1] if sheet.cells.start else 0  # empty columns before the first
        numbered = islice(enumerate(sheet.cells.iter_rows()), self._layout.skip_rows, None)
        for number, cells in numbered:
            row = list(map(_cell, cells))
            for column, value in sheet.corrected.get(number, {}).items():
                place = max(0, column - left)
                row += [""] * (place + 1 - len(row))
                row[place] = value
            if any(cell not in EMPTY for cell in row):
                yield row

    def _read(self) -> _Sheet:
        with self._input.open() as stream, seekable(stream) as file:
            try:
                with self._calamine.CalamineWorkbook.from_filelike(file) as book:
                    return self._choose(book, file)
            except self._calamine.PasswordError:
                rule = "is protected by a password; save it without one"
                raise ConfigurationError(f"{self.name}: {rule}") from None
            except BaseException as error:
                # Some broken files make calamine panic, which is no Exception.
                is_broken = isinstance(error, self._calamine.CalamineError)
                if not is_broken and type(error).__name__ != "PanicException":
                    raise
                raise SourceFailed(f"{self.name}: is broken, or no workbook") from None

    def _choose(self, book: Any, file: IO[bytes]) -> _Sheet:  # noqa: ANN401 - calamine may not be there
        visible = self._calamine.SheetVisibleEnum.Visible
        shown = [sheet.name for sheet in book.sheets_metadata if sheet.visible == visible]
        full = [name for name in shown if book.get_sheet_by_name(name).height]
        chosen = self._layout.sheet or next(iter(full), None)
        if chosen is None:
            return _Sheet()
        names = list(book.sheet_names)
        if chosen not in names:
            known = f"its sheets: {', '.join(names)}"
            raise ConfigurationError(f"{self.name}: has no sheet of that name; {known}")
        others = [name for name in full if name != chosen]
        corrected = _corrected(file, names.index(chosen))
        return _Sheet(chosen, others, book.get_sheet_by_name(chosen), corrected)


def _cell(cell: object) -> object:
    if not isinstance(cell, float):
        return cell
    if abs(cell) >= _LARGEST_NUMBER:
        return Unreadable(repr(cell))
    # A spreadsheet has no other numbers: ids and phones come as 1001.0.
    return int(cell) if cell.is_integer() else cell


def _corrected(file: IO[bytes], sheet: int) -> dict[int, dict[int, object]]:
    """Return cells of an .xlsx of which calamine does not tell all, by row and column.

    These are errors, formulas that nobody has worked out, and numbers whose zeros in front are
    only in their format.
    """
    found: dict[int, dict[int, object]] = defaultdict(dict)
    broken = (zipfile.BadZipFile, KeyError, IndexError, ValueError, ET.ParseError)
    with suppress(*broken), zipfile.ZipFile(file) as archive:
        content, widths = archive.read(_path_of(archive, sheet)), _padded_styles(archive)
        if not widths and b't="e"' not in content and not _FORMULA.search(content):
            return found
        for _, row in ET.iterparse(io.BytesIO(content)):  # noqa: S314 - expat has limits
            if not row.tag.endswith("}row"):
                continue
            for cell in row:
                name = _CELL_NAME.fullmatch(cell.get("r", ""))
                kind, value = cell.get("t", "n"), cell.findtext("{*}v") or ""
                width = widths.get(cell.get("s", "")) if kind == "n" and value.isdecimal() else None
                is_unknown = cell.find("{*}f") is not None and not value and kind != "str"
                if name and (kind == "e" or is_unknown or width):
                    correct = value.zfill(width) if width else Unreadable(value or "=?")
                    found[int(name[2]) - 1][_column(name[1])] = correct
            row.clear()
    return found


def _path_of(archive: zipfile.ZipFile, sheet: int) -> str:
    sheets = _xml(archive, "xl/workbook.xml").findall("{*}sheets/{*}sheet")
    [number] = [value for name, value in sheets[sheet].items() if name.endswith("}id")]
    links = _xml(archive, "xl/_rels/workbook.xml.rels")
    target = {link.get("Id"): link.get("Target", "") for link in links}[number]
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _padded_styles(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return how many digits a number has at least, by the style of its cell."""
    styles = _xml(archive, "xl/styles.xml")
    formats = {one.get("numFmtId"): one.get("formatCode", "") for one in styles.findall(_FORMATS)}
    zeros = {number: len(code) for number, code in formats.items() if re.fullmatch("00+", code)}
    used = [one.get("numFmtId") for one in styles.findall("{*}cellXfs/{*}xf")]
    return {str(style): zeros[number] for style, number in enumerate(used) if number in zeros}


def _xml(archive: zipfile.ZipFile, path: str) -> ET.Element:
    return ET.fromstring(archive.read(path))  # noqa: S314 - expat has limits


def _column(letters: str) -> int:
    """Return the place of a column, counted from 0: AA is 26."""
    return reduce(lambda place, letter: place * 26 + ord(letter) - ord("A") + 1, letters, 0) - 1
