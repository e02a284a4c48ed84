"""What sources have in common: numbered rows, a sample and a fingerprint; tables."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from importlib import import_module
from itertools import chain, count, islice, repeat
from typing import Any, Final, TypeAlias

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.models import rules
from personaclick_async.sync.mapping import CompiledMapping, FieldMapping
from personaclick_async.sync.mapping.words import TOTALS
from personaclick_async.sync.records import Fault, Outcome, Refused, Rejected, outcome_of

# The column of a reject file with a row's fields as JSON, if the source's own row is not known.
SENT: Final = "_sent"
# The columns that a reject file has before the source's own; sources pass over them.
BOOKKEEPING: Final = ("_row", "_field", "_reason", SENT)
ROW: Final = "row"  # the field of the fault of a row that is broken as a whole
EMPTY: Final = ("", None)  # what an empty cell holds
# Part of every fingerprint: to be raised when the same bytes come to be read differently.
_READING: Final = "sources 6"
_AROUND: Final = " \t\r\n:()0123456789"  # what may stand around the word of a line of totals
_ROWS_AT_ONCE: Final = 256  # with more, the processor's cache is too small

# Yields outcomes, and returns the number of the source's last row, skipped ones included.
Outcomes: TypeAlias = Generator[Outcome, None, int]


class SourceFailed(PersonaClickError):
    """A source can't be read to its end: it changed, broke off, or lost its connection.

    What was read until then is good. The text names the source and holds nothing of its content.
    """


@attrs.frozen(repr=False)
class Sample:
    """The first rows of a source as they stand there, to propose a mapping from."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


@attrs.frozen(kw_only=True)
class Seen:
    """What is known of a source before its rows are read.

    :ivar columns: with those of a reject file's bookkeeping; None where each row has its own.
    """

    columns: tuple[str, ...] | None = None
    notices: tuple[str, ...] = ()
    size_hint: int | None = None


@attrs.define(eq=False, repr=False, slots=False)
class TableSource(ABC):
    """A source of numbered rows, of which a sample can be taken.

    :ivar name: what reports call it.
    :param mapping: which column, or key, becomes which field; without one they are called as the
        fields are, and all others are custom properties.
    :param version: returns what changes with the content; None if that can't be known.
    :param reading: what else decides how the content is read.
    """

    name: str
    _mapping: FieldMapping | None = None
    _version: Callable[[], str | None] = lambda: None
    _reading: Json = None

    @property
    @abstractmethod
    def seen(self) -> Seen:
        """What is known of it beforehand."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns' names; None where each row has its own."""
        seen = self.seen.columns
        return seen and tuple(name for name in seen if name not in BOOKKEEPING)

    @property
    def notices(self) -> tuple[str, ...]:
        """How it is read, in sentences for whoever started the sync; no values in them."""
        return self.seen.notices

    @property
    def fingerprint(self) -> str | None:
        """A hash of the content, the mapping and the way it is read; None if it can't be known."""
        if (version := self._version()) is None:
            return None
        mapping = "by name" if self._mapping is None else self._mapping.fingerprint
        whole = [_READING, type(self).__name__, version, mapping, self._reading]
        return hashlib.sha256(codec.encode(whole)).hexdigest()

    @property
    def size_hint(self) -> int | None:
        """How many rows there are, roughly, where that can be told without reading them all."""
        return self.seen.size_hint

    @abstractmethod
    def outcomes(self, *, after_row: int = 0, before: int = 0) -> Outcomes:
        """Read the rows after number ``after_row``; the first row's number is ``before`` + 1.

        :raises ConfigurationError: the mapping asks for a column that is not there.
        :raises SourceFailed: the source can't be read to its end, or was changed meanwhile.
        """

    @abstractmethod
    def sample(self, limit: int = 100) -> Sample:
        """Return the first rows that can be read, unmapped."""


@attrs.frozen(repr=False)
class BrokenRow:
    """A row that can't be read: the rule that it breaks, what was found, and its likely cells."""

    rule: str
    given: str
    cells: Sequence[object] = ()

    def rejected(self, number: int, columns: Iterable[str]) -> Rejected:
        """Return its rejection, where cells beyond the last column are called ``+1``, ``+2``."""
        names = chain(columns, (f"+{surplus}" for surplus in count(1)))
        cells = zip(names, self.cells, strict=False)
        source_row = {name: cell for name, cell in cells if name not in BOOKKEEPING}
        return Rejected(number, (Fault(ROW, self.rule, self.given),), source_row)


Row: TypeAlias = Sequence[Any] | BrokenRow
Opened: TypeAlias = tuple[Seen, Iterator[Sequence[Row]]]  # with all rows, in batches


@attrs.frozen(repr=False)
class Unreadable:
    """Stands for a cell whose value can't be known; every rule refuses it."""

    written: str = ""

    def __str__(self) -> str:
        return self.written


