"""The emulator's SQLite store, and the profiles of a shop in it.

Devices and identifiers move between profiles as the protocol's section 6.4 says.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import attrs

from personaclick_async import codec, names
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Given, JsonObject, Refused, unless_refused
from personaclick_async.emulator.settings import Behaviour, Value
from personaclick_async.models.profile import Profile
from personaclick_async.models.update import FIELDS, RESERVED_NAMES

_IDENTIFIERS: Final = (*names.IDENTIFIERS, names.ID)
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_PURGED: Final = ("first_name", "last_name", "middle_name")
_FULL_FIELDS: Final = [name for name, field in FIELDS.items() if field.in_full_answer]
_EMPTY_LISTS: Final = ("tags", "additional_phones", "additional_emails", "additional_loyalty_ids")
_MISSING: Final[Given] = {"null": None, "object": {}, "array": []}
_SCALARS: Final = {"computed_gender", "child_gender", "allergy", "vds", "income_level"}
_NO: Final = ("none", "", "false", "0", "null", "no")
COMPUTED: Final = [
    name for name in attrs.fields_dict(Profile) if name not in {*RESERVED_NAMES, "has_email"}
]
"""What the service computes from behaviour, and the emulator is told (protocol, section 4.1)."""
BLOCKS: Final = frozenset(COMPUTED) - _SCALARS

_VERSION: Final = 4  # of the tables in schema.sql; increased with each change of them

sqlite3.register_converter("json_text", codec.decode)


def packed(value: codec.Json) -> str:
    """Return JSON as the tables hold it."""
    return codec.encode(value).decode()


class Store:
    """The tables of all shops.

    Hold its lock while using it; a transaction does so itself.
    """

    def __init__(self, database: str | Path, lock: threading.RLock) -> None:
        self.lock = lock
        self._db = sqlite3.connect(
            database,
            check_same_thread=False,
            isolation_level=None,
            detect_types=sqlite3.PARSE_DECLTYPES,
        )
        self._db.row_factory = sqlite3.Row
        self._db.create_function("lower", 1, str.lower)  # SQLite's own knows ASCII alone
        self.close = self._db.close
        try:
            version = self.value("PRAGMA user_version")
            if version != _VERSION and self.value("SELECT 1 FROM sqlite_master"):
                raise sqlite3.DatabaseError("the database is another version's; name a new file")
            schema = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
            self._db.executescript(f"{schema} PRAGMA user_version = {_VERSION};")
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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or none of it."""
        with self.lock, self._db:
            self.execute("BEGIN IMMEDIATE")
            yield


def new_id() -> str:
    """Make a device or session id: ten letters and digits (protocol, section 6.1)."""
    return secrets.token_hex(5)


