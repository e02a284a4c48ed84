"""What the sources have in common: numbered rows, a sample, a fingerprint, and tables."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from importlib import import_module
from itertools import islice
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

import attrs

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.sync.mapping import CompiledMapping, FieldMapping
from personaclick_async.sync.records import Fault, Outcome, Rejected, Source
from personaclick_async.sync.sources.flat import SENT, outcome_of_sent

T = TypeVar("T")

BOOKKEEPING: Final = ("_row", "_field", "_reason", SENT)
"""The columns that a reject file has before the source's own; sources pass over them."""

ROW: Final = "row"
"""The field of a Rejected whose row could not be told apart into columns."""

EMPTY: Final = ("", None)
"""What an empty cell holds."""

# Part of every fingerprint: to be raised when the same bytes come to be read differently.
_READING: Final = "sources 2"
_ROWS_AT_ONCE: Final = 512

# The first cell of a line of totals, under which spreadsheets and shops end their lists.
_TOTAL_WORDS: Final = (
    *("total", "totals", "grand total", "subtotal", "sum", "summe", "gesamt", "gesamtsumme"),
    *("total general", "total général", "totale", "totaal", "totalt", "somme", "suma", "razem"),
    *("celkem", "toplam", "итого", "всего", "合計", "合计", "总计"),
)
_TOTALS: Final = frozenset(word + end for word in _TOTAL_WORDS for end in ("", ":"))

Numbered: TypeAlias = Generator[Outcome, None, int]
"""Outcomes; in the end, the number of the last row of the source, skipped ones included."""


class SourceFailed(PersonaClickError):
    """A source can't be read to its end: it changed, broke off, or lost its connection.

    What was read until then is good. The text names the source and holds nothing of its content.
    """


@attrs.frozen(repr=False)
class Sample:
    """The first rows of a source as they stand there, to propose a mapping from."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class TableSource(Source, Protocol):
    """A source whose rows can be numbered on from those of another, and looked at."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns' names; None where each row has its own."""

    @property
    def notices(self) -> tuple[str, ...]:
        """How it is read, in sentences for whoever started the sync; no values in them."""

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""

    def sample(self, limit: int = 100) -> Sample:
        """Return the first rows, unmapped."""


@attrs.frozen(repr=False)
class BrokenRow:
    """A row that could not be read, with the rule that it breaks and the cells it seems to have."""

    rule: str
    given: str
    cells: Sequence[object] = ()


Row: TypeAlias = Sequence[Any] | BrokenRow


class Unreadable:
    """Stands for a cell whose value can't be known; every rule refuses it."""

    def __init__(self, written: str = "") -> None:
        self._written = written

    def __str__(self) -> str:
        return self._written


class Table(ABC):
    """A source with one set of columns: subclasses read its rows, this class maps them.

    Empty cells at the end of a row may be missing or too many. Rows of a reject file are read as
    those of the source that it came from.
    """

    kind: ClassVar[str]
    only_text: ClassVar[bool] = False

    def __init__(self, name: str, mapping: FieldMapping | None) -> None:
        self.name = name
        self._mapping = mapping

    @abstractmethod
    def _header(self) -> tuple[str, ...]:
        """Return the names of all columns, no two the same."""

    @abstractmethod
    def _rows(self) -> AbstractContextManager[Iterator[Row]]:
        """Read the rows below the header; a row without any value is none."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, those of a reject file's bookkeeping left out."""
        return tuple(name for name in self._header() if name not in BOOKKEEPING)

    @property
    def notices(self) -> tuple[str, ...]:
        """How it is read, where there is anything to say."""
        return ()

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``.

        :raises ConfigurationError: the mapping asks for a column that is not there.
        :raises SourceFailed: the source can't be read to its end, or was changed meanwhile.
        """
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        with self._rows() as rows:
            compiled = self.compiled() if self.columns else None
            number = sum(1 for _ in islice(rows, after_row))
            for batch in in_batches(rows, _ROWS_AT_ONCE):
                if compiled is not None:
                    yield from self._outcomes(before + number + 1, batch, compiled)
                number += len(batch)
            return number

    def sample(self, limit: int = 100) -> Sample:
        """Return the first rows that can be read, unmapped."""
        with self._rows() as rows:
            whole = (row for row in map(self._fit, rows) if not isinstance(row, BrokenRow))
            own = ([row[place] for place in self._own] for row in whole)
            return Sample(self.columns, list(islice(own, limit)))

    def compiled(self) -> CompiledMapping:
        """Compile the mapping for the columns.

        :raises ConfigurationError: a column is missing; names the source.
        """
        try:
            mapping = self._mapping or FieldMapping.by_name(self.columns)
            return mapping.compile(self.columns)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.name}: {error}") from None

    def fingerprint_of(self, content: str | None, **options: Json) -> str | None:
        """Hash what is read and how it is read; None if the content can't be known."""
        return fingerprint(self.kind, content, self._mapping, options)

    def _outcomes(
        self, first: int, batch: Sequence[Row], compiled: CompiledMapping
    ) -> Iterator[Outcome]:
        width = len(self._header())
        if BrokenRow in {*map(type, batch)} or {*map(len, batch)} != {width}:  # type: ignore[arg-type]
            batch = list(map(self._fit, batch))
        if BrokenRow not in {*map(type, batch)} and len(self._own) == width:
            columns: list[Any] = list(zip(*batch, strict=True))
            folded = str.casefold if self.only_text else _folded
            if all(_TOTALS.isdisjoint(map(folded, column)) for column in columns[:2]):
                yield from compiled.rows(first, columns)
                return
        for number, row in enumerate(batch, first):
            yield self._outcome(number, row, compiled)

    def _outcome(self, number: int, row: Row, compiled: CompiledMapping) -> Outcome:
        header = self._header()
        if isinstance(row, BrokenRow):
            places = (*self._own, *range(len(header), len(row.cells)))
            own = [row.cells[place] for place in places if place < len(row.cells)]
            return malformed(number, row.rule, row.given, self.columns, own)
        if SENT in header and (sent := row[header.index(SENT)]):
            return outcome_of_sent(number, sent)
        values = [row[place] for place in self._own]
        if _is_total(values):
            return malformed(number, "a customer", "a line of totals", self.columns, values)
        return compiled.row(number, values)

    def _fit(self, row: Row) -> Row:
        """Return a row with as many cells as there are columns, if it holds no more values."""
        width = len(self._header())
        if isinstance(row, BrokenRow) or len(row) == width:
            return row
        if len(row) < width:
            return [*row, *([""] * (width - len(row)))]
        if any(cell not in EMPTY for cell in row[width:]):
            rule = f"at most {width} values, as there are columns"
            return BrokenRow(rule, f"{len(row)} values", row)
        return row[:width]

    @cached_property
    def _own(self) -> list[int]:
        return [place for place, name in enumerate(self._header()) if name not in BOOKKEEPING]


