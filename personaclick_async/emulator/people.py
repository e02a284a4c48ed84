"""Who is meant by a request, and how devices and identifiers move between profiles."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping
from typing import Final

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Parameters
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.store import Store, StoredProfile
from personaclick_async.models.update import FIELDS, RESERVED_NAMES

_ID_CHARACTERS: Final = string.ascii_letters + string.digits
_ID_LENGTH: Final = 10
_CUSTOM_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_TELLING: Final = (names.EMAIL, names.PHONE, names.EXTERNAL_ID)
"""The identifiers of which another value means another person."""

_SEGMENTS: Final = "segment_ids"

_PURGED: Final = ("first_name", "last_name", "middle_name")
_PURGED_IDENTIFIERS: Final = (
    names.PHONE,
    names.EMAIL,
    names.LOYALTY_ID,
    names.EXTERNAL_ID,
)
_FULL_FIELDS: Final = [name for name, field in FIELDS.items() if field.in_full_answer]
_COMPUTED: Final = (
    "computed_gender",
    "children",
    "child_gender",
    "cosmetic_hair",
    "cosmetic_skin",
    "cosmetic_perfume",
    "allergy",
    "fashion_sizes",
    "compatibility",
    "vds",
    "pets",
    "jewelry",
    "realty",
    "income_level",
)


def new_id() -> str:
    """Make a device or session id: ten letters and digits (protocol, section 6.1)."""
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))


class People:
    """The profiles of one shop and the ways to them."""

    def __init__(self, store: Store, shop: str, *, strict_properties: bool = False) -> None:
        self._store = store
        self._shop = shop
        self._strict_properties = strict_properties

    def owner(self, did: str, *, strict: bool = False) -> StoredProfile:
        """Give the profile of a device's owner; a device never seen gets one of its own.

        :raises Refused: the device is unknown and ``strict`` says that it must not be.
        """
        known = self.known_device(did)
        if known is not None:
            return known
        if strict:
            raise Refused(404, "Device not found")
        profile = self._store.new_profile(self._shop)
        self._store.put_device(self._shop, did, profile.key, None)
        return profile

    def known_device(self, did: str) -> StoredProfile | None:
        """Give the profile of a device's owner, or None if the device was never seen."""
        known = self._store.device(self._shop, did)
        return None if known is None else self._store.profile(known[0])

    def known_by(self, identifiers: Mapping[str, str]) -> StoredProfile | None:
        """Give the profile of the first identifier that has one; email goes before phone."""
        for kind, value in identifiers.items():
            key = self._store.find(self._shop, kind, value)
            if key is not None:
                return self._store.profile(key)
        return None

    def remember_session(self, did: str, seance: str | None) -> None:
        """Note a device's session; any session id is taken (protocol, section 6.2)."""
        if seance:
            self._store.put_device(self._shop, did, self.owner(did).key, seance)

    def enlist(self, entry: Parameters, segment_id: int | None) -> None:
        """Carry out one entry of an audience, and note the segment it was imported into.

        :raises Refused: a value can't be one of its field; nothing was changed.
        """
        more: dict[str, Json] = {}
        for name in entry.keys() & read.AUDIENCE_FIELDS:
            more[name] = read.field(name, entry[name])
        rest = {name: value for name, value in entry.items() if name not in more}
        profile = self.update(None, rest)
        if segment_id is not None:
            segments = profile.fields.get(_SEGMENTS, [])
            more[_SEGMENTS] = sorted({*segments, segment_id})
        if more:
            _merge(profile.fields, more)
            self._store.save(profile)

    def update(
        self, did: str | None, parameters: Parameters, *, strict: bool = False
    ) -> StoredProfile:
        """Carry out ``profile/set``, and give the profile that it was about.

        An identifier that names a profile moves the device there; the others are attached where
        they are free (protocol, sections 6.4 and 12).

        :raises Refused: a value can't be one of its field; nothing was changed.
        """
        fields, custom = self._values(parameters)
        identifiers = read.identifiers(parameters)
        profile = self._profile_for(did, identifiers, strict=strict)
        self._attach(profile, identifiers)
        if names.ID in fields:
            fields.setdefault(names.EXTERNAL_ID, fields.pop(names.ID))
        for kind in names.IDENTIFIERS:
            # One spelling of the user id may be null beside the other.
            if kind in fields and fields.pop(kind) is None and kind not in identifiers:
                self._store.unname(profile.key, kind)
        _merge(profile.fields, fields)
        _merge(profile.custom, custom)
        self._store.save(profile)
        return profile

    def _profile_for(
        self, did: str | None, identifiers: Mapping[str, str], *, strict: bool
    ) -> StoredProfile:
        named = self._same_person(identifiers)
        if did is None:
            return named or self._store.new_profile(self._shop)
        current = self.owner(did, strict=strict)
        if named is None:
            # The device of somebody who is known by another one moves to a new profile.
            taken = self._store.identifiers(current.key)
            telling = {kind: identifiers[kind] for kind in _TELLING if kind in identifiers}
            if all(taken.get(kind, value) == value for kind, value in telling.items()):
                return current
            named = self._store.new_profile(self._shop)
        if named.key != current.key:
            device = self._store.device(self._shop, did)
            self._store.put_device(self._shop, did, named.key, device and device[1])
        return named

    def _same_person(self, identifiers: Mapping[str, str]) -> StoredProfile | None:
        """Give the profile that an update is about; a phone alone does not make one person.

        People share phones: a profile found by phone that has another address, or another id of
        the shop's, is somebody else's.
        """
        found = self.known_by({k: v for k, v in identifiers.items() if k != names.PHONE})
        if found is None and names.PHONE in identifiers:
            found = self.known_by({names.PHONE: identifiers[names.PHONE]})
            theirs = {} if found is None else self._store.identifiers(found.key)
            for kind in (names.EMAIL, names.EXTERNAL_ID):
                if theirs.get(kind, identifiers.get(kind)) != identifiers.get(
                    kind, theirs.get(kind)
                ):
                    return None
        return found

    def _attach(self, profile: StoredProfile, identifiers: Mapping[str, str]) -> None:
        for kind, value in identifiers.items():
            if self._store.find(self._shop, kind, value) is None:
                # Free: also in place of an older one, as when a customer has a new address.
                self._store.name(self._shop, profile.key, kind, value)

    def _values(self, parameters: Parameters) -> tuple[dict[str, Json], dict[str, Json]]:
        declared = self._store.properties(self._shop) if self._strict_properties else None
        fields: dict[str, Json] = {}
        custom: dict[str, Json] = {}
        for name, value in parameters.items():
            if name in FIELDS or name == names.ID:
                fields[name] = read.field(name, value)
            elif name not in RESERVED_NAMES and _CUSTOM_NAME.fullmatch(name):
                if value == "":
                    raise Refused(422, f"{name} is empty")
                if declared is None or name in declared:
                    custom[name] = read.custom_value(value)
        return fields, custom

    def public(self, profile: StoredProfile) -> dict[str, Json]:
        """Give what the frontend may see of a profile (protocol, section 4.1)."""
        identifiers = self._store.identifiers(profile.key)
        hidden = {name for name, public in self._store.properties(self._shop).items() if not public}
        answer: dict[str, Json] = {
            names.ID: str(profile.key),
            "has_email": names.EMAIL in identifiers,
            "gender": profile.fields.get("gender"),
            "bought_something": profile.fields.get("bought_something", False),
        }
        answer.update(dict.fromkeys(_COMPUTED))
        answer.update(profile.computed)
        answer[names.CUSTOM_PROPERTIES] = {
            name: value for name, value in profile.custom.items() if name not in hidden
        }
        return answer

    def full(self, profile: StoredProfile) -> dict[str, Json]:
        """Give all of a profile, as the secret allows (protocol, section 4.2)."""
        answer: dict[str, Json] = dict.fromkeys(_FULL_FIELDS)
        answer.update({k: v for k, v in profile.fields.items() if k in _FULL_FIELDS})
        answer.update(self._store.identifiers(profile.key))
        answer["bought_something"] = profile.fields.get("bought_something", False)
        answer.update(profile.computed)
        answer[names.CUSTOM_PROPERTIES] = profile.custom
        answer["tags"] = []
        for name in ("additional_phones", "additional_emails", "additional_loyalty_ids"):
            answer[name] = []
        return answer

    def stored(self, profile: StoredProfile) -> dict[str, Json]:
        """Give everything that is stored, for inspection."""
        return {
            **profile.fields,
            **self._store.identifiers(profile.key),
            names.CUSTOM_PROPERTIES: profile.custom,
            **profile.computed,
        }

    def purge(self, identifiers: Mapping[str, str]) -> None:
        """Remove what names the person and the custom properties (protocol, section 2.4).

        :raises Refused: no profile has that identifier.
        """
        profile = self.known_by(identifiers)
        if profile is None:
            raise Refused(404, "Profile not found")
        for kind in _PURGED_IDENTIFIERS:
            self._store.unname(profile.key, kind)
        for name in _PURGED:
            profile.fields.pop(name, None)
        profile.custom.clear()
        self._store.save(profile)

    def change(self, kind: str, old: str, new: str) -> None:
        """Give a profile another identifier; who held the new one loses it (protocol, 2.5).

        :raises Refused: no profile has the old identifier.
        """
        key = self._store.find(self._shop, kind, old)
        if key is None:
            raise Refused(404, f"Profile with old_{kind} not found")
        self._store.name(self._shop, key, kind, new)


def _merge(into: dict[str, Json], changes: Mapping[str, Json]) -> None:
    """Null clears, anything else replaces, what is not mentioned stays."""
    for name, value in changes.items():
        if value is None:
            into.pop(name, None)
        else:
            into[name] = value
