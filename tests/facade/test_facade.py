"""The facade on a running event loop and in plain threads, against the emulator."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from personaclick_async import (
    ConfigurationError,
    Forbidden,
    MalformedAnswer,
    NoCurrentUser,
    PersonaClick,
    PersonaClickError,
    RetryPolicy,
    ServiceUnavailable,
    ValidationError,
)
from personaclick_async.emulator import Emulator
from personaclick_async.facade import (
    CallError,
    Personaclick,
    WrongCall,
    create_personaclick,
)
from personaclick_async.facade.calls import Cancelled


class Calls:
    """Callbacks that keep what they got, and from where."""

    def __init__(self) -> None:
        self.successes: list[Any] = []
        self.errors: list[CallError] = []
        self.threads: set[int] = set()

    def success(self, value: Any) -> None:
        self.threads.add(threading.get_ident())
        self.successes.append(value)

    def error(self, error: CallError) -> None:
        self.errors.append(error)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def facade(emulator: Emulator) -> Iterator[Personaclick]:
    """A facade over a client of the emulator, for tests of either mode."""
    client = PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret,
        api_url=emulator.url,
        retry=RetryPolicy(first_wait=0.01, attempts=2),
    )
    made = create_personaclick(client)
    yield made
    made.flush(10)
    asyncio.run(client.close())


@pytest.fixture
def environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The variables from which ``init`` makes its client."""
    monkeypatch.setenv("PERSONACLICK_API_URL", emulator.url)
    monkeypatch.setenv("PERSONACLICK_SHOP_SECRET", emulator.shop_secret)
    monkeypatch.setenv("PERSONACLICK_RETRIES", "0")
    return emulator


