"""What the emulator remembers, in SQLite: one connection, used by the server's thread alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypedDict, cast

import attrs

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
    shop TEXT NOT NULL, endpoint TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""
_KEPT: Final = "shops"


@attrs.define(repr=False)
class StoredProfile:
    """A profile as it is stored; ``key`` is the store's own number for it."""

    key: int
    fields: dict[str, Json]
    custom: dict[str, Json]
    computed: dict[str, Json]


class Device(TypedDict):
    """A device, the session it is in, and the number of its owner's profile."""

    shop_id: str
    did: str
    profile: int
    seance: str | None


def _text(value: Json) -> str:
    return codec.encode(value).decode()


class Store:
    """The tables, and the queries that the service needs."""

    def __init__(self, database: str | Path) -> None:
        # The emulator makes it in one thread and uses it in another, never in two at once.
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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or none of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Delete everything but the shops."""
        tables = self.select("SELECT name FROM sqlite_master WHERE type = 'table'", ())
        with self.transaction():
            self._db.execute("PRAGMA defer_foreign_keys = ON")
            for (table,) in tables:
                if table != _KEPT and not table.startswith("sqlite_"):
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def select(
        self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...]
    ) -> list[tuple[Any, ...]]:
        """Run a query that only one caller needs."""
        return self._db.execute(query, parameters).fetchall()

    def _row(self, query: str, *parameters: object) -> tuple[Any, ...] | None:
        """Return the first row, if there is one."""
        row: tuple[Any, ...] | None = self._db.execute(query, parameters).fetchone()
        return row

    def _json(self, query: str, *parameters: object) -> dict[str, Json] | None:
        """Return the JSON object in the first column of the first row, if there is one."""
        row = self._row(query, *parameters)
        return codec.decode(row[0].encode()) if row else None

    # Shops

    def add_shop(self, shop: str, secret: str, *, active: bool) -> None:
        """Add a shop, or change the one with that id."""
        self._db.execute("INSERT OR REPLACE INTO shops VALUES (?, ?, ?)", (shop, secret, active))

    def shop(self, shop: str) -> tuple[str, bool] | None:
        """Return a shop's secret and whether it is active."""
        row = self._row("SELECT secret, active FROM shops WHERE shop_id = ?", shop)
        return row and (row[0], bool(row[1]))

    # Profiles, identifiers and devices

    def new_profile(self, shop: str) -> StoredProfile:
        """Make an empty profile."""
        cursor = self._db.execute(
            "INSERT INTO profiles (shop, fields, custom, computed) VALUES (?, '{}', '{}', '{}')",
            (shop,),
        )
        return StoredProfile(cursor.lastrowid or 0, {}, {}, {})

    def profile(self, key: int) -> StoredProfile:
        """Return the profile with a number that the store gave."""
        row = self._row("SELECT fields, custom, computed FROM profiles WHERE profile = ?", key)
        fields, custom, computed = (codec.decode(text.encode()) for text in row or ())
        return StoredProfile(key, fields, custom, computed)

    def save(self, profile: StoredProfile) -> None:
        """Write a profile back."""
        texts = map(_text, (profile.fields, profile.custom, profile.computed))
        self._db.execute(
            "UPDATE profiles SET fields = ?, custom = ?, computed = ? WHERE profile = ?",
            (*texts, profile.key),
        )

    def find(self, shop: str, kind: str, value: str) -> int | None:
        """Return the number of the profile that an identifier names."""
        row = self._row(
            "SELECT profile FROM identifiers WHERE shop = ? AND kind = ? AND value = ?",
            *(shop, kind, value),
        )
        return int(row[0]) if row else None

    def identifiers(self, key: int) -> dict[str, str]:
        """Return a profile's identifiers as they were given."""
        return dict(self.select("SELECT kind, shown FROM identifiers WHERE profile = ?", (key,)))

    def name(self, shop: str, key: int, kind: str, value: str, shown: str) -> None:
        """Move an identifier to a profile, in place of the one of that kind.

        :param value: what is compared; ``shown`` is the identifier as it was given.
        """
        self.unname(key, kind)
        self._db.execute(
            "INSERT OR REPLACE INTO identifiers VALUES (?, ?, ?, ?, ?)",
            (shop, kind, value, shown, key),
        )

    def unname(self, key: int, kind: str) -> None:
        """Take the identifier of a kind from a profile."""
        self._db.execute("DELETE FROM identifiers WHERE profile = ? AND kind = ?", (key, kind))

    def device(self, shop: str, did: str) -> tuple[int, str | None] | None:
        """Return the number of the device's profile, and its session."""
        row = self._row("SELECT profile, seance FROM devices WHERE shop = ? AND did = ?", shop, did)
        return row and (int(row[0]), row[1])

    def put_device(self, shop: str, did: str, key: int, seance: str | None) -> None:
        """Bind a device to a profile."""
        self._db.execute(
            "INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?)", (shop, did, key, seance)
        )

    def devices(self) -> list[Device]:
        """Return every device."""
        rows = self.select("SELECT shop, did, profile, seance FROM devices", ())
        return [
            {"shop_id": shop, "did": did, "profile": profile, "seance": seance}
            for shop, did, profile, seance in rows
        ]

    def profile_keys(self, shop: str) -> list[int]:
        """Return the number of every profile that has an identifier or some field."""
        rows = self.select(
            "SELECT profile FROM profiles WHERE shop = ? AND (fields <> '{}' OR custom <> '{}' "
            "OR computed <> '{}' "
            "OR EXISTS (SELECT 1 FROM identifiers AS i WHERE i.profile = profiles.profile))",
            (shop,),
        )
        return [key for (key,) in rows]

    # Custom properties

    def declare(self, shop: str, name: str, kind: str, *, public: bool) -> None:
        """Declare a custom property."""
        self._db.execute(
            "INSERT OR REPLACE INTO properties VALUES (?, ?, ?, ?)", (shop, name, kind, public)
        )

    def properties(self, shop: str) -> dict[str, bool]:
        """Return the declared properties, each with whether the frontend may see it."""
        rows = self.select("SELECT name, public FROM properties WHERE shop = ?", (shop,))
        return {name: bool(public) for name, public in rows}

    # Products and orders

    def put_products(self, shop: str, products: Iterable[Mapping[str, Any]]) -> int:
        """Add products, or replace those with the same id."""
        rows = ((shop, product["id"], _text(product)) for product in products)
        return self._db.executemany(
            "INSERT OR REPLACE INTO products VALUES (?, ?, ?)", rows
        ).rowcount

    def product(self, shop: str, product_id: str) -> dict[str, Json] | None:
        """Return a product."""
        query = "SELECT product FROM products WHERE shop = ? AND id = ?"
        return self._json(query, shop, product_id)

    def order(self, shop: str, order_id: str) -> tuple[int, dict[str, Json]] | None:
        """Return an order by the shop's id, after the number of its profile."""
        row = self._row(
            "SELECT profile, body FROM orders WHERE shop = ? AND id = ?", shop, order_id
        )
        return row and (int(row[0]), codec.decode(row[1].encode()))

    def put_order(self, shop: str, key: int, body: Mapping[str, Json], *, cancelled: bool) -> None:
        """Add an order, or change the one with that id; its place among the orders stays."""
        self._db.execute(
            "INSERT INTO orders (shop, id, profile, date, cancelled, body) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (shop, id) DO UPDATE SET "
            "date = excluded.date, cancelled = excluded.cancelled, body = excluded.body",
            (shop, body["id"], key, body["date"], cancelled, _text(body)),
        )

    def orders(self, key: int, since: int = 0) -> list[tuple[int, dict[str, Json]]]:
        """Return a profile's orders with the store's own numbers, oldest first."""
        rows = self.select(
            "SELECT number, body FROM orders WHERE profile = ? AND date >= ? ORDER BY date, number",
            (key, since),
        )
        return [(number, codec.decode(body.encode())) for number, body in rows]

    def last_order(self, key: int) -> dict[str, Json] | None:
        """Return a profile's newest order that is not cancelled."""
        return self._json(
            "SELECT body FROM orders WHERE profile = ? AND NOT cancelled "
            "ORDER BY date DESC, number DESC LIMIT 1",
            key,
        )

    # Imports

    def suppress(self, shop: str, email: str) -> None:
        """Add a suppressed address."""
        self._db.execute("INSERT OR IGNORE INTO suppressed VALUES (?, ?)", (shop, email))

    def suppressed(self, shop: str) -> list[str]:
        """Return the suppressed addresses."""
        rows = self.select("SELECT email FROM suppressed WHERE shop = ?", (shop,))
        return [email for (email,) in rows]

    def enqueue(self, shop: str, endpoint: str, body: bytes) -> None:
        """Put an accepted import at the end of the queue."""
        self._db.execute(
            "INSERT INTO queue (shop, endpoint, body) VALUES (?, ?, ?)", (shop, endpoint, body)
        )

    def first_number_in_queue(self) -> int | None:
        """Return the number of the oldest import that is not applied yet."""
        row = self._row("SELECT number FROM queue ORDER BY number LIMIT 1")
        return int(row[0]) if row else None

    def first_in_queue(self) -> tuple[int, str, str, bytes] | None:
        """Return the oldest import that is not applied yet."""
        query = "SELECT number, shop, endpoint, body FROM queue ORDER BY number LIMIT 1"
        return cast("tuple[int, str, str, bytes] | None", self._row(query))

    def dequeue(self, number: int) -> None:
        """Take an applied import out of the queue."""
        self._db.execute("DELETE FROM queue WHERE number = ?", (number,))

    def counter(self, name: str) -> int:
        """Return a counter; one that was never set is 0."""
        row = self._row("SELECT count FROM counters WHERE name = ?", name)
        return int(row[0]) if row else 0

    def counters(self, prefix: str) -> dict[str, int]:
        """Return the counters whose names begin with ``prefix``, by the rest of the name."""
        rows = self.select("SELECT name, count FROM counters", ())
        return {k.removeprefix(prefix): count for k, count in rows if k.startswith(prefix)}

    def set_counter(self, name: str, count: int) -> None:
        """Set a counter."""
        self._db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, count))

    def count_all(self, shop: str) -> dict[str, int]:
        """Return how many of everything one shop has."""
        counts = {"profiles": len(self.profile_keys(shop))}
        for table in ("devices", "products", "orders", "suppressed", "queue"):
            query = f"SELECT count(*) FROM {table} WHERE shop = ?"  # noqa: S608 - names of our own
            [(counts[table],)] = self.select(query, (shop,))
        return counts
