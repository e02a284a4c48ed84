"""Sheets of workbooks as a source: Excel's, old and new, and OpenDocument's, by python-calamine."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import islice
from os import PathLike
from typing import IO, Any, Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import (
    EMPTY,
    Row,
    SourceFailed,
    Table,
    Unreadable,
    fingerprint,
    need,
)
from personaclick_async.sync.sources.csv_source import ROWS_TO_JUDGE_BY, Layout
from personaclick_async.sync.sources.files import Input, input_of, seekable

_BATCH_ROWS: Final = 512
# A spreadsheet keeps 15 digits of a number; the others of a longer id are zeros by now.
_LARGEST_NUMBER: Final = 10**15

# What of an .xlsx calamine does not tell: errors, formulas that nobody has worked out, and zeros
# in front of a number that are only in its format.
_PREFIX: Final = re.compile(rb"<(/?)\w+:")
_SHEET_ID: Final = re.compile(rb'<sheet\b[^>]*\br:id="([^"]*)"')
_LINK: Final = re.compile(rb"<Relationship\b[^>]*>")
_CELL: Final = re.compile(rb'<c r="([A-Z]+)(\d+)"([^>/]*)>(.*?)</c>', re.DOTALL)
_VALUE: Final = re.compile(rb"<v>(.*?)</v>", re.DOTALL)
_IS_NUMBER: Final = re.compile(rb'^(?!.*\bt="(?!n"))')
_STYLE: Final = re.compile(rb'\bs="(\d+)"')
_FORMAT: Final = re.compile(rb'<numFmt\b[^>]*numFmtId="(\d+)"[^>]*formatCode="(0{2,})"')
_STYLES: Final = re.compile(rb"<cellXfs\b.*?</cellXfs>", re.DOTALL)
_FORMAT_OF_STYLE: Final = re.compile(rb'<xf\b[^>]*numFmtId="(\d+)"')


@attrs.frozen
class _Sheet:
    """A sheet as calamine has it, the names of the others, and its cells that are otherwise."""

    name: str
    others: Sequence[str]
    cells: Any
    corrected: Mapping[int, Mapping[int, object]]


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
        self,
        source: str | PathLike[str] | Input,
        mapping: FieldMapping | None = None,
        *,
        layout: Layout | None = None,
    ) -> None:
        self._input = input_of(source, whole=True)
        super().__init__(self._input.name, mapping)
        self._layout = layout or Layout()
        self._calamine = need("python_calamine", extra="excel", purpose=self.name)

    @property
    def notices(self) -> tuple[str, ...]:
        """The sheet, and which others there are."""
        sheet = self._sheet
        also = f"; not read: {', '.join(sheet.others)}" if sheet.others else ""
        return (f"{self.name}: sheet '{sheet.name}' of a workbook{also}",)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content, of the mapping, and of the way it is read."""
        content = self._input.content_hash
        how = {
            "sheet": self._sheet.name,
            "columns": list(self._header),
            "lines_before": self._layout.skip_rows,
        }
        return fingerprint("sheet", content, self._mapping, how)

    @property
    def size_hint(self) -> int | None:
        """The number of the sheet's rows."""
        # The place of its last row, counted from 0: as if the first were a header.
        rows = self._sheet.cells.total_height if self._sheet.cells else 0
        return max(0, rows - self._layout.skip_rows)

    @property
    def _header(self) -> tuple[str, ...]:
        return self._named[0]

    @cached_property
    def _named(self) -> tuple[tuple[str, ...], bool]:
        return self._layout.name_columns(list(islice(self._rows(), ROWS_TO_JUDGE_BY)), self.name)

    @contextmanager
    def _batches(self) -> Iterator[Iterator[list[Row]]]:
        rows = islice(self._rows(), self._named[1], None)
        yield iter(lambda: list(islice(rows, _BATCH_ROWS)), [])

    def _rows(self) -> Iterator[Row]:
        """Read all rows that have values, that of the header among them."""
        sheet = self._sheet
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

    @cached_property
    def _sheet(self) -> _Sheet:
        with self._workbook() as (book, file):
            full = [
                sheet.name
                for sheet in book.sheets_metadata
                if sheet.visible == self._calamine.SheetVisibleEnum.Visible
                if book.get_sheet_by_name(sheet.name).height
            ]
            names = list(book.sheet_names)
            chosen = self._layout.sheet or next(iter(full), None)
            if chosen is None:
                return _Sheet("", [], None, {})
            if chosen not in names:
                known = ", ".join(names)
                raise ConfigurationError(
                    f"{self.name}: has no sheet of that name; its sheets: {known}"
                )
            others = [name for name in full if name != chosen]
            corrected = _corrected(file, names.index(chosen))
            return _Sheet(chosen, others, book.get_sheet_by_name(chosen), corrected)

    @contextmanager
    def _workbook(self) -> Iterator[tuple[Any, IO[bytes]]]:
        with self._input.open() as stream, seekable(stream) as file:
            try:
                with self._calamine.CalamineWorkbook.from_filelike(file) as book:
                    yield book, file
            except self._calamine.PasswordError:
                raise ConfigurationError(
                    f"{self.name}: is protected by a password; save it without one"
                ) from None
            except BaseException as error:
                # Some broken files make calamine panic, which is no Exception.
                is_broken = isinstance(error, self._calamine.CalamineError)
                if not is_broken and type(error).__name__ != "PanicException":
                    raise
                raise SourceFailed(f"{self.name}: is broken, or no workbook") from None


