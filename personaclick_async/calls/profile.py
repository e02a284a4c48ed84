"""Reading and writing the profile of a user."""

from __future__ import annotations

from functools import partial
from typing import Final, Unpack

import attrs

from personaclick_async.calls.scope import Scope, WhichScope
from personaclick_async.errors import PersonaClickError, ValidationError
from personaclick_async.models.identity import Identity
from personaclick_async.models.profile import FullProfile, Profile
from personaclick_async.models.update import CLEAR, ProfileFields, ProfileUpdate, names_fields
from personaclick_async.names import IDENTIFIERS, PROFILE
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer
from personaclick_async.transport import late

_IDENTIFIERS: Final = frozenset(IDENTIFIERS)


class RawProfileCalls:
    """The calls of :class:`ProfileCalls`, each giving the answer as it came.

    The answer has the status, headers, body and number of attempts, and ``parse()`` makes of it
    what the plain call gives. Reads go past the cache.
    """

    def __init__(self, which: WhichScope) -> None:
        self._which = which

    async def get(self) -> Answer[Profile]:
        """Ask for the profile; see :meth:`ProfileCalls.get`."""
        return await self._which().ask(requests.read_profile)

    async def full(self) -> Answer[FullProfile]:
        """Ask for the full profile; see :meth:`ProfileCalls.full`."""
        return await self._which().ask(requests.read_full_profile)

    @names_fields(ProfileFields)
    async def set(
        self, update: ProfileUpdate | None = None, /, **fields: Unpack[ProfileFields]
    ) -> Answer[None]:
        """Send an update; see :meth:`ProfileCalls.set`."""
        return await send_update(self._which(), _the_one(update, **fields))

    async def purge(self) -> Answer[None]:
        """Purge the profile; see :meth:`ProfileCalls.purge`."""
        scope = self._which()
        try:
            return await scope.ask(requests.purge_profile)
        finally:
            await scope.core.profiles.forget(scope.visit.identity)


@attrs.frozen(repr=False)
class ProfileCalls:
    """The profile of one user: read, written, purged."""

    _which: WhichScope

    @property
    def raw(self) -> RawProfileCalls:
        """The same calls, each giving the answer as it came."""
        return RawProfileCalls(self._which)

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
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
        scope = self._which()
        cached = None if force else scope.core.profiles.get(scope.visit.identity)
        if cached is not None:
            return requests.read_profile_body(scope.visit.identity, cached)
        loaded: list[Profile] = []
        body = await _read(scope, force=force, loaded=loaded)
        return loaded[0] if loaded else requests.read_profile_body(scope.visit.identity, body)

    async def full(self) -> FullProfile:
        """Read the full profile with the shop's secret; always from the service.

        :raises ConfigurationError: the client has no secret.
        :raises NotFound: no profile belongs to this user.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
        return (await self.raw.full()).parse()

    @names_fields(ProfileFields)
    async def set(
        self, update: ProfileUpdate | None = None, /, **fields: Unpack[ProfileFields]
    ) -> None:
        """Update the profile, or create it; what is not mentioned stays as it is.

        Takes the fields by keyword, or a :class:`ProfileUpdate` made before. ``kids`` and
        ``auto`` replace what was there. An identifier (email, phone, …) sent for a device moves
        the device to the profile of that identifier (protocol, section 6.4). The user's cached
        profile is dropped, in every process that shares the client's ``store``.

        :raises ValidationError: a value breaks its field's rule; nothing was sent.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came; the update may have been carried out.
        """
        (await send_update(self._which(), _the_one(update, **fields))).parse()

    async def purge(self) -> None:
        """Remove names, identifiers and custom properties from the profile (protocol, 2.4).

        Needs the secret, and a user named by an identifier in place of a device.

        :raises NotFound: no profile belongs to this user.
        :raises ServiceError: the service answered with an error; see its subclasses.
        :raises TransportError: no usable answer came.
        """
        (await self.raw.purge()).parse()


async def profile_body(scope: Scope, *, force: bool) -> bytes:
    """Read the profile as :meth:`ProfileCalls.get` does, and return the JSON of the answer."""
    cached = None if force else scope.core.profiles.get(scope.visit.identity)
    return await _read(scope, force=force) if cached is None else cached


async def _read(scope: Scope, *, force: bool, loaded: list[Profile] | None = None) -> bytes:
    """Return the JSON of the answer of a request, one that concurrent readers share.

    :param loaded: receives the profile if this caller made the request.
    """
    if scope.visit.start is not None or scope.options.timeout is not None:
        scope = await scope.begun()
    load = partial(scope.load_profile, loaded)
    left = None if scope.options.timeout is None else scope.options.left
    try:
        return await scope.core.profiles.read(
            scope.visit.identity, load, force=force, patience=left
        )
    except PersonaClickError:
        raise
    except TimeoutError:
        raise late(scope.options, "another caller's request", endpoint=PROFILE.name) from None


async def send_update(
    scope: Scope, update: ProfileUpdate, *, user_id_name: str | None = None
) -> Answer[None]:
    """Send an update, and drop the cached profiles that it makes stale.

    :param user_id_name: what this request calls the shop's own user id; else as configured.
    """
    if not update:
        raise ValidationError("profile update", "at least one field", "none")

    make = partial(requests.set_profile, update=update, user_id_name=user_id_name)
    try:
        return await scope.ask(make)
    finally:
        # Also after a failure: a request without an answer may have been carried out.
        await scope.core.profiles.forget(*_affected(scope, update))


def _the_one(update: ProfileUpdate | None, /, **fields: Unpack[ProfileFields]) -> ProfileUpdate:
    if update is None:
        return ProfileUpdate(**fields)
    if fields:
        raise ValidationError("profile update", "a ProfileUpdate or fields", "both")
    return update


def _affected(scope: Scope, update: ProfileUpdate) -> list[Identity]:
    """Name the cache entries that an update may have made stale."""
    affected = [scope.visit.identity]
    for kind in update.mentioned.keys() & _IDENTIFIERS:
        value = update.mentioned[kind]
        if value is not CLEAR:
            affected.append(Identity.checked(kind, str(value)))
    return affected
