"""Parsing the arguments of a JavaScript-style call, without I/O (protocol, section 7).

Several generations of the JavaScript SDK order their arguments differently. One rule serves all:
after the command's words, a mapping is the parameters, a boolean is ``force``, and callables (or
None for one that is left out) are the success and the error callback, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Self, TypeAlias

import attrs

from personaclick_async import names
from personaclick_async.errors import PersonaClickError
from personaclick_async.models.update import ProfileUpdate

Callback: TypeAlias = Callable[[Any], object]
"""Takes the answer, or a :class:`CallError`; may be a coroutine function."""


class WrongCall(PersonaClickError, TypeError):
    """The command or its arguments have no form that exists; the text shows the right one."""


class Verb(Enum):
    """What can be commanded; the value is the form that error texts show.

    :ivar endpoint: the name that the call has in errors and logs.
    """

    endpoint: str

    INIT = 'personaclick("init", shop_id, stream, success, error, options)', names.INIT.name
    PROFILE_SET = (
        'personaclick("profile", "set", params, success, error)',
        names.PROFILE_SET.name,
    )
    PROFILE_GET = 'personaclick("profile", "get", callback, force)', names.PROFILE.name
    LAST_ORDER = (
        'personaclick("orders", "last_for_user", callback, error)',
        names.LAST_ORDER.name,
    )
    DID = 'personaclick("did", callback)', "did"
    SID = 'personaclick("sid", callback)', "sid"
    RESET_SESSION = 'personaclick("reset_session")', "reset_session"

    def __new__(cls, form: str, endpoint: str) -> Self:
        """Make the form the value."""
        verb = object.__new__(cls)
        verb._value_ = form
        verb.endpoint = endpoint
        return verb


_VERBS: Final[Mapping[tuple[object, ...], Verb]] = {
    ("init",): Verb.INIT,
    ("profile", "set"): Verb.PROFILE_SET,
    ("profile", "get"): Verb.PROFILE_GET,
    ("orders", "last_for_user"): Verb.LAST_ORDER,
    ("did",): Verb.DID,
    ("sid",): Verb.SID,
    ("reset_session",): Verb.RESET_SESSION,
}
_NAMES: Final[Mapping[str, str]] = {"callback": "success", "options": "params"}
_MOST_CALLBACKS: Final = 2
_NO_OPTIONS: Final[Mapping[str, object]] = {}


@attrs.define(repr=False)
class Command:
    """A call, parsed.

    :ivar params: the fields of ``profile set``; of the others, the identifier of a user.
    :ivar shop_id: of ``init``, as ``stream`` and ``options``.
    """

    verb: Verb
    success: Callback | None = None
    error: Callback | None = None
    params: Mapping[str, object] | ProfileUpdate | None = None
    force: bool = False
    shop_id: str | None = None
    stream: str | None = None
    options: Mapping[str, object] = _NO_OPTIONS


def parse(arguments: Sequence[object], named: Mapping[str, object]) -> Command:
    """Parse a call.

    :param named: ``params``, ``success`` (or ``callback``), ``error`` and ``force`` by keyword.
    :raises WrongCall: there is no such command, or an argument has no place in it.
    """
    verb, rest = _verb(arguments)
    command = Command(verb)
    if verb is Verb.INIT:
        rest = _take_init_words(command, rest)
    callbacks: list[Callback | None] = []
    for argument in rest:
        if argument is None or (callable(argument) and not isinstance(argument, Mapping)):
            callbacks.append(argument)
        else:
            _take(command, "force" if isinstance(argument, bool) else "params", argument)
    if len(callbacks) > _MOST_CALLBACKS:
        raise _wrong(verb, f"{len(callbacks)} callbacks are too many")
    command.success, command.error, *_ = [*callbacks, None, None]
    for name, value in named.items():
        if value is not None:
            _take(command, _NAMES.get(name, name), value)
    if verb is Verb.PROFILE_SET and command.params is None:
        raise _wrong(verb, "params is missing")
    return command


def _verb(arguments: Sequence[object]) -> tuple[Verb, Sequence[object]]:
    for length in (2, 1):
        try:
            verb = _VERBS.get(tuple(arguments[:length]))
        except TypeError:  # not hashable: no word
            continue
        if verb is not None:
            return verb, arguments[length:]
    forms = "; ".join(verb.value for verb in Verb)
    raise WrongCall(f"there is no such command; the commands are: {forms}")


def _take_init_words(command: Command, rest: Sequence[object]) -> Sequence[object]:
    """Take the leading shop id and stream; None or an empty text stands for one left out."""
    left = list(rest)
    for name in ("shop_id", "stream"):
        if left and (left[0] is None or isinstance(left[0], str)):
            setattr(command, name, left.pop(0) or None)
    if left and isinstance(left[-1], bool):
        # isSpa of newer revisions: a server has no pages, so it means nothing here.
        left.pop()
    return left


def _take(command: Command, name: str, value: Any) -> None:  # noqa: ANN401 - checked here
    verb = command.verb
    match name:
        case "force":
            if not isinstance(value, bool):
                raise _wrong(verb, "force must be a bool")
            if verb is not Verb.PROFILE_GET:
                raise _wrong(verb, "there is no place for a bool")
            command.force = value
            return
        case "params":
            value = _params(verb, value)
            name = "options" if verb is Verb.INIT else "params"
        case "success" | "error":
            if not callable(value):
                raise _wrong(verb, f"{name} must be callable")
        case _:
            raise _wrong(verb, f"there is no argument {name!r}")
    if getattr(command, name) not in (None, _NO_OPTIONS):
        raise _wrong(verb, f"{name} is given twice")
    setattr(command, name, value)


def _params(verb: Verb, value: object) -> Mapping[str, object] | ProfileUpdate:
    if isinstance(value, ProfileUpdate) and verb is Verb.PROFILE_SET:
        return value
    if not isinstance(value, Mapping):
        raise _wrong(verb, f"there is no place for a value of type {type(value).__name__}")
    if not all(isinstance(key, str) for key in value):
        raise _wrong(verb, "the keys of a mapping must be str")
    if verb in (Verb.DID, Verb.SID, Verb.RESET_SESSION):
        raise _wrong(verb, "there is no place for a mapping")
    return _given(value)


def _given(params: Mapping[str, object]) -> dict[str, object]:
    """Leave out empty texts, which official samples and shops' modules send for "not given"."""
    return {
        name: [_given(one) if isinstance(one, Mapping) else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in params.items()
        if not (isinstance(value, str) and not value)
    }


def _wrong(verb: Verb, complaint: str) -> WrongCall:
    return WrongCall(f"{verb.value}: {complaint}")