def fingerprint(
    kind: str, content: str | None, mapping: FieldMapping | None, options: Mapping[str, Json]
) -> str | None:
    """Hash what is read and how it is read; None if the content can't be known."""
    if content is None:
        return None
    of_mapping = "by name" if mapping is None else mapping.fingerprint
    whole = [_READING, kind, content, of_mapping, sorted(options.items())]
    return hashlib.sha256(codec.encode(whole)).hexdigest()


def sample_of(records: Sequence[Mapping[str, object]]) -> Sample:
    """Make a sample of mappings; the columns are all their keys."""
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    return Sample(columns, [[record.get(column) for column in columns] for record in records])


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of which no two are the same and none is empty.

    ``Phone``, ``Phone (2)``; a column without a name is called ``column 3`` by its place.
    """
    taken: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        # From where the last one of this name left off: a header may be a thousand commas.
        unused = plain = name or f"column {place}"
        number = numbers.get(plain, 1)
        while unused in taken:
            number += 1
            unused = f"{plain} ({number})"
        numbers[plain] = number
        taken[unused] = None
    return tuple(taken)


def in_batches(rows: Iterator[T], most: int) -> Iterator[list[T]]:
    """Cut rows into lists of ``most``; where reading fails, what came before is yielded first."""
    failure: Exception | None = None
    whole = True
    while whole:
        batch: list[T] = []
        try:
            # Row by row: of a list that is made at once nothing is left when reading fails.
            for row in islice(rows, most):
                batch.append(row)  # noqa: PERF402
        except Exception as error:  # noqa: BLE001 - it is raised below
            failure = error
        whole = len(batch) == most
        if batch:
            yield batch
    if failure is not None:
        raise failure


def malformed(
    row: int, rule: str, given: str, columns: Sequence[str], values: Sequence[object]
) -> Rejected:
    """Reject a row that does not have the source's columns; surplus cells are ``+1``, ``+2``."""
    surplus = [f"+{number}" for number in range(1, len(values) - len(columns) + 1)]
    source_row = dict(zip((*columns, *surplus), values, strict=False))
    return Rejected(row, (Fault(ROW, rule, given),), source_row)


def need(module: str, *, extra: str, purpose: str) -> Any:  # noqa: ANN401 - a module of any kind
    """Import a module of an extra.

    :param purpose: what needs it, for the error.
    :raises ConfigurationError: it is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(
            f"{purpose}: needs another package; pip install 'personaclick-async[{extra}]'"
        ) from None


def _folded(cell: object) -> str:
    return cell.strip().casefold() if isinstance(cell, str) else ""


def _is_total(values: Sequence[object]) -> bool:
    """Tell whether a row says "total" first, and nothing but numbers then."""
    said = [cell for cell in values if cell not in EMPTY]
    numbers = (not isinstance(cell, str) or not any(map(str.isalpha, cell)) for cell in said[1:])
    return bool(said) and _folded(said[0]) in _TOTALS and all(numbers)
