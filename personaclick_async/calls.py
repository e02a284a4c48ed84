"""What can be asked about a user: the profile and the orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Final, Unpack

from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.identity import Identity
from personaclick_async.models.order import Order, Product
from personaclick_async.models.profile import FullProfile, Profile
from personaclick_async.models.update import CLEAR, ProfileFields, ProfileUpdate, names_fields
from personaclick_async.names import DATE_FROM, IDENTIFIERS
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.scope import HasScope, Scope

_IDENTIFIERS: Final = frozenset(IDENTIFIERS)


class _Calls:
    """Calls for a user, or for the client's current user."""

    def __init__(self, whose: HasScope) -> None:
        self._whose = whose


class RawProfileCalls(_Calls):
    """The calls of :class:`ProfileCalls`, each giving the answer as it came.

    The answer has the status, headers, body and number of attempts, and ``parse()`` makes of it
    what the plain call gives. Reads go past the cache.
    """

    async def get(self) -> Answer[Profile]:
        """Ask for the profile; see :meth:`ProfileCalls.get`."""
        return await self._whose.scope.ask(requests.read_profile)

    async def full(self) -> Answer[FullProfile]:
        """Ask for the full profile; see :meth:`ProfileCalls.full`."""
        return await self._whose.scope.ask(requests.read_full_profile)

    @names_fields
    async def set(
        self, update: ProfileUpdate | None = None, /, **fields: Unpack[ProfileFields]
    ) -> Answer[None]:
        """Send an update; see :meth:`ProfileCalls.set`."""
        made = ProfileUpdate(**fields) if update is None else _alone(update, fields)
        return await send_update(self._whose.scope, made)

    async def purge(self) -> Answer[None]:
        """Purge the profile; see :meth:`ProfileCalls.purge`."""
        scope = self._whose.scope
        try:
            return await scope.ask(requests.purge_profile)
        finally:
            await scope.core.profiles.forget(scope.visit.identity)


class ProfileCalls(_Calls):
    """The profile of one user: read, written, purged.

    Every call raises :class:`ServiceError` for an answer that is an error, and
    :class:`TransportError` where no usable answer came; see their subclasses.
    """

    @property
    def raw(self) -> RawProfileCalls:
        """The same calls, each giving the answer as it came."""
        return RawProfileCalls(self._whose)

    async def get(self, *, force: bool = False) -> Profile:
        """Read the profile, from the cache where it is fresh.

        A cached profile is at most ``CachePolicy.ttl`` old (300 s unless set) and costs no I/O,
        or one exchange with the client's ``store`` if another process has read it. Concurrent
        reads of one user share one request. A user known by an identifier in place of
        a device needs the secret, and what comes back is a :class:`FullProfile`.

        :param force: ask the service even if the cache is fresh, and refresh the cache (the
            fourth argument of ``personaclick("profile", "get", …)``; protocol, section 7).
        :raises NoCurrentUser: this is ``client.profile`` and no current user is set.
        :raises NotFound: no profile belongs to this user.
        """
        scope = self._whose.scope
        parse = requests.profile_reader(scope.visit.identity)
        body = None if force else scope.core.profiles.get(scope.visit.identity)
        return await scope.read_profile(parse, force=force) if body is None else parse(body)

    async def full(self) -> FullProfile:
        """Read the full profile with the shop's secret; always from the service.

        :raises ConfigurationError: the client has no secret.
        :raises NotFound: no profile belongs to this user.
        """
        return (await self.raw.full()).parse()

    @names_fields
    async def set(
        self, update: ProfileUpdate | None = None, /, **fields: Unpack[ProfileFields]
    ) -> None:
        """Update the profile, or create it; what is not mentioned stays as it is.

        Takes the fields by keyword, or a :class:`ProfileUpdate` made before. ``kids`` and
        ``auto`` replace what was there. An identifier (email, phone, …) sent for a device moves
        the device to the profile of that identifier (protocol, section 6.4). The user's cached
        profile is dropped, in every process that shares the client's ``store``.

        :raises ValidationError: a value breaks its field's rule; nothing was sent.
        :raises TransportError: no usable answer came; the update may have been carried out.
        """
        made = ProfileUpdate(**fields) if update is None else _alone(update, fields)
        (await send_update(self._whose.scope, made)).parse()

    async def purge(self) -> None:
        """Remove names, identifiers and custom properties from the profile (protocol, 2.4).

        Needs the secret, and a user named by an identifier in place of a device.

        :raises NotFound: no profile belongs to this user.
        """
        (await self.raw.purge()).parse()


class RawOrderCalls(_Calls):
    """The calls of :class:`OrderCalls`, each giving the answer as it came."""

    async def last_for_user(self) -> Answer[list[Product]]:
        """Ask for the last order's products; see :meth:`OrderCalls.last_for_user`."""
        return await self._whose.scope.ask(requests.last_order)

    async def by_user(self, *, date_from: date | str | None = None) -> Answer[list[Order]]:
        """Ask for the orders; see :meth:`OrderCalls.by_user`."""
        since = None if date_from is None else rules.day(DATE_FROM, date_from)
        return await self._whose.scope.ask(partial(requests.orders_by_user, date_from=since))


class OrderCalls(_Calls):
    """The orders of one user; the calls raise what those of :class:`ProfileCalls` do."""

    @property
    def raw(self) -> RawOrderCalls:
        """The same calls, each giving the answer as it came."""
        return RawOrderCalls(self._whose)

    async def last_for_user(self) -> list[Product]:
        """Read the products of the last order, with their catalogue data (protocol, 2.6 and 5).

        The list is empty if the user has bought nothing. The products carry no quantity, no order
        id and no price that was paid.

        :raises NoCurrentUser: this is ``client.orders`` and no current user is set.
        """
        return (await self._whose.scope.ask(requests.last_order)).parse()

    async def by_user(self, *, date_from: date | str | None = None) -> list[Order]:
        """Read the orders with their items, oldest first; needs the secret (protocol, 2.7).

        :param date_from: the first day to give, as a date or ``YYYY-MM-DD``; all days if None.
        :raises ConfigurationError: the client has no secret.
        :raises ValidationError: ``date_from`` is no day.
        """
        return (await self.raw.by_user(date_from=date_from)).parse()


async def send_update(
    scope: Scope, update: ProfileUpdate, *, user_id_name: str | None = None
) -> Answer[None]:
    """Send an update, and drop the cached profiles that it makes stale.

    :param user_id_name: what this request calls the shop's own user id; else as configured.
    """
    if not update:
        raise ValidationError("profile update", "at least one field", "none")
    try:
        return await scope.ask(
            lambda shop, who: requests.set_profile(shop, who, update, user_id_name=user_id_name)
        )
    finally:
        # Also after a failure: a request without an answer may have been carried out.
        named = [
            Identity(kind, str(value))
            for kind, value in update.mentioned.items()
            if kind in _IDENTIFIERS and value is not CLEAR
        ]
        await scope.core.profiles.forget(scope.visit.identity, *named)


def _alone(update: ProfileUpdate, fields: Mapping[str, object]) -> ProfileUpdate:
    if fields:
        raise ValidationError("profile update", "a ProfileUpdate or fields", "both")
    return update
