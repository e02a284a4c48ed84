"""How each command is answered, through the typed client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from personaclick_async import codec, names
from personaclick_async.calls import send_update
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import UNSET
from personaclick_async.errors import ConfigurationError, ServiceError
from personaclick_async.facade.commands import Command, Verb
from personaclick_async.models.identity import Identity
from personaclick_async.models.update import ProfileUpdate
from personaclick_async.protocol.answers import Answer
from personaclick_async.user import User

T = TypeVar("T")

_OK: Final = 200


def make_client(command: Command) -> PersonaClick:
    """Make the client that ``init`` asks for.

    :raises ConfigurationError: a setting breaks its rule.
    """
    host = command.options.get("api_host")
    if host is not None and not isinstance(host, str):
        raise ConfigurationError("api_host: expected a str")
    if host is not None and "://" not in host:
        host = f"https://{host}"
    return PersonaClick(command.shop_id or UNSET, api_url=host or UNSET)


async def answer(command: Command, user: User, client: PersonaClick) -> Json:
    """Return what the success callback gets, an object of the caller's own.

    :raises PersonaClickError: what the error callback gets.
    """
    params = command.params
    match command.verb:
        case Verb.PROFILE_SET:
            return await _set(params or {}, user)
        case Verb.PROFILE_GET:
            scope = _user(params, user, client).scope
            body, _ = await scope.read_profile(force=command.force)
            return codec.decode_answer(body)
        case Verb.LAST_ORDER:
            return _json(await _user(params, user, client).orders.raw.last_for_user())
        case Verb.RESET_SESSION:
            return (await user.new_session()).raw
        case _:
            which = names.DID if command.verb is Verb.DID else names.SID
            return None if user.session is None else getattr(user.session, which)


async def _set(params: Mapping[str, object] | ProfileUpdate, user: User) -> Json:
    if isinstance(params, ProfileUpdate):
        return _json(await send_update(user.scope, params))
    # The name under which the page sends its user id stays the page's choice.
    user_id_name = names.ID if names.ID in params else names.EXTERNAL_ID
    update = ProfileUpdate.from_flat(params)
    return _json(await send_update(user.scope, update, user_id_name=user_id_name))


def _user(
    params: Mapping[str, object] | ProfileUpdate | None, user: User, client: PersonaClick
) -> User:
    """Return the user that the parameters of a read name, or else the one of the call."""
    if not params or isinstance(params, ProfileUpdate):
        return user
    return client.user_of(Identity.of(**params))


def _json(answer: Answer[T]) -> Json:
    answer.parse()
    # The documents say "any HTTP status code other than 200".
    if answer.status != _OK:
        raise ServiceError(
            "", status=answer.status, endpoint=answer.endpoint, attempts=answer.attempts
        )
    return answer.json()
