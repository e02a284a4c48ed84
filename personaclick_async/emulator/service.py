"""The endpoints' rules: what each call is answered, given its parameters."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.parameters import Parameters
from personaclick_async.emulator.people import People, new_id
from personaclick_async.emulator.purchases import Purchases
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store, StoredProfile

_DONE: Final[Mapping[str, Json]] = {names.STATUS: names.STATUS_SUCCESS}
_SHOP_ID: Final = re.compile(r"[0-9A-Fa-f]{30}")
_LABELS: Final = (names.SID, names.SEANCE, names.STREAM, names.REFERER, names.REFERRER)
_ENTRIES_AT_ONCE: Final = 200
_IGNORED: Final = "ignored entries"
_APPLIED: Final = "applied of the first import"

Answer = tuple[Json, dict[str, str]]
"""A body, and cookies to set."""


class Service:
    """Answers calls from the store."""

    def __init__(self, store: Store, settings: EmulatorSettings) -> None:
        self._store = store
        self._settings = settings
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
        did = read.did(parameters) or new_id()
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
        did = self._did_or_secret(parameters, "read a profile")
        profile = self._whose(people, did, parameters)
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
        did = read.did(parameters)
        known = people.known_by(read.identifiers(parameters))
        if did is None and not read.identifiers(parameters):
            raise Refused(401, "did is missing")
        if did is not None and known is None:
            known = people.owner(did, strict=self._settings.strict_devices)
        return [] if known is None else self.purchases(shop).last_products(known.key)

    def _orders_by_user(self, shop: str, parameters: Parameters) -> Json:
        _require_secret(parameters)
        did = self._did_or_secret(parameters, "read orders")
        if read.identifiers(parameters):
            # React Native adds its own did even beside the e-mail that is asked for (8.1).
            did = None
        profile = self._whose(self.people(shop), did, parameters)
        since = read.as_text(parameters.get(names.DATE_FROM))
        history = self.purchases(shop).history(profile.key, since)
        return {names.STATUS: names.STATUS_SUCCESS, names.DATA: {names.ORDERS: history}}

    # Imports

    def queue(self, endpoint: names.Endpoint, shop: str, parameters: Parameters) -> Json:
        """Accept an import for the background; what is wrong inside it nobody is told.

        :raises Refused: there is no array to import, or the segment is no number.
        """
        key = names.ORDERS if endpoint.path.endswith(names.ORDERS) else names.AUDIENCE
        if not isinstance(parameters.get(key), list):
            raise Refused(422, f"{key} is not an array")
        segment_id = parameters.get(names.SEGMENT_ID)
        if segment_id is not None and type(segment_id) is not int:
            raise Refused(422, f"{names.SEGMENT_ID} is not an integer")
        body = codec.encode((segment_id, parameters[key]))
        self._store.enqueue(shop, endpoint.name, body)
        return _DONE

    @property
    def ignored_entries(self) -> int:
        """How many entries of imports were ignored."""
        return self._store.counter(_IGNORED)

    async def apply_queued(self) -> bool:
        """Apply the oldest import in slices; False if there is none."""
        found = self._store.first_in_queue()
        if found is None:
            return False
        number, shop, endpoint, body = found
        segment_id, entries = codec.decode(body)
        take = self._taker(shop, endpoint, segment_id)
        # A slice and how far it got are committed together: a killed emulator goes on from there,
        # and undoes no newer write by applying an entry twice.
        start = self._store.counter(_APPLIED)
        while start < len(entries):
            with self._store.transaction():
                some = entries[start : start + _ENTRIES_AT_ONCE]
                ignored = sum(not (isinstance(entry, dict) and take(entry)) for entry in some)
                start += len(some)
                self._store.set_counter(_APPLIED, start)
                if ignored:
                    self._store.set_counter(_IGNORED, self.ignored_entries + ignored)
            await asyncio.sleep(0)
            if self._store.first_number_in_queue() != number:
                # Everything was forgotten meanwhile.
                return True
        with self._store.transaction():
            self._store.dequeue(number)
            self._store.set_counter(_APPLIED, 0)
        return True

    def _taker(
        self, shop: str, endpoint: str, segment_id: int | None
    ) -> Callable[[dict[str, Json]], bool]:
        """Give what takes one entry of an import in, and tells whether it did."""
        people = self.people(shop)
        if endpoint in (names.SYNC_ORDERS.name, names.IMPORT_ORDERS.name):
            return self.purchases(shop).take_in
        if endpoint == names.IMPORT_SUPPRESSED.name:
            return partial(self._suppress, shop)

        def enlist(entry: dict[str, Json]) -> bool:
            if not read.identifiers(entry):
                return False
            try:
                people.enlist(entry, segment_id)
            except Refused:
                return False
            return True

        return enlist

    def _suppress(self, shop: str, entry: Mapping[str, Json]) -> bool:
        email = entry.get(names.EMAIL)
        if not isinstance(email, str) or not email:
            return False
        self._store.suppress(shop, email)
        return True

    # Who is meant

    def _did_or_secret(self, parameters: Parameters, purpose: str) -> str | None:
        did = read.did(parameters)
        if did is None and parameters.get(names.SHOP_SECRET) is None:
            if read.identifiers(parameters):
                raise Refused(403, f"shop_secret is needed to {purpose} without did")
            raise Refused(401, "did is missing")
        return did

    def _whose(self, people: People, did: str | None, parameters: Parameters) -> StoredProfile:
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
