"""A query's result as a source, read through SQLAlchemy as it comes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.sources.base import (
    SourceFailed,
    Table,
    distinct,
    fingerprint,
    need,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

_ROWS_AT_ONCE: Final = 1000
_ORDERED: Final = re.compile(r"\border\s+by\b", re.IGNORECASE)
# Drivers whose package is called otherwise than their module.
_PACKAGES: Final = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary"}
# What drivers say of a server that is there and does not let this user in.
_NOT_LET_IN: Final = re.compile(r"password|authenticat|denied|role .* not exist", re.IGNORECASE)


class SqlSource(Table):
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
    :raises ConfigurationError: SQLAlchemy or the driver is not installed, the URL is none, an
        SQLite file is not there, or there is a version but no ORDER BY.
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
        self._parameters = dict(parameters or {})
        self._version = version
        if version is not None and not _ORDERED.search(query):
            raise ConfigurationError("query: expected an ORDER BY, as a version is given")
        try:
            url = self._sqlalchemy.make_url(database) if isinstance(database, str) else database.url
        except self._sqlalchemy.exc.ArgumentError:  # its text has the URL, password and all
            raise ConfigurationError("database: expected a URL such as sqlite:///shop.db") from None
        self._scheme = url.drivername
        backend = url.get_backend_name()
        super().__init__(f"{backend} {PurePath(url.database or '').name}".strip(), mapping)
        self._server = f"{url.host or ''}:{url.port or ''}".strip(":")
        path = url.database or ":memory:"
        is_file = backend == "sqlite" and not path.startswith(("file:", ":memory:"))
        if is_file and isinstance(database, str) and not Path(path).is_file():
            # SQLite would make one, and say that it has no such table.
            raise ConfigurationError(f"{self.name}: expected a database file, found none")

    @property
    def fingerprint(self) -> str | None:
        """A hash of the version, the query and the mapping; None without a version."""
        how: dict[str, Json] = {
            "database": self.name,
            "query": self._query,
            "parameters": sorted([name, repr(one)] for name, one in self._parameters.items()),
        }
        return fingerprint("sql", self._version, self._mapping, how)

    @property
    def size_hint(self) -> None:
        """None: to count would be another query, and not a cheap one."""

    @cached_property
    def _header(self) -> tuple[str, ...]:
        with self._answer() as answer:
            return _names_of(answer)

    @contextmanager
    def _batches(self) -> Iterator[Iterator[Sequence[Sequence[Any]]]]:
        with self._answer() as answer:
            self._header = _names_of(answer)  # or they would be another query
            yield answer.partitions()

    @contextmanager
    def _answer(self) -> Iterator[Any]:
        broken = self._sqlalchemy.exc.SQLAlchemyError
        engine = self._engine()
        try:
            with self._connected(engine) as connection:
                options = connection.execution_options(yield_per=_ROWS_AT_ONCE)
                try:
                    answer = options.execute(self._sqlalchemy.text(self._query), self._parameters)
                    answer.keys()
                except broken as error:
                    raise SourceFailed(f"{self.name}: {self._reason(error)}") from None
                yield answer
        except broken as error:
            # No more than the kind: drivers quote the row that they failed on.
            raise SourceFailed(f"{self.name}: {type(error).__name__} while reading") from None
        finally:
            if engine is not self._database:
                engine.dispose()

    def _engine(self) -> Any:  # noqa: ANN401 - SQLAlchemy may not be there
        if not isinstance(self._database, str):
            return self._database
        try:
            return self._sqlalchemy.create_engine(self._database, hide_parameters=True)
        except ImportError as error:
            package = _PACKAGES.get(str(error.name), error.name)
            needs = f"its driver is not installed: pip install {package}"
        except self._sqlalchemy.exc.NoSuchModuleError:
            needs = f"SQLAlchemy has no driver for {self._scheme}"
        raise ConfigurationError(f"database: {needs}") from None

    def _connected(self, engine: Any) -> Any:  # noqa: ANN401 - SQLAlchemy may not be there
        try:
            return engine.connect()
        except self._sqlalchemy.exc.DBAPIError as error:
            does = "refuses this user" if _NOT_LET_IN.search(str(error.orig)) else "does not answer"
        server = f"the server at {self._server}" if self._server else "the database"
        raise SourceFailed(f"{self.name}: {server} {does}") from None

    def _reason(self, error: Any) -> str:  # noqa: ANN401 - SQLAlchemy may not be there
        """Say why the query was not taken: a table that is not there, an error in its text."""
        kinds = (self._sqlalchemy.exc.OperationalError, self._sqlalchemy.exc.ProgrammingError)
        told = str(error.orig).splitlines()[:1] if isinstance(error, kinds) else []
        return told[0] if told else f"{type(error).__name__} for the query"


def _names_of(answer: Any) -> tuple[str, ...]:  # noqa: ANN401 - SQLAlchemy may not be there
    return distinct([str(key).strip() for key in answer.keys()])  # noqa: SIM118 - no mapping
