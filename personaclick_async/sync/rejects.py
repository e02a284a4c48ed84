"""The file of rejected rows: what stood in them and why they can't be sent.

It is made to be corrected and resubmitted with the same mapping and the same options. Its own
columns come first and are passed over by the sources: ``_row``, ``_field``, ``_reason``, and
``_sent``, which is explained below. The columns of the source follow as they were. A row that did
not have the source's columns is written so that it does not have them here either, and is rejected
again unless somebody corrects that. The reason of a row that was sent without some of its values
begins with ``sent without``.

Of a row that the service refused only what was sent is known: its fields, which then stand as
JSON in ``_sent``, and are taken from there when the file is resubmitted.

The file holds personal data, so nobody but its owner may read it. Texts stand there as they
came: a spreadsheet that opens the file may take one that begins with ``=`` for a formula.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Final

from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.sync.records import FaultyRow, Omitted, Refused
from personaclick_async.sync.sources.base import BOOKKEEPING, ROW, SENT
from personaclick_async.sync.sources.encodings import KEEP_BYTES

_UTF8: Final = "utf-8"
_BOM: Final = "\ufeff"
_JSON_LINES: Final = (".jsonl", ".ndjson")
_DELETE: Final = "correct this row, then delete this cell"


class RejectsFailed(PersonaClickError):
    """Rejected rows can't be written: a full disk, a file that is gone."""


class RejectFile:
    """A file that rejected rows are added to, as CSV or, by its suffix, as JSON Lines.

    An existing file is added to, so that a resumed sync continues it. Each row stands there once,
    also after a crash, and is never missing once :meth:`flush` has returned.

    :param path: the file; ``.jsonl`` and ``.ndjson`` mean JSON Lines, all else CSV.
    :param columns: the source's columns; CSV needs them.
    :param delimiter: what separates the fields of CSV.
    :raises ConfigurationError: the file can't be opened, or it is CSV and has other columns, or
        the columns are not known.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str] | None = None,
        *,
        delimiter: str = ",",
    ) -> None:
        self._path = Path(path)
        self._delimiter = delimiter
        self._columns: tuple[str, ...] | None = None
        self._expected: set[str] = set()
        self._is_cut = False
        if self._path.suffix.lower() not in _JSON_LINES:
            if columns is None:
                raise ConfigurationError(
                    f"{self._path.name}: expected .jsonl, as rows of this source have no columns"
                )
            self._columns = tuple(columns)
        self._file = _open_private(self._path)
        try:
            self._begin()
        except BaseException:
            self._file.close()
            raise

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        """Add rows, in their order.

        :raises RejectsFailed: the disk is full, or fails otherwise; none of the rows is there.
        """
        lines = self._as_json(rows) if self._columns is None else self._as_csv(rows)
        new = "".join([line for line in lines if line not in self._expected])
        self._expected.difference_update(lines)
        if self._is_cut:
            # By a crash after which nothing was resumed, or by an editor: not to be touched.
            new = "\n" + new
        self._write(new.encode(_UTF8, KEEP_BYTES))
        self._is_cut = False

    @property
    def position(self) -> int:
        """Its size in bytes."""
        return self._file.seek(0, os.SEEK_END)

    @property
    def is_empty(self) -> bool:
        """Whether no row stands in it."""
        return self.position == len(self._header())

    def resume(self, position: int, /) -> None:
        """Keep rows once that stand after a position and come again; drop one that is cut short."""
        position = self._file.seek(min(position, self.position))
        tail = self._file.read()
        end = self._end_of_rows(tail)
        if end < len(tail):
            self._file.truncate(position + end)
            self._is_cut = False
        rows = tail[:end].decode(_UTF8, KEEP_BYTES)
        if self._columns is None:
            self._expected = set(rows.splitlines(keepends=True))
            return
        with suppress(csv.Error):
            read = csv.reader(io.StringIO(rows, newline=""), delimiter=self._delimiter)
            self._expected = {self._row(row) for row in read}

    def _end_of_rows(self, tail: bytes) -> int:
        """Return where the last complete row ends: a kill may have cut short the one after it."""
        if self._columns is None:
            return tail.rfind(b"\n") + 1
        end = passed = quotes = 0
        for line in tail.split(b"\r\n")[:-1]:
            passed += len(line) + 2
            quotes += line.count(b'"')
            # An odd number of them: the line end stands inside of quotes.
            end = end if quotes % 2 else passed
        return end

    def flush(self) -> None:
        """Bring what was added to the disk.

        :raises RejectsFailed: that failed.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Flush, and close the file."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _write(self, lines: bytes) -> None:
        begin = self._file.seek(0, os.SEEK_END)
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(begin)
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> RejectsFailed:
        return RejectsFailed(f"{self._path.name}: can't be written: {error.strerror}")

    def _begin(self) -> None:
        header = self._header()
        end = self._file.seek(0, os.SEEK_END)
        if end == 0:
            self._write(header)
            return
        self._file.seek(0)
        if self._file.read(len(header)) != header:
            raise ConfigurationError(
                f"{self._path.name}: exists with other columns; move it out of the way"
            )
        self._file.seek(end - 1)
        self._is_cut = self._file.read(1) != b"\n"

    def _header(self) -> bytes:
        if self._columns is None:
            return b""
        # The mark tells spreadsheets, and our own reader whatever it was told, that it is UTF-8.
        return (_BOM + self._row((*BOOKKEEPING, *self._columns))).encode(_UTF8, KEEP_BYTES)

    def _row(self, values: Sequence[str]) -> str:
        line = io.StringIO()
        # With its own line ends: only of these the writer knows that they have to be quoted.
        csv.writer(line, delimiter=self._delimiter, lineterminator="\r\n").writerow(values)
        return line.getvalue()

    def _as_csv(self, rows: Sequence[FaultyRow]) -> list[str]:
        return [
            self._row((str(one.row), _fields_of(one), _reason(one), *self._fields(one)))
            for one in rows
        ]

    def _fields(self, one: FaultyRow) -> list[str]:
        """Return what goes under ``_sent``, and what goes under the source's columns."""
        columns = self._columns or ()
        row = one.source_row
        if isinstance(one, Refused):
            return [_json(dict(row)), *([""] * len(columns))]
        if one.field == ROW:
            values = ["", *map(as_text, row.values())]
            # With one cell more than there are columns: it must not pass as it is.
            missing = [""] * (len(columns) + 1 - len(values))
            return [*values, *missing, _DELETE] if len(row) <= len(columns) else values
        if row.keys() <= set(columns):
            return ["", *(as_text(row.get(name)) for name in columns)]
        return [_json(dict(row.items())), *([""] * len(columns))]

    def _as_json(self, rows: Sequence[FaultyRow]) -> list[str]:
        return [
            _json(
                {
                    **dict(
                        zip(BOOKKEEPING, (one.row, _fields_of(one), _reason(one)), strict=False)
                    ),
                    **_as_read(one),
                }
            )
            + "\n"
            for one in rows
        ]


