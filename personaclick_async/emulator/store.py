"""What the emulator remembers, in SQLite: one connection, used by one thread at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from personaclick_async import codec
from personaclick_async.codec import Json

_VERSION: Final = 2
"""As the schema sets it; it grows with each change of the tables."""


class Store:
    """The tables of all shops. Whoever needs something of them asks in SQL, where it is needed.

    :ivar lock: held while it is used; a transaction holds it by itself.
    """

    def __init__(self, database: str | Path) -> None:
        self.lock = threading.RLock()
        self._db = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        [version] = self.execute("PRAGMA user_version").fetchone()
        if version != _VERSION and self.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise sqlite3.DatabaseError("the database is another version's; name a new file")
        # With WAL and NORMAL a killed process loses nothing that it committed; a power cut may.
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = NORMAL")
        schema = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
        self._db.executescript(schema)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def execute(self, query: str, *parameters: object) -> sqlite3.Cursor:
        """Run a statement; its rows come one by one."""
        return self._db.execute(query, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or none of it."""
        with self.lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.execute("ROLLBACK")
                raise
            self.execute("COMMIT")

    def clear(self) -> None:
        """Delete everything but the shops."""
        tables = self.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'shops' "
            "AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        with self.transaction():
            for (table,) in tables:
                self.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own


def packed(value: Json) -> str:
    """Return JSON as the tables hold it."""
    return codec.encode(value).decode()


def unpacked(text: str) -> Json:
    """Return the value that a table holds as JSON."""
    return codec.decode(text.encode())
