"""JSON as a source: an object on each line, or an array of objects, or one object after another."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from itertools import islice
from os import PathLike
from typing import Any, Final

from personaclick_async import codec
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Fault, Outcome, Rejected
from personaclick_async.sync.sources.base import (
    BOOKKEEPING,
    ROW,
    BrokenRow,
    Numbered,
    Sample,
    SourceFailed,
    fingerprint,
    need,
    sample_of,
)
from personaclick_async.sync.sources.encodings import (
    KEEP_BYTES,
    Encoding,
    check_encoding,
    find_encoding,
)
from personaclick_async.sync.sources.files import FileInput, Input, lines_hint
from personaclick_async.sync.sources.flat import (
    SENT,
    flattened,
    outcome_of_record,
    outcome_of_sent,
)

LINE: Final = "_line"
"""Where a reject file keeps a line that is not a JSON object; sources pass over it."""

_UTF8: Final = "utf-8"
_DEEPEST: Final = 200
_WRAPPED: Final = 2
_GOES_ON: Final = ("start_map", "start_array", "map_key")
_BEGINS: Final = ("start_map", "start_array", "string", "number", "boolean", "null")
_IGNORED: Final = (*BOOKKEEPING, LINE)


class JsonSource:
    """Records of JSON Lines, or of JSON that is an array, or pretty-printed, plain or packed.

    Of JSON Lines, lines that are not a JSON object are rejected one by one, and lines with
    nothing on them are no rows. Other JSON is read as it streams, and ends with an error where it
    is broken. Null says nothing about a field, as in a :class:`ProfileUpdate`.

    :param source: the file, or another input such as :class:`StreamInput`.
    :param mapping: which key becomes which field (``address.city`` for one inside another);
        without one the objects are flat and called as the fields are, custom properties beside
        them, and types must be the fields' own.
    :param encoding: the text's encoding where it is not UTF-8, as JSON should be.
    :param lines: whether each line is an object; seen from the first line unless said.
    :raises ConfigurationError: there is no such file.
    """

    columns: None = None

    def __init__(
        self,
        source: str | PathLike[str] | Input,
        mapping: FieldMapping | None = None,
        *,
        encoding: str | None = None,
        lines: bool | None = None,
    ) -> None:
        self._input = FileInput(source) if isinstance(source, str | PathLike) else source
        self._mapping = mapping
        self._given = check_encoding(encoding) if encoding else None
        self._lines_given = lines

    @property
    def name(self) -> str:
        """The file's name."""
        return self._input.name

    @property
    def encoding(self) -> str:
        """The text's encoding."""
        return self._encoding.name

    @property
    def notices(self) -> tuple[str, ...]:
        """How it is written, and the encoding."""
        kind = "JSON Lines" if self._has_lines else "JSON"
        return (f"{self.name}: read as {kind} in {self.encoding} ({self._encoding.reason})",)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the whole content, of the mapping, and of the way it is read."""
        content = self._input.content_hash
        return content and fingerprint(
            "json", content, self._mapping, {"encoding": self.encoding, "lines": self._has_lines}
        )

    @property
    def size_hint(self) -> int | None:
        """The number of lines if all are as long as the first ones; exact for a small file."""
        return lines_hint(self._input) if self._has_lines else None

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``.

        :raises SourceFailed: the file can't be read to its end, or was changed meanwhile.
        """
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        to_outcome = outcome_of_record(self._mapping)
        with self._items() as items:
            number = skipped = sum(1 for _ in islice(items, after_row))
            for number, item in enumerate(items, skipped + 1):
                row = before + number
                if isinstance(item, BrokenRow):
                    kept = dict(zip([LINE], item.cells, strict=False))
                    yield Rejected(row, (Fault(ROW, item.rule, item.given),), kept)
                elif SENT in item:
                    yield outcome_of_sent(row, item[SENT])
                else:
                    for ignored in _IGNORED:
                        item.pop(ignored, None)
                    yield to_outcome(row, item)
            return number

    def sample(self, limit: int = 100) -> Sample:
        """Return the first objects; the columns are all their keys, those of nested ones too."""
        with self._items() as items:
            first = islice(items, limit)
            records = [flattened(item) for item in first if not isinstance(item, BrokenRow)]
        return sample_of(records)

    @cached_property
    def _encoding(self) -> Encoding:
        return find_encoding(self._input, self._given, otherwise=_UTF8)

    @cached_property
    def _head(self) -> bytes:
        encoding = self._encoding
        text = self._input.head()[encoding.bom_bytes :].decode(encoding.name, "replace")
        return text.lstrip()[:65536].encode(_UTF8, "replace")

    @cached_property
    def _has_lines(self) -> bool:
        """Whether the first line is an object by itself, which does not hold all others."""
        if self._lines_given is not None:
            return self._lines_given
        first, second, *_ = [*filter(None, map(bytes.strip, self._head.split(b"\n"))), b"", b""]
        if first in (b"[", b"{"):
            return False
        is_record = _is_object(first) and not self._place[0]
        return is_record or _is_object(second) or not first.startswith((b"{", b"["))

    @cached_property
    def _place(self) -> tuple[int, str | None]:
        """How many brackets stand around the objects, and the key of their array if two do."""
        if self._head.startswith(b"["):
            return 1, None
        ijson = need("ijson", extra="files", purpose=self.name)
        depth, key, before = 0, None, ""
        with suppress(ijson.JSONError, ValueError):
            for event, value in ijson.basic_parse(io.BytesIO(self._head), multiple_values=True):
                is_over = event == "end_map" and depth == 1
                if is_over or (isinstance(value, str) and "@" in value):
                    break  # that was a customer
                if event == "map_key" and depth == 1:
                    key = value
                if event == "start_map" and before == "start_array" and depth == _WRAPPED:
                    return depth, key
                depth += event.startswith("start_") - event.startswith("end_")
                before = event
        return 0, None

    @contextmanager
    def _items(self) -> Iterator[Iterator[dict[str, Any] | BrokenRow]]:
        encoding = self._encoding
        with self._input.open() as stream:
            stream.read(encoding.bom_bytes)
            if encoding.name == _UTF8:
                yield self._read(stream)
                return
            text = io.TextIOWrapper(stream, encoding=encoding.name, errors=KEEP_BYTES, newline="\n")
            try:
                yield self._read(_Recoded(text))
            finally:
                # Or the wrapper closes the file, which is not its own.
                text.detach()

    def _read(self, stream: io.BufferedReader | _Recoded) -> Iterator[dict[str, Any] | BrokenRow]:
        return _lines(stream.readline) if self._has_lines else self._documents(stream)

    def _documents(
        self, stream: io.BufferedReader | _Recoded
    ) -> Iterator[dict[str, Any] | BrokenRow]:
        ijson = need("ijson", extra="files", purpose=self.name)
        level, key = self._place
        row = depth = 0
        builder = current = None
        try:
            for event, value in ijson.basic_parse(stream, multiple_values=True, use_float=True):
                depth -= event.startswith("end_")
                is_outer = depth == level and current == key
                if builder is None and is_outer and event in _BEGINS:
                    builder = ijson.ObjectBuilder()
                if builder is not None:
                    builder.event(event, value)
                    if is_outer and event not in _GOES_ON:
                        row += 1
                        item, builder = builder.value, None
                        yield item if isinstance(item, dict) else _no_object(b"", "other JSON")
                elif event == "map_key" and depth == 1:
                    current = value
                depth += event.startswith("start_")
                if depth > _DEEPEST:
                    raise SourceFailed(f"{self.name}: is nested too deep after row {row}")
        except (ijson.JSONError, ValueError):  # their texts quote the file
            raise SourceFailed(f"{self.name}: is no JSON after row {row}") from None