async def test_the_original_calls_on_a_running_loop(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    emulator.add_products([{"id": "a", "name": "Apple"}])
    emulator.add_orders([{"id": 1, "email": "ada@shop.example", "items": [{"id": "a"}]}])
    facade(
        "profile",
        "set",
        {"email": "ada@shop.example", "colour": "red", "kids": [{"gender": "m"}]},
        calls.success,
        calls.error,
    )
    facade("profile", "get", calls.success, True)
    facade("orders", "last_for_user", calls.success, calls.error)
    assert calls.successes == []

    assert await facade.aflush(10)

    done, profile, products = calls.successes
    assert done == {"status": "success"}
    assert profile["custom_properties"] == {"colour": "red"}
    assert profile["has_email"] is True
    assert [product["name"] for product in products] == ["Apple"]
    assert type(profile) is dict
    assert type(products) is list
    assert calls.errors == []
    assert calls.threads == {threading.get_ident()}


def test_the_original_calls_in_a_plain_script(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    facade("profile", "set", {"colour": "red"}, calls.success, calls.error)
    profile = facade("profile", "get", calls.success).result(10)

    assert profile["custom_properties"] == {"colour": "red"}
    assert calls.successes == [{"status": "success"}, profile]
    assert threading.get_ident() not in calls.threads
    assert len(calls.threads) == 1


def test_calls_before_init_wait_for_it_and_keep_their_order(
    environment: Emulator, calls: Calls
) -> None:
    personaclick = create_personaclick()
    for number in range(5):
        personaclick("profile", "set", {"number": number}, calls.success)
    personaclick("profile", "get", calls.success, True)
    assert not personaclick.flush(0.2)
    assert environment.requests == []

    personaclick("init", environment.shop_id, "web", calls.success, calls.error)

    assert personaclick.flush(10)
    paths = [request.path for request in environment.requests]
    assert paths == ["/init", *["/profile/set"] * 5, "/profile"]
    assert [r.body["number"] for r in environment.requests_to("/profile/set")] == list(range(5))
    assert all(r.body["stream"] == "web" for r in environment.requests_to("/profile/set"))
    first, *_, last = calls.successes
    assert first["did"]
    assert last["custom_properties"] == {"number": 4}
    assert personaclick.close()


def test_when_init_fails_the_calls_that_waited_fail_too(
    environment: Emulator, calls: Calls
) -> None:
    personaclick = create_personaclick()
    personaclick("profile", "get", calls.success)
    personaclick("profile", "set", {"a": 1}, calls.success, calls.error)
    with environment.fault(path="/init", status=503):
        personaclick("init", environment.shop_id, None, calls.success, calls.error)
        assert personaclick.flush(10)

    assert calls.successes == []
    assert [error.status for error in calls.errors] == [503, 503]

    personaclick("init", environment.shop_id, None, calls.success, calls.error)
    assert personaclick("profile", "get").result(10)["custom_properties"] == {}
    assert personaclick.close()


def test_after_a_session_that_could_not_be_started_the_next_call_tries_again(
    facade: Personaclick, emulator: Emulator
) -> None:
    with emulator.fault(path="/init", status=403), pytest.raises(Forbidden):
        facade("profile", "get").result(10)

    assert facade("profile", "get").result(10)["custom_properties"] == {}


def test_an_init_that_is_cancelled_before_it_began_fails_the_calls_that_wait(
    environment: Emulator, calls: Calls
) -> None:
    personaclick = create_personaclick()
    personaclick("profile", "get", calls.success, calls.error)

    async def leave_at_once() -> None:
        personaclick("init", environment.shop_id, None, calls.success, calls.error)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(leave_at_once())
    assert environment.requests == []

    assert personaclick.flush(10)
    assert [type(error.error) for error in calls.errors] == [Cancelled] * 2
    assert personaclick.close()


def test_init_keeps_a_device_and_names_the_session(environment: Emulator, calls: Calls) -> None:
    personaclick = create_personaclick()
    personaclick("init", environment.shop_id, None, None, None, {"did": "mydevice01"})
    personaclick("did", calls.success)
    personaclick("sid", calls.success)
    personaclick("reset_session")
    personaclick("did", calls.success)
    personaclick("sid", calls.success)
    assert personaclick.flush(10)

    did, sid, same, another = calls.successes
    assert did == same == "mydevice01"
    assert sid != another
    assert personaclick.close()


def test_user_ids_keep_the_name_that_the_page_gave_them(
    facade: Personaclick, emulator: Emulator
) -> None:
    facade("profile", "set", {"id": 100500}).result(10)
    facade("profile", "set", {"external_id": 100500}).result(10)

    first, second = (request.body for request in emulator.requests_to("/profile/set"))
    assert (first["id"], "external_id" in first) == (100500, False)
    assert (second["external_id"], "id" in second) == (100500, False)


def test_a_read_can_name_another_user(facade: Personaclick, emulator: Emulator) -> None:
    emulator.add_profiles([{"external_id": "7", "first_name": "Ada"}])

    assert facade("profile", "get", {"external_id": "7"}).result(10)["first_name"] == "Ada"
    assert facade("orders", "last_for_user", {"external_id": "7"}).result(10) == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 404}, 404),
        ({"status": 503}, 503),
        ({"status": 200, "error_message": "Identifier is not valid"}, 200),
        ({"drop": True}, None),
        ({"body": b"<html>"}, None),
    ],
)
def test_error_gets_every_failure_once(
    facade: Personaclick, emulator: Emulator, calls: Calls, fault: dict[str, Any], status: int
) -> None:
    facade("did").result(10)
    with emulator.fault(**fault):
        facade("profile", "set", {"first_name": "Ada"}, calls.success, calls.error)
        assert facade.flush(10)

    [error] = calls.errors
    assert calls.successes == []
    assert (error.status, error.endpoint) == (status, "profile/set")
    assert error.message
    assert "Ada" not in repr(error)


