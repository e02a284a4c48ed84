"""A query's result as a source, read through SQLAlchemy as it comes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.records import Outcome
from personaclick_async.sync.sources.base import Numbered, Sample, distinct, fingerprint
from personaclick_async.sync.sources.errors import SourceFailed
from personaclick_async.sync.sources.extras import need

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ROWS_AT_ONCE: Final = 1000
_ORDERED: Final = re.compile(r"\border\s+by\b", re.IGNORECASE)


class SqlSource:
    """Rows of a query, a thousand at a time, by a cursor on the server where there are such.

    Needs the extra ``sql``, and the database's driver.

    A database says nothing about whether the answer to a query has changed. Such a sync can be
    resumed only if the caller says which ``version`` of the data this is (a load's number, a
    snapshot's date) and the query has an ORDER BY that leaves no two rows in any order. Without
    one, a sync with a journal and ``skip_unchanged`` is the way not to send everything again.

    :param database: SQLAlchemy's URL, such as ``sqlite:///shop.db``, or an engine.
    :param query: one SELECT; ``:name`` stands for a parameter.
    :param mapping: which column becomes which field; without one the columns are called as the
        fields are, and all others are custom properties.
    :param parameters: the values of the query's parameters.
    :param version: what the caller vouches for: the same rows in the same order for the same
        version.
    :raises ConfigurationError: SQLAlchemy or the driver is not installed, the URL is none, or
        there is a version but no ORDER BY.
    """

    def __init__(
        self,
        database: str | Engine,
        query: str,
        mapping: FieldMapping | None = None,
        *,
        parameters: Mapping[str, Json] | None = None,
        version: str | None = None,
    ) -> None:
        self._sqlalchemy = need("sqlalchemy", extra="sql", purpose="database")
        self._database = database
        self._query = query
        self._mapping = mapping
        self._parameters = dict(parameters or {})
        self._version = version
        if version is not None and not _ORDERED.search(query):
            raise ConfigurationError("query: expected an ORDER BY, as a version is given")
        try:
            url = self._sqlalchemy.make_url(database) if isinstance(database, str) else database.url
        except self._sqlalchemy.exc.ArgumentError:  # its text has the URL, password and all
            raise ConfigurationError("database: expected a URL such as sqlite:///shop.db") from None
        self._scheme = url.drivername
        self._name = f"{url.get_backend_name()} {PurePath(url.database or '').name}".strip()

    @property
    def name(self) -> str:
        """The kind of database and its name."""
        return self._name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns' names; asks the database."""
        with self._rows() as (header, _):
            return distinct(header)

    @property
    def fingerprint(self) -> str | None:
        """A hash of the version, the query and the mapping; None without a version."""
        options = {
            "database": self._name,
            "query": self._query,
            "parameters": sorted((name, repr(one)) for name, one in self._parameters.items()),
        }
        return fingerprint("sql", self._version, self._mapping, options)

    @property
    def size_hint(self) -> None:
        """Give None: to count would be another query, and not a cheap one."""

    def outcomes(self, *, after_row: int = 0) -> Iterator[Outcome]:
        """Read the rows after ``after_row``; those before are fetched and passed over.

        :raises ConfigurationError: the mapping asks for a column that is not there.
        :raises SourceFailed: the query fails, or the connection breaks off.
        """
        return self.numbered(after_row=after_row, before=0)

    def numbered(self, *, after_row: int, before: int) -> Numbered:
        """Read the rows after ``after_row``, numbered from ``before`` + 1."""
        number = 0
        with self._rows() as (header, rows):
            mapping = self._mapping or FieldMapping.by_name(header)
            map_row = mapping.compile(header, columns=distinct(header)).row
            for number, row in enumerate(rows, 1):
                if number > after_row:
                    yield map_row(before + number, row)
        return number

    def sample(self, limit: int = 100) -> Sample:
        """Give the first rows."""
        with self._rows() as (header, rows):
            return Sample(distinct(header), list(islice(rows, limit)))

    @contextmanager
    def _rows(self) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
        broken = self._sqlalchemy.exc.SQLAlchemyError
        engine = self._engine()
        try:
            with engine.connect() as connection:
                try:
                    answer = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(
                        self._sqlalchemy.text(self._query), self._parameters
                    )
                    header = list(answer.keys())
                except broken as error:
                    raise SourceFailed(f"{self._name}: {self._reason(error)}") from None
                yield header, iter(answer)
        except broken as error:
            # No more than the kind: drivers quote the row that they failed on.
            raise SourceFailed(f"{self._name}: {type(error).__name__} while reading") from None
        finally:
            if engine is not self._database:
                engine.dispose()

    def _engine(self) -> Any:  # noqa: ANN401 - SQLAlchemy may not be there
        if not isinstance(self._database, str):
            return self._database
        try:
            return self._sqlalchemy.create_engine(self._database, hide_parameters=True)
        except ImportError as error:
            raise ConfigurationError(
                f"database: its driver is not installed: pip install {error.name}"
            ) from None
        except self._sqlalchemy.exc.NoSuchModuleError:
            raise ConfigurationError(
                f"database: SQLAlchemy has no driver for {self._scheme}"
            ) from None

    def _reason(self, error: Any) -> str:  # noqa: ANN401 - SQLAlchemy may not be there
        """Say why the query was not taken: a table that is not there, an error in its text."""
        kinds = (self._sqlalchemy.exc.OperationalError, self._sqlalchemy.exc.ProgrammingError)
        told = str(error.orig).splitlines()[:1] if isinstance(error, kinds) else []
        return told[0] if told else f"{type(error).__name__} for the query"
