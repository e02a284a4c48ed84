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
from personaclick_async.emulator.behaviour import Behaviour
from personaclick_async.emulator.parameters import Parameters
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.store import Store, StoredProfile
from personaclick_async.models.fields import Kind
from personaclick_async.models.profile import Profile
from personaclick_async.models.update import FIELDS, RESERVED_NAMES

_ID_CHARACTERS: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 10
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_TELLING: Final = (names.EMAIL, names.PHONE, names.EXTERNAL_ID)
"""The identifiers of which another value means another person."""

_SEGMENTS: Final = "segment_ids"
_KIDS: Final = "kids"
_EMPTY: Final = ""

_PURGED: Final = ("first_name", "last_name", "middle_name")
_PURGED_IDENTIFIERS: Final = (names.PHONE, names.EMAIL, names.LOYALTY_ID, names.EXTERNAL_ID)
_FULL_FIELDS: Final = [name for name, field in FIELDS.items() if field.in_full_answer]
_MISSING: Final[Mapping[str, Json]] = {"null": None, "object": {}, "array": []}
_HAS_EMAIL: Final = "has_email"
_SCALARS: Final = {"computed_gender", "child_gender", "allergy", "vds", "income_level"}
COMPUTED: Final = [
    name for name in attrs.fields_dict(Profile) if name not in {*RESERVED_NAMES, _HAS_EMAIL}
]
"""What the service computes from behaviour, and the emulator is told (protocol, section 4.1)."""
BLOCKS: Final = frozenset(COMPUTED) - _SCALARS


