"""Sheets of workbooks as a source: Excel's, old and new, and OpenDocument's, by python-calamine."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import chain, islice
from os import PathLike
from typing import IO, Any, Final

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import Row, SourceFailed, Table, Unreadable, need
from personaclick_async.sync.sources.files import FileInput, Input, seekable
from personaclick_async.sync.sources.layout import Layout

_ROWS_TO_JUDGE_BY: Final = 100
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


class SheetSource(Table):
    """Rows of one sheet of a workbook: .xlsx, .xls, .ods.

    Needs the extra ``excel``. Dates, numbers and yes or no come with their types; of formulas the
    values count. A cell with an error in it, and a number with more digits than a spreadsheet
    keeps, is refused by whatever field it is for.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :param layout: the sheet, and what is known of header, columns and lines before them.
    :raises ConfigurationError: there is no such file, or python-calamine is not installed.
    """

    kind = "sheet"

    def __init__(
        self,
        source: str | PathLike[str] | Input,
        mapping: FieldMapping | None = None,
        *,
        layout: Layout | None = None,
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        super().__init__(self._input.name, mapping)
        self._layout = layout or Layout()
        self._calamine = need("python_calamine", extra="excel", purpose=self.name)

    @property
    def notices(self) -> tuple[str, ...]:
        """The sheet, and which others there are."""
        if self._input.content_hash is None:
            return ()
        sheet, others, _ = self._seen
        also = f"; not read: {', '.join(others)}" if others else ""
        return (f"{self.name}: sheet '{sheet}' of a workbook{also}",)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content, of the mapping, and of the way it is read."""
        content = self._input.content_hash
        if content is None:
            return None
        columns = list(self._header())
        lines = self._layout.skip_rows
        return self.fingerprint_of(
            content, sheet=self._seen[0], columns=columns, lines_before=lines
        )

    @property
    def size_hint(self) -> int | None:
        """The number of the sheet's rows."""
        return self._seen[2] if self._input.content_hash else None

    def _header(self) -> tuple[str, ...]:
        return self._named[0]

    @cached_property
    def _named(self) -> tuple[tuple[str, ...], bool]:
        with self._rows():
            return self._named

    @cached_property
    def _seen(self) -> tuple[str, list[str], int]:
        """The sheet, the others that are not empty, and how many rows it has below its header."""
        with self._workbook() as (book, _):
            names = self._sheets(book)
            # The place of its last row, counted from 0: as if the first were a header.
            rows = book.get_sheet_by_name(names[0]).total_height if names else 0
            return (names or [""])[0], names[1:], max(0, rows - self._layout.skip_rows)

    def _sheets(self, book: Any) -> list[str]:  # noqa: ANN401 - calamine may not be there
        """Return the name of the sheet to read, then those of the others with something on them."""
        full = [
            sheet.name
            for sheet in book.sheets_metadata
            if sheet.visible == self._calamine.SheetVisibleEnum.Visible
            if book.get_sheet_by_name(sheet.name).height
        ]
        chosen = self._layout.sheet
        if chosen is None:
            return full
        if chosen not in book.sheet_names:
            known = ", ".join(book.sheet_names)
            raise ConfigurationError(f"{self.name}: has no sheet of that name; its sheets: {known}")
        return [chosen, *(name for name in full if name != chosen)]

    @contextmanager
    def _rows(self) -> Iterator[Iterator[Row]]:
        with self._cells() as rows:
            first = list(islice(rows, _ROWS_TO_JUDGE_BY))
            # A stream can't be asked for them beforehand.
            self._named = self._layout.name_columns(first, self.name)
            yield chain(first[self._named[1] :], rows)

    @contextmanager
    def _cells(self) -> Iterator[Iterator[Sequence[Any]]]:
        with self._workbook() as (book, file):
            names = self._sheets(book)
            if not names:
                yield iter(())
                return
            other = _other_cells(file, list(book.sheet_names).index(names[0]))
            sheet = book.get_sheet_by_name(names[0])
            left = sheet.start[1] if sheet.start else 0  # empty columns before the first
            numbered = islice(enumerate(sheet.iter_rows()), self._layout.skip_rows, None)
            filled = (_row(cells, other.get(number, {}), left) for number, cells in numbered)
            yield (row for row in filled if any(cell not in ("", None) for cell in row))

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


def _row(cells: Sequence[Any], other: dict[int, object], left: int) -> list[Any]:
    row = list(map(_cell, cells))
    for column, value in other.items():
        place = max(0, column - left)
        row += [""] * (place + 1 - len(row))
        row[place] = value
    return row


def _cell(cell: object) -> object:
    if not isinstance(cell, float):
        return cell
    if abs(cell) >= _LARGEST_NUMBER:
        return Unreadable(repr(cell))
    # A spreadsheet has no other numbers: ids and phones come as 1001.0.
    return int(cell) if cell.is_integer() else cell


def _other_cells(file: IO[bytes], sheet: int) -> dict[int, dict[int, object]]:
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
