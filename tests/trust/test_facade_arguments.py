"""The facade takes any arguments: a call is refused at once, or one callback is called, once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import PersonaClick, PersonaClickError
from personaclick_async.emulator import Emulator
from personaclick_async.facade import CallError, WrongCall, create_personaclick
from tests.trust import targets
from tests.trust.values import ANYTHING, JSON

WORDS = st.sampled_from(targets.WORDS)
COMMANDS = st.sampled_from(
    [("profile", "set"), ("profile", "get"), ("orders", "last_for_user"), ("did",), ("init",)]
)
NAMES = st.sampled_from(["email", "did", "external_id", "phone", "nobody", "self", "cls", ""])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_words_in_any_order_are_a_command_or_a_wrong_call(body: bytes) -> None:
    targets.facade(body)


@settings(max_examples=300, deadline=None)
@given(
    arguments=st.lists(WORDS | ANYTHING, max_size=6),
    named=st.dictionaries(
        st.sampled_from(["params", "success", "callback", "error", "force", "options", "other"]),
        WORDS | ANYTHING,
        max_size=3,
    ),
)
def test_any_values_are_a_command_or_a_wrong_call(
    arguments: list[Any], named: dict[str, Any]
) -> None:
    targets.call(arguments, named)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    calls=st.lists(
        st.tuples(COMMANDS, st.dictionaries(NAMES, JSON, max_size=3) | JSON, st.booleans()),
        max_size=8,
    )
)
async def test_whatever_is_asked_one_callback_is_called_once(
    client: PersonaClick, emulator: Emulator, calls: list[tuple[tuple[str, ...], Any, bool]]
) -> None:
    personaclick = create_personaclick(client)
    for words, params, force in calls:
        heard: list[object] = []
        given_params = () if params is None or isinstance(params, str | bool) else (params,)
        more = (force,) if words == ("profile", "get") else ()
        try:
            handle = personaclick(*words, *given_params, heard.append, heard.append, *more)  # type: ignore[call-overload]  # wrong on purpose
        except WrongCall:
            continue
        await asyncio.wait([asyncio.ensure_future(_quietly(handle))])

        assert len(heard) == 1
        if isinstance(heard[0], CallError):
            assert isinstance(heard[0].error, PersonaClickError), repr(heard[0].error)


async def _quietly(handle: Any) -> None:
    with suppress(PersonaClickError):
        await handle
