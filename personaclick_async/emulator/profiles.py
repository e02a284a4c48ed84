"""The profiles of a shop, and how devices and identifiers move between them."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import attrs

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Parameters, Refused, unless_refused
from personaclick_async.emulator.settings import Behaviour, Value
from personaclick_async.emulator.store import Store, packed, unpacked
from personaclick_async.models.profile import Profile
from personaclick_async.models.update import FIELDS, RESERVED_NAMES

_ID_CHARACTERS: Final = string.ascii_letters + string.digits
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_TELLING: Final = (names.EMAIL, names.PHONE, names.EXTERNAL_ID)
"""The identifiers of which another value means another person."""

_SEGMENTS: Final = "segment_ids"
_NOT_GIVEN: Final = object()
_PURGED: Final = ("first_name", "last_name", "middle_name")
_PURGED_IDENTIFIERS: Final = (names.PHONE, names.EMAIL, names.LOYALTY_ID, names.EXTERNAL_ID)
_FULL_FIELDS: Final = [name for name, field in FIELDS.items() if field.in_full_answer]
_EMPTY_LISTS: Final = ("tags", "additional_phones", "additional_emails", "additional_loyalty_ids")
_MISSING: Final[Mapping[str, Json]] = {"null": None, "object": {}, "array": []}
_HAS_EMAIL: Final = "has_email"
_BOUGHT: Final = "bought_something"
_SCALARS: Final = {"computed_gender", "child_gender", "allergy", "vds", "income_level"}
COMPUTED: Final = [
    name for name in attrs.fields_dict(Profile) if name not in {*RESERVED_NAMES, _HAS_EMAIL}
]
"""What the service computes from behaviour, and the emulator is told (protocol, section 4.1)."""
BLOCKS: Final = frozenset(COMPUTED) - _SCALARS


def new_id() -> str:
    """Make a device or session id: ten letters and digits (protocol, section 6.1)."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(10))


@attrs.define(repr=False)
class StoredProfile:
    """A profile as it is stored; ``key`` is the store's own number for it."""

    key: int
    fields: dict[str, Json] = attrs.field(factory=dict)
    custom: dict[str, Json] = attrs.field(factory=dict)
    computed: dict[str, Json] = attrs.field(factory=dict)


