"""The commands of JavaScript-style calls: how they are parsed, and how the client answers them.

Several generations of the JavaScript SDK order their arguments differently (protocol, section 7).
One rule serves all: after the command's words, a mapping is the parameters, a boolean is
``force``, and callables (or None for one that is left out) are the success and the error callback,
in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from personaclick_async import names
from personaclick_async.client import PersonaClick
from personaclick_async.codec import Json
from personaclick_async.config import UNSET
from personaclick_async.errors import ConfigurationError, PersonaClickError, ServiceError
from personaclick_async.models.identity import Identity
from personaclick_async.models.update import FIELDS, ProfileUpdate
from personaclick_async.protocol.answers import Answer
from personaclick_async.protocol.requests import read_profile_json
from personaclick_async.user import User, send_update

T = TypeVar("T")

Callback: TypeAlias = Callable[[Any], object]
"""Takes the answer, or a :class:`CallError`; may be a coroutine function."""

Params: TypeAlias = Mapping[str, object]


class WrongCall(PersonaClickError, TypeError):
    """The command or its arguments are of no known form; the text shows the right one."""


class Verb(Enum):
    """What can be commanded: a call's words, its arguments, and its name in errors and logs."""

    INIT = ("init",), "shop_id, stream, success, error, options", names.INIT.name
    PROFILE_SET = ("profile", "set"), "params, success, error", names.PROFILE_SET.name
    PROFILE_GET = ("profile", "get"), "callback, force", names.PROFILE.name
    LAST_ORDER = ("orders", "last_for_user"), "callback, error", names.LAST_ORDER.name
    DID = ("did",), "callback", "did"
    SID = ("sid",), "callback", "sid"
    RESET_SESSION = ("reset_session",), "callback", "reset_session"

    def __init__(self, words: tuple[str, ...], arguments: str, endpoint: str) -> None:
        self.words = words
        quoted = ", ".join(f'"{word}"' for word in words)
        self.form = f"personaclick({quoted}, {arguments})"
        self.endpoint = endpoint

    def wrong(self, complaint: str) -> WrongCall:
        """Return the error of a call that is not of this verb's form."""
        return WrongCall(f"{self.form}: {complaint}")


_VERBS: Final = {verb.words: verb for verb in Verb}
_SYNONYMS: Final = {"callback": "success", "options": "params"}
_WITHOUT_PARAMS: Final = (Verb.DID, Verb.SID, Verb.RESET_SESSION)
_INIT_OPTIONS: Final = {"did", "api_host", "cookieless", "consent", "cdn_host", "pictures_host"}
# In other lists, which are custom properties, an empty text means itself.
_PARTS: Final = frozenset(name for name, field in FIELDS.items() if field.part)
_OK: Final = 200


@attrs.define(repr=False)
class Command:
    """A call, parsed; ``params`` are fields, the options of ``init``, or a user's identifier."""

    verb: Verb
    success: Callback | None = None
    error: Callback | None = None
    params: Params | ProfileUpdate | None = None
    force: bool = False
    shop_id: str | None = None
    stream: str | None = None


def parse(arguments: Sequence[object], named: Mapping[str, object]) -> Command:
    """Parse a call.

    :raises WrongCall: it is of no known form.
    """
    words = tuple([one if isinstance(one, str) else "" for one in arguments[:2]])
    verb = _VERBS.get(words) or _VERBS.get(words[:1])
    if verb is None:
        forms = "; ".join(verb.form for verb in Verb)
        raise WrongCall(f"there is no such command; the commands are: {forms}")
    command = Command(verb)
    left = list(arguments[len(verb.words) :])
    if verb is Verb.INIT:
        for name in ("shop_id", "stream"):
            if left and (left[0] is None or isinstance(left[0], str)):
                setattr(command, name, left.pop(0) or None)
        if left and isinstance(left[-1], bool):
            left.pop()  # isSpa of newer revisions: a server has no pages
    callbacks: list[Callback | None] = []
    for value in left:
        if value is None or callable(value):
            callbacks.append(value)
        else:
            _take(command, "force" if isinstance(value, bool) else "params", value)
    command.success, command.error, *more = [*callbacks, None, None]
    if any(more):
        raise verb.wrong(f"{len(callbacks)} callbacks are too many")
    for name, value in named.items():
        if value is not None:
            _take(command, _SYNONYMS.get(name, name), value)
    if verb is Verb.PROFILE_SET and command.params is None:
        raise verb.wrong("params is missing")
    return command