class Table(TableSource):
    """A source with one set of columns: subclasses read its rows, this class maps them.

    Rows may have too few cells, or empty ones too many. Rows of a reject file are read as those of
    the source that it came from.
    """

    @abstractmethod
    def _open(self) -> AbstractContextManager[Opened]:
        """Read all rows below the header, in batches; rows without any value are left out."""

    @cached_property
    def seen(self) -> Seen:
        """What is known of it beforehand."""
        with self._open() as (seen, _):
            return seen

    def outcomes(self, *, after_row: int = 0, before: int = 0) -> Outcomes:
        """Read the rows after number ``after_row``."""
        with self._open() as (self.seen, batches):  # cached, or a query would be run once more
            if not self._header:
                return before
            compiled = self.compiled()
            for batch in batches:
                for start in range(max(0, after_row - before), len(batch), _ROWS_AT_ONCE):
                    rows = batch[start : start + _ROWS_AT_ONCE]
                    yield from self._outcomes(before + start + 1, rows, compiled)
                before += len(batch)
            return before

    def sample(self, limit: int = 100) -> Sample:
        """Return the first rows that can be read, unmapped."""
        with self._open() as (self.seen, batches):
            rows = map(self._fit, chain.from_iterable(batches))
            fit = (self._own(row) for row in rows if not isinstance(row, BrokenRow))
            return Sample(self.columns, list(islice(fit, limit)))

    def compiled(self) -> CompiledMapping:
        """Compile the mapping for the columns; an error names the source."""
        try:
            mapping = self._mapping or FieldMapping.by_name(self.columns)
            return mapping.compile(self.columns)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.name}: {error}") from None

    def _outcomes(
        self, first: int, rows: Sequence[Row], compiled: CompiledMapping
    ) -> Iterable[Outcome]:
        if BrokenRow in {*map(type, rows)} or {*map(len, rows)} != {len(self._header)}:  # type: ignore[arg-type]
            rows = list(map(self._fit, rows))
        if BrokenRow not in {*map(type, rows)} and self.columns == self._header:
            columns: list[Any] = list(zip(*rows, strict=True))
            if not _may_be_no_customers(columns, rows):
                return compiled.rows(first, columns)
        return (self._outcome(number, row, compiled) for number, row in enumerate(rows, first))

    def _outcome(self, number: int, row: Row, compiled: CompiledMapping) -> Outcome:
        if not isinstance(row, BrokenRow):
            if SENT in self._header and (sent := row[self._header.index(SENT)]):
                return outcome_of_sent(number, sent)
            cells = self._own(row)
            if not _is_total(cells) and not _is_footer(cells):
                return compiled.row(number, cells)
            row = BrokenRow("a customer", "a line of totals or of text", row)
        return row.rejected(number, self._header)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names."""
        return super().columns or ()

    @property
    def _header(self) -> tuple[str, ...]:
        return self.seen.columns or ()

    def _own(self, row: Sequence[Any]) -> list[Any]:
        """Return a row's cells without those of a reject file's bookkeeping."""
        cells = zip(self._header, row, strict=True)
        return [cell for name, cell in cells if name not in BOOKKEEPING]

    def _fit(self, row: Row) -> Row:
        """Return a row with as many cells as there are columns, if it holds no more values."""
        width = len(self._header)
        if isinstance(row, BrokenRow) or len(row) == width:
            return row
        if any(cell not in EMPTY for cell in row[width:]):
            rule = f"at most {width} values, as there are columns"
            return BrokenRow(rule, f"{len(row)} values", row)
        return [*row[:width], *([""] * (width - len(row)))]


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Make names unique, as ``Phone (2)``; a column without a name is ``column 3`` by its place."""
    taken: dict[str, int] = {}  # with counts, or a thousand equal names would take long
    for place, name in enumerate(names, 1):
        unused = plain = name.strip() or f"column {place}"
        while unused in taken:
            taken[plain] += 1
            unused = f"{plain} ({taken[plain]})"
        taken[unused] = 1
    return tuple(taken)


def outcome_of_sent(row: int, sent: object) -> Outcome:
    """Make an outcome of the fields of a row that was sent before, as a reject file has them."""
    with suppress(ValueError):
        record = codec.decode(sent.encode(errors="replace")) if isinstance(sent, str) else sent
        if isinstance(record, dict):
            outcome = outcome_of(record, row)
            if isinstance(outcome, Rejected):
                return Refused(row, outcome.faults, record)
            return outcome
    fault = Fault(SENT, "a JSON object of fields", rules.given(sent))
    return Rejected(row, (fault,), {SENT: sent})


def need(module: str, *, extra: str, purpose: str) -> Any:  # noqa: ANN401 - a module of any kind
    """Import a module of an extra; the error says what it is needed for and what to install."""
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"{purpose}: needs another package; pip install 'personaclick-async[{extra}]'"
        ) from None


def _may_be_no_customers(columns: Sequence[Sequence[object]], rows: Iterable[Row]) -> bool:
    """Tell, soon if not, whether one of many rows may be a line of totals or of text."""
    texts = (map(str.strip, map(str, column), repeat(_AROUND)) for column in columns[:2])
    if not all(TOTALS.isdisjoint(map(str.casefold, text)) for text in texts):
        return True
    # No row has but one cell if another column has no gap.
    have_gaps = all("" in column or None in column for column in columns[1:])
    return have_gaps and any(_is_footer(row) for row in rows if not isinstance(row, BrokenRow))


def _is_footer(values: Sequence[object]) -> bool:
    """Tell whether a row is nothing but words in one cell: "Exported by Sam", "Page 1 of 2"."""
    words = [text for cell in values if cell not in EMPTY and (text := str(cell).strip())]
    if len(words) != 1 or len(values) == 1 or " " not in words[0] or "@" in words[0]:
        return False
    letters, digits = (sum(map(test, words[0])) for test in (str.isalpha, str.isdigit))
    return letters >= max(digits, 1)  # +44 7911 123456 and KD 1001 are somebody's


def _is_total(values: Sequence[object]) -> bool:
    """Tell whether a row says "total" first, and nothing but numbers then."""
    first, *others = [cell for cell in values if cell not in EMPTY] or [""]
    numbers = (not isinstance(cell, str) or not any(map(str.isalpha, cell)) for cell in others)
    return str(first).strip(_AROUND).casefold() in TOTALS and all(numbers)
