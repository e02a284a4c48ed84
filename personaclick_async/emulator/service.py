"""The endpoints' rules: what each call is answered, given its parameters."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Parameters
from personaclick_async.emulator.people import People, new_id
from personaclick_async.emulator.purchases import Purchases
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store, StoredProfile
from personaclick_async.protocol import names

_DONE: Final[Mapping[str, Json]] = {names.STATUS: names.STATUS_SUCCESS}
_SHOP_ID: Final = re.compile(r"[0-9A-Fa-f]{30}")
_LABELS: Final = (names.SID, names.SEANCE, names.STREAM, names.REFERER, names.REFERRER)
_ENTRIES_AT_ONCE: Final = 500

Answer = tuple[Json, dict[str, str]]
"""A body, and cookies to set."""


class Service:
    """Answers calls from the store."""

    def __init__(self, store: Store, settings: EmulatorSettings) -> None:
        self._store = store
        self._settings = settings
        self.ignored_entries = 0
        self._calls: dict[names.Endpoint, Callable[[str, Parameters], Json]] = {
            names.PROFILE: self._read_profile,
            names.PROFILE_SET: self._set_profile,
            names.PROFILE_PURGE: self._purge,
            names.FORCE_CHANGE_EMAIL: self._changer(names.EMAIL),
            names.FORCE_CHANGE_PHONE: self._changer(names.PHONE),
            names.FORCE_CHANGE_ID: self._changer(names.EXTERNAL_ID),
            names.LAST_ORDER: self._last_order,
            names.ORDERS_BY_USER: self._orders_by_user,
        }

    def people(self, shop: str) -> People:
        """Give a shop's profiles."""
        return People(self._store, shop, strict_properties=self._settings.strict_properties)

    def purchases(self, shop: str) -> Purchases:
        """Give a shop's orders."""
        return Purchases(self._store, shop, self.people(shop))

    def shop_of(self, endpoint: names.Endpoint, parameters: Parameters) -> str:
        """Check who asks (protocol, section 9) and give the shop's id.

        :raises Refused: with the status that the endpoint documents for wrong credentials.
        """
        try:
            shop = self._checked_shop(parameters)
        except Refused as refused:
            # init answers 403 (CONF-INIT), imports 400 (CONF-SUP), the rest as the ladder says.
            if endpoint is names.INIT:
                raise Refused(403, refused.message) from None
            if endpoint.family is names.Family.IMPORT:
                raise Refused(400, refused.message) from None
            raise
        secret, active = self._store.shop(shop) or ("", False)
        if not active:
            raise Refused(403, "Shop is not active")
        given = parameters.get(names.SHOP_SECRET)
        imports = endpoint.family is names.Family.IMPORT
        if given is not None and given != secret:
            raise Refused(400 if imports else 401, "shop_secret is wrong")
        if imports and given is None:
            raise Refused(400, "shop_secret is missing")
        return shop

    def _checked_shop(self, parameters: Parameters) -> str:
        shop = parameters.get(names.SHOP_ID)
        if shop is None:
            raise Refused(401, "shop_id is missing")
        if not isinstance(shop, str) or not _SHOP_ID.fullmatch(shop):
            raise Refused(422, "shop_id is malformed")
        if self._store.shop(shop) is None:
            raise Refused(404, "Shop not found")
        return shop

    def answer(self, endpoint: names.Endpoint, shop: str, parameters: Parameters) -> Answer:
        """Carry out a call.

        :raises Refused: the call is not acceptable; nothing was changed.
        """
        _check_labels(parameters)
        with self._store.transaction():
            if endpoint is names.INIT:
                return self._init(shop, parameters)
            return self._calls[endpoint](shop, parameters), {}

    # Sessions

    def _init(self, shop: str, parameters: Parameters) -> Answer:
        did = read.as_text(parameters.get(names.DID)) or new_id()
        seance = _seance(parameters) or new_id()
        people = self.people(shop)
        owner = people.owner(did)
        people.remember_session(did, seance)
        body: dict[str, Json] = {
            names.DID: did,
            names.SEANCE: seance,
            "currency": self._settings.currency,
            "email_collector": False,
            "has_email": names.EMAIL in self._store.identifiers(owner.key),
            "recommendations": True,
            "lazy_load": False,
            "auto_css_recommender": False,
            "cms": "",
            "snippets": [],
            "search": {"enabled": False, "landing": None, "type": "full", "settings": {}},
            "recone": False,
        }
        return body, {names.DID: did}

    # Profiles

    def _read_profile(self, shop: str, parameters: Parameters) -> Json:
        people = self.people(shop)
        profile = self._whose(people, parameters, "read a profile")
        if parameters.get(names.SHOP_SECRET) is None:
            return people.public(profile)
        full = people.full(profile)
        full[names.ORDERS] = self.purchases(shop).in_full_profile(profile.key)
        return full

    def _set_profile(self, shop: str, parameters: Parameters) -> Json:
        did = self._did_or_secret(parameters, "write a profile")
        people = self.people(shop)
        if did is None and not read.identifiers(parameters):
            raise Refused(401, "Identifier is missing")
        people.update(did, parameters, strict=self._settings.strict_devices)
        if did is not None:
            people.remember_session(did, _seance(parameters))
        return _DONE

    def _purge(self, shop: str, parameters: Parameters) -> Json:
        _require_secret(parameters)
        identifiers = read.identifiers(parameters)
        if not identifiers:
            raise Refused(422, "Identifier is not valid")
        self.people(shop).purge(identifiers)
        return _DONE

    def _changer(self, kind: str) -> Callable[[str, Parameters], Json]:
        def change(shop: str, parameters: Parameters) -> Json:
            _require_secret(parameters)
            if not read.truthy(parameters.get("i_understand_what_i_am_doing")):
                raise Refused(422, "i_understand_what_i_am_doing is missing")
            old = read.as_text(parameters.get(f"old_{kind}"))
            new = read.as_text(parameters.get(f"new_{kind}"))
            if not old or not new:
                raise Refused(422, f"old_{kind} and new_{kind} are needed")
            self.people(shop).change(kind, old, new)
            return _DONE

        return change

    # Orders

    def _last_order(self, shop: str, parameters: Parameters) -> Json:
        people = self.people(shop)
        did = read.as_text(parameters.get(names.DID))
        known = people.known_by(read.identifiers(parameters))
        if did is None and not read.identifiers(parameters):
            raise Refused(401, "did is missing")
        if did is not None and known is None:
            known = people.owner(did, strict=self._settings.strict_devices)
        return [] if known is None else self.purchases(shop).last_products(known.key)

    def _orders_by_user(self, shop: str, parameters: Parameters) -> Json:
        _require_secret(parameters)
        profile = self._whose(self.people(shop), parameters, "read orders")
        since = read.as_text(parameters.get(names.DATE_FROM))
        history = self.purchases(shop).history(profile.key, since)
        return {names.STATUS: names.STATUS_SUCCESS, names.DATA: {names.ORDERS: history}}

    # Imports

    def queue(self, endpoint: names.Endpoint, shop: str, parameters: Parameters) -> Json:
        """Accept an import for the background; what is wrong inside it nobody is told."""
        key = names.ORDERS if endpoint.path.endswith(names.ORDERS) else names.AUDIENCE
        if not isinstance(parameters.get(key), list):
            raise Refused(422, f"{key} is not an array")
        body = codec.encode(parameters[key])
        self._store.enqueue(shop, endpoint.name, body)
        return _DONE

    async def apply_queued(self) -> bool:
        """Apply the oldest import in slices; False if there is none."""
        found = self._store.first_in_queue()
        if found is None:
            return False
        number, shop, endpoint, body = found
        entries = codec.decode(body)
        for start in range(0, len(entries), _ENTRIES_AT_ONCE):
            with self._store.transaction():
                for entry in entries[start : start + _ENTRIES_AT_ONCE]:
                    self._apply(shop, endpoint, entry)
                if start + _ENTRIES_AT_ONCE >= len(entries):
                    self._store.dequeue(number)
            await asyncio.sleep(0)
        if not entries:
            self._store.dequeue(number)
        return True

    def _apply(self, shop: str, endpoint: str, entry: Json) -> None:
        taken = False
        if isinstance(entry, dict):
            if endpoint in (names.SYNC_ORDERS.name, names.IMPORT_ORDERS.name):
                taken = self.purchases(shop).take_in(entry)
            elif endpoint == names.IMPORT_SUPPRESSED.name:
                taken = self._suppress(shop, entry)
            elif read.identifiers(entry):
                try:
                    self.people(shop).update(None, entry)
                    taken = True
                except Refused:
                    taken = False
        self.ignored_entries += not taken

    def _suppress(self, shop: str, entry: Mapping[str, Json]) -> bool:
        email = entry.get(names.EMAIL)
        if not isinstance(email, str) or not email:
            return False
        self._store.suppress(shop, email)
        return True

    # Who is meant

    def _did_or_secret(self, parameters: Parameters, purpose: str) -> str | None:
        did = read.as_text(parameters.get(names.DID)) or None
        if did is None and parameters.get(names.SHOP_SECRET) is None:
            if read.identifiers(parameters):
                raise Refused(403, f"shop_secret is needed to {purpose} without did")
            raise Refused(401, "did is missing")
        return did

    def _whose(self, people: People, parameters: Parameters, purpose: str) -> StoredProfile:
        did = self._did_or_secret(parameters, purpose)
        if did is not None:
            return people.owner(did, strict=self._settings.strict_devices)
        identifiers = read.identifiers(parameters)
        if not identifiers:
            raise Refused(401, "Identifier is missing")
        profile = people.known_by(identifiers)
        if profile is None:
            raise Refused(404, "Profile not found")
        return profile


def _require_secret(parameters: Parameters) -> None:
    if parameters.get(names.SHOP_SECRET) is None:
        raise Refused(403, "shop_secret is missing")


def _seance(parameters: Parameters) -> str | None:
    return read.as_text(parameters.get(names.SID)) or read.as_text(parameters.get(names.SEANCE))


def _check_labels(parameters: Parameters) -> None:
    for name in _LABELS:
        value = parameters.get(name)
        # React Native sends null for a stream that is not set.
        if value is not None and (not isinstance(value, str) or not value):
            raise Refused(422, f"{name} is empty or not a string")
    segment = parameters.get(names.SEGMENT)
    if segment is not None and segment not in tuple(names.Segment):
        raise Refused(422, "segment is neither A nor B")
