"""JSON Lines as a source: one JSON object on each line."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import islice
from os import PathLike
from typing import Final

from personaclick_async import codec
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Outcome, Rejected
from personaclick_async.sync.sources.base import (
    BOOKKEEPING,
    ROW,
    SENT,
    Numbered,
    Sample,
    fingerprint,
    sample_of,
)
from personaclick_async.sync.sources.broken_text import KEEP_BYTES
from personaclick_async.sync.sources.encodings import Encoding, check_encoding, find_encoding
from personaclick_async.sync.sources.flat import outcome_of_record, outcome_of_sent
from personaclick_async.sync.sources.inputs import FileInput, Input, lines_hint

LINE: Final = "_line"
"""Where a reject file keeps a line that is not a JSON object; sources pass over it."""

_UTF8: Final = "utf-8"
_IGNORED: Final = (*BOOKKEEPING, LINE)


class JsonLinesSource:
    """Records of JSON Lines, plain or gzipped.

    Lines that are not a JSON object are rejected one by one; lines with nothing on them are no
    rows. Null says nothing about a field, as in a :class:`ProfileUpdate`.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which key becomes which field; without one the objects are flat and called as
        the fields are, custom properties beside them, and types must be the fields' own.
    :param encoding: the text's encoding where it is not UTF-8, as JSON should be.
    :raises ConfigurationError: there is no such file.
    """

    columns: None = None

    def __init__(
        self,
        source: str | PathLike[str] | Input,
        mapping: FieldMapping | None = None,
        *,
        encoding: str | None = None,
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        self._mapping = mapping
        # Not looked for unless the text begins with a mark: JSON is UTF-8 by definition.
        self._given = check_encoding(encoding) if encoding else _UTF8

    @property
    def name(self) -> str:
        """The file's name."""
        return self._input.name

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content, of the mapping, and of the way it is read."""
        content = self._input.content_hash
        return content and fingerprint(
            "json lines", content, self._mapping, {"encoding": self._encoding.name}
        )

    @property
    def size_hint(self) -> int | None:
        """The number of rows if all are as long as the first ones; exact for a small file."""
        return lines_hint(self._input)

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``.

        :raises SourceFailed: the file can't be read to its end, or was changed meanwhile.
        """
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        to_outcome = outcome_of_record(self._mapping)
        with self._lines() as lines:
            number = skipped = sum(1 for _ in islice(lines, after_row))
            for number, line in enumerate(lines, skipped + 1):
                row = before + number
                if line is None:
                    yield _no_object(row, line, "a line that is too long to be sent")
                    continue
                try:
                    record = codec.decode(line)
                except ValueError:
                    yield _no_object(row, line, "a line that is not JSON")
                    continue
                if not isinstance(record, dict):
                    yield _no_object(row, line, "other JSON")
                    continue
                if SENT in record:
                    yield outcome_of_sent(row, record[SENT])
                    continue
                for ignored in _IGNORED:
                    record.pop(ignored, None)
                yield to_outcome(row, record)
            return number

    def sample(self, limit: int = 100) -> Sample:
        """Give the first objects; the columns are all their keys."""
        records: list[dict[str, object]] = []
        with self._lines() as lines:
            for line in islice(lines, limit):
                with suppress(ValueError):
                    record = codec.decode(line or b"null")
                    if isinstance(record, dict):
                        records.append(record)
        return sample_of(records)

    @cached_property
    def _encoding(self) -> Encoding:
        return find_encoding(self._input, self._given)

    @contextmanager
    def _lines(self) -> Iterator[Iterator[bytes | None]]:
        """Read line by line; None stands for one that is too long to be sent."""
        encoding = self._encoding
        with self._input.open() as stream:
            stream.read(encoding.bom_bytes)
            if encoding.name == _UTF8:
                yield _lines(stream.readline)
                return
            text = io.TextIOWrapper(stream, encoding=encoding.name, errors=KEEP_BYTES, newline="\n")
            try:
                # Lone surrogates stay in, and are refused where they stand in a value.
                yield _lines(lambda limit: text.readline(limit).encode(_UTF8, "surrogatepass"))
            finally:
                # Or the wrapper closes the file, which is not its own.
                text.detach()


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes | None]:
    for line in iter(partial(readline, IMPORT_MAX_BODY_BYTES), b""):
        if len(line) >= IMPORT_MAX_BODY_BYTES and not line.endswith(b"\n"):
            while (more := readline(IMPORT_MAX_BODY_BYTES)) and not more.endswith(b"\n"):
                pass
            yield None
        elif not line.isspace():
            yield line


def _no_object(row: int, line: bytes | None, given: str) -> Rejected:
    kept = {} if line is None else {LINE: line.rstrip(b"\r\n").decode(_UTF8, KEEP_BYTES)}
    return Rejected(row, ROW, "a JSON object", given, kept)