def _as_read(one: FaultyRow) -> dict[str, object]:
    if isinstance(one, Refused):
        return {SENT: dict(one.source_row)}
    return {str(name): value for name, value in one.source_row.items()}


def _open_private(path: Path) -> io.FileIO:
    """Open a file that nobody but its owner can read, from its first moment on.

    :raises ConfigurationError: it can't be opened, or is a link, a device or another user's.
    """
    try:
        # Without O_NONBLOCK a pipe would wait for its reader.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        number = os.open(path, flags, 0o600)
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        why = "a symbolic link is not followed" if is_link else error.strerror
        raise ConfigurationError(f"{path.name or path}: can't be opened: {why}") from None
    file = io.FileIO(number, "r+")
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise ConfigurationError(f"{path.name}: expected a plain file")
    if found.st_uid != os.geteuid():
        file.close()
        raise ConfigurationError(f"{path.name}: is another user's file")
    os.fchmod(number, 0o600)
    return file


def _fields_of(one: FaultyRow) -> str:
    return ", ".join(dict.fromkeys(fault.field for fault in one.faults))


def _reason(one: FaultyRow) -> str:
    several = len(one.faults) > 1
    faults = [
        f"{fault.field}: expected {fault.rule}, got {fault.given}"
        if several
        else f"expected {fault.rule}, got {fault.given}"
        for fault in one.faults
    ]
    return ("sent without: " if isinstance(one, Omitted) else "") + "; ".join(faults)


def _json(value: object) -> str:
    # ASCII only: a lone surrogate is written as an escape, and refused again when it is read.
    return json.dumps(value, default=as_text)


def as_text(value: object) -> str:
    """Return a value of a rejected row as the file has it."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes() | bytearray():
            return bytes(value).decode(_UTF8, KEEP_BYTES)
        case datetime():
            return value.isoformat(" ")
        case date():
            return value.isoformat()
        case list() | tuple() | Mapping():
            return _json(value)
        case _:
            return str(value)