class _Recoded:
    """A text as bytes in UTF-8; lone surrogates stay in, and are refused where they stand."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def read(self, size: int = -1, /) -> bytes:
        return self._text.read(size).encode(_UTF8, "surrogatepass")

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._text.readline(-1 if size is None else size).encode(_UTF8, "surrogatepass")


def _is_object(line: bytes) -> bool:
    with suppress(ValueError):
        return isinstance(codec.decode(line), dict)
    return False


def _lines(readline: Callable[[int], bytes]) -> Iterator[dict[str, Any] | BrokenRow]:
    for line in iter(partial(readline, IMPORT_MAX_BODY_BYTES), b""):
        if len(line) >= IMPORT_MAX_BODY_BYTES and not line.endswith(b"\n"):
            while (more := readline(IMPORT_MAX_BODY_BYTES)) and not more.endswith(b"\n"):
                pass
            yield _no_object(b"", "a line that is too long to be sent")
            continue
        if line.isspace():
            continue
        try:
            record = codec.decode(line)
        except ValueError:
            yield _no_object(line, "a line that is not JSON")
            continue
        yield record if isinstance(record, dict) else _no_object(line, "other JSON")


def _no_object(line: bytes, given: str) -> BrokenRow:
    kept = line.rstrip(b"\r\n").decode(_UTF8, KEEP_BYTES)
    return BrokenRow("a JSON object", given, [kept] if kept else [])