def new_id() -> str:
    """Make a device or session id: ten letters and digits (protocol, section 6.1)."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))


class Profiles:
    """The profiles of one shop and the ways to them."""

    def __init__(self, store: Store, shop: str, behaviour: Behaviour) -> None:
        self._store = store
        self._shop = shop
        self._behaviour = behaviour

    # Finding them

    def identifiers(self, parameters: Mapping[str, Json]) -> dict[str, str]:
        """Return the identifiers among the parameters, under the names that are understood."""
        return read.identifiers(parameters, self._behaviour.user_id_names)

    def owner(self, did: str) -> StoredProfile:
        """Return the profile of a device's owner; a device never seen gets one of its own."""
        known = self.of_device(did)
        if known is not None:
            return known
        profile = self._store.new_profile(self._shop)
        self._store.put_device(self._shop, did, profile.key, None)
        return profile

    def known_owner(self, did: str) -> StoredProfile:
        """Return the profile of a device's owner, as a call other than ``init`` finds it.

        :raises Refused: the device is unknown, and the behaviour is to refuse such.
        """
        status = self._behaviour.device_unknown
        if isinstance(status, int) and self.of_device(did) is None:
            raise Refused(status, "Device not found")
        return self.owner(did)

    def of_device(self, did: str) -> StoredProfile | None:
        """Return the profile of a device's owner, or None if the device was never seen."""
        known = self._store.device(self._shop, did)
        return None if known is None else self._store.profile(known[0])

    def known_by(self, identifiers: Mapping[str, str]) -> StoredProfile | None:
        """Return the profile of the first identifier that has one; email goes before phone.

        React Native encodes a query's values twice (protocol, section 8.1): where no profile has
        an identifier, it is looked for once more, decoded.
        """
        for decode in (str, unquote):
            for kind, value in identifiers.items():
                key = self._find(kind, decode(value))
                if key is not None:
                    return self._store.profile(key)
        return None

    def _find(self, kind: str, value: str) -> int | None:
        return self._store.find(self._shop, kind, self._compared(kind, value))

    def _compared(self, kind: str, value: str) -> str:
        if kind == names.PHONE and self._behaviour.phones == "compared by digits":
            return re.sub(r"[^0-9]", "", value) or value
        return value

    # Devices and sessions

    def seance_of(self, did: str) -> str | None:
        """Return the session that a device is in, as far as is known."""
        known = self._store.device(self._shop, did)
        return known and known[1]

    def remember_session(self, did: str, seance: str | None) -> None:
        """Note a device's session; any session id is taken (protocol, section 6.2)."""
        if seance:
            self._store.put_device(self._shop, did, self.owner(did).key, seance)

    # Changing them

    def enlist(self, entry: Parameters, segment_id: int | None) -> None:
        """Carry out one entry of an audience, and note the segment it was imported into.

        :raises Refused: a value can't be one of its field; nothing was changed.
        """
        more: dict[str, Json] = {}
        for name in entry.keys() & read.AUDIENCE_FIELDS:
            if entry[name] != _EMPTY:
                more[name] = read.field(name, entry[name])
        rest = {name: value for name, value in entry.items() if name not in read.AUDIENCE_FIELDS}
        profile = self.update(None, rest)
        if segment_id is not None:
            segments = profile.fields.get(_SEGMENTS, [])
            more[_SEGMENTS] = sorted({*segments, segment_id})
        if more:
            _merge(profile.fields, more)
            self._store.save(profile)

    def load(self, given: Mapping[str, Json], blocks: Mapping[str, Json] | None = None) -> None:
        """Add or update a profile from outside the service, with what the service computes.

        :param blocks: what is computed; else it stands among the fields.

        :raises Refused: a value can't be one of its field; nothing was changed.
        """
        computed = blocks or {name: given[name] for name in COMPUTED if name in given}
        rest = {name: value for name, value in given.items() if name not in computed}
        did = read.did(rest)
        if did is not None:
            self.owner(did)
        profile = self.update(did, rest)
        if computed:
            _merge(profile.computed, computed)
            self._store.save(profile)

    def update(self, did: str | None, parameters: Parameters) -> StoredProfile:
        """Carry out ``profile/set``, and return the profile that it was about.

        An identifier that names a profile moves the device there; the others are attached where
        they are free (protocol, sections 6.4 and 12).

        :raises Refused: a value can't be one of its field; nothing was changed.
        """
        fields, custom = self._values(parameters)
        identifiers = self.identifiers(parameters)
        self._check_conflict(identifiers)
        profile = self._profile_for(did, identifiers)
        self._attach(profile, identifiers)
        if names.ID in fields:
            fields.setdefault(names.EXTERNAL_ID, fields.pop(names.ID))
        for kind in names.IDENTIFIERS:
            # One spelling of the user id may be null beside the other.
            if kind in fields and fields.pop(kind) is None and kind not in identifiers:
                self._store.unname(profile.key, kind)
        if self._behaviour.lists == "merged":
            for name, field in FIELDS.items():
                if field.kind is Kind.OBJECTS and isinstance(fields.get(name), list):
                    fields[name] = [*profile.fields.get(name, []), *fields[name]]
        _merge(profile.fields, fields)
        _merge(profile.custom, custom)
        self._store.save(profile)
        return profile

    def _check_conflict(self, identifiers: Mapping[str, str]) -> None:
        status = self._behaviour.identifier_conflict
        if isinstance(status, int):
            found = {self._find(kind, value) for kind, value in identifiers.items()} - {None}
            if len(found) > 1:
                raise Refused(status, "Identifiers of several profiles")

    def _profile_for(self, did: str | None, identifiers: Mapping[str, str]) -> StoredProfile:
        named = self._same_person(identifiers)
        if did is None:
            return named or self._store.new_profile(self._shop)
        current = self.known_owner(did)
        if named is None:
            # The device has an owner with another identifier: it moves to a new profile.
            taken = self._store.identifiers(current.key)
            telling = {kind: identifiers[kind] for kind in _TELLING if kind in identifiers}
            if all(self._is_same(kind, taken.get(kind), value) for kind, value in telling.items()):
                return current
            named = self._store.new_profile(self._shop)
        if named.key != current.key:
            device = self._store.device(self._shop, did)
            self._store.put_device(self._shop, did, named.key, device and device[1])
        return named

    def _is_same(self, kind: str, one: str | None, other: str | None) -> bool:
        """Whether two values may belong to one person: they are equal, or one is not known."""
        return (
            one is None or other is None or self._compared(kind, one) == self._compared(kind, other)
        )

    def _same_person(self, identifiers: Mapping[str, str]) -> StoredProfile | None:
        """Return the profile that an update is about; a phone alone does not make one person.

        People share phones: a profile found by phone that has another address, or another id of
        the shop's, is somebody else's.
        """
        found = self.known_by({k: v for k, v in identifiers.items() if k != names.PHONE})
        if found is None and names.PHONE in identifiers:
            found = self.known_by({names.PHONE: identifiers[names.PHONE]})
            theirs = {} if found is None else self._store.identifiers(found.key)
            for kind in (names.EMAIL, names.EXTERNAL_ID):
                if not self._is_same(kind, theirs.get(kind), identifiers.get(kind)):
                    return None
        return found

    def _attach(self, profile: StoredProfile, identifiers: Mapping[str, str]) -> None:
        for kind, value in identifiers.items():
            if self._find(kind, value) in (None, profile.key):
                # Free: also in place of an older one, as when a customer has a new address.
                self._name(profile.key, kind, value)

    def _name(self, key: int, kind: str, value: str) -> None:
        self._store.name(self._shop, key, kind, self._compared(kind, value), value)

    def _values(self, parameters: Parameters) -> tuple[dict[str, Json], dict[str, Json]]:
        fields: dict[str, Json] = {}
        custom: dict[str, Json] = {}
        declared = self._store.properties(self._shop)
        for name, given in parameters.items():
            is_field = name in FIELDS or name == names.ID
            if not is_field and (name in RESERVED_NAMES or not _CUSTOM_NAME.fullmatch(name)):
                continue
            found = self._understood(name, given, is_field=is_field)
            if not found:
                continue
            if is_field:
                fields[name] = found[0]
            elif name in declared or self._behaviour.undeclared_property == "stored":
                custom[name] = found[0]
            elif isinstance(self._behaviour.undeclared_property, int):
                raise Refused(self._behaviour.undeclared_property, f"{name} is not declared")
        return fields, custom

    def _understood(self, name: str, given: Json, *, is_field: bool) -> list[Json]:
        """Return a value as it is stored, or nothing where it counts as not given."""
        behaviour = self._behaviour
        if given == _EMPTY:
            if isinstance(behaviour.empty_text, int):
                raise Refused(behaviour.empty_text, f"{name} is empty")
            is_identifier = name in names.IDENTIFIERS or name == names.ID
            if is_identifier or behaviour.empty_text == "not given":
                return []
            return [None] if behaviour.empty_text == "clears" else [_EMPTY]
        try:
            value = read.field(name, given) if is_field else read.custom_value(given)
        except Refused as refused:
            if isinstance(behaviour.wrong_type, int):
                raise Refused(behaviour.wrong_type, refused.message) from None
            return [given] if behaviour.wrong_type == "stored" else []
        if value is None and behaviour.null != "clears":
            if isinstance(behaviour.null, int):
                raise Refused(behaviour.null, f"{name} is null")
            return []
        return [value]

    def purge(self, identifiers: Mapping[str, str]) -> None:
        """Remove what names the person and the custom properties (protocol, section 2.4).

        :raises Refused: no profile has that identifier.
        """
        profile = self.known_by(identifiers)
        if profile is None:
            raise Refused(self._behaviour.customer_unknown, "Profile not found")
        for kind in _PURGED_IDENTIFIERS:
            self._store.unname(profile.key, kind)
        for name in _PURGED:
            profile.fields.pop(name, None)
        profile.custom.clear()
        self._store.save(profile)

    def change(self, kind: str, old: str, new: str) -> None:
        """Assign a profile another identifier; its previous owner loses it (protocol, 2.5).

        :raises Refused: no profile has the old identifier.
        """
        key = self._find(kind, old)
        if key is None:
            raise Refused(404, f"Profile with old_{kind} not found")
        self._name(key, kind, new)

    # Showing them

    def public(self, profile: StoredProfile) -> dict[str, Json]:
        """Return what the frontend may see of a profile (protocol, section 4.1)."""
        identifiers = self._store.identifiers(profile.key)
        hidden = {name for name, public in self._store.properties(self._shop).items() if not public}
        answer: dict[str, Json] = {
            names.ID: str(profile.key),
            _HAS_EMAIL: names.EMAIL in identifiers,
            "gender": profile.fields.get("gender"),
            "bought_something": profile.fields.get("bought_something", False),
        }
        missing = self._behaviour.missing_blocks
        if missing != "absent":
            answer.update(
                {name: _MISSING[missing] if name in BLOCKS else None for name in COMPUTED}
            )
        answer.update(profile.computed)
        answer[names.CUSTOM_PROPERTIES] = {
            name: value for name, value in profile.custom.items() if name not in hidden
        }
        return answer

    def full(self, profile: StoredProfile) -> dict[str, Json]:
        """Return all of a profile, as the secret allows (protocol, section 4.2)."""
        shown = [*_FULL_FIELDS, _KIDS] if self._behaviour.kids_shown else _FULL_FIELDS
        answer: dict[str, Json] = {name: profile.fields.get(name) for name in shown}
        answer.update(self._store.identifiers(profile.key))
        answer["bought_something"] = profile.fields.get("bought_something", False)
        answer.update(profile.computed)
        answer[names.CUSTOM_PROPERTIES] = profile.custom
        answer["tags"] = []
        for name in ("additional_phones", "additional_emails", "additional_loyalty_ids"):
            answer[name] = []
        return answer

    def stored(self, profile: StoredProfile) -> dict[str, Json]:
        """Return everything that is stored, for inspection."""
        return {
            **profile.fields,
            **self._store.identifiers(profile.key),
            names.CUSTOM_PROPERTIES: profile.custom,
            **profile.computed,
        }


def _merge(into: dict[str, Json], changes: Mapping[str, Json]) -> None:
    """Clear what is null, replace what is anything else, and leave the rest."""
    for name, value in changes.items():
        if value is None:
            into.pop(name, None)
        else:
            into[name] = value
