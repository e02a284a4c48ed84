"""What the emulator remembers, in SQLite: one connection, used by one thread at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from personaclick_async import codec
from personaclick_async.codec import Json

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS shops (
    shop_id TEXT PRIMARY KEY, secret TEXT NOT NULL, active INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profiles (
    profile INTEGER PRIMARY KEY, shop TEXT NOT NULL,
    fields TEXT NOT NULL, custom TEXT NOT NULL, computed TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS identifiers (
    shop TEXT, kind TEXT, value TEXT, shown TEXT NOT NULL,
    profile INTEGER NOT NULL REFERENCES profiles, PRIMARY KEY (shop, kind, value)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identifiers_of_profile ON identifiers (profile);
CREATE TABLE IF NOT EXISTS devices (
    shop TEXT, did TEXT, profile INTEGER NOT NULL REFERENCES profiles, seance TEXT,
    PRIMARY KEY (shop, did)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS devices_of_profile ON devices (profile);
CREATE TABLE IF NOT EXISTS properties (
    shop TEXT, name TEXT, type TEXT NOT NULL, public INTEGER NOT NULL, PRIMARY KEY (shop, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS products (
    shop TEXT, id TEXT, product TEXT NOT NULL, PRIMARY KEY (shop, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY, shop TEXT NOT NULL, id TEXT NOT NULL, profile INTEGER NOT NULL,
    date INTEGER NOT NULL, cancelled INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (shop, id)
);
CREATE INDEX IF NOT EXISTS orders_of_profile ON orders (profile, date, number);
CREATE TABLE IF NOT EXISTS suppressed (
    shop TEXT, email TEXT, PRIMARY KEY (shop, email)
) WITHOUT ROWID;
-- AUTOINCREMENT, so that an import after a reset is not taken for one before it.
CREATE TABLE IF NOT EXISTS queue (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    shop TEXT NOT NULL, endpoint TEXT NOT NULL, body BLOB NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS ignored (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
-- The profiles of which there is more than a device, each with every text that finds it.
CREATE VIEW IF NOT EXISTS known AS SELECT shop, profile, fields || custom || computed || (
    SELECT ifnull(group_concat(shown, ' '), '') FROM identifiers AS i WHERE i.profile = p.profile
) || (
    SELECT ifnull(group_concat(did, ' '), '') FROM devices AS d WHERE d.profile = p.profile
) AS texts
FROM profiles AS p WHERE fields <> '{}' OR custom <> '{}' OR computed <> '{}'
    OR EXISTS (SELECT 1 FROM identifiers AS i WHERE i.profile = p.profile);
"""


class Store:
    """The tables of all shops. Whoever needs something of them asks in SQL, where it is needed.

    :ivar lock: held while it is used; a transaction holds it by itself.
    """

    def __init__(self, database: str | Path) -> None:
        self.lock = threading.RLock()
        self._db = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        try:
            # With WAL and NORMAL a killed process loses nothing that it committed; a power cut may.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except BaseException:
            self._db.close()
            raise

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