def test_invalid_parameters_reach_error_and_nothing_is_sent(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    facade("did").result(10)
    emulator.clear_requests()
    facade("profile", "set", {"email": "nonsense"}, calls.success, calls.error)
    facade("profile", "set", {}, calls.success, calls.error)
    assert facade.flush(10)

    assert [type(error.error) for error in calls.errors] == [ValidationError] * 2
    assert emulator.requests == []


def test_a_wrong_call_raises_where_it_stands(facade: Personaclick, emulator: Emulator) -> None:
    with pytest.raises(WrongCall):
        facade("profile", "set")  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(WrongCall, match="options are"):
        facade("init", emulator.shop_id, None, None, None, {"colour": 1})
    assert facade.flush(0)


@pytest.mark.parametrize("has_begun", [True, False])
def test_an_init_for_another_shop_fails_however_soon_it_comes(
    environment: Emulator, calls: Calls, *, has_begun: bool
) -> None:
    facade = create_personaclick()
    try:
        facade("init", environment.shop_id)
        assert not has_begun or facade.flush(10)
        facade("init", "ab" * 15, None, calls.success, calls.error)
        # What follows is meant for the other shop, too.
        facade("profile", "set", {"first_name": "Ada"}, calls.success, calls.error)
        assert facade.flush(10)
    finally:
        facade.close()
    reason = "shop_id: this facade's client is for another shop"
    assert [str(error.error) for error in calls.errors] == [reason] * 2


@pytest.mark.parametrize("timeout", [None, "10", -1, float("nan"), float("inf")])
def test_a_facade_that_could_not_end_with_the_process_is_not_made(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="exit_timeout: expected"):
        create_personaclick(exit_timeout=timeout)


@pytest.mark.parametrize("wrong", [{"client": "a" * 30}, {"on_callback_error": "log"}])
def test_a_facade_is_made_of_a_client_and_a_function(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"(client|on_callback_error): expected a .* str"):
        create_personaclick(**wrong)


class Listener:
    """Has all the shapes of callbacks."""

    def __init__(self, got: list[str]) -> None:
        self.got = got

    def method(self, name: str, value: object) -> None:
        self.got.append(name)

    async def coroutine(self, value: object) -> None:
        await asyncio.sleep(0)
        self.got.append("coroutine")

    def __call__(self, value: object) -> None:
        self.got.append("object")


class AsyncListener(Listener):
    """An object whose call is a coroutine function."""

    async def __call__(self, value: object) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.got.append("async object")


@pytest.mark.parametrize("error", [False, True])
def test_callbacks_have_any_shape(facade: Personaclick, emulator: Emulator, error: bool) -> None:
    got: list[str] = []
    listener = Listener(got)
    shapes: list[Callable[[Any], object]] = [
        partial(listener.method, "partial"),
        lambda value: listener.method("lambda", value),
        listener.coroutine,
        listener,
        AsyncListener(got),
    ]
    facade("did").result(10)
    if error:
        emulator.fault(status=404)
    for shape in shapes:
        callbacks = (None, shape) if error else (shape, None)
        facade("profile", "set", {"a": 1}, *callbacks)
    assert facade.flush(10)

    assert sorted(got) == ["async object", "coroutine", "lambda", "object", "partial"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_callback_that_raises_harms_nothing(
    emulator: Emulator, calls: Calls, asynchronous: bool
) -> None:
    failures: list[tuple[BaseException, str]] = []
    personaclick = create_personaclick(
        PersonaClick(emulator.shop_id, api_url=emulator.url),
        on_callback_error=lambda error, endpoint: failures.append((error, endpoint)),
    )

    def explode(value: object) -> None:
        raise ZeroDivisionError

    async def explode_later(value: object) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    callback = explode_later if asynchronous else explode
    handle = personaclick("profile", "get", callback, calls.error)
    personaclick("profile", "set", {"a": 1}, calls.success, calls.error)
    assert personaclick.flush(10)

    [(failure, endpoint)] = failures
    assert isinstance(failure, ZeroDivisionError)
    assert endpoint == "profile"
    assert calls.errors == []
    assert calls.successes == [{"status": "success"}]
    assert handle.result(0)["custom_properties"] == {}
    assert personaclick.close()


async def test_without_a_handler_it_goes_to_the_loops(facade: Personaclick) -> None:
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))

    def explode(value: object) -> None:
        raise ZeroDivisionError

    await facade("profile", "get", explode)

    [context] = seen
    assert isinstance(context["exception"], ZeroDivisionError)