@attrs.frozen
class Profiles:
    """The profiles of one shop and the ways to them."""

    store: Store
    shop: str
    behaviour: Behaviour

    # In the store

    def load(self, key: int) -> StoredProfile:
        """Return the profile with a number that the store gave."""
        query = "SELECT fields, custom, computed FROM profiles WHERE profile = ?"
        return StoredProfile(key, *map(unpacked, self.store.execute(query, key).fetchone()))

    def save(self, profile: StoredProfile) -> None:
        """Write a profile back; what is null in it is forgotten."""
        parts = (profile.fields, profile.custom, profile.computed)
        texts = [packed({k: v for k, v in part.items() if v is not None}) for part in parts]
        query = "UPDATE profiles SET fields = ?, custom = ?, computed = ? WHERE profile = ?"
        self.store.execute(query, *texts, profile.key)

    def _new(self) -> StoredProfile:
        cursor = self.store.execute(
            "INSERT INTO profiles (shop, fields, custom, computed) VALUES (?, '{}', '{}', '{}')",
            self.shop,
        )
        return StoredProfile(cursor.lastrowid or 0)

    # Devices

    def device(self, did: str) -> tuple[int, str | None] | None:
        """Return the number of a device's profile and its session; None if it was never seen."""
        query = "SELECT profile, seance FROM devices WHERE shop = ? AND did = ?"
        found: tuple[int, str | None] | None = self.store.execute(query, self.shop, did).fetchone()
        return found

    def owner(self, did: str, unknown: Value | None = None) -> StoredProfile:
        """Return the profile of a device's owner; a device never seen gets one of its own.

        :param unknown: a status refuses such devices; unless told, the behaviour's does.
        """
        found = self.device(did)
        if found is not None:
            return self.load(found[0])
        unless_refused(unknown or self.behaviour.device_unknown, "Device not found")
        profile = self._new()
        query = "INSERT INTO devices VALUES (?, ?, ?, NULL)"
        self.store.execute(query, self.shop, did, profile.key)
        return profile

    def remember_session(self, did: str, seance: str | None) -> None:
        """Note a known device's session; any session id is taken (protocol, section 6.2)."""
        if seance:
            query = "UPDATE devices SET seance = ? WHERE shop = ? AND did = ?"
            self.store.execute(query, seance, self.shop, did)

    # Identifiers

    def identifiers(self, parameters: Mapping[str, Json]) -> dict[str, str]:
        """Return the identifiers among the parameters, under the names that are understood."""
        return read.identifiers(parameters, self.behaviour.user_id_names)

    def identifiers_of(self, profile: StoredProfile) -> dict[str, str]:
        """Return a profile's identifiers as they were given."""
        query = "SELECT kind, shown FROM identifiers WHERE profile = ?"
        return dict(self.store.execute(query, profile.key))

    def known_by(self, identifiers: Mapping[str, str]) -> StoredProfile | None:
        """Return the profile of the first identifier that has one; email goes before phone.

        React Native encodes a query's values twice (protocol, section 8.1): where no profile has
        an identifier, it is looked for once more, decoded.
        """
        for decode in (str, unquote):
            for kind, value in identifiers.items():
                key = self._find(kind, decode(value))
                if key is not None:
                    return self.load(key)
        return None

    def _find(self, kind: str, value: str) -> int | None:
        found: tuple[int] | None = self.store.execute(
            "SELECT profile FROM identifiers WHERE shop = ? AND kind = ? AND value = ?",
            *(self.shop, kind, self._compared(kind, value)),
        ).fetchone()
        return found and found[0]

    def _compared(self, kind: str, value: str) -> str:
        if kind == names.PHONE and self.behaviour.phones == "compared by digits":
            return re.sub(r"[^0-9]", "", value) or value
        return value

    def _name(self, key: int, kind: str, value: str) -> None:
        """Move an identifier to a profile, in place of the one of that kind."""
        self._unname(key, kind)
        self.store.execute(
            "INSERT OR REPLACE INTO identifiers VALUES (?, ?, ?, ?, ?)",
            *(self.shop, kind, self._compared(kind, value), value, key),
        )

    def _unname(self, key: int, kind: str) -> None:
        self.store.execute("DELETE FROM identifiers WHERE profile = ? AND kind = ?", key, kind)

    # Who is meant

    def _meant(self, did: str | None, identifiers: Mapping[str, str]) -> StoredProfile:
        """Return the profile that an update is about, and move the device there."""
        named = self._same_person(identifiers)
        if did is None:
            return named or self._new()
        current = self.owner(did)
        if named is None:
            if self._may_be(current, identifiers, _TELLING):
                return current
            # The device has an owner with another identifier: it moves to a new profile.
            named = self._new()
        query = "UPDATE devices SET profile = ? WHERE shop = ? AND did = ?"
        self.store.execute(query, named.key, self.shop, did)
        return named

    def _same_person(self, identifiers: Mapping[str, str]) -> StoredProfile | None:
        """Return the person's profile; a phone alone does not make one person.

        People share phones: a profile found by phone that has another address, or another id of
        the shop's, is somebody else's.
        """
        found = self.known_by({k: v for k, v in identifiers.items() if k != names.PHONE})
        if found is None and names.PHONE in identifiers:
            found = self.known_by({names.PHONE: identifiers[names.PHONE]})
            if found and not self._may_be(found, identifiers, (names.EMAIL, names.EXTERNAL_ID)):
                return None
        return found

    def _may_be(
        self, profile: StoredProfile, identifiers: Mapping[str, str], kinds: tuple[str, ...]
    ) -> bool:
        """Whether no identifier of these kinds is another one than the profile has."""
        theirs = self.identifiers_of(profile)
        return all(
            self._compared(kind, theirs[kind]) == self._compared(kind, identifiers[kind])
            for kind in kinds
            if kind in theirs and kind in identifiers
        )

    # Changing them

    def update(self, did: str | None, parameters: Parameters) -> StoredProfile:
        """Carry out ``profile/set``, and return the profile that it was about.

        An identifier that names a profile moves the device there; the others are attached where
        they are free (protocol, sections 6.4 and 12).
        """
        fields, custom = self._values(parameters)
        identifiers = self.identifiers(parameters)
        if isinstance(self.behaviour.identifier_conflict, int):
            found = {self._find(kind, value) for kind, value in identifiers.items()} - {None}
            if len(found) > 1:
                raise Refused(self.behaviour.identifier_conflict, "Identifiers of several profiles")
        profile = self._meant(did, identifiers)
        for kind, value in identifiers.items():
            if self._find(kind, value) in (None, profile.key):
                # Free: also in place of an older one, as when a customer has a new address.
                self._name(profile.key, kind, value)
        if names.ID in fields:
            fields.setdefault(names.EXTERNAL_ID, fields.pop(names.ID))
        for kind in names.IDENTIFIERS:
            # One spelling of the user id may be null beside the other.
            if kind in fields and fields.pop(kind) is None and kind not in identifiers:
                self._unname(profile.key, kind)
        if self.behaviour.lists == "merged":
            for name, value in fields.items():
                before = profile.fields.get(name)
                if isinstance(value, list) and isinstance(before, list):
                    fields[name] = before + value
        profile.fields.update(fields)
        profile.custom.update(custom)
        self.save(profile)
        return profile

    def _values(self, parameters: Parameters) -> tuple[dict[str, Json], dict[str, Json]]:
        """Return the fields and the custom properties that are given."""
        fields: dict[str, Json] = {}
        custom: dict[str, Json] = {}
        declared = self._properties()
        for name, given in parameters.items():
            is_field = name in FIELDS or name == names.ID
            if not is_field and (name in RESERVED_NAMES or not _CUSTOM_NAME.fullmatch(name)):
                continue
            value = self._understood(name, given, is_field=is_field)
            if value is _NOT_GIVEN:
                continue
            if is_field:
                fields[name] = value
                continue
            undeclared = self.behaviour.undeclared_property
            if (
                name in declared
                or unless_refused(undeclared, f"{name} is not declared") == "stored"
            ):
                custom[name] = value
        return fields, custom

    def _understood(self, name: str, given: Json, *, is_field: bool) -> Json:
        """Return a value as it is stored, or ``_NOT_GIVEN`` where it counts as that."""
        behaviour = self.behaviour
        if given == "":
            empty = unless_refused(behaviour.empty_text, f"{name} is empty")
            if empty == "not given" or name in (*names.IDENTIFIERS, names.ID):
                return _NOT_GIVEN
            return None if empty == "clears" else ""
        try:
            value = read.field(name, given) if is_field else read.custom_value(given)
        except Refused as refused:
            wrong = unless_refused(behaviour.wrong_type, refused.message)
            return given if wrong == "stored" else _NOT_GIVEN
        if value is None and unless_refused(behaviour.null, f"{name} is null") == "ignored":
            return _NOT_GIVEN
        return value

    def enlist(self, entry: Parameters, segment_id: int | None) -> None:
        """Carry out one entry of an audience, and note the segment it was imported into."""
        if not self.identifiers(entry):
            raise Refused(422, "the entry has no identifier")
        rest = dict(entry)
        given = {name: rest.pop(name) for name in entry.keys() & read.AUDIENCE_FIELDS}
        more = {name: read.field(name, value) for name, value in given.items() if value != ""}
        profile = self.update(None, rest)
        if segment_id is not None:
            more[_SEGMENTS] = sorted({*profile.fields.get(_SEGMENTS, []), segment_id})
        if more:
            profile.fields.update(more)
            self.save(profile)

    def suppress(self, entry: Parameters) -> None:
        """Carry out one entry of the suppressed addresses."""
        email = entry.get(names.EMAIL)
        if not isinstance(email, str) or not email:
            raise Refused(422, "the entry has no email")
        self.store.execute("INSERT OR IGNORE INTO suppressed VALUES (?, ?)", self.shop, email)

    def add(self, given: Mapping[str, Json], computed: Mapping[str, Json] | None = None) -> None:
        """Add or update a profile from outside the service, with what the service computes.

        :param computed: what is computed; else it stands among the fields.
        :raises Refused: a value can't be one of its field; nothing was changed.
        """
        rest = dict(given)
        if computed is None:
            computed = {name: rest.pop(name) for name in COMPUTED if name in rest}
        did = read.did(rest)
        if did is not None:
            self.owner(did, "created")
        profile = self.update(did, rest)
        if computed:
            profile.computed.update(computed)
            self.save(profile)

    def purge(self, profile: StoredProfile) -> None:
        """Remove what names the person and the custom properties (protocol, section 2.4)."""
        for kind in _PURGED_IDENTIFIERS:
            self._unname(profile.key, kind)
        profile.fields.update(dict.fromkeys(_PURGED))
        profile.custom.clear()
        self.save(profile)

    def change(self, kind: str, old: str, new: str) -> None:
        """Assign a profile another identifier; its previous owner loses it (protocol, 2.5)."""
        key = self._find(kind, old)
        if key is None:
            raise Refused(404, f"Profile with old_{kind} not found")
        self._name(key, kind, new)

    # Showing them

    def public(self, profile: StoredProfile) -> dict[str, Json]:
        """Return what the frontend may see of a profile (protocol, section 4.1)."""
        properties = self._properties()
        missing = self.behaviour.missing_blocks
        shown = [] if missing == "absent" else COMPUTED
        return {
            names.ID: str(profile.key),
            _HAS_EMAIL: names.EMAIL in self.identifiers_of(profile),
            "gender": profile.fields.get("gender"),
            _BOUGHT: profile.fields.get(_BOUGHT, False),
            **{name: _MISSING[missing] if name in BLOCKS else None for name in shown},
            **profile.computed,
            names.CUSTOM_PROPERTIES: {
                name: value for name, value in profile.custom.items() if properties.get(name, True)
            },
        }

    def full(self, profile: StoredProfile) -> dict[str, Json]:
        """Return all of a profile, as the secret allows (protocol, section 4.2)."""
        shown = [*_FULL_FIELDS, "kids"] if self.behaviour.kids_shown else _FULL_FIELDS
        return {
            **{name: profile.fields.get(name) for name in shown},
            **self.identifiers_of(profile),
            _BOUGHT: profile.fields.get(_BOUGHT, False),
            **profile.computed,
            names.CUSTOM_PROPERTIES: profile.custom,
            **{name: [] for name in _EMPTY_LISTS},
        }

    def everything(self, key: int) -> dict[str, Json]:
        """Return everything that is stored of a profile, for inspection."""
        profile = self.load(key)
        return {
            **profile.fields,
            **self.identifiers_of(profile),
            names.CUSTOM_PROPERTIES: profile.custom,
            **profile.computed,
        }

    def keys(self) -> list[int]:
        """Return the number of every profile that has an identifier or some field."""
        query = "SELECT profile FROM known WHERE shop = ?"
        return [key for (key,) in self.store.execute(query, self.shop)]

    def _properties(self) -> dict[str, bool]:
        """Return the declared properties, each with whether the frontend may see it."""
        query = "SELECT name, public FROM properties WHERE shop = ?"
        return dict(self.store.execute(query, self.shop))
