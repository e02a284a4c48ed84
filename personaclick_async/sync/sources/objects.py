"""Sources of objects: anything that can be iterated, and JSON.

JSON is an object on each line, an array of objects, or one object after another.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property, partial
from itertools import chain, islice
from typing import IO, Any, ClassVar, Final, TypeAlias

import attrs

from personaclick_async import codec
from personaclick_async.models import rules
from personaclick_async.names import IMPORT_MAX_BODY_BYTES
from personaclick_async.sync.mapping import CompiledMapping, FieldMapping
from personaclick_async.sync.mapping.definition import looks_like_data
from personaclick_async.sync.records import Fault, Item, Outcome, Record, Rejected, outcome_of
from personaclick_async.sync.sources.base import (
    BOOKKEEPING,
    SENT,
    BrokenRow,
    Outcomes,
    Sample,
    Seen,
    SourceFailed,
    TableSource,
    need,
    outcome_of_sent,
)
from personaclick_async.sync.sources.encodings import (
    KEEP_BYTES,
    Encoding,
    as_text,
    check_encoding,
    find_encoding,
)
from personaclick_async.sync.sources.files import Where, input_of, stream_of

LINE: Final = "_line"  # where a reject file keeps a line that is not a JSON object
_UTF8: Final = "utf-8"
_HEAD: Final = 64 * 1024
_BLOCK: Final = 64 * 1024
_DEEPEST: Final = 200
_ITEM: Final = ".item"
_OUTCOMES: Final = (Record, Rejected)

_Objects: TypeAlias = Iterator[dict[str, Any] | BrokenRow]


class _ObjectSource(TableSource):
    """A source of objects, each with keys of its own, which a mapping need not know."""

    # Keys of a reject file, which are no fields.
    _bookkeeping: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def _objects(self) -> AbstractContextManager[Iterator[Item | BrokenRow]]:
        """Read them from the first on."""

    def outcomes(self, *, after_row: int = 0, before: int = 0) -> Outcomes:
        mapping = self._mapping
        compiled = None if mapping is None else mapping.compile(mapping.columns)
        row = before
        with self._objects() as objects:
            for one in objects:
                row = one.row if isinstance(one, _OUTCOMES) else row + 1
                if row > after_row:
                    yield self._outcome(row, one, compiled)
        return row

    def sample(self, limit: int = 100) -> Sample:
        """Return the first objects; the columns are all their keys, those of nested ones too."""
        with self._objects() as objects:
            records = [_flat(one) for one in islice(objects, limit) if isinstance(one, Mapping)]
        columns = tuple(dict.fromkeys(chain.from_iterable(records)))
        return Sample(columns, [[record.get(column) for column in columns] for record in records])

    def _outcome(self, row: int, one: Any, compiled: CompiledMapping | None) -> Outcome:  # noqa: ANN401
        """Make an outcome of an item; to be mapped, it must be a mapping."""
        if isinstance(one, BrokenRow):
            return one.rejected(row, [LINE])
        if self._bookkeeping and not self._bookkeeping.isdisjoint(one):
            if SENT in one:
                return outcome_of_sent(row, one[SENT])
            one = {key: value for key, value in one.items() if key not in self._bookkeeping}
        if compiled is None:
            return outcome_of(one, row)
        if not isinstance(one, Mapping):
            return Rejected(row, (Fault("record", "a mapping", rules.given(one)),), {})
        outcome = compiled.row(row, [_value_at(one, column) for column in compiled.header])
        # Not only the mapped keys: all of it is needed to correct it.
        if isinstance(outcome, Rejected):
            return attrs.evolve(outcome, source_row=one)
        if outcome.omitted is not None:
            outcome.omitted = attrs.evolve(outcome.omitted, source_row=one)
        return outcome


class IterableSource(_ObjectSource):
    """Records from an iterable of updates, of flat mappings, or of mappings with a mapping.

    An item that is a record with a number keeps it, and those after it are numbered on from there.

    :param items: what to send. An iterator, such as a generator, can be read once.
    :param name: what reports call it.
    :param version: what the caller vouches for: the same items in the same order for the same
        version. Without one a sync of them can't be resumed.
    """

    def __init__(
        self,
        items: Iterable[Item],
        mapping: FieldMapping | None = None,
        *,
        name: str = "records",
        version: str | None = None,
    ) -> None:
        super().__init__(name, mapping, lambda: version, name)
        self._items = items
        self._is_used_up = False

    @property
    def seen(self) -> Seen:
        """The number of items, where the iterable knows it."""
        return Seen(size_hint=len(self._items) if isinstance(self._items, Sized) else None)

    def _objects(self) -> AbstractContextManager[Iterator[Item]]:
        iterator = iter(self._items)
        if iterator is self._items:
            if self._is_used_up:
                raise SourceFailed(f"{self.name}: an iterator can be read only once")
            self._is_used_up = True
        return nullcontext(iterator)


class JsonSource(_ObjectSource):
    """Records of JSON Lines, or of JSON that is an array, or pretty-printed, plain or packed.

    Of JSON Lines, lines that are not a JSON object are rejected one by one, and lines with
    nothing on them are no rows. Other JSON is read as it streams, and ends with an error where it
    is broken. Null says nothing about a field, as in a :class:`ProfileUpdate`. A mapping finds
    ``address.city`` in another object; without one, objects are flat and types the fields' own.

    :param encoding: the text's encoding where it is not UTF-8, as JSON should be.
    :param lines: each line is an object, whatever the first one looks like.
    """

    _bookkeeping = frozenset([*BOOKKEEPING, LINE])

    def __init__(
        self,
        source: Where,
        mapping: FieldMapping | None = None,
        *,
        encoding: str | None = None,
        lines: bool = False,
    ) -> None:
        self._input = input_of(source)
        self._given = encoding and check_encoding(encoding)
        self._lines = lines
        version, reading = lambda: self._input.content_hash, [self._given, lines]
        super().__init__(self._input.name, mapping, version, reading)

    @cached_property
    def seen(self) -> Seen:
        """Whether it is JSON Lines, the encoding, and about how many lines there are."""
        path = self._path
        how = f"{'JSON Lines' if path is None else 'JSON'} in {self._encoding}"
        if path and path.endswith(_ITEM) and not looks_like_data([path]):
            how += f", the objects of '{path.removesuffix(_ITEM)}'"
        return Seen(
            notices=(f"{self.name}: read as {how}",),
            size_hint=self._input.lines if path is None else None,
        )

    @cached_property
    def _encoding(self) -> Encoding:
        return find_encoding(
            self._input, self._given, otherwise=Encoding(_UTF8, reason="what JSON is in")
        )

    @cached_property
    def _path(self) -> str | None:
        """Where the objects are, as ijson has it: ``customers.item`` are those of an array.

        None if each line is an object by itself: JSON Lines.
        """
        if self._lines:
            return None
        text = self._input.head()[self._encoding.bom_bytes :].decode(self._encoding.name, "replace")
        head = text.lstrip()[:_HEAD].encode(_UTF8, "replace")
        first, second, *_ = [*filter(None, map(bytes.strip, head.split(b"\n"))), b"", b""]
        is_one_a_line = isinstance(_parsed(second), dict) and first[-1:] not in b"[{,"
        if is_one_a_line or not head.startswith((b"{", b"[")):
            return None
        if head.startswith(b"["):
            return "item"
        return self._array_in(head) or (None if isinstance(_parsed(first), dict) else "")

    def _array_in(self, head: bytes) -> str | None:
        """Return the path of the objects in a list of an object, if that is no customer itself.

        Customers with lists come one after another, or have an address beside these.
        """
        arrays: list[str] = []
        before = ""
        with suppress(self._ijson.JSONError, ValueError, SourceFailed):
            for path, event, value in self._events(io.BytesIO(head)):
                if (before, event) == ("start_array", "start_map"):
                    arrays.append(path)
                is_next = (path, before, event) == ("", "end_map", "start_map")
                if is_next or (event == "string" and "@" in value):
                    return next((one for one in arrays if path.startswith(one)), None)
                before = event
        return next((one for one in arrays if one.count(".") == 1), None)

    @contextmanager
    def _objects(self) -> Iterator[_Objects]:
        read = _lines if self._path is None else self._documents
        if self._encoding.name == _UTF8:
            with self._input.open() as stream:
                stream.read(self._encoding.bom_bytes)
                yield read(stream)
        else:
            with as_text(self._input, self._encoding) as text:
                # Lone surrogates stay in, and are refused where they stand.
                blocks = iter(partial(text.read, _BLOCK), "")
                yield read(stream_of(block.encode(_UTF8, "surrogatepass") for block in blocks))

    def _documents(self, stream: io.BufferedReader) -> _Objects:
        row = 0
        try:
            for one in self._ijson.items(self._events(stream), self._path):
                row += 1
                yield one if isinstance(one, dict) else _no_object(b"", "other JSON")
        except (self._ijson.JSONError, ValueError):  # their texts quote the file
            raise SourceFailed(f"{self.name}: is no JSON after row {row}") from None

    def _events(self, stream: IO[bytes]) -> Iterator[tuple[str, str, Any]]:
        """Yield the parts of JSON, each with its path, as ijson has them."""
        depth = 0
        for path, event, value in self._ijson.parse(stream, multiple_values=True, use_float=True):
            depth += event.startswith("start_") - event.startswith("end_")
            if depth > _DEEPEST:
                raise SourceFailed(f"{self.name}: is nested too deep")
            yield path, event, value

    @cached_property
    def _ijson(self) -> Any:  # noqa: ANN401 - ijson may not be there
        return need("ijson", extra="files", purpose=self.name)


def _lines(stream: io.BufferedReader) -> _Objects:
    readline = partial(stream.readline, IMPORT_MAX_BODY_BYTES)
    for line in iter(readline, b""):
        if len(line) >= IMPORT_MAX_BODY_BYTES and not line.endswith(b"\n"):
            while (more := readline()) and not more.endswith(b"\n"):
                pass
            yield _no_object(b"", "a line that is too long to be sent")
        elif not line.isspace():
            yield _parsed(line)


def _parsed(line: bytes) -> dict[str, Any] | BrokenRow:
    try:
        record = codec.decode(line)
    except ValueError:
        return _no_object(line, "a line that is not JSON")
    return record if isinstance(record, dict) else _no_object(line, "other JSON")


def _no_object(line: bytes, given: str) -> BrokenRow:
    kept = line.rstrip(b"\r\n").decode(_UTF8, KEEP_BYTES)
    return BrokenRow("a JSON object", given, [kept] if kept else [])


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Return a record's values by their paths, such as ``address.city``."""
    found: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _value_at(record: Mapping[str, Any], path: str) -> object:
    """Return the value of a key; ``address.city`` is also the key ``city`` inside ``address``."""
    if path in record:
        return record[path]
    outer, _, inner = path.partition(".")
    nested = record.get(outer)
    return _value_at(nested, inner) if isinstance(nested, Mapping) else None
