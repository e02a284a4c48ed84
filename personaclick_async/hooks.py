"""Calling an application's own functions at each request, answer, retry and wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from inspect import iscoroutinefunction
from typing import Final, TypeAlias

import attrs
from attrs.validators import optional

from personaclick_async.config import Seconds, of_kind
from personaclick_async.errors import ConfigurationError, PersonaClickError


@attrs.define(kw_only=True, eq=False)
class Attempt:
    """One request of a call: the same object for each hook that it passes.

    Holds nothing personal: the query, which names the user, and the bodies are not here.
    """

    endpoint: str  # the call's name, such as ``profile/set``
    method: str
    url: str  # without its query
    number: int  # 1 for a call's first attempt, 2 for its first retry
    headers: dict[str, str]  # of the request; ``on_request`` may add to them
    status: int | None = None  # of the answer, once there is one
    error: PersonaClickError | None = None  # what the attempt failed with, if it did
    elapsed: Seconds | None = None  # seconds that it took, waiting for a free connection included
    wait: Seconds | None = None  # seconds until the next attempt, for ``on_retry``


Hook: TypeAlias = Callable[[Attempt], None]

_FUNCTION: Final = optional(
    of_kind(Callable, "a function", "a plain function", lambda hook: not iscoroutinefunction(hook))
)


@attrs.frozen(kw_only=True)
class Hooks:
    """Functions to call as requests go out and come back; plain functions, called in place.

    What a hook raises goes to the event loop's exception handler and changes nothing for the call.

    :ivar on_request: before a request is sent.
    :ivar on_response: after the attempt ended: answered, failed or cancelled (then there is
        neither a status nor an error).
    :ivar on_retry: after an attempt that is going to be repeated, before the wait.
    """

    on_request: Hook | None = attrs.field(default=None, validator=_FUNCTION)
    on_response: Hook | None = attrs.field(default=None, validator=_FUNCTION)
    on_retry: Hook | None = attrs.field(default=None, validator=_FUNCTION)


def checked(hooks: Hooks | Sequence[Hooks]) -> tuple[Hooks, ...]:
    """Return what a client was told to call, one or several, as a tuple."""
    given = (hooks,) if isinstance(hooks, Hooks) else hooks
    if not isinstance(given, list | tuple) or not all(isinstance(one, Hooks) for one in given):
        raise ConfigurationError(
            f"hooks: expected Hooks(on_request=…) or a sequence of them, got {type(hooks).__name__}"
        )
    return tuple(given)


def tell(listeners: Iterable[Hook | None], attempt: Attempt) -> None:
    """Call each listener there is."""
    for listener in filter(None, listeners):
        try:
            listener(attempt)
        except Exception as error:  # noqa: BLE001 - whatever an application's function raises
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a hook of personaclick_async raised", "exception": error}
            )
