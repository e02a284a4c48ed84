"""Reading the orders of a user."""

from __future__ import annotations

from datetime import date
from functools import partial

import attrs

from personaclick_async.calls.scope import WhichScope
from personaclick_async.models import rules
from personaclick_async.models.order import Order
from personaclick_async.models.product import Product
from personaclick_async.names import DATE_FROM
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer


class RawOrderCalls:
    """The calls of :class:`OrderCalls`, each giving the answer as it came."""

    def __init__(self, which: WhichScope) -> None:
        self._which = which

    async def last_for_user(self) -> Answer[list[Product]]:
        """Ask for the last order's products; see :meth:`OrderCalls.last_for_user`."""
        return await self._which().ask(requests.last_order)

    async def by_user(self, *, date_from: date | str | None = None) -> Answer[list[Order]]:
        """Ask for the orders; see :meth:`OrderCalls.by_user`."""
        since = None if date_from is None else rules.day(DATE_FROM, date_from)
        return await self._which().ask(partial(requests.orders_by_user, date_from=since))


@attrs.frozen(repr=False)
class OrderCalls:
    """The orders of one user."""

    _which: WhichScope

    @property
    def raw(self) -> RawOrderCalls:
        """The same calls, each giving the answer as it came."""
        return RawOrderCalls(self._which)

    async def last_for_user(self) -> list[Product]:
        """Read the products of the last order, with their catalogue data (protocol, 2.6 and 5).

        The list is empty if the user has bought nothing. The products carry no quantity, no order
        id and no price that was paid.

        :raises NoCurrentUser: this is ``client.orders`` and no current user is set.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
        return (await self._which().ask(requests.last_order)).parse()

    async def by_user(self, *, date_from: date | str | None = None) -> list[Order]:
        """Read the orders with their items, oldest first; needs the secret (protocol, 2.7).

        :param date_from: the first day to give, as a date or ``YYYY-MM-DD``; all days if None.
        :raises ConfigurationError: the client has no secret.
        :raises ValidationError: ``date_from`` is no day.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
        return (await self.raw.by_user(date_from=date_from)).parse()
