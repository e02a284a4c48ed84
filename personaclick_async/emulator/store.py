"""What the emulator remembers, in SQLite: one connection, used by one thread at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from personaclick_async import codec

_VERSION: Final = 3
"""As the schema sets it; it grows with each change of the tables."""

sqlite3.register_converter("json_text", codec.decode)


def packed(value: codec.Json) -> str:
    """Return JSON as the tables hold it."""
    return codec.encode(value).decode()


class Store:
    """The tables of all shops. Whoever needs something of them asks in SQL, where it is needed.

    Its lock is held while it is used; a transaction holds it by itself.
    """

    def __init__(self, database: str | Path, lock: threading.RLock) -> None:
        self.lock = lock
        self._db = sqlite3.connect(
            database,
            check_same_thread=False,
            isolation_level=None,
            detect_types=sqlite3.PARSE_DECLTYPES,
        )
        self.close = self._db.close
        try:
            version = self.value("PRAGMA user_version")
            if version != _VERSION and self.value("SELECT 1 FROM sqlite_master"):
                raise sqlite3.DatabaseError("the database is another version's; name a new file")
            schema = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
            self._db.executescript(schema)
        except sqlite3.Error:
            self.close()
            raise

    def execute(self, query: str, *parameters: object) -> sqlite3.Cursor:
        """Run a statement; its rows come one by one."""
        return self._db.execute(query, parameters)

    def value(self, query: str, *parameters: object) -> Any:  # noqa: ANN401 - as the table has it
        """Return the first column of the first row, or None if there is no row."""
        found = self.execute(query, *parameters).fetchone()
        return found and found[0]

    def objects(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Return the rows as objects, by the names of the columns."""
        found = self.execute(query, *parameters)
        columns = [column for column, *_ in found.description]
        return [dict(zip(columns, row, strict=True)) for row in found]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or none of it."""
        with self.lock, self._db:
            self.execute("BEGIN IMMEDIATE")
            yield