def _take(command: Command, name: str, value: object) -> None:
    verb = command.verb
    if name == "params":
        value = _params(verb, value)
    elif name == "force":
        if verb is not Verb.PROFILE_GET:
            raise verb.wrong("there is no place for a bool")
        if not isinstance(value, bool):
            raise verb.wrong("force must be a bool")
    elif name not in ("success", "error"):
        raise verb.wrong(f"there is no argument {name!r}")
    elif not callable(value):
        raise verb.wrong(f"{name} must be callable")
    before = getattr(command, name)
    if before is not None and before is not False:
        raise verb.wrong(f"{name} is given twice")
    setattr(command, name, value)


def _params(verb: Verb, value: object) -> Params | ProfileUpdate:
    if isinstance(value, ProfileUpdate) and verb is Verb.PROFILE_SET:
        return value
    if not isinstance(value, Mapping):
        raise verb.wrong(f"there is no place for a value of type {type(value).__name__}")
    if not all(isinstance(key, str) for key in value):
        raise verb.wrong("the keys of a mapping must be str")
    if verb in _WITHOUT_PARAMS:
        raise verb.wrong("there is no place for a mapping")
    if verb is Verb.INIT and not value.keys() <= _INIT_OPTIONS:
        raise verb.wrong(f"options are {', '.join(sorted(_INIT_OPTIONS))}")
    return _given(value)


def _given(params: Params) -> dict[str, object]:
    """Leave out empty texts, which official samples and shops' modules send for "not given"."""
    return {
        name: [_given(one) if isinstance(one, Mapping) else one for one in value]
        if isinstance(value, list) and name in _PARTS
        else value
        for name, value in params.items()
        if not (isinstance(value, str) and not value)
    }


def make_client(init: Command) -> PersonaClick:
    """Return a new client, as ``init`` asks for it."""
    options: Any = init.params or {}
    api_host = options.get("api_host")
    if isinstance(api_host, str) and "://" not in api_host:
        api_host = f"https://{api_host}"
    return PersonaClick(init.shop_id or UNSET, api_url=UNSET if api_host is None else api_host)


async def result_of(command: Command, user: User, client: PersonaClick | None) -> Json:
    """Return what the success callback gets, or raise what the error callback gets."""
    verb: Verb = command.verb
    params: Any = command.params
    if verb is Verb.PROFILE_SET:
        user_id_name = None
        if not isinstance(params, ProfileUpdate):
            # The name under which the page sends its user id stays the page's choice.
            user_id_name = names.ID if names.ID in params else names.EXTERNAL_ID
            params = ProfileUpdate.from_flat(params)
        return _json(await send_update(user.scope, params, user_id_name=user_id_name))
    if params:
        if client is None:
            raise ConfigurationError('call personaclick("init", shop_id) first')
        user = client.user_of(Identity.of(**params))
    match verb:
        case Verb.PROFILE_GET:
            profiles = user.scope.core.profiles
            body = None if command.force else profiles.get(user.identity)
            if body is not None:
                return read_profile_json(body)
            return await user.scope.read_profile(read_profile_json, force=command.force)
        case Verb.LAST_ORDER:
            return _json(await user.orders.raw.last_for_user())
        case Verb.RESET_SESSION:
            return (await user.new_session()).raw
    await user.begin()
    session = user.session
    if session is None:
        return None
    return session.did if verb is Verb.DID else session.sid


def _json(answer: Answer[T]) -> Json:
    answer.parse()
    # The documents say "any HTTP status code other than 200".
    if answer.status != _OK:
        raise ServiceError(
            "", status=answer.status, endpoint=answer.endpoint, attempts=answer.attempts
        )
    return answer.json()
