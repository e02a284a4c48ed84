"""What the emulator remembers, in SQLite: one connection, used by the server's thread alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypedDict

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
_TABLES: Final = (
    "counters",
    "queue",
    "suppressed",
    "orders",
    "products",
    "properties",
    "devices",
    "identifiers",
    "profiles",
)


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
        with self.transaction():
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def select(
        self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...]
    ) -> list[tuple[Any, ...]]:
        """Run a query that only one caller needs."""
        return self._db.execute(query, parameters).fetchall()

    # Shops

    def add_shop(self, shop: str, secret: str, *, active: bool) -> None:
        """Add a shop, or change the one with that id."""
        self._db.execute(
            "INSERT INTO shops VALUES (?, ?, ?) ON CONFLICT (shop_id) "
            "DO UPDATE SET secret = excluded.secret, active = excluded.active",
            (shop, secret, active),
        )

    def shop(self, shop: str) -> tuple[str, bool] | None:
        """Return a shop's secret and whether it is active."""
        row = self._db.execute(
            "SELECT secret, active FROM shops WHERE shop_id = ?", (shop,)
        ).fetchone()
        return None if row is None else (row[0], bool(row[1]))

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
        row = self._db.execute(
            "SELECT fields, custom, computed FROM profiles WHERE profile = ?", (key,)
        ).fetchone()
        fields, custom, computed = (codec.decode(text.encode()) for text in row)
        return StoredProfile(key, fields, custom, computed)

    def save(self, profile: StoredProfile) -> None:
        """Write a profile back."""
        self._db.execute(
            "UPDATE profiles SET fields = ?, custom = ?, computed = ? WHERE profile = ?",
            (
                _text(profile.fields),
                _text(profile.custom),
                _text(profile.computed),
                profile.key,
            ),
        )

    def find(self, shop: str, kind: str, value: str) -> int | None:
        """Return the number of the profile that an identifier names."""
        row = self._db.execute(
            "SELECT profile FROM identifiers WHERE shop = ? AND kind = ? AND value = ?",
            (shop, kind, value),
        ).fetchone()
        return None if row is None else int(row[0])

    def identifiers(self, key: int) -> dict[str, str]:
        """Return a profile's identifiers as they were given."""
        rows = self._db.execute("SELECT kind, shown FROM identifiers WHERE profile = ?", (key,))
        return dict(rows.fetchall())

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
        row = self._db.execute(
            "SELECT profile, seance FROM devices WHERE shop = ? AND did = ?", (shop, did)
        ).fetchone()
        return None if row is None else (int(row[0]), row[1])

    def put_device(self, shop: str, did: str, key: int, seance: str | None) -> None:
        """Bind a device to a profile."""
        self._db.execute(
            "INSERT INTO devices VALUES (?, ?, ?, ?) ON CONFLICT (shop, did) "
            "DO UPDATE SET profile = excluded.profile, seance = excluded.seance",
            (shop, did, key, seance),
        )

    def devices(self) -> list[Device]:
        """Return every device."""
        rows = self._db.execute("SELECT shop, did, profile, seance FROM devices")
        return [
            {"shop_id": shop, "did": did, "profile": profile, "seance": seance}
            for shop, did, profile, seance in rows
        ]

    def profile_keys(self, shop: str) -> Iterator[int]:
        """Return the number of every profile that has an identifier or some field."""
        rows = self._db.execute(
            "SELECT profile FROM profiles WHERE shop = ? AND (fields <> '{}' OR custom <> '{}' "
            "OR computed <> '{}' "
            "OR EXISTS (SELECT 1 FROM identifiers AS i WHERE i.profile = profiles.profile))",
            (shop,),
        )
        for (key,) in rows:
            yield key

    # Custom properties

    def declare(self, shop: str, name: str, kind: str, *, public: bool) -> None:
        """Declare a custom property."""
        self._db.execute(
            "INSERT OR REPLACE INTO properties VALUES (?, ?, ?, ?)", (shop, name, kind, public)
        )

    def properties(self, shop: str) -> dict[str, bool]:
        """Return the declared properties, each with whether the frontend may see it."""
        rows = self._db.execute("SELECT name, public FROM properties WHERE shop = ?", (shop,))
        return {name: bool(public) for name, public in rows}

    # Products and orders

    def put_products(self, shop: str, products: Iterable[Mapping[str, Any]]) -> int:
        """Add products, or replace those with the same id."""
        cursor = self._db.executemany(
            "INSERT OR REPLACE INTO products VALUES (?, ?, ?)",
            ((shop, product["id"], _text(product)) for product in products),
        )
        return cursor.rowcount

    def product(self, shop: str, product_id: str) -> dict[str, Json] | None:
        """Return a product."""
        row = self._db.execute(
            "SELECT product FROM products WHERE shop = ? AND id = ?", (shop, product_id)
        ).fetchone()
        return None if row is None else codec.decode(row[0].encode())

    def order(self, shop: str, order_id: str) -> dict[str, Json] | None:
        """Return an order by the shop's id."""
        row = self._db.execute(
            "SELECT body FROM orders WHERE shop = ? AND id = ?", (shop, order_id)
        ).fetchone()
        return None if row is None else codec.decode(row[0].encode())

    def order_owner(self, shop: str, order_id: str) -> int | None:
        """Return the number of the profile that an order belongs to."""
        row = self._db.execute(
            "SELECT profile FROM orders WHERE shop = ? AND id = ?", (shop, order_id)
        ).fetchone()
        return None if row is None else int(row[0])

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
        rows = self._db.execute(
            "SELECT number, body FROM orders WHERE profile = ? AND date >= ? ORDER BY date, number",
            (key, since),
        )
        return [(number, codec.decode(body.encode())) for number, body in rows]

    def last_order(self, key: int) -> dict[str, Json] | None:
        """Return a profile's newest order that is not cancelled."""
        row = self._db.execute(
            "SELECT body FROM orders WHERE profile = ? AND NOT cancelled "
            "ORDER BY date DESC, number DESC LIMIT 1",
            (key,),
        ).fetchone()
        return None if row is None else codec.decode(row[0].encode())

    # Imports

    def suppress(self, shop: str, email: str) -> None:
        """Add a suppressed address."""
        self._db.execute("INSERT OR IGNORE INTO suppressed VALUES (?, ?)", (shop, email))

    def suppressed(self, shop: str) -> list[str]:
        """Return the suppressed addresses."""
        rows = self._db.execute("SELECT email FROM suppressed WHERE shop = ?", (shop,))
        return [email for (email,) in rows]

    def enqueue(self, shop: str, endpoint: str, body: bytes) -> None:
        """Put an accepted import at the end of the queue."""
        self._db.execute(
            "INSERT INTO queue (shop, endpoint, body) VALUES (?, ?, ?)", (shop, endpoint, body)
        )

    def first_number_in_queue(self) -> int | None:
        """Return the number of the oldest import that is not applied yet."""
        row = self._db.execute("SELECT min(number) FROM queue").fetchone()
        return None if row[0] is None else int(row[0])

    def first_in_queue(self) -> tuple[int, str, str, bytes] | None:
        """Return the oldest import that is not applied yet."""
        row: tuple[int, str, str, bytes] | None = self._db.execute(
            "SELECT number, shop, endpoint, body FROM queue ORDER BY number LIMIT 1"
        ).fetchone()
        return row

    def dequeue(self, number: int) -> None:
        """Take an applied import out of the queue."""
        self._db.execute("DELETE FROM queue WHERE number = ?", (number,))

    def counter(self, name: str) -> int:
        """Return a counter; one that was never set is 0."""
        row = self._db.execute("SELECT count FROM counters WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def counters(self, prefix: str) -> dict[str, int]:
        """Return the counters whose names begin with ``prefix``, by the rest of the name."""
        rows = self._db.execute(
            "SELECT substr(name, ?), count FROM counters WHERE substr(name, 1, ?) = ?",
            (len(prefix) + 1, len(prefix), prefix),
        )
        return dict(rows.fetchall())

    def set_counter(self, name: str, count: int) -> None:
        """Set a counter."""
        self._db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, count))

    def count_all(self, shop: str) -> dict[str, int]:
        """Return how many of everything one shop has."""
        counts = {"profiles": sum(1 for _ in self.profile_keys(shop))}
        for table in ("devices", "products", "orders", "suppressed", "queue"):
            (counts[table],) = self._db.execute(
                f"SELECT count(*) FROM {table} WHERE shop = ?",  # noqa: S608 - names of our own
                (shop,),
            ).fetchone()
        return counts
