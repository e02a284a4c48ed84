"""Visitors are found, kept and let go by rules that need no framework."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personaclick_async import (
    ConfigurationError,
    ConnectionFailed,
    Forbidden,
    NoCurrentUser,
    NotFound,
    PersonaClick,
    Session,
    TimedOut,
    User,
)
from personaclick_async.emulator import Behaviour, Emulator
from personaclick_async.integrations.cookies import CookiePolicy, IncomingRequest, acceptable_id
from personaclick_async.integrations.visitors import NoConsent, Visitor, VisitorPolicy, Visitors
from tests.conftest import MakeClient


def request(*headers: tuple[str, str], scheme: str = "https", path: str = "/") -> IncomingRequest:
    return IncomingRequest(
        method="GET", path=path, scheme=scheme, header_fields=headers, native=None
    )


def with_cookies(text: str) -> IncomingRequest:
    return request(("host", "shop.example"), ("cookie", text))


async def spend(visitor: Visitor) -> None:
    """Let the visitor do something that the service hears of."""
    with visitor.current():
        await visitor.client.profile.get(force=True)


def kept(visitor: Visitor) -> dict[str, str]:
    found: SimpleCookie = SimpleCookie()
    for name, value in visitor.response_headers():
        if name == "Set-Cookie":
            found.load(value)
    return {name: morsel.value for name, morsel in found.items()}


HOSTILE = st.one_of(
    st.text(),
    st.text(st.characters(max_codepoint=255)),
    st.sampled_from(["", " ", '"', "=", "%00", "a" * 65, "a" * 100_000, "a,b", "../x", "<script>"]),
    st.text("абв🙂\ud800\x00\r\n\t;=,\"'\\ ", min_size=1),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(did=HOSTILE, sid=HOSTILE, rest=HOSTILE)
async def test_whatever_a_cookie_holds_it_is_a_visitor(
    client: PersonaClick, did: str, sid: str, rest: str
) -> None:
    visitor = await Visitors(client).arrive(
        with_cookies(f"{rest}; personaclick_did={did}; personaclick_sid={sid};{rest}")
    )

    user = visitor.user
    assert user is not None
    if user.session is not None:
        assert acceptable_id(user.session.did)
        assert user.session.seance is None or acceptable_id(user.session.seance)
    assert visitor.response_headers() == []


@pytest.mark.parametrize(
    "cookie", ["a" * 65, "дид", "a b", "a,b", '"quoted"', "<b>", "%0d%0a", "", "a/b", "a=b"]
)
async def test_a_cookie_that_is_no_device_is_replaced_and_never_sent(
    client: PersonaClick, emulator: Emulator, cookie: str
) -> None:
    visitor = await Visitors(client).arrive(with_cookies(f"personaclick_did={cookie}"))
    await spend(visitor)

    assert "did" not in emulator.requests_to("/init")[0].query
    [device] = [one["did"] for one in emulator.devices()]
    assert kept(visitor)["personaclick_did"] == device


@pytest.mark.parametrize("keeps_did", [True, False])
async def test_a_device_that_the_service_does_not_know_is_started_by_init(keeps_did: bool) -> None:
    behaviour = Behaviour(device_unknown=404, init_keeps_did=keeps_did)
    async with (
        Emulator(behaviour=behaviour) as emulator,
        PersonaClick(emulator.shop_id, api_url=emulator.url) as client,
    ):
        visitor = await Visitors(client).arrive(with_cookies("personaclick_did=foreign001"))
        user = visitor.require_user()
        with pytest.raises(NotFound):
            await spend(visitor)
        await user.init()
        await spend(visitor)
        [device] = emulator.devices()

    assert (device["did"] == "foreign001") is keeps_did
    assert kept(visitor)["personaclick_did"] == device["did"]


async def test_a_session_that_is_none_is_replaced_and_the_device_stays(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = await Visitors(client).arrive(
        with_cookies("personaclick_did=device0001; personaclick_sid=<script>")
    )
    await spend(visitor)

    assert emulator.requests_to("/init") == []
    assert "script" not in emulator.requests[0].query["sid"]
    cookies = kept(visitor)
    assert cookies["personaclick_did"] == "device0001"
    assert cookies["personaclick_sid"] == emulator.requests[0].query["sid"]


async def test_of_several_cookies_of_one_name_the_first_good_one_counts(
    client: PersonaClick,
) -> None:
    visitor = await Visitors(client).arrive(
        with_cookies("personaclick_did=<>; personaclick_did=first; personaclick_did=second")
    )

    assert visitor.user is not None
    assert visitor.user.identity.value == "first"


async def test_cookies_may_come_in_several_headers(client: PersonaClick) -> None:
    visitor = await Visitors(client).arrive(
        request(("cookie", "personaclick_sid=s1"), ("cookie", "personaclick_did=d1"))
    )

    assert visitor.user is not None
    assert visitor.user.session == Session(did="d1", seance="s1")


async def test_what_the_browser_sdk_keeps_may_be_shared_with_it(
    client: PersonaClick, emulator: Emulator
) -> None:
    policy = VisitorPolicy(cookies=CookiePolicy.shared_with_browser_sdk())
    visitor = await Visitors(client, policy).arrive(
        with_cookies("personaclick_device_id=device0001; personaclick_session_code=session001")
    )
    await spend(visitor)

    assert emulator.requests[0].query["did"] == "device0001"
    assert emulator.requests[0].query["sid"] == "session001"
    assert set(kept(visitor)) == {"personaclick_device_id", "personaclick_session_code"}
    assert "HttpOnly" not in str(visitor.response_headers())


async def test_nothing_is_kept_while_the_service_does_not_answer(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = await Visitors(client).arrive(with_cookies("personaclick_did=device0001"))
    with emulator.fault(status=403), pytest.raises(Forbidden):
        await spend(visitor)

    assert visitor.response_headers() == []


async def test_a_device_id_that_no_cookie_can_hold_is_not_kept(
    client: PersonaClick, emulator: Emulator
) -> None:
    body = b'{"did": "a; Domain=evil.example", "seance": "b\\r\\nSet-Cookie: c=d"}'
    visitor = await Visitors(client).arrive(request())
    with emulator.fault(path="/init", status=200, body=body):
        await spend(visitor)

    assert visitor.response_headers() == []


@pytest.mark.parametrize("said", ["public, max-age=60", "s-maxage=60", "Public"])
async def test_a_response_for_shared_caches_sets_no_cookies(
    client: PersonaClick, said: str
) -> None:
    visitor = await Visitors(client).arrive(request())
    await spend(visitor)

    assert visitor.response_headers([("Cache-Control", said)]) == []
    assert visitor.response_headers([("cache-control", "no-cache")]) != []


@pytest.mark.parametrize(
    ("said", "adds"),
    [("max-age=60", True), ("must-revalidate", True), ("No-Store", False), ("private", False)],
)
async def test_a_response_with_cookies_is_private(
    client: PersonaClick, said: str, adds: bool
) -> None:
    visitor = await Visitors(client).arrive(request())
    await spend(visitor)

    added = visitor.response_headers([("Cache-Control", said)])
    assert (("Cache-Control", "private") in added) is adds


async def test_a_policy_without_cookies_reads_and_sets_none(client: PersonaClick) -> None:
    visitor = await Visitors(client, VisitorPolicy(cookies=None)).arrive(
        with_cookies("personaclick_did=device0001")
    )
    await spend(visitor)

    assert visitor.user is not None
    assert visitor.user.identity.value != "device0001"
    assert visitor.response_headers() == []


async def test_without_consent_every_call_says_so(client: PersonaClick, emulator: Emulator) -> None:
    async def nobody(_: IncomingRequest) -> bool:
        return False

    visitor = await Visitors(client, VisitorPolicy(consent=nobody)).arrive(
        with_cookies("personaclick_did=device0001")
    )

    with visitor.current():
        assert client.current_user is None
        with pytest.raises(NoConsent, match="not agreed"):
            await client.profile.get()
        with pytest.raises(NoCurrentUser):
            await client.orders.last_for_user()
    with pytest.raises(NoConsent):
        visitor.require_user()
    assert emulator.requests == []
    assert kept(visitor) == {"personaclick_did": ""}


async def test_the_application_may_keep_sessions_itself(
    client: PersonaClick, emulator: Emulator
) -> None:
    def mine(_: IncomingRequest) -> Session:
        return Session(did="fromMyDatabase", seance="session001")

    visitor = await Visitors(client, VisitorPolicy(identify=mine)).arrive(request())
    await spend(visitor)

    assert emulator.requests[0].query["did"] == "fromMyDatabase"
    assert visitor.response_headers() == []


async def test_whom_the_application_does_not_know_is_known_by_cookies(
    client: PersonaClick,
) -> None:
    async def unknown(_: IncomingRequest) -> None:
        return None

    visitor = await Visitors(client, VisitorPolicy(identify=unknown)).arrive(
        with_cookies("personaclick_did=device0001")
    )

    assert visitor.user is not None
    assert visitor.user.identity.value == "device0001"


async def test_what_the_applications_functions_raise_is_not_hidden(client: PersonaClick) -> None:
    def broken(_: IncomingRequest) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Visitors(client, VisitorPolicy(consent=broken)).arrive(request())


@pytest.mark.parametrize("given", ["no", "", None, 1])
async def test_an_answer_about_consent_is_yes_or_no(client: PersonaClick, given: Any) -> None:
    policy = VisitorPolicy(consent=lambda _: given)

    with pytest.raises(ConfigurationError, match=f"consent: .*, got {type(given).__name__}$"):
        await Visitors(client, policy).arrive(with_cookies("personaclick_did=device0001"))


@pytest.mark.parametrize("given", ["7", "", False, {"did": "device0001"}])
async def test_an_application_that_names_a_visitor_by_something_else_is_told(
    client: PersonaClick, given: Any
) -> None:
    policy = VisitorPolicy(identify=lambda _: given)

    with pytest.raises(ConfigurationError, match=f"identify: .*, got {type(given).__name__}$"):
        await Visitors(client, policy).arrive(request())


async def test_a_header_that_is_no_device_does_not_count(
    client: PersonaClick, emulator: Emulator
) -> None:
    policy = VisitorPolicy(device_header="X-Device")
    visitor = await Visitors(client, policy).arrive(request(("x-device", "<script>")))

    assert visitor.user is not None
    assert visitor.user.session is None


async def test_a_service_that_hangs_holds_a_page_for_the_start_timeout_at_most(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitors = Visitors(client, VisitorPolicy(start="on arrival", start_timeout=0.05))
    with emulator.hold("GET", "/init"):
        visitor = await visitors.arrive(request())

    assert visitor.user is None
    with pytest.raises(NoCurrentUser, match="TimedOut"):
        visitor.require_user()


async def test_after_a_failure_no_session_is_tried_until_the_pause_is_over(
    make_client: MakeClient, emulator: Emulator
) -> None:
    now = 0.0
    visitors = Visitors(make_client(clock=lambda: now))

    async def newcomer() -> User:
        visitor = await visitors.arrive(request())
        return visitor.require_user()

    with emulator.fault(path="/init", status=403):
        with pytest.raises(Forbidden):
            await (await newcomer()).profile.get()
        with pytest.raises(ConnectionFailed, match="a moment ago"):
            await (await newcomer()).profile.get()
    assert len(emulator.requests_to("/init")) == 1

    now = 9.9
    with pytest.raises(ConnectionFailed):
        await (await newcomer()).profile.get()
    now = 10.0
    await (await newcomer()).profile.get()


async def test_on_first_use_a_hanging_service_is_a_typed_error(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = await Visitors(client, VisitorPolicy(start_timeout=0.05)).arrive(request())
    with emulator.hold("GET", "/init"), visitor.current(), pytest.raises(TimedOut, match="init"):
        await client.profile.get()


async def test_a_log_of_failures_names_nobody(
    client: PersonaClick, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    visitors = Visitors(client, VisitorPolicy(start="on arrival"))
    with emulator.fault(path="/init", status=403, error_message="ada@shop.example is banned"):
        await visitors.arrive(request(("cookie", "name=Ada"), path="/ada"))

    assert "Forbidden" in caplog.text
    assert "ada" not in caplog.text.lower()


async def test_first_calls_of_a_page_share_one_device(
    client: PersonaClick, emulator: Emulator
) -> None:
    visitor = await Visitors(client).arrive(request())
    with visitor.current():
        await asyncio.gather(client.profile.get(), client.orders.last_for_user())

    assert len(emulator.devices()) == 1


@pytest.mark.parametrize(
    ("scheme", "host", "secure"),
    [
        ("http", "localhost:8000", False),
        ("http", "shop.localhost", False),
        ("ws", "127.0.0.1:8000", False),
        ("http", "[::1]:8000", False),
        ("https", "localhost", True),
        ("http", "shop.example", True),
        ("http", "localhost.evil.example", True),
        ("http", "127.0.0.1.evil.example", True),
        ("http", "[::1", False),
        ("http", "", True),
    ],
)
def test_cookies_are_secure_unless_localhost_is_asked_for_and_meant(
    scheme: str, host: str, secure: bool
) -> None:
    here = request(("host", host), ("cookie", "personaclick_did=1"), scheme=scheme)

    assert ["; Secure;" in one for one in CookiePolicy().delete(here)] == [True]
    local = CookiePolicy(plain_on_localhost=True)
    assert ["; Secure;" in one for one in local.delete(here)] == [secure]


@pytest.mark.parametrize(
    "header",
    [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", "for=203.0.113.7;proto=http"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "203.0.113.7"),
    ],
)
def test_behind_a_proxy_that_passes_localhost_cookies_stay_secure(
    header: tuple[str, str],
) -> None:
    here = request(("host", "localhost:8000"), ("cookie", "personaclick_did=1"), header)

    local = CookiePolicy(plain_on_localhost=True)
    assert ["; Secure;" in one for one in local.delete(here)] == [True]


@pytest.mark.parametrize(
    ("url", "headers", "secure", "warns"),
    [
        ("http://testserver", (), True, True),
        ("http://shop.example", (("x-forwarded-proto", "http"),), True, True),
        ("http://shop.example", (("x-forwarded-proto", "https"),), True, False),
        ("http://shop.example", (("x-forwarded-for", "203.0.113.7"),), True, False),
        ("http://localhost:8000", (), True, False),
        ("https://shop.example", (), True, False),
        ("http://shop.example", (), False, False),
    ],
)
async def test_secure_cookies_that_browsers_drop_are_warned_of_once(
    client: PersonaClick,
    caplog: pytest.LogCaptureFixture,
    url: str,
    headers: tuple[tuple[str, str], ...],
    *,
    secure: bool,
    warns: bool,
) -> None:
    visitors = Visitors(client, VisitorPolicy(cookies=CookiePolicy(secure=secure)))
    scheme, _, host = url.partition("://")
    for _ in range(2):
        visitor = await visitors.arrive(request(("host", host), *headers, scheme=scheme))
        with visitor.current():
            await client.profile.get()
        assert kept(visitor)

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warns
    assert all("https://testserver" in one for one in said)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "a b"},
        {"session": "a;b"},
        {"device": "same", "session": "same"},
        {"domain": "shop.example; Secure"},
        {"path": "shop"},
        {"path": "/;Domain=evil.example"},
        {"same_site": "lax"},
        {"same_site": "None", "secure": False},
        {"device": "__Host-did", "domain": "shop.example"},
        {"device": "__Secure-did", "secure": False},
    ],
)
def test_cookies_that_browsers_refuse_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CookiePolicy(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "lazily"},
        {"start_timeout": 0},
        {"pause_after_failure": -1},
        {"session_header": "X-Session"},
        {"consent": "yes"},
        {"identify": "customer"},
        {"device_header": "X-Device: "},
        {"device_header": "X-Device", "session_header": ""},
        {"cookies": True},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{[*wrong][-1]}: expected "):
        VisitorPolicy(**wrong)


def test_a_policys_durations_may_be_timedeltas() -> None:
    second = timedelta(seconds=1)
    policy = VisitorPolicy(start_timeout=second, pause_after_failure=second)

    assert (policy.start_timeout, policy.pause_after_failure) == (1.0, 1.0)


def test_what_is_no_policy_or_no_client_is_refused_at_once(client: PersonaClick) -> None:
    wrong: Any = CookiePolicy()
    with pytest.raises(ConfigurationError, match="policy: expected a VisitorPolicy"):
        Visitors(client, wrong)
    with pytest.raises(ConfigurationError, match="client: expected a PersonaClick"):
        Visitors(wrong)


async def test_visitors_are_not_shown(client: PersonaClick) -> None:
    visitor = await Visitors(client).arrive(with_cookies("personaclick_did=device0001"))
    await spend(visitor)

    shown = repr(visitor) + repr(visitor.user)
    assert "device0001" not in shown