@attrs.frozen
class Profiles:
    """The profiles of one shop, each known by a number that the store gave it."""

    store: Store
    shop: str
    behaviour: Behaviour

    def load(self, key: int) -> tuple[JsonObject, JsonObject, JsonObject]:
        """Return a profile's fields, custom properties and computed blocks."""
        query = "SELECT fields, custom, computed FROM profiles WHERE profile = ?"
        fields, custom, computed = self.store.execute(query, key).fetchone()
        return fields, custom, computed

    def change(self, key: int, *changes: Given) -> None:
        """Change fields, custom properties and blocks, in this order; None removes a value."""
        changed = [
            packed({name: value for name, value in {**part, **change}.items() if value is not None})
            for part, change in zip(self.load(key), (*changes, {}, {}), strict=False)
        ]
        query = "UPDATE profiles SET fields = ?, custom = ?, computed = ? WHERE profile = ?"
        self.store.execute(query, *changed, key)

    def _new(self) -> int:
        query = "INSERT INTO profiles (shop) VALUES (?) RETURNING profile"
        return int(self.store.value(query, self.shop))

    def device(self, did: str) -> tuple[int, str | None] | None:
        """Return the profile of a device and its session; None if it was never seen."""
        query = "SELECT profile, seance FROM devices WHERE shop = ? AND did = ?"
        found: tuple[int, str | None] | None = self.store.execute(query, self.shop, did).fetchone()
        return found

    def owner(self, did: str, unknown: Value | None = None) -> int:
        """Return the profile of a device's owner; one never seen gets its own, or is refused."""
        if (found := self.device(did)) is not None:
            return found[0]
        unless_refused(unknown or self.behaviour.device_unknown, "Device not found")
        key = self._new()
        self.store.execute("INSERT INTO devices VALUES (?, ?, ?, NULL)", self.shop, did, key)
        return key

    def remember_session(self, did: str, seance: str) -> None:
        """Note a device's session; any session id is taken (protocol, section 6.2)."""
        query = "UPDATE devices SET seance = ? WHERE shop = ? AND did = ?"
        self.store.execute(query, seance, self.shop, did)

    def identifiers_of(self, key: int) -> dict[str, str]:
        """Return a profile's identifiers as they were given."""
        query = "SELECT kind, shown FROM identifiers WHERE profile = ?"
        return dict(self.store.execute(query, key))

    def known_by(self, identifiers: Mapping[str, str]) -> int | None:
        """Return the profile of the first identifier that has one; email before phone."""
        found = (self.find(kind, value) for kind, value in identifiers.items())
        return next(filter(None, found), None)

    def as_known(self, kind: str, value: str) -> str:
        """Return an identifier, or did, decoded where only so a profile has it."""
        decoded = unquote(value)
        if decoded != value and not self.find(kind, value) and self.find(kind, decoded):
            return decoded
        return value

    def find(self, kind: str, value: str) -> int | None:
        """Return the profile that has an identifier or did."""
        if kind == names.DID:
            device = self.device(value)
            return device and device[0]
        query = "SELECT profile FROM identifiers WHERE shop = ? AND kind = ? AND value = ?"
        found: int | None = self.store.value(query, self.shop, kind, self._compared(kind, value))
        return found

    def _compared(self, kind: str, value: str) -> str:
        if kind == names.PHONE and self.behaviour.phones == "compared by digits":
            return re.sub(r"[^0-9]", "", value) or value
        return value

    def _assign(self, key: int, kind: str, value: str) -> None:
        """Assign an identifier to a profile, replacing the one of that kind."""
        query = "INSERT OR REPLACE INTO identifiers VALUES (?, ?, ?, ?, ?)"
        self.store.execute(query, self.shop, kind, self._compared(kind, value), value, key)

    def _unassign(self, key: int, kind: str) -> None:
        self.store.execute("DELETE FROM identifiers WHERE profile = ? AND kind = ?", key, kind)

    def _target(
        self, did: str | None, identifiers: Mapping[str, str], found: Mapping[str, int | None]
    ) -> int:
        """Return the profile that an update is about, and move the device there."""
        named = next((key for kind, key in found.items() if key and kind != names.PHONE), None)
        sharing = found.get(names.PHONE)
        # People share phones: another e-mail address or external id means another person.
        told_apart = (names.EMAIL, names.EXTERNAL_ID)
        if sharing and not named and not self._differs(sharing, identifiers, *told_apart):
            named = sharing
        if did is None:
            return named or self._new()
        owner = self.owner(did)
        if not named and not self._differs(owner, identifiers, names.PHONE, *told_apart):
            return owner
        # A device whose owner has another identifier moves to a new profile.
        named = named or self._new()
        query = "UPDATE devices SET profile = ? WHERE shop = ? AND did = ?"
        self.store.execute(query, named, self.shop, did)
        return named

    def _differs(self, key: int, identifiers: Mapping[str, str], *kinds: str) -> bool:
        """Whether the profile has another identifier of one of these kinds."""
        known = self.identifiers_of(key)
        return any(
            self._compared(kind, known[kind]) != self._compared(kind, identifiers[kind])
            for kind in {*kinds} & known.keys() & identifiers.keys()
        )

    def update(self, did: str | None, given: Given, more_fields: Collection[str] = ()) -> int:
        """Carry out ``profile/set``, and return the profile that it was about.

        An identifier that names a profile moves the device there; the others are attached where
        they are free (protocol, sections 6.4 and 12).
        """
        identifiers = read.identifiers(given, self.behaviour.user_id_names)
        if did is None and not identifiers:
            raise Refused(422, "the entry has no identifier")
        fields, custom = self._values(given, more_fields)
        found = {kind: self.find(kind, value) for kind, value in identifiers.items()}
        if len({*found.values()} - {None}) > 1:
            unless_refused(self.behaviour.identifier_conflict, "Identifiers of several profiles")
        key = self._target(did, identifiers, found)
        for kind, value in identifiers.items():
            if found[kind] in (None, key):
                # Free: also in place of an older one, as when a customer has a new address.
                self._assign(key, kind, value)
        for kind in _IDENTIFIERS:
            # One spelling of the user id may be null beside the other.
            stored = names.EXTERNAL_ID if kind == names.ID else kind
            if kind in fields and fields.pop(kind) is None and stored not in identifiers:
                self._unassign(key, stored)
        if self.behaviour.lists == "merged":
            for name, before in self.load(key)[0].items():
                if isinstance(before, list) and isinstance(fields.get(name), list):
                    fields[name] = before + fields[name]
        self.change(key, fields, custom)
        return key

    def _values(self, given: Given, more_fields: Collection[str]) -> tuple[JsonObject, JsonObject]:
        """Return the fields and the custom properties, as they are to be stored."""
        behaviour, declared = self.behaviour, self._properties()
        fields: JsonObject = {}
        custom: JsonObject = {}
        for name, sent in given.items():
            is_field = name in FIELDS or name == names.ID or name in more_fields
            if not is_field and (name in RESERVED_NAMES or not _CUSTOM_NAME.fullmatch(name)):
                continue
            value, how, why = sent, behaviour.empty_text, f"{name} is empty"
            if sent != "":
                try:
                    value = read.field(name, sent) if is_field else read.custom_value(sent)
                    how, why = "stored" if value is not None else behaviour.null, f"{name} is null"
                except Refused as refused:
                    how, why = behaviour.wrong_type, refused.message
            how = unless_refused(how, why)
            if how not in ("stored", "clears"):
                continue
            undeclared = "stored" if is_field or name in declared else behaviour.undeclared_property
            if unless_refused(undeclared, f"{name} is not declared") == "stored":
                (fields if is_field else custom)[name] = value if how == "stored" else None
        return fields, custom

    def enlist(self, entry: Given, segment_id: int | None) -> None:
        """Apply one entry of an audience, and add its profile to the segment."""
        # A Telegram id does not name a customer there (protocol, section 2.9).
        if not read.identifiers(entry, self.behaviour.user_id_names).keys() - {names.TELEGRAM_ID}:
            raise Refused(422, "the entry has no identifier")
        key = self.update(None, entry, read.AUDIENCE_FIELDS)
        if segment_id is not None:
            before = self.load(key)[0].get("segment_ids", [])
            self.change(key, {"segment_ids": sorted({*before, segment_id})})

    def add(self, given: Given, computed: Collection[str] = COMPUTED) -> None:
        """Add or update a profile from outside the service; some values are computed ones."""
        did = read.did(given)
        if did is not None:
            self.owner(did, "created")
        key = self.update(did, {name: given[name] for name in given if name not in computed})
        self.change(key, {}, {}, {name: given[name] for name in computed if name in given})

    def purge(self, key: int) -> None:
        """Remove what names the person and the custom properties (protocol, section 2.4)."""
        for kind in (names.PHONE, names.EMAIL, names.LOYALTY_ID, names.EXTERNAL_ID):
            self._unassign(key, kind)
        self.change(key, dict.fromkeys(_PURGED), dict.fromkeys(self.load(key)[1]))

    def force_change(self, kind: str, given: Given) -> None:
        """Assign a profile another identifier; its previous owner loses it (protocol, 2.5)."""
        flag = "i_understand_what_i_am_doing"
        # Any other value confirms, even a sentence.
        if str(given.get(flag)).lower() in _NO:
            raise Refused(422, f"{flag} is missing")
        old, new = (read.as_text(given.get(f"{age}_{kind}")) for age in ("old", "new"))
        if not old or not new:
            raise Refused(422, f"old_{kind} and new_{kind} are needed")
        key = self.find(kind, old)
        if key is None:
            raise Refused(404, f"Profile with old_{kind} not found")
        self._assign(key, kind, new)

    def public(self, key: int) -> JsonObject:
        """Return what the frontend may see of a profile (protocol, section 4.1)."""
        fields, custom, computed = self.load(key)
        is_public = self._properties()
        missing = self.behaviour.missing_blocks
        shown = [] if missing == "absent" else COMPUTED
        return {
            names.ID: str(key),
            "has_email": names.EMAIL in self.identifiers_of(key),
            "gender": fields.get("gender"),
            "bought_something": fields.get("bought_something", False),
            **{name: _MISSING[missing] if name in BLOCKS else None for name in shown},
            **computed,
            names.CUSTOM_PROPERTIES: {k: v for k, v in custom.items() if is_public.get(k, True)},
        }

    def full(self, key: int) -> JsonObject:
        """Return all of a profile, as the secret allows (protocol, section 4.2)."""
        fields, custom, computed = self.load(key)
        shown = [*_FULL_FIELDS, "kids"] if self.behaviour.kids_shown else _FULL_FIELDS
        return {
            **{name: fields.get(name) for name in shown},
            **self.identifiers_of(key),
            "bought_something": fields.get("bought_something", False),
            **computed,
            names.CUSTOM_PROPERTIES: custom,
            **{name: [] for name in _EMPTY_LISTS},
        }

    def everything(self, key: int) -> JsonObject:
        """Return everything that is stored of a profile, for inspection."""
        fields, custom, computed = self.load(key)
        return {**fields, **self.identifiers_of(key), names.CUSTOM_PROPERTIES: custom, **computed}

    def _properties(self) -> dict[str, bool]:
        """Return the declared properties, each with whether the frontend may see it."""
        query = "SELECT name, public FROM properties WHERE shop = ?"
        return dict(self.store.execute(query, self.shop))
