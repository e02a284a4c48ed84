"""Imports: queued and applied in the background, and what is loaded from outside the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.emulator import parameters as read
from personaclick_async.emulator import products
from personaclick_async.emulator.behaviour import Behaviour
from personaclick_async.emulator.orders import Orders
from personaclick_async.emulator.parameters import Parameters
from personaclick_async.emulator.profiles import Profiles
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.store import Store

T = TypeVar("T")
Item = Mapping[str, Any]
Take = Callable[[dict[str, Json]], None]

_AT_ONCE: Final = 200
_LOADED_AT_ONCE: Final = 500
_IGNORED: Final = "ignored: "
_APPLIED: Final = "applied of the first import"


class Imports:
    """The imports of every shop, in the order in which they were accepted."""

    def __init__(self, store: Store, behaviour: Behaviour) -> None:
        self._store = store
        self._behaviour = behaviour
        self.came = asyncio.Event()

    def accept(self, endpoint: names.Endpoint, shop: str, parameters: Parameters) -> None:
        """Accept an import for the background; the answer says nothing of what is wrong in it.

        :raises Refused: there is no array to import, or the segment is no number.
        """
        key = names.ORDERS if endpoint.path.endswith(names.ORDERS) else names.AUDIENCE
        entries = parameters.get(key)
        if not isinstance(entries, list):
            raise Refused(422, f"{key} is not an array")
        segment_id = read.segment_id(parameters)
        if self._behaviour.imports_applied == "before the answer":
            take = self._take(shop, endpoint.name, segment_id)
            with self._store.transaction():
                self._apply(take, entries)
            return
        self._store.enqueue(shop, endpoint.name, codec.encode((segment_id, entries)))
        self.came.set()

    @property
    def ignored(self) -> dict[str, int]:
        """How many entries of imports were ignored, by the reason."""
        return self._store.counters(_IGNORED)

    async def apply_next(self) -> bool:
        """Apply the oldest import in slices; False if there is none."""
        found = self._store.first_in_queue()
        if found is None:
            return False
        number, shop, endpoint, body = found
        segment_id, entries = codec.decode(body)
        take = self._take(shop, endpoint, segment_id)
        # A slice and how far it got are committed together: a killed emulator goes on from there,
        # and undoes no newer write by applying an entry twice.
        start = self._store.counter(_APPLIED)
        while start < len(entries):
            with self._store.transaction():
                some = entries[start : start + _AT_ONCE]
                self._apply(take, some)
                start += len(some)
                self._store.set_counter(_APPLIED, start)
            await asyncio.sleep(0)
            if self._store.first_number_in_queue() != number:
                # The emulator was reset meanwhile.
                return True
        with self._store.transaction():
            self._store.dequeue(number)
            self._store.set_counter(_APPLIED, 0)
        return True

    def _apply(self, take: Take, entries: Iterable[Json]) -> None:
        for entry in entries:
            try:
                if not isinstance(entry, dict):
                    raise Refused(422, "the entry is not an object")  # noqa: TRY301 - counted below
                take(entry)
            except Refused as refused:
                name = _IGNORED + refused.message
                self._store.set_counter(name, self._store.counter(name) + 1)

    def _take(self, shop: str, endpoint: str, segment_id: int | None) -> Take:
        """Return what takes one entry of an import in; it raises Refused for one it ignores."""
        profiles = Profiles(self._store, shop, self._behaviour)
        if endpoint in (names.SYNC_ORDERS.name, names.IMPORT_ORDERS.name):
            return Orders(self._store, shop, profiles).take_in
        if endpoint == names.IMPORT_SUPPRESSED.name:
            return partial(self._suppress, shop)

        def enlist(entry: dict[str, Json]) -> None:
            if not profiles.identifiers(entry):
                raise Refused(422, "the entry has no identifier")
            profiles.enlist(entry, segment_id)

        return enlist

    def _suppress(self, shop: str, entry: Mapping[str, Json]) -> None:
        email = entry.get(names.EMAIL)
        if not isinstance(email, str) or not email:
            raise Refused(422, "the entry has no email")
        self._store.suppress(shop, email)


class Loader:
    """Adds to one shop from outside the documented calls; each call is one transaction."""

    def __init__(self, store: Store, behaviour: Behaviour, shop: str, currency: str) -> None:
        self._store = store
        self._shop = shop
        self._currency = currency
        self._profiles = Profiles(store, shop, behaviour)
        self._orders = Orders(store, shop, self._profiles)

    def products(self, some: Sequence[Item]) -> int:
        """Add or replace products, with what can be derived; return how many.

        :raises ValueError: a product has no id, or a number that is none; nothing was changed.
        """
        complete = [products.complete(product, self._currency) for product in some]
        with self._store.transaction():
            return self._store.put_products(self._shop, complete)

    def orders(self, some: Sequence[Item]) -> int:
        """Add or change orders; return how many were taken."""
        taken = 0
        with self._store.transaction():
            for order in some:
                try:
                    self._orders.take_in(order)
                    taken += 1
                except Refused:
                    continue
        return taken

    def computed(self, identifiers: Item, blocks: Item) -> None:
        """Set what the service computes for one user, adding the user if need be."""
        with self._store.transaction():
            self._profiles.load(identifiers, blocks)

    def profiles(self, some: Sequence[Item]) -> int:
        """Add or update profiles, with what the service computes; return how many.

        :raises ValueError: a value can't be one of its field; nothing was changed.
        """
        try:
            with self._store.transaction():
                for profile in some:
                    self._profiles.load(profile)
        except Refused as refused:
            raise ValueError(refused.message) from None
        return len(some)


def in_slices(items: Iterable[T]) -> Iterator[list[T]]:
    """Cut what is to be loaded, so that requests are answered in between."""
    left = iter(items)
    while some := list(islice(left, _LOADED_AT_ONCE)):
        yield some
