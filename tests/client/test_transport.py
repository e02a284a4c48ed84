"""Retries, timeouts, limits and odd answers, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from yarl import URL

from personaclick_async import (
    AnswerTooLarge,
    AuthenticationFailed,
    BadRequest,
    CleanConnector,
    ConfigurationError,
    ConnectionFailed,
    Family,
    Forbidden,
    MalformedAnswer,
    NotFound,
    PayloadTooLarge,
    PersonaClick,
    RateLimit,
    RateLimited,
    RetryPolicy,
    ServerError,
    ServiceError,
    ServiceUnavailable,
    TimedOut,
    Timeouts,
    Unprocessable,
    __version__,
)
from personaclick_async.emulator import Emulator
from tests.conftest import QUICK_RETRY, MakeClient


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, AuthenticationFailed),
        (403, Forbidden),
        (404, NotFound),
        (405, ServiceError),
        (413, PayloadTooLarge),
        (422, Unprocessable),
        (429, RateLimited),
        (500, ServerError),
        (502, ServiceUnavailable),
        (503, ServiceUnavailable),
        (504, ServiceUnavailable),
        (302, ServiceError),
    ],
)
async def test_each_status_is_an_error_of_its_own(
    client: PersonaClick, emulator: Emulator, status: int, kind: type[ServiceError]
) -> None:
    user = client.with_options(retries=0).user(did="device0001")
    with emulator.fault(status=status), pytest.raises(ServiceError) as caught:
        await user.profile.set(first_name="Ada")

    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.endpoint == "profile/set"
    assert caught.value.attempts == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_failure_is_tried_again(
    client: PersonaClick, emulator: Emulator, status: int
) -> None:
    user = client.user(did="device0001")
    with emulator.fault(status=status, times=2):
        answer = await user.profile.raw.set(first_name="Ada")

    assert answer.attempts == 3
    assert client.transport_stats.retries == 2
    assert [request.status for request in emulator.requests] == [status, status, 200]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422])
async def test_a_lasting_failure_is_not_tried_again(
    client: PersonaClick, emulator: Emulator, status: int
) -> None:
    with emulator.fault(status=status), pytest.raises(ServiceError):
        await client.user(did="device0001").profile.get()

    assert len(emulator.requests) == 1


async def test_a_dropped_connection_is_tried_again(
    client: PersonaClick, emulator: Emulator
) -> None:
    with emulator.fault(drop=True, times=2):
        answer = await client.user(did="device0001").profile.raw.set(first_name="Ada")

    assert answer.status == 200
    assert answer.attempts <= 3


async def test_a_truncated_answer_is_tried_again_and_then_reported(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(did="device0001")
    with emulator.fault(truncate=True, times=1):
        await user.profile.get()
    with emulator.fault(truncate=True), pytest.raises(ConnectionFailed) as caught:
        await user.profile.get(force=True)

    assert caught.value.attempts == QUICK_RETRY.attempts


async def test_purge_is_not_repeated_where_it_may_have_been_done(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(email="ada@shop.example")
    with emulator.fault(status=500), pytest.raises(ServerError):
        await user.profile.purge()
    assert len(emulator.requests_to("/profile/purge")) == 1

    await user.profile.set(first_name="Ada")
    with emulator.fault(status=503, times=1):
        await user.profile.purge()
    assert len(emulator.requests_to("/profile/purge")) == 3


async def test_retry_after_is_waited_out_and_pauses_the_other_calls_of_the_shop(
    client: PersonaClick, emulator: Emulator
) -> None:
    first, second = client.user(did="device0001"), client.user(did="device0002")
    with emulator.fault(status=429, retry_after=1, times=1):
        one = asyncio.create_task(first.profile.get())
        while client.transport_stats.retries == 0:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
        await second.profile.get()
        await one

    refused, *answered = emulator.requests_to("/profile")
    assert refused.status == 429
    assert len(answered) == 2
    assert all(request.arrived_at - refused.arrived_at >= 1 for request in answered)


async def test_a_wait_longer_than_the_total_fails_at_once(
    client: PersonaClick, emulator: Emulator
) -> None:
    with emulator.fault(status=429, retry_after=3600), pytest.raises(RateLimited) as caught:
        await client.user(did="device0001").profile.get()

    assert caught.value.retry_after == 3600
    assert caught.value.attempts == 1
    with pytest.raises(
        RateLimited, match="profile was not asked: held back, the service asked to wait"
    ):
        await client.user(did="device0002").profile.get()
    assert len(emulator.requests) == 1


async def test_an_outage_does_not_multiply_traffic(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(retry=RetryPolicy(first_wait=0, longest_wait=0, budget=0.1))
    with emulator.fault(status=503):
        for number in range(100):
            with pytest.raises(ServiceUnavailable):
                await client.user(did=f"device{number:04}").profile.get()

    # Ten in reserve, and one for every ten calls.
    assert 100 < len(emulator.requests) <= 100 + 10 + 10


async def test_retries_can_be_chosen_per_call(client: PersonaClick, emulator: Emulator) -> None:
    user = client.user(did="device0001")
    with emulator.fault(status=503):
        for retries in (0, 2):
            emulator.clear_requests()
            with pytest.raises(ServiceUnavailable) as caught:
                await user.with_options(retries=retries).profile.get()
            assert caught.value.attempts == len(emulator.requests) == retries + 1


async def test_a_slow_answer_times_out(make_client: MakeClient, emulator: Emulator) -> None:
    client = make_client(timeouts=Timeouts(total=0.05), retry=RetryPolicy(attempts=2, first_wait=0))
    with (
        emulator.fault(delay=5),
        pytest.raises(TimedOut, match=r"no answer within 0.05 s") as caught,
    ):
        await client.user(did="device0001").profile.get()

    assert caught.value.attempts == 2
    assert isinstance(caught.value, TimeoutError)


async def test_a_timeout_of_the_call_bounds_an_answer(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.with_options(timeout=0.05).user(did="device0001")
    with emulator.fault(delay=5), pytest.raises(TimedOut, match="waited for an answer") as caught:
        await user.profile.get()
    assert caught.value.attempts == 1


async def test_a_timeout_of_the_call_bounds_a_pause_of_the_shop(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(retry=RetryPolicy())
    with emulator.fault(status=429, retry_after=30, times=1):
        waiting = asyncio.create_task(client.user(did="device0001").profile.get())
        while client.transport_stats.retries == 0:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            with pytest.raises(TimedOut, match=r"its turn .the service asked to wait") as caught:
                await (
                    client.with_options(timeout=0.2, retries=0)
                    .user(did="device0002")
                    .profile.set(age=1)
                )
    assert caught.value.attempts == 0
    waiting.cancel()


async def test_a_timeout_of_the_call_bounds_a_limit(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(limits={Family.PROFILE: RateLimit(1, 60)})
    await client.user(did="device0001").profile.get()
    async with asyncio.timeout(5):
        with pytest.raises(TimedOut, match="the client's own limit, 1 in 60 s"):
            await client.with_options(timeout=0.2).user(did="device0002").profile.get()


async def test_a_timeout_of_the_call_bounds_the_wait_for_other_requests(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(max_concurrency=1)
    with emulator.hold("GET", "/profile") as held:
        first = asyncio.create_task(client.user(did="device0001").profile.get())
        await held.arrived()
        async with asyncio.timeout(5):
            with pytest.raises(TimedOut, match="max_concurrency") as caught:
                await client.with_options(timeout=0.1).user(did="device0002").profile.get()
    assert caught.value.attempts == 0
    await first
    # The place that the late one wanted is not lost.
    await client.user(did="device0003").profile.get()


@pytest.mark.parametrize("call", ["get", "set"])
async def test_a_timeout_of_the_call_bounds_the_start_of_a_session(
    client: PersonaClick, emulator: Emulator, call: str
) -> None:
    visitor = client.new_visitor()
    with emulator.hold("GET", "/init") as held:
        others = asyncio.create_task(visitor.orders.last_for_user())
        await held.arrived()
        profile = visitor.with_options(timeout=0.1).profile
        async with asyncio.timeout(5):
            with pytest.raises(TimedOut, match="waited for the session to start"):
                await (profile.get() if call == "get" else profile.set(age=1))
    await others


async def test_a_timeout_of_the_call_ends_no_other_reader_s_call(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(did="device0001")
    with emulator.hold("GET", "/profile") as held:
        hasty = asyncio.create_task(user.with_options(timeout=0.2).profile.get())
        await held.arrived()
        patient = asyncio.create_task(user.profile.get())
        with pytest.raises(TimedOut):
            await hasty
    await patient


async def test_a_timeout_of_the_call_bounds_retries(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(retry=RetryPolicy(first_wait=10))
    with emulator.fault(status=503), pytest.raises(TimedOut, match="after ServiceUnavailable"):
        async with asyncio.timeout(5):
            await client.with_options(timeout=0.5).user(did="device0001").profile.get()


async def test_a_503_that_says_when_is_waited_for_without_holding_others_back(
    client: PersonaClick, emulator: Emulator
) -> None:
    with emulator.fault(status=503, retry_after=1, times=1):
        one = asyncio.create_task(client.user(did="device0001").profile.get())
        while client.transport_stats.retries == 0:  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.01)
        await client.user(did="device0002").profile.get()
        assert not one.done()
        await one

    refused, other, again = emulator.requests_to("/profile")
    assert (refused.status, other.status, again.status) == (503, 200, 200)
    assert again.arrived_at - refused.arrived_at >= 1


@pytest.mark.parametrize("status", [408, 425, 520, 524, 529, 530])
async def test_what_proxies_say_is_tried_again(
    client: PersonaClick, emulator: Emulator, status: int
) -> None:
    with emulator.fault(status=status, times=1):
        await client.user(did="device0001").profile.set(first_name="Ada")
    assert [request.status for request in emulator.requests] == [status, 200]


async def test_the_statuses_that_are_tried_again_are_a_setting(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(retry=RetryPolicy(first_wait=0, statuses={418}))
    with emulator.fault(status=418, times=1):
        await client.user(did="device0001").profile.get()
    with emulator.fault(status=503, times=1), pytest.raises(ServiceUnavailable):
        await client.user(did="device0002").profile.get()


async def test_the_clients_timeouts_hold_without_options(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(timeouts=Timeouts(total=0.05), retry=RetryPolicy(attempts=1))
    with emulator.fault(delay=5), pytest.raises(TimedOut):
        await client.user(did="device0001").profile.get()


async def test_nobody_listening_is_a_failed_connection(
    make_client: MakeClient, unused_tcp_port: int
) -> None:
    client = make_client(api_url=f"http://127.0.0.1:{unused_tcp_port}")

    with pytest.raises(ConnectionFailed) as caught:
        await client.user(did="device0001").profile.get()

    assert caught.value.attempts == QUICK_RETRY.attempts
    assert isinstance(caught.value, ConnectionError)


async def test_a_limit_is_kept_in_every_window(make_client: MakeClient, emulator: Emulator) -> None:
    client = make_client(limits={Family.PROFILE: RateLimit(5, 0.3)}, cache=None)

    await asyncio.gather(*(client.user(did=f"device{n:04}").profile.get() for n in range(17)))

    arrivals = sorted(request.arrived_at for request in emulator.requests)
    assert len(arrivals) == 17
    assert all(
        later - earlier > 0.3 for earlier, later in zip(arrivals, arrivals[5:], strict=False)
    )


async def test_no_more_requests_at_once_than_allowed(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(max_concurrency=3)
    with emulator.hold("GET", "/profile") as held:
        tasks = [
            asyncio.create_task(client.user(did=f"device{n:04}").profile.get()) for n in range(10)
        ]
        await held.arrived(count=3)
        await asyncio.sleep(0.1)
        assert len(emulator.requests_to("/profile")) == 3
    await asyncio.gather(*tasks)


async def test_an_error_inside_a_success_is_an_error(
    client: PersonaClick, emulator: Emulator
) -> None:
    with (
        emulator.fault(status=200, error_message="Identifier is not valid"),
        pytest.raises(ServiceError, match="Identifier is not valid") as caught,
    ):
        await client.user(did="device0001").profile.set(first_name="Ada")

    assert caught.value.status == 200
    assert caught.value.message == "Identifier is not valid"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status":', b"null", b"\xff\xfe"])
async def test_a_body_that_is_no_profile_is_malformed(
    client: PersonaClick, emulator: Emulator, body: bytes
) -> None:
    with emulator.fault(path="/profile", body=body), pytest.raises(MalformedAnswer):
        await client.user(did="device0001").profile.get()


async def test_a_set_that_does_not_say_success_is_malformed(
    client: PersonaClick, emulator: Emulator
) -> None:
    with (
        emulator.fault(path="/profile/set", body=b"{}"),
        pytest.raises(MalformedAnswer, match="does not say success"),
    ):
        await client.user(did="device0001").profile.set(first_name="Ada")


async def test_an_answer_that_is_too_large_is_not_read(
    make_client: MakeClient, emulator: Emulator
) -> None:
    client = make_client(max_answer_bytes=1000)
    with emulator.fault(path="/profile", body=b" " * 1001), pytest.raises(AnswerTooLarge):
        await client.user(did="device0001").profile.get()
    assert len(emulator.requests) == 1


async def test_the_raw_answer_has_status_headers_body_and_attempts(
    client: PersonaClick, emulator: Emulator
) -> None:
    user = client.user(did="device0001")

    answer = await user.profile.raw.get()

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == answer.parse().raw
    assert answer.attempts == 1
    assert answer.elapsed > 0
    assert answer.endpoint == "profile"


async def test_requests_say_who_sends_them(client: PersonaClick, emulator: Emulator) -> None:
    await client.user(did="device0001").profile.get()

    agent = emulator.requests[0].headers["User-Agent"]
    assert agent.startswith(f"personaclick-async/{__version__} python/")


async def test_the_stream_is_the_clients_unless_the_call_says_otherwise(
    make_client: MakeClient, emulator: Emulator
) -> None:
    user = make_client(stream="web").user(did="device0001")
    await user.profile.get()
    await user.with_options(stream="mail").orders.last_for_user()

    assert [request.query["stream"] for request in emulator.requests] == ["web", "mail"]


async def test_the_cookie_of_one_visitor_is_never_sent_for_another(
    client: PersonaClick, emulator: Emulator
) -> None:
    await client.init()
    await client.init()

    assert all("Cookie" not in request.headers for request in emulator.requests)
    assert len({device["did"] for device in emulator.devices()}) == 2


async def test_a_redirect_is_not_followed(client: PersonaClick, emulator: Emulator) -> None:
    with emulator.fault(status=302, times=1), pytest.raises(ServiceError, match="answered 302"):
        await client.user(did="device0001").profile.get()
    assert len(emulator.requests) == 1


async def test_a_session_of_the_callers_own_is_used_and_not_closed(
    make_client: MakeClient, emulator: Emulator
) -> None:
    async with aiohttp.ClientSession(
        connector=CleanConnector(), headers={"X-Theirs": "yes"}
    ) as session:
        client = make_client(session=session)
        await client.user(did="device0001").profile.get()
        await client.close()

        assert not session.closed
        headers: Any = emulator.requests[0].headers
        assert headers["X-Theirs"] == "yes"
        assert headers["User-Agent"].startswith("personaclick-async/")


async def test_a_session_without_clean_connections_is_warned_of(
    make_client: MakeClient, emulator: Emulator
) -> None:
    async with aiohttp.ClientSession() as session:
        client = make_client(session=session)
        with pytest.warns(RuntimeWarning, match=r"connector=personaclick_async.CleanConnector\(\)"):
            await client.user(did="device0001").profile.get()


async def test_cookies_of_the_callers_own_session_are_neither_sent_nor_kept(
    make_client: MakeClient, emulator: Emulator
) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"did": "visitor1"}, URL(emulator.url))
    async with aiohttp.ClientSession(connector=CleanConnector(), cookie_jar=jar) as session:
        client = make_client(session=session)
        await client.init()
        await client.init()

    assert all("Cookie" not in request.headers for request in emulator.requests)
    assert [(cookie.key, cookie.value) for cookie in jar] == [("did", "visitor1")]


async def test_a_session_that_raises_for_statuses_changes_no_error(
    make_client: MakeClient, emulator: Emulator
) -> None:
    async with aiohttp.ClientSession(connector=CleanConnector(), raise_for_status=True) as session:
        client = make_client(session=session)
        with emulator.fault(status=404, times=1), pytest.raises(NotFound) as caught:
            await client.user(did="device0001").profile.get()
    assert caught.value.attempts == 1


def test_a_session_of_another_event_loop_is_refused(
    make_client: MakeClient, emulator: Emulator
) -> None:
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=CleanConnector())

    other = asyncio.new_event_loop()
    session = other.run_until_complete(make())
    client = make_client(session=session)
    with pytest.raises(ConfigurationError, match="session: it belongs to another event loop"):
        asyncio.run(client.user(did="device0001").profile.get())
    other.run_until_complete(session.close())
    other.close()
    with pytest.raises(ConfigurationError, match="session: expected one that is open"):
        asyncio.run(client.user(did="device0001").profile.get())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"ssl_context": "ca.pem"}, "ssl_context: expected an ssl.SSLContext, got str"),
        ({"session": object()}, "session: expected an aiohttp.ClientSession, got object"),
        ({"hooks": print}, "hooks: expected Hooks"),
        ({"hooks": [print]}, "hooks: expected Hooks"),
        ({"trust_env": "yes"}, "trust_env: expected a bool, got str"),
        ({"clock": 5.0}, "clock: expected a function, got float"),
        ({"now": 5.0}, "now: expected a function, got float"),
        ({"store": object()}, "store: expected a ProfileStore, got object"),
    ],
)
def test_wrong_arguments_are_refused_at_construction(setting: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PersonaClick("e0" * 15, **setting)


def test_a_client_that_was_never_set_up_can_be_shown() -> None:
    assert repr(PersonaClick.__new__(PersonaClick)) == "<PersonaClick, not set up>"


async def test_who_refuses_the_connection_is_said(
    make_client: MakeClient, unused_tcp_port: int
) -> None:
    for host in ("127.0.0.1", "localhost"):
        client = make_client(
            api_url=f"http://{host}:{unused_tcp_port}", retry=RetryPolicy(attempts=1)
        )
        with pytest.raises(ConnectionFailed) as caught:
            await client.user(did="device0001").profile.get()
        assert str(caught.value) == (
            f"profile: could not connect to {host}:{unused_tcp_port} "
            "(connection refused) (1 attempt)"
        )
        assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_host_that_is_none_is_said_at_once(make_client: MakeClient) -> None:
    client = make_client(api_url="http://256.1.1.1/")
    with pytest.raises(ConnectionFailed, match=r"is not valid \(1 attempt\)"):
        await client.user(did="device0001").profile.get()


async def test_a_host_that_nobody_knows_is_said(make_client: MakeClient) -> None:
    client = make_client(api_url="http://nowhere.invalid/", retry=RetryPolicy(attempts=1))
    with pytest.raises(ConnectionFailed, match=r"could not find the host nowhere.invalid"):
        await client.user(did="device0001").profile.get()
