"""Every documented form of a call is understood, and every other shows the right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personaclick_async import ConfigurationError
from personaclick_async.facade.commands import Verb, WrongCall, make_client, parse
from personaclick_async.names import DEFAULT_API_URL


def yes(value: object) -> None:
    """Be a success callback."""


def no(value: object) -> None:
    """Be an error callback."""


PARAMS = {"email": "ada@shop.example"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("profile", "set", PARAMS), (Verb.PROFILE_SET, None, None, PARAMS, False)),
        (("profile", "set", PARAMS, yes), (Verb.PROFILE_SET, yes, None, PARAMS, False)),
        (("profile", "set", PARAMS, yes, no), (Verb.PROFILE_SET, yes, no, PARAMS, False)),
        (("profile", "set", PARAMS, None, no), (Verb.PROFILE_SET, None, no, PARAMS, False)),
        (("profile", "get", yes), (Verb.PROFILE_GET, yes, None, None, False)),
        (("profile", "get", yes, True), (Verb.PROFILE_GET, yes, None, None, True)),
        (("profile", "get", yes, False), (Verb.PROFILE_GET, yes, None, None, False)),
        (("profile", "get", None, True), (Verb.PROFILE_GET, None, None, None, True)),
        (("profile", "get", PARAMS, yes), (Verb.PROFILE_GET, yes, None, PARAMS, False)),
        (("profile", "get", yes, no, True), (Verb.PROFILE_GET, yes, no, None, True)),
        (("profile", "get"), (Verb.PROFILE_GET, None, None, None, False)),
        (("orders", "last_for_user", yes, no), (Verb.LAST_ORDER, yes, no, None, False)),
        (("orders", "last_for_user", PARAMS, yes), (Verb.LAST_ORDER, yes, None, PARAMS, False)),
        (("did", yes), (Verb.DID, yes, None, None, False)),
        (("sid", yes), (Verb.SID, yes, None, None, False)),
        (("reset_session",), (Verb.RESET_SESSION, None, None, None, False)),
    ],
)
def test_each_documented_form(arguments: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    command = parse(arguments, {})

    assert (
        command.verb,
        command.success,
        command.error,
        command.params,
        command.force,
    ) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("init", "S"), ("S", None, None, None, {})),
        (("init", "S", "web"), ("S", "web", None, None, {})),
        (("init", "S", "web", yes, no), ("S", "web", yes, no, {})),
        (("init", "S", None, yes), ("S", None, yes, None, {})),
        (("init", "S", "web", yes, no, {"did": "d"}, True), ("S", "web", yes, no, {"did": "d"})),
        (("init", "S", "web", None, None, {"did": "d"}), ("S", "web", None, None, {"did": "d"})),
        (("init",), (None, None, None, None, {})),
    ],
)
def test_each_form_of_init(arguments: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    command = parse(arguments, {})

    assert command.verb is Verb.INIT
    assert (
        command.shop_id,
        command.stream,
        command.success,
        command.error,
        command.params or {},
    ) == expected


def test_names_are_as_good_as_places() -> None:
    command = parse(("profile", "get"), {"callback": yes, "error": no, "force": True})
    assert (command.success, command.error, command.force) == (yes, no, True)
    command = parse(("profile", "set"), {"params": PARAMS, "success": yes, "error": None})
    assert (command.params, command.success, command.error) == (PARAMS, yes, None)


@pytest.mark.parametrize(
    ("arguments", "named", "shown"),
    [
        ((), {}, "the commands are"),
        (("fly",), {}, "the commands are"),
        (("profile",), {}, "the commands are"),
        (("profile", "delete"), {}, "the commands are"),
        ((5, "get"), {}, "the commands are"),
        (("profile", "set"), {}, "params is missing"),
        (("profile", "set", yes), {}, "params is missing"),
        (("profile", "set", [1]), {}, "no place for a value of type list"),
        (("profile", "set", {1: 2}), {}, "keys of a mapping must be str"),
        (("profile", "set", PARAMS, PARAMS), {}, "params is given twice"),
        (("profile", "set", PARAMS, True), {}, "no place for a bool"),
        (("profile", "set", PARAMS, yes, no, yes), {}, "3 callbacks are too many"),
        (("profile", "get", yes), {"callback": yes}, "success is given twice"),
        (("profile", "get"), {"force": 1}, "force must be a bool"),
        (("profile", "get"), {"error": 1}, "error must be callable"),
        (("profile", "get"), {"fast": True}, "there is no argument 'fast'"),
        (("did", PARAMS), {}, "no place for a mapping"),
        (("init", "S", "web", 5), {}, "no place for a value of type int"),
    ],
)
def test_a_wrong_call_shows_the_right_form(
    arguments: tuple[Any, ...], named: dict[str, Any], shown: str
) -> None:
    with pytest.raises(WrongCall, match=shown) as caught:
        parse(arguments, named)

    assert 'personaclick("' in str(caught.value)
    assert isinstance(caught.value, TypeError)


Anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["init", "profile", "set", "get", "orders", "last_for_user", "did"])
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from([yes, no, print, parse])
)


@given(arguments=st.lists(Anything, max_size=7))
def test_any_arguments_are_understood_or_refused_with_the_right_form(arguments: list[Any]) -> None:
    try:
        command = parse(tuple(arguments), {})
    except WrongCall as refused:
        wrong: WrongCall | None = refused
    else:
        wrong = None
    if wrong is not None:
        assert 'personaclick("' in str(wrong)
        return
    callbacks: list[Callable[..., object]] = [one for one in arguments if callable(one)]
    assert [one for one in (command.success, command.error) if one is not None] == callbacks
    if command.verb is not Verb.INIT:
        assert command.force is (True in [one for one in arguments if isinstance(one, bool)][-1:])


@pytest.mark.parametrize(
    ("api_host", "api_url"),
    [
        ("shop.example", "https://shop.example/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("", DEFAULT_API_URL),
        (None, DEFAULT_API_URL),
    ],
)
def test_init_may_name_the_services_host(api_host: str | None, api_url: str) -> None:
    init = parse(["init", "e0" * 15, None, None, None, {"api_host": api_host}], {})

    assert make_client(init).config.api_url == api_url


@pytest.mark.parametrize("api_host", [5, "a b", "https://ada@shop.example"])
def test_a_host_that_is_none_is_refused(api_host: object) -> None:
    init = parse(["init", "e0" * 15, None, None, None, {"api_host": api_host}], {})

    with pytest.raises(ConfigurationError, match="api_url: expected"):
        make_client(init)
