"""The file of rejected rows, to be corrected and resubmitted with the same mapping and options.

It holds personal data, so only its owner may read it. Texts are unchanged: a spreadsheet may take
one that begins with ``=`` for a formula. :mod:`.sources.base` has its first columns.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.sync.records import FaultyRow, Omitted, Refused
from personaclick_async.sync.sources.base import BOOKKEEPING, ROW, SENT
from personaclick_async.sync.sources.encodings import KEEP_BYTES

_UTF8: Final = "utf-8"
_BOM: Final = "\ufeff"
_PRIVATE: Final = 0o600
_JSON_LINES: Final = (".jsonl", ".ndjson")
_DELETE: Final = "correct this row, then delete this cell"

# A line end inside quotes does not end a row of CSV.
_ROW_OF_CSV: Final = re.compile(rb'(?:[^"\n]++|"[^"]*+")*+\n')
_ROW_OF_JSON: Final = re.compile(rb"[^\n]*+\n")


class RejectsFailed(PersonaClickError):
    """Rejected rows can't be written, as when the disk is full."""


class RejectFile:
    """A file that rejected rows are added to, so that a resumed sync continues it.

    After a crash, too, each row is in it once, and none is missing that :meth:`flush` wrote.

    :ivar path: the file; ``.jsonl`` and ``.ndjson`` mean JSON Lines, all else CSV.
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
        self.path = Path(path)
        self._delimiter = delimiter
        self._columns: Sequence[str] | None = None
        self._header = b""
        self._expected: set[bytes] = set()
        if self.path.suffix.lower() not in _JSON_LINES:
            if columns is None:
                raise ConfigurationError(
                    f"{self.path.name}: expected .jsonl, as rows of this source have no columns"
                )
            self._columns = tuple(columns)
            # The mark tells spreadsheets, and our reader despite its options, that it is UTF-8.
            self._header = _BOM.encode() + self._csv_row((*BOOKKEEPING, *columns))
        self._open()

    def _open(self) -> None:
        self._file = _open_private(self.path)
        if self.position == 0:
            self._write(self._header)
        elif os.pread(self._file.fileno(), len(self._header), 0) != self._header:
            self._file.close()
            raise ConfigurationError(
                f"{self.path.name}: exists with other columns; move it out of the way"
            )

    @property
    def position(self) -> int:
        """Its size in bytes."""
        return self._file.seek(0, os.SEEK_END)

    @property
    def resumes_at(self) -> int:
        """The position for ``resume``: its size, unless rows before its end may still come."""
        return self._resumed_at if self._expected else self.position

    @property
    def is_empty(self) -> bool:
        """Whether it has no rows."""
        return self.position == len(self._header)

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        """Add rows, in their order.

        :raises RejectsFailed: the disk is full, or fails otherwise; none of the rows was added.
        """
        lines = list(map(self._line, rows))
        new = b"".join([line for line in lines if line not in self._expected])
        self._expected.difference_update(lines)
        if not os.fstat(self._file.fileno()).st_nlink:
            # It was removed meanwhile, as by another sync that had no rows for it.
            self._file.close()
            self._open()
        if os.pread(self._file.fileno(), 1, max(0, self.position - 1)) not in (b"\n", b""):
            # Its last row was cut short by an editor, or a crash that was not resumed: keep it.
            new = b"\n" + new
        self._write(new)

    def resume(self, position: int, /) -> None:
        """Don't append again the rows after a position; drop a last one that is cut short."""
        begin = self._resumed_at = self._file.seek(min(position, self.position))
        tail = self._file.read()
        whole = _ROW_OF_JSON if self._columns is None else _ROW_OF_CSV
        self._expected.clear()
        end = 0
        while row := whole.match(tail, end):
            self._expected.add(row[0])
            end = row.end()
        if end < len(tail):
            self._file.truncate(begin + end)

    def flush(self) -> None:
        """Write what was added to the disk.

        :raises RejectsFailed: the disk fails.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Flush, and close the file."""
        if not self._file.closed:
            with self._file:
                self.flush()

    def _write(self, lines: bytes) -> None:
        begin = self.position
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(begin)
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> RejectsFailed:
        return RejectsFailed(f"{self.path.name}: can't be written: {error.strerror}")

    def _line(self, one: FaultyRow) -> bytes:
        fields = ", ".join(dict.fromkeys(fault.field for fault in one.faults))
        reason = "; ".join(map(str, one.faults))
        if len(one.faults) == 1:
            reason = reason.removeprefix(f"{fields}: ")
        if isinstance(one, Omitted):
            reason = f"sent without: {reason}"
        if self._columns is not None:
            return self._csv_row((str(one.row), fields, reason, *self._cells(one, self._columns)))
        row = {SENT: dict(one.source_row)} if isinstance(one, Refused) else one.source_row
        about = dict(zip(BOOKKEEPING, (one.row, fields, reason), strict=False))
        return f"{_json({**about, **{str(name): value for name, value in row.items()}})}\n".encode()

    def _cells(self, one: FaultyRow, columns: Sequence[str]) -> list[str]:
        """Return the cells of ``_sent`` and of the source's columns."""
        row = one.source_row
        if one.field == ROW and not isinstance(one, Refused):
            cells = ["", *map(_as_text, row.values())]
            if len(row) <= len(columns):
                # One cell too many, so that it is rejected again unless it is corrected.
                cells += [*[""] * (len(columns) - len(row)), _DELETE]
            return cells
        if isinstance(one, Refused) or not row.keys() <= {SENT, *columns}:
            return [_json(dict(row)), *[""] * len(columns)]
        return [_as_text(row.get(name)) for name in (SENT, *columns)]

    def _csv_row(self, cells: Sequence[str]) -> bytes:
        line = io.StringIO()
        # The writer quotes \r and \n only if they are in its line terminator.
        csv.writer(line, delimiter=self._delimiter, lineterminator="\r\n").writerow(cells)
        return line.getvalue().encode(_UTF8, KEEP_BYTES)


def _open_private(path: Path) -> io.FileIO:
    """Open a file that only its owner can read, from the moment it exists.

    :raises ConfigurationError: it can't be opened, or is a link, a device or another user's.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait for its other end.
        # O_APPEND: syncs in other processes may add rows to it at the same time.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        file = io.FileIO(os.open(path, flags, _PRIVATE), "r+")
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        why = "a symbolic link is not followed" if is_link else error.strerror
        raise ConfigurationError(f"{path.name or path}: can't be opened: {why}") from None
    found = os.fstat(file.fileno())
    is_plain = stat.S_ISREG(found.st_mode)
    if not is_plain or found.st_uid != os.geteuid():
        file.close()
        wrong = "is another user's file" if is_plain else "expected a plain file"
        raise ConfigurationError(f"{path.name}: {wrong}")
    os.fchmod(file.fileno(), _PRIVATE)
    return file


def _json(value: object) -> str:
    # ASCII only: a lone surrogate becomes an escape, and is rejected again when it is read.
    return json.dumps(value, default=_as_text)


def _as_text(value: object) -> str:
    """Return a value of a rejected row as the file has it."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case bytes() | bytearray():
            return value.decode(_UTF8, KEEP_BYTES)
        case list() | tuple() | Mapping():
            return _json(value)
        case _:
            return str(value)
