"""What a shop has, put in from outside the documented calls: by Python or the admin addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from personaclick_async.emulator import catalogue
from personaclick_async.emulator.refusals import Refused
from personaclick_async.emulator.service import Service
from personaclick_async.emulator.store import Store

T = TypeVar("T")

_AT_ONCE: Final = 500

Item = Mapping[str, Any]


class Loader:
    """Adds to one shop; each call is one transaction."""

    def __init__(self, store: Store, service: Service, shop: str, currency: str) -> None:
        self._store = store
        self._service = service
        self._shop = shop
        self._currency = currency

    def products(self, some: Sequence[Item]) -> int:
        """Add or replace products, with what can be derived; gives how many.

        :raises ValueError: a product has no id, or a number that is none; nothing was changed.
        """
        complete = [catalogue.complete(product, self._currency) for product in some]
        with self._store.transaction():
            return self._store.put_products(self._shop, complete)

    def orders(self, some: Sequence[Item]) -> int:
        """Add or change orders; gives how many were taken."""
        purchases = self._service.purchases(self._shop)
        with self._store.transaction():
            return sum(purchases.take_in(order) for order in some)

    def profiles(self, some: Sequence[Item]) -> int:
        """Add or update profiles; gives how many.

        :raises ValueError: a value can't be one of its field; nothing was changed.
        """
        people = self._service.people(self._shop)
        try:
            with self._store.transaction():
                for profile in some:
                    people.update(None, dict(profile))
        except Refused as refused:
            raise ValueError(refused.message) from None
        return len(some)


def in_slices(items: Iterable[T]) -> Iterator[list[T]]:
    """Cut what is to be loaded, so that requests are answered in between."""
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