def _cell(cell: object) -> object:
    if not isinstance(cell, float):
        return cell
    if abs(cell) >= _LARGEST_NUMBER:
        return Unreadable(repr(cell))
    # A spreadsheet has no other numbers: ids and phones come as 1001.0.
    return int(cell) if cell.is_integer() else cell


def _corrected(file: IO[bytes], sheet: int) -> dict[int, dict[int, object]]:
    """Return the cells of an .xlsx that are not as calamine has them, by row and column."""
    found: dict[int, dict[int, object]] = {}
    with suppress(zipfile.BadZipFile, KeyError, IndexError), zipfile.ZipFile(file) as archive:
        content = _xml(archive, _path_of(archive, sheet))
        widths = _padded_styles(archive)
        if not widths and b't="e"' not in content and b"<f" not in content:
            return found
        for letters, row, attributes, inner in _CELL.findall(content):
            matched = _VALUE.search(inner)
            text = matched[1].decode("utf-8", "replace") if matched else ""
            style = _STYLE.search(attributes)
            width = widths.get(int(style[1])) if style else None
            value: object = None
            is_unknown = b"<f" in inner and not text and b't="str"' not in attributes
            if b't="e"' in attributes or is_unknown:
                value = Unreadable(text or "=?")
            elif width and text.isdecimal() and _IS_NUMBER.search(attributes):
                value = text.zfill(width)
            if value is not None:
                found.setdefault(int(row) - 1, {})[_place(letters)] = value
    return found


def _padded_styles(archive: zipfile.ZipFile) -> dict[int, int]:
    """Return how many digits a number has at least, by the style of its cell."""
    styles = _xml(archive, "xl/styles.xml")
    widths = {number: len(zeros) for number, zeros in _FORMAT.findall(styles)}
    used = _FORMAT_OF_STYLE.findall(b"".join(_STYLES.findall(styles)))
    return {style: widths[number] for style, number in enumerate(used) if number in widths}


def _xml(archive: zipfile.ZipFile, path: str) -> bytes:
    return _PREFIX.sub(rb"<\1", archive.read(path))


def _path_of(archive: zipfile.ZipFile, sheet: int) -> str:
    number = _SHEET_ID.findall(_xml(archive, "xl/workbook.xml"))[sheet]
    links = _LINK.findall(_xml(archive, "xl/_rels/workbook.xml.rels"))
    [link] = [one for one in links if b'Id="' + number + b'"' in one]
    target = link.partition(b'Target="')[2].partition(b'"')[0].decode()
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _place(letters: bytes) -> int:
    place = 0
    for letter in letters:
        place = place * 26 + letter - ord("A") + 1
    return place - 1
