"""The endpoints' rules: what each call is answered, given its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.behaviour import Behaviour
from personaclick_async.emulator.imports import Imports
from personaclick_async.emulator.orders import Orders
from personaclick_async.emulator.parameters import Parameters
from personaclick_async.emulator.profiles import Profiles, new_id
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.emulator.store import Store, StoredProfile

_DONE: Final[Mapping[str, Json]] = {names.STATUS: names.STATUS_SUCCESS}
_SHOP_ID: Final = re.compile(r"[0-9A-Fa-f]{30}")
_LABELS: Final = (names.SID, names.SEANCE, names.STREAM, names.REFERER, names.REFERRER)

Answer = tuple[Json, dict[str, str]]
"""A body, and cookies to set."""


class Service:
    """Answers calls from the store."""

    def __init__(self, store: Store, settings: EmulatorSettings, behaviour: Behaviour) -> None:
        self._store = store
        self._settings = settings
        self._behaviour = behaviour
        self.imports = Imports(store, behaviour)
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

    def profiles(self, shop: str) -> Profiles:
        """Return a shop's profiles."""
        return Profiles(self._store, shop, self._behaviour)

    def orders(self, shop: str) -> Orders:
        """Return a shop's orders."""
        return Orders(self._store, shop, self.profiles(shop))

    def shop_of(self, endpoint: names.Endpoint, parameters: Parameters) -> str:
        """Check the credentials (protocol, section 9) and return the shop's id.

        :raises Refused: with the status that the endpoint documents for wrong credentials.
        """
        imports = endpoint.family is names.Family.IMPORT
        refused_as = self._behaviour.import_refused if imports else None
        if endpoint is names.INIT:
            refused_as = self._behaviour.init_refused
        shop = self._checked_shop(parameters, refused_as)
        secret, active = self._store.shop(shop) or ("", False)
        if not active:
            raise Refused(403, "Shop is not active")
        given = parameters.get(names.SHOP_SECRET)
        if given is not None and given != secret:
            raise Refused(refused_as or self._behaviour.secret_wrong, "shop_secret is wrong")
        if imports and given is None:
            raise Refused(self._behaviour.import_refused, "shop_secret is missing")
        return shop

    def _checked_shop(self, parameters: Parameters, refused_as: int | None) -> str:
        shop = parameters.get(names.SHOP_ID)
        if shop is None:
            raise Refused(refused_as or self._behaviour.shop_missing, "shop_id is missing")
        if not isinstance(shop, str) or not _SHOP_ID.fullmatch(shop):
            raise Refused(refused_as or self._behaviour.shop_malformed, "shop_id is malformed")
        if self._store.shop(shop) is None:
            raise Refused(refused_as or self._behaviour.shop_unknown, "Shop not found")
        return shop

    def answer(self, endpoint: names.Endpoint, shop: str, parameters: Parameters) -> Answer:
        """Carry out a call.

        :raises Refused: the call is not acceptable; nothing was changed.
        """
        if endpoint.family is names.Family.IMPORT:
            self.imports.accept(endpoint, shop, parameters)
            return _DONE, {}
        _check_labels(endpoint, parameters)
        with self._store.transaction():
            if endpoint is names.INIT:
                return self._init(shop, parameters)
            self._check_session(shop, parameters)
            return self._calls[endpoint](shop, parameters), {}

    # Sessions

    def _init(self, shop: str, parameters: Parameters) -> Answer:
        behaviour = self._behaviour
        profiles = self.profiles(shop)
        did = read.did(parameters, behaviour.device_malformed)
        if did is None or (not behaviour.init_keeps_did and profiles.of_device(did) is None):
            did = new_id()
        kept = behaviour.session_kept or profiles.seance_of(did) is None
        seance = (_seance(parameters) if kept else None) or new_id()
        owner = profiles.owner(did)
        profiles.remember_session(did, seance)
        name = behaviour.session_name
        body: dict[str, Json] = {
            names.DID: did,
            **{one: seance for one in (names.SEANCE, names.SID) if name in (one, "both")},
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
        return body, {names.DID: did} if behaviour.init_cookie else {}

    def _check_session(self, shop: str, parameters: Parameters) -> None:
        status = self._behaviour.session_unknown
        if isinstance(status, int):
            seance, did = _seance(parameters), read.as_text(parameters.get(names.DID))
            if did and seance and seance != self.profiles(shop).seance_of(did):
                raise Refused(status, "Session not found")

    # Profiles

    def _read_profile(self, shop: str, parameters: Parameters) -> Json:
        profiles = self.profiles(shop)
        did = self._did_or_secret(profiles, parameters, "read a profile")
        profile = self._profile_of(profiles, did, parameters)
        behaviour = self._behaviour
        if parameters.get(names.SHOP_SECRET) is None or behaviour.customer_profile == "public":
            answer = profiles.public(profile)
        else:
            answer = profiles.full(profile)
            answer[names.ORDERS] = self.orders(shop).in_full_profile(profile.key)
        return _wrapped(answer) if behaviour.profile_answer == "payload" else answer

    def _set_profile(self, shop: str, parameters: Parameters) -> Json:
        profiles = self.profiles(shop)
        did = self._did_or_secret(profiles, parameters, "write a profile")
        if did is None and not profiles.identifiers(parameters):
            raise Refused(self._behaviour.device_missing, "Identifier is missing")
        profiles.update(did, parameters)
        if did is not None:
            profiles.remember_session(did, _seance(parameters))
        return _DONE

    def _purge(self, shop: str, parameters: Parameters) -> Json:
        self._require_secret(parameters)
        profiles = self.profiles(shop)
        identifiers = profiles.identifiers(parameters)
        if not identifiers:
            raise Refused(422, "Identifier is not valid")
        profiles.purge(identifiers)
        return _DONE

    def _changer(self, kind: str) -> Callable[[str, Parameters], Json]:
        def change(shop: str, parameters: Parameters) -> Json:
            self._require_secret(parameters)
            if not read.truthy(parameters.get("i_understand_what_i_am_doing")):
                raise Refused(422, "i_understand_what_i_am_doing is missing")
            old = read.as_text(parameters.get(f"old_{kind}"))
            new = read.as_text(parameters.get(f"new_{kind}"))
            if not old or not new:
                raise Refused(422, f"old_{kind} and new_{kind} are needed")
            self.profiles(shop).change(kind, old, new)
            return _DONE

        return change

    # Orders

    def _last_order(self, shop: str, parameters: Parameters) -> Json:
        profiles = self.profiles(shop)
        did = self._did(profiles, parameters)
        identifiers = profiles.identifiers(parameters)
        if did is None and not identifiers:
            raise Refused(self._behaviour.device_missing, "did is missing")
        known = profiles.known_by(identifiers)
        if did is not None and known is None:
            known = profiles.known_owner(did)
        products = [] if known is None else self.orders(shop).last_products(known.key)
        wrapper = self._behaviour.last_order_answer
        if wrapper == "payload":
            return _wrapped({names.PRODUCTS: products})
        return products if wrapper == "array" else {wrapper: products}

    def _orders_by_user(self, shop: str, parameters: Parameters) -> Json:
        self._require_secret(parameters)
        profiles = self.profiles(shop)
        did = self._did_or_secret(profiles, parameters, "read orders")
        # React Native adds its own did even beside the e-mail that is asked for (8.1).
        profile = profiles.known_by(profiles.identifiers(parameters))
        if profile is None:
            profile = self._profile_of(profiles, did, parameters)
        since = read.as_text(parameters.get(names.DATE_FROM))
        history = self.orders(shop).history(profile.key, since)
        return {names.STATUS: names.STATUS_SUCCESS, names.DATA: {names.ORDERS: history}}

    # Who is meant

    def _did(self, profiles: Profiles, parameters: Parameters) -> str | None:
        did = read.did(parameters, self._behaviour.device_malformed)
        if did is not None and "%" in did and profiles.of_device(did) is None:
            # Encoded twice, as React Native does (protocol, section 8.1).
            decoded = unquote(did)
            return decoded if profiles.of_device(decoded) is not None else did
        return did

    def _did_or_secret(
        self, profiles: Profiles, parameters: Parameters, purpose: str
    ) -> str | None:
        did = self._did(profiles, parameters)
        if did is None and parameters.get(names.SHOP_SECRET) is None:
            if profiles.identifiers(parameters):
                raise Refused(
                    self._behaviour.secret_missing,
                    f"shop_secret is needed to {purpose} without did",
                )
            raise Refused(self._behaviour.device_missing, "did is missing")
        return did

    def _profile_of(
        self, profiles: Profiles, did: str | None, parameters: Parameters
    ) -> StoredProfile:
        if did is not None:
            return profiles.known_owner(did)
        identifiers = profiles.identifiers(parameters)
        if not identifiers:
            raise Refused(self._behaviour.device_missing, "Identifier is missing")
        profile = profiles.known_by(identifiers)
        if profile is None:
            raise Refused(self._behaviour.customer_unknown, "Profile not found")
        return profile

    def _require_secret(self, parameters: Parameters) -> None:
        if parameters.get(names.SHOP_SECRET) is None:
            raise Refused(self._behaviour.secret_missing, "shop_secret is missing")


def _wrapped(payload: Json) -> Json:
    return {names.STATUS: names.STATUS_SUCCESS, names.PAYLOAD: payload}


def _seance(parameters: Parameters) -> str | None:
    return read.as_text(parameters.get(names.SID)) or read.as_text(parameters.get(names.SEANCE))


def _check_labels(endpoint: names.Endpoint, parameters: Parameters) -> None:
    for name in _LABELS:
        value = parameters.get(name)
        if value == "" and name == names.STREAM and endpoint is names.INIT:
            continue  # it means the website (protocol, section 6.3)
        # React Native sends null for a stream that is not set.
        if value is not None and (not isinstance(value, str) or not value):
            raise Refused(422, f"{name} is empty or not a string")
    segment = parameters.get(names.SEGMENT)
    if segment is not None and segment not in tuple(names.Segment):
        raise Refused(422, "segment is neither A nor B")