async def test_a_handle_can_be_awaited_and_raises_what_failed(
    facade: Personaclick, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    assert await facade("profile", "set", {"a": 1}) == {"status": "success"}
    with emulator.fault(status=503), pytest.raises(ServiceUnavailable):
        await facade("profile", "get", None, True)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_an_error_that_nobody_hears_is_logged_once_without_anybody_in_it(
    facade: Personaclick, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    facade("did").result(10)
    with emulator.fault(status=422, error_message="canary@shop.example is bad"):
        facade("profile", "set", {"email": "canary@shop.example"})
        assert facade.flush(10)

    [record] = caplog.records
    assert "profile/set answered 422" in record.getMessage()
    assert "canary" not in caplog.text


async def test_a_cached_get_calls_back_after_the_call_returned(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    await facade("profile", "get")
    handle = facade("profile", "get", calls.success)
    assert calls.successes == []
    assert not handle.done()
    await handle
    assert len(calls.successes) == 1
    assert len(emulator.requests_to("/profile")) == 1
    await facade("profile", "get", calls.success, True)
    assert len(emulator.requests_to("/profile")) == 2


async def test_callbacks_and_awaited_reads_share_a_request_but_no_object(
    facade: Personaclick, emulator: Emulator
) -> None:
    client = facade._calls.client
    assert client is not None
    user = client.user(did="device0001")
    await user.profile.set(custom={"colour": "red"})
    ada = facade.for_user(user)
    with emulator.hold("GET", "/profile") as held:
        said = ada("profile", "get")
        await held.arrived()
        profile = asyncio.create_task(user.profile.get())
        another = asyncio.create_task(user.profile.get())
        await asyncio.sleep(0)
    first = await said
    assert first["custom_properties"] == (await profile).custom_properties == {"colour": "red"}
    assert await profile is not await another
    first["custom_properties"] = "gone"
    assert (await ada("profile", "get"))["custom_properties"] == {"colour": "red"}
    assert (await user.profile.get()).custom_properties == {"colour": "red"}
    assert len(emulator.requests_to("/profile")) == 1


@pytest.mark.parametrize(
    "body", [b"[]", b"no JSON", b'"text"', b"{}", b'{"status":"success"}', b'{"a":"' + b"x" * 40]
)
async def test_a_profile_that_is_no_object_is_an_error_and_is_not_kept(
    facade: Personaclick, emulator: Emulator, calls: Calls, body: bytes
) -> None:
    with emulator.fault(path="/profile", status=200, body=body, times=1):
        facade("profile", "get", calls.success, calls.error)
        assert await facade.aflush(10)
    assert calls.successes == []
    assert isinstance(calls.errors[0].error, MalformedAnswer)
    assert isinstance(await facade("profile", "get"), dict)


async def test_one_users_calls_keep_their_order_and_users_do_not_wait_for_each_other(
    facade: Personaclick, emulator: Emulator
) -> None:
    client = facade._calls.client
    assert client is not None
    ada = facade.for_user(client.user(did="adasdevice"))
    eve = facade.for_user(client.user(did="evesdevice"))
    with emulator.hold("POST", "/profile/set") as held:
        first = ada("profile", "set", {"colour": "red"})
        second = ada("profile", "get")
        await held.arrived()
        assert (await eve("profile", "get"))["custom_properties"] == {}
        assert not second.done()
    assert await first == {"status": "success"}
    assert (await second)["custom_properties"] == {"colour": "red"}


async def test_the_clients_current_user_is_whom_a_call_is_about(
    facade: Personaclick, emulator: Emulator
) -> None:
    client = facade._calls.client
    assert client is not None
    with client.as_user(client.user(did="adasdevice")):
        handle = facade("profile", "set", {"colour": "red"})
    await handle
    assert emulator.requests_to("/profile/set")[0].body["did"] == "adasdevice"


async def test_a_callback_can_call_again_for_the_same_user(facade: Personaclick) -> None:
    seen: list[Any] = []

    async def then(value: object) -> None:
        seen.append(await facade("profile", "get", None, True))

    await facade("profile", "set", {"colour": "red"}, then)

    assert seen[0]["custom_properties"] == {"colour": "red"}


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_cancelled_call_calls_error_once_and_the_next_goes_on(
    facade: Personaclick, emulator: Emulator, calls: Calls, threaded: bool
) -> None:
    await facade("did")

    def call() -> Any:
        return facade("profile", "set", {"a": 1}, calls.success, calls.error)

    with emulator.hold("POST", "/profile/set") as held:
        handle = await asyncio.to_thread(call) if threaded else call()
        await held.arrived()
        handle.cancel()
        handle.cancel()
        with pytest.raises(Exception, match="cancelled before an answer came"):
            await handle
    assert (await facade("profile", "get"))["custom_properties"] == {"a": 1}
    assert [error.status for error in calls.errors] == [None]
    assert calls.successes == []


async def test_stopping_to_wait_does_not_stop_the_call(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    await facade("did")
    with emulator.hold("POST", "/profile/set") as held:
        handle = facade("profile", "set", {"a": 1}, calls.success)
        await held.arrived()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(handle), 0.01)
    await facade.aflush(10)
    assert calls.successes == [{"status": "success"}]


async def test_a_failure_after_somebody_stopped_to_wait_is_logged_once(
    facade: Personaclick, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    await facade("did")
    with emulator.hold("POST", "/profile/set") as held, emulator.fault(status=404):
        facade("profile", "set", {"a": 1})
        await held.arrived()
        assert not await facade.aflush(0)
    assert await facade.aflush(10)
    gc.collect()

    assert [record.name for record in caplog.records] == ["personaclick_async.facade"]


async def _await(handle: Any) -> Any:
    return await handle


async def test_what_would_block_the_loop_is_refused(
    facade: Personaclick, emulator: Emulator
) -> None:
    handle = facade("profile", "get")
    with pytest.raises(RuntimeError, match="await it"):
        handle.result(1)
    with pytest.raises(RuntimeError, match="await aflush"):
        facade.flush()
    await handle
    assert handle.result()["custom_properties"] == {}


def test_waiting_has_a_bound(facade: Personaclick, emulator: Emulator) -> None:
    facade("did").result(10)
    with emulator.hold("GET", "/profile") as held:
        handle = facade("profile", "get")
        held.wait()
        with pytest.raises(TimeoutError):
            handle.result(0.01)
        assert not facade.flush(0.01)
    assert facade.flush(10)


def test_a_loop_that_ends_with_calls_in_flight_ends_them(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    facade("did").result(10)

    async def leave_early() -> None:
        facade("profile", "set", {"a": 1}, calls.success, calls.error)
        await asyncio.sleep(0)

    with emulator.hold("POST", "/profile/set"):
        asyncio.run(leave_early())
    assert [error.status for error in calls.errors] == [None]
    assert facade.flush(5)


def test_calls_may_be_made_wherever_the_garbage_collector_runs(
    facade: Personaclick, emulator: Emulator
) -> None:
    class Late:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            facade("profile", "set", {"late": 1})

    def make_calls() -> None:
        for number in range(200):
            gc.set_threshold(number)  # so that it runs at any step of a call
            Late()
            facade("profile", "set", {"a": 1})

    calling = threading.Thread(target=make_calls, daemon=True)
    before = gc.get_threshold()
    try:
        calling.start()
        calling.join(30)
    finally:
        gc.set_threshold(*before)
    gc.collect()

    assert not calling.is_alive()
    assert facade.flush(30)
    sent = Counter(
        next(iter(one.body.keys() & {"a", "late"})) for one in emulator.requests_to("/profile/set")
    )
    assert sent == {"a": 200, "late": 200}


def test_an_event_loop_that_cancels_many_calls_logs_one_line(
    facade: Personaclick, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    client = facade._calls.client
    assert client is not None
    caplog.set_level(logging.WARNING)

    async def leave_early() -> None:
        for number in range(65):
            user = client.user(did=f"device{number:04}")
            facade.for_user(user)("profile", "set", {"a": 1})
        await asyncio.sleep(0)

    with emulator.hold("POST", "/profile/set"):
        asyncio.run(leave_early())

    said = [record.getMessage() for record in caplog.records]
    assert said == ["cancelled before an answer came: profile/set 65"]


@pytest.mark.parametrize(
    "params",
    [
        {"id": 77, "email": "ada@shop.example", "gender": "", "birthday": ""},
        {"email": "ada@shop.example", "first_name": "", "last_name": "", "phone": "", "gender": ""},
        {"id": "77", "email": "ada@shop.example", "kids": [{"gender": "m", "birthday": ""}]},
    ],
)
def test_empty_texts_of_shop_modules_are_not_given(
    facade: Personaclick, emulator: Emulator, params: dict[str, Any]
) -> None:
    assert facade("profile", "set", params).result(10) == {"status": "success"}

    [sent] = [request.body for request in emulator.requests_to("/profile/set")]
    assert sent["email"] == "ada@shop.example"
    assert "" not in sent.values()
    assert "gender" not in sent


def test_in_the_json_of_a_custom_property_an_empty_text_means_itself(
    facade: Personaclick, emulator: Emulator
) -> None:
    sizes = [{"kind": "shoe", "note": ""}, {"note": None}]
    kids = [{"gender": "m", "birthday": ""}]
    facade("profile", "set", {"sizes": sizes, "kids": kids}).result(10)

    [sent] = [request.body for request in emulator.requests_to("/profile/set")]
    assert (sent["sizes"], sent["kids"]) == (sizes, [{"gender": "m"}])


def test_init_with_an_empty_stream_has_none(environment: Emulator) -> None:
    personaclick = create_personaclick()
    options = {"did": "mydevice01"}
    personaclick("init", environment.shop_id, "", None, None, options, True).result(10)
    personaclick("profile", "set", {"a": 1}).result(10)

    [sent] = [request.body for request in environment.requests_to("/profile/set")]
    assert sent["did"] == "mydevice01"
    assert "stream" not in sent
    assert personaclick.close()


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("kind", ["external_id", "telegram_id"])
def test_last_orders_of_the_shops_own_ids_need_no_secret(
    emulator: Emulator, kind: str, secret: bool
) -> None:
    client = PersonaClick(
        emulator.shop_id,
        shop_secret=emulator.shop_secret if secret else None,
        api_url=emulator.url,
    )
    personaclick = create_personaclick(client)
    emulator.add_products([{"id": "a", "name": "Apple"}])
    emulator.add_profiles([{kind: "7", "email": "ada@shop.example"}])
    emulator.add_orders([{"id": 1, "email": "ada@shop.example", "items": [{"id": "a"}]}])

    products = personaclick("orders", "last_for_user", {kind: "7"}).result(10)

    assert [one["name"] for one in products] == ["Apple"]
    assert "shop_secret" not in emulator.requests_to("/orders/last_for_user")[0].query
    assert personaclick.close()


def test_a_visitor_without_consent_is_not_the_facades_own_device(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    client = facade._calls.client
    assert client is not None
    with client.as_nobody(NoCurrentUser("not agreed")):
        facade("profile", "set", {"a": 1}, calls.success, calls.error)
    assert facade.flush(10)

    assert [type(error.error) for error in calls.errors] == [NoCurrentUser]
    assert emulator.requests == []


def test_ten_thousand_calls_from_eight_threads_are_each_answered_once(
    emulator: Emulator,
) -> None:
    client = PersonaClick(emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url)
    personaclick = create_personaclick(client)
    answered: Counter[int] = Counter()
    lock = threading.Lock()

    def count(number: int, value: object) -> None:
        with lock:
            answered[number] += 1

    def call(thread: int) -> None:
        for index in range(1250):
            number = thread * 1250 + index
            one = personaclick.for_user(client.user(did=f"device{number % 500}"))
            callback = partial(count, number)
            if index % 5:
                one("profile", "get", callback, callback)
            else:
                one("profile", "set", {"n": number}, callback, callback)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert personaclick.flush(120)

    assert answered == Counter(range(10_000))
    assert personaclick._calls.latest == {}
    assert personaclick._calls.in_flight == set()
    assert personaclick.close()


def test_eager_tasks_change_nothing(facade: Personaclick, calls: Calls) -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("this Python has no eager tasks")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        await facade("profile", "get")
        facade("profile", "get", calls.success)
        assert calls.successes == []
        await facade.aflush(10)

    asyncio.run(main())
    assert len(calls.successes) == 1


async def test_new_visitors_do_not_wait_for_each_other_and_keep_their_order(
    facade: Personaclick, emulator: Emulator
) -> None:
    client = facade._calls.client
    assert client is not None
    ada, eve = facade.for_user(client.new_visitor()), facade.for_user(client.new_visitor())
    with emulator.hold("POST", "/profile/set") as held:
        first = ada("profile", "set", {"colour": "red"})
        await held.arrived()
        second = ada("profile", "get")
        assert (await eve("profile", "get"))["custom_properties"] == {}
        assert not second.done()
    await first
    assert (await second)["custom_properties"] == {"colour": "red"}


def test_closing_waits_no_longer_than_it_was_told(
    facade: Personaclick, emulator: Emulator, calls: Calls
) -> None:
    with emulator.hold("POST", "/profile/set") as held:
        handle = facade("profile", "set", {"a": 1}, calls.success, calls.error)
        held.wait()
        closing = threading.Thread(target=facade.close, args=(0.1,), daemon=True)
        closing.start()
        closing.join(15)  # half the patience of a client
        assert not closing.is_alive()
        with pytest.raises(PersonaClickError):
            handle.result(10)
    assert len(calls.errors) == 1
