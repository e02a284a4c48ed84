"""The endpoints' rules: how each call is answered, and how imports are applied."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final

import attrs
import msgspec

from personaclick_async import names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator.goods import Goods
from personaclick_async.emulator.parameters import Given, JsonObject, Refused, unless_refused
from personaclick_async.emulator.settings import Behaviour, EmulatorSettings
from personaclick_async.emulator.state import Profiles, Store, new_id, packed
from personaclick_async.emulator.traffic import Traffic

_SHOP_ID: Final = re.compile(r"[0-9A-Fa-f]{30}")
_SEGMENT_ID: Final = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # as SQLite has them
_LABELS: Final = (names.SID, names.SEANCE, names.STREAM, names.REFERER, names.REFERRER)
DONE: Final[Given] = {names.STATUS: names.STATUS_SUCCESS}
_INIT_ANSWER: Final[Given] = {
    **dict.fromkeys(("email_collector", "lazy_load", "auto_css_recommender", "recone"), False),
    "recommendations": True,
    "cms": "",
    "snippets": [],
    "search": {"enabled": False, "landing": None, "type": "full", "settings": {}},
}
# Requests are answered between these batches.
_QUEUED: Final = "SELECT number, shop, endpoint, segment, body FROM queue ORDER BY number LIMIT 200"
LOADED: Final = ("products", "profiles", "orders")
"""What can be loaded, in an order in which each finds what it refers to."""

_CHANGED: Final = {
    names.FORCE_CHANGE_EMAIL: names.EMAIL,
    names.FORCE_CHANGE_PHONE: names.PHONE,
    names.FORCE_CHANGE_ID: names.EXTERNAL_ID,
}
_NEEDS_SECRET: Final = {names.PROFILE_PURGE, names.ORDERS_BY_USER, *_CHANGED}
"""Beside the imports, which refuse with a status of their own."""
_NEEDS_SECRET_OR_DID: Final = {names.PROFILE, names.PROFILE_SET}
_NEEDS_SOMEBODY: Final = {*_NEEDS_SECRET_OR_DID, names.LAST_ORDER, names.ORDERS_BY_USER}


@attrs.define(eq=False, repr=False, slots=False)
class Service:
    """Answers calls from the store, and applies imports to it."""

    settings: EmulatorSettings
    behaviour: Behaviour
    store: Store
    traffic: Traffic

    def __attrs_post_init__(self) -> None:
        limit, window = self.settings.import_limit, self.settings.import_window
        self._quota = Quota(limit, window, status=self.behaviour.over_limit)
        self._queued = asyncio.Event()

    def profiles(self, shop: str | None = None) -> Profiles:
        """Return the profiles of a shop; without one, of the emulator's own."""
        return Profiles(self.store, shop or self.settings.shop_id, self.behaviour)

    def reset(self) -> None:
        """See :meth:`Emulator.reset`."""
        self.traffic.clear_faults()
        self.traffic.clear_requests()
        self._quota.arrivals.clear()
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'shops'"
        with self.store.transaction():
            for (table,) in self.store.execute(tables).fetchall():
                self.store.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def answer(self, endpoint: names.Endpoint, parameters: JsonObject) -> Json:
        """Carry out a call, or raise :class:`Refused`; then nothing was changed."""
        with self.store.transaction():
            shop = self._shop_of(endpoint, parameters)
            if endpoint.family is names.Family.IMPORT:
                self._quota.take(shop)
                return self._accept(endpoint, shop, parameters)
            _check_labels(endpoint, parameters)
            return self._carry_out(endpoint, self.profiles(shop), parameters)

    def _shop_of(self, endpoint: names.Endpoint, parameters: JsonObject) -> str:
        """Check the credentials (protocol, section 9) and return the shop's id."""
        behaviour = self.behaviour
        # Imports and init refuse with a status of their own, whatever is wrong.
        refused_as = {
            names.Family.IMPORT: behaviour.import_refused,
            names.Family.SESSION: behaviour.init_refused,
        }.get(endpoint.family)
        shop, given = parameters.get(names.SHOP_ID), parameters.get(names.SHOP_SECRET)
        is_one = isinstance(shop, str) and _SHOP_ID.fullmatch(shop)
        query = "SELECT secret, active FROM shops WHERE shop_id = ?"
        secret, active = (is_one and self.store.execute(query, shop).fetchone()) or (None, True)
        if not active:
            raise Refused(403, "Shop is not active")
        needs_secret = endpoint.family is names.Family.IMPORT or endpoint in _NEEDS_SECRET
        for is_wrong, status, message in (
            (shop is None, behaviour.shop_missing, "shop_id is missing"),
            (not is_one, behaviour.shop_malformed, "shop_id is malformed"),
            (secret is None, behaviour.shop_unknown, "Shop not found"),
            (given not in (None, secret), behaviour.secret_wrong, "shop_secret is wrong"),
            (needs_secret and given is None, behaviour.secret_missing, "shop_secret is missing"),
        ):
            if is_wrong:
                raise Refused(refused_as or status, message)
        return str(shop)

    def _carry_out(self, endpoint: names.Endpoint, profiles: Profiles, given: Given) -> Json:
        behaviour, goods = self.behaviour, Goods(profiles)
        identifiers = read.identifiers(given, behaviour.user_id_names)
        has_secret = given.get(names.SHOP_SECRET) is not None
        seance = read.as_text(given.get(names.SID)) or read.as_text(given.get(names.SEANCE))
        did = read.did(given, behaviour.device_malformed)
        if endpoint.method == "GET":
            # React Native encodes a query's values twice (protocol, section 8.1).
            did = did and profiles.as_known(names.DID, did)
            identifiers = {kind: profiles.as_known(kind, identifiers[kind]) for kind in identifiers}
        device = profiles.device(did) if did else None
        if endpoint in _NEEDS_SOMEBODY and not did and not identifiers:
            raise Refused(behaviour.device_missing, "did is missing")
        if endpoint in _NEEDS_SECRET_OR_DID and not did and not has_secret:
            raise Refused(behaviour.secret_missing, "shop_secret is needed without did")
        if endpoint is not names.INIT and did and seance and seance != (device and device[1]):
            unless_refused(behaviour.session_unknown, "Session not found")

        def customer() -> int | None:
            # React Native adds its own did even beside the e-mail that is asked for (8.1).
            known = profiles.known_by(identifiers)
            return profiles.owner(did) if known is None and did else known

        def found(key: int | None) -> int:
            if key is None:
                raise Refused(behaviour.customer_unknown, "Profile not found")
            return key

        match endpoint:
            case names.INIT:
                return self._init(profiles, did, seance)
            case names.PROFILE_SET:
                profiles.update(did, given)
                if did and seance:
                    profiles.remember_session(did, seance)
            case names.PROFILE_PURGE:
                if not identifiers:
                    raise Refused(422, "Identifier is not valid")
                profiles.purge(found(profiles.known_by(identifiers)))
            case names.PROFILE:
                key = profiles.owner(did) if did else found(customer())
                is_full = has_secret and behaviour.customer_profile == "full"
                answer = profiles.full(key) if is_full else profiles.public(key)
                if is_full:
                    answer[names.ORDERS] = goods.in_full_profile(key)
                is_bare = behaviour.profile_answer == "bare"
                return answer if is_bare else {**DONE, names.PAYLOAD: answer}
            case names.LAST_ORDER:
                buyer, wrapper = customer(), behaviour.last_order_answer
                bought = [] if buyer is None else goods.last_products(buyer)
                if wrapper == "payload":
                    return {**DONE, names.PAYLOAD: {names.PRODUCTS: bought}}
                return bought if wrapper == "array" else {wrapper: bought}
            case names.ORDERS_BY_USER:
                since = read.as_text(given.get(names.DATE_FROM))
                history = goods.history(found(customer()), since)
                return {**DONE, names.DATA: {names.ORDERS: history}}
            case _:
                profiles.force_change(_CHANGED[endpoint], given)
        return DONE

    def _init(self, profiles: Profiles, did: str | None, seance: str | None) -> Json:
        device = profiles.device(did) if did else None
        if did is None or (device is None and not self.behaviour.init_keeps_did):
            did = new_id()
        owner = profiles.owner(did, "created")
        if device and device[1] and not self.behaviour.session_kept:
            seance = None
        seance = seance or new_id()
        profiles.remember_session(did, seance)
        name = self.behaviour.session_name
        return {
            names.DID: did,
            **{one: seance for one in (names.SEANCE, names.SID) if name in (one, "both")},
            "currency": self.settings.currency,
            "has_email": names.EMAIL in profiles.identifiers_of(owner),
            **_INIT_ANSWER,
        }

    # Imports

    def _accept(self, endpoint: names.Endpoint, shop: str, parameters: JsonObject) -> Json:
        """Accept an import; the answer does not tell what is wrong in its entries."""
        key = names.ORDERS if endpoint.path.endswith(names.ORDERS) else names.AUDIENCE
        entries = parameters.get(key)
        if not isinstance(entries, list):
            raise Refused(422, f"{key} is not an array")
        given = parameters.get(names.SEGMENT_ID)
        wanted = None if given == "" else given
        segment_id = read.of_type(_SEGMENT_ID, "not an integer", names.SEGMENT_ID, wanted)
        if self.behaviour.imports_applied == "before the answer":
            for entry in entries:
                self._apply(shop, endpoint.name, segment_id, entry)
        else:
            self.store.execute(
                "INSERT INTO queue (shop, endpoint, segment, body) "
                "SELECT ?, ?, ?, json_quote(value) FROM json_each(?)",
                *(shop, endpoint.name, segment_id, packed(entries)),
            )
            self._queued.set()
        return DONE

    async def apply_imports(self) -> None:
        """Apply queued entries in order, until cancelled."""
        while True:
            self._queued.clear()
            # One transaction: no kill makes an entry apply twice, which could undo a newer write.
            with self.store.transaction():
                entries = self.store.execute(_QUEUED).fetchall()
                for number, *entry in entries:
                    self._apply(*entry)
                    self.store.execute("DELETE FROM queue WHERE number = ?", number)
            await (asyncio.sleep(0) if entries else self._queued.wait())

    def _apply(self, shop: str, kind: str, segment_id: int | None, entry: Json) -> None:
        """Apply an entry of an import, or count it as ignored, by the reason."""
        try:
            self._take(kind, entry, self.profiles(shop), segment_id)
        except Refused as refused:
            count = "INSERT INTO ignored VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1"
            self.store.execute(count, refused.message)

    def _take(self, kind: str, entry: Json, profiles: Profiles, segment: int | None = None) -> None:
        if not isinstance(entry, Mapping):
            raise Refused(422, "the entry is not an object")
        match kind:
            case names.IMPORT_AUDIENCE.name:
                profiles.enlist(entry, segment)
            case names.IMPORT_SUPPRESSED.name:
                email = entry.get(names.EMAIL)
                if not isinstance(email, str) or not email:
                    raise Refused(422, "the entry has no email")
                query = "INSERT OR IGNORE INTO suppressed VALUES (?, ?)"
                self.store.execute(query, profiles.shop, email)
            case "profiles":
                profiles.add(entry)
            case "products":
                Goods(profiles).add_product(entry, self.settings.currency)
            case _:
                Goods(profiles).add_order(entry)

    def load(self, kind: str, items: Iterable[Mapping[str, Any]]) -> int:
        """Add items of a kind in :data:`LOADED`; return how many were added.

        An invalid order is left out; an invalid product or profile raises :class:`Refused`.
        """
        taken, profiles = 0, self.profiles()
        with self.store.transaction():
            for item in items:
                try:
                    self._take(kind, item, profiles)
                    taken += 1
                except Refused:
                    if kind != "orders":
                        raise
        return taken


@attrs.define
class Quota:
    """At most ``limit`` requests in any window of ``window`` seconds; refused ones don't count."""

    limit: int | None
    window: float
    clock: Callable[[], float] = time.monotonic
    status: int = 429
    arrivals: defaultdict[str, deque[float]] = attrs.field(factory=lambda: defaultdict(deque))

    def take(self, shop: str) -> None:
        """Count a request; refuse one too many, with the whole seconds to wait."""
        if self.limit is None:
            return
        now = self.clock()
        arrivals = self.arrivals[shop]
        while arrivals and arrivals[0] <= now - self.window:
            arrivals.popleft()
        if len(arrivals) >= self.limit:
            wait = max(1, math.ceil(arrivals[0] + self.window - now))
            raise Refused(self.status, "Too many requests", retry_after=wait)
        arrivals.append(now)


def _check_labels(endpoint: names.Endpoint, parameters: JsonObject) -> None:
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
