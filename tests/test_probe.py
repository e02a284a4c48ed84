"""What an emulator is told to do is what a probe of it reports: a circle."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from personaclick_async import AuthenticationFailed, ConfigurationError, ConnectionFailed
from personaclick_async.emulator import Behaviour, Emulator
from personaclick_async.emulator.settings import POINTS, Value
from personaclick_async.probe import ProbeReport, probe

ADDRESS = "ada@shop.example"
MOST_REQUESTS = 60  # as is documented
EXAMPLES = 500 if settings.get_current_profile_name() == "explore" else 200


@st.composite
def behaviours(draw: st.DrawFn, /, **fixed: Value) -> Behaviour:
    """Any behaviour; where errors come with 200, the statuses that nobody can see are that."""
    drawn: dict[str, Any] = {
        name: draw(st.sampled_from(one.choices)) for name, one in POINTS.items()
    }
    drawn.update(fixed)
    if drawn["errors_at_200"]:
        if drawn["envelope"] in ("bare message", "empty"):
            drawn["envelope"] = "payload"
        if drawn["envelope"] != "numeric status":
            drawn.update({k: 200 for k, v in drawn.items() if type(v) is int and k in POINTS})
    return Behaviour.of(drawn)


def observable(behaviour: Behaviour) -> dict[str, Value]:
    """What a probe with the secret and the permission to write can see."""
    seen = {name: value for name, value in attrs.asdict(behaviour).items() if POINTS[name].asked}
    if behaviour.customer_profile == "public":
        del seen["kids_shown"]
    if not seen.get("kids_shown"):
        del seen["lists"]
    same = {behaviour.device_missing, behaviour.secret_missing, behaviour.customer_unknown}
    if behaviour.envelope == "empty" and len(same) == 1:
        del seen["user_id_names"], seen["customer_unknown"]
    return seen


async def asked(emulator: Emulator, **more: Any) -> ProbeReport:
    usual = {"shop_secret": emulator.shop_secret, "pause": 0, "write": True}
    return await probe(emulator.shop_id, api_url=emulator.url, **{**usual, **more})


@settings(deadline=None, max_examples=EXAMPLES)
@given(behaviour=behaviours())
async def test_a_probe_reports_exactly_how_an_emulator_was_told_to_behave(
    behaviour: Behaviour,
) -> None:
    with Emulator(behaviour=behaviour) as emulator:
        report = await asked(emulator)

    assert report.behaviour == observable(behaviour)
    assert report.requests <= MOST_REQUESTS
    assert bool(report.contradictions) == (behaviour.customer_profile == "public")


async def test_the_usual_behaviour_agrees_with_every_assumption(emulator: Emulator) -> None:
    emulator.add_profiles([{"email": ADDRESS, "first_name": "Ada"}])
    report = await asked(emulator, customer={"email": ADDRESS})

    verdicts = {one.verdict for one in report.findings}
    assert verdicts == {"agrees", "not asked", "not found out"}
    assert [one.setting for one in report.findings if one.verdict == "not found out"] == ["lists"]
    assert report.contradictions == []
    assert report.facts["profile"]["customer"]["first_name"] == "string"


async def test_what_is_written_holds_no_secret_and_no_value(emulator: Emulator) -> None:
    emulator.add_profiles([{"email": ADDRESS, "first_name": "Ada", "custom_one": "Lovelace"}])
    report = await asked(emulator, customer={"email": ADDRESS})
    text = json.dumps(report.to_json())

    for private in (ADDRESS, "Ada", "Lovelace", emulator.shop_id, emulator.shop_secret):
        assert f'"{private}"' not in text
    for device in emulator.devices():
        assert device["did"] not in text
        assert str(device["seance"]) not in text


@pytest.mark.parametrize(
    "settings", [{}, {"wrong_type": "stored"}, {"undeclared_property": 422, "lists": "merged"}]
)
async def test_nothing_that_was_written_stays(settings: dict[str, Value]) -> None:
    with Emulator(behaviour=Behaviour.of(settings)) as emulator:
        await asked(emulator)

        for device in emulator.devices():
            stored = emulator.profile(did=device["did"])
            assert stored.pop("custom_properties") == {}
            assert stored in ({}, {"kids": []})


async def test_what_was_written_is_cleared_when_the_probe_breaks_off(emulator: Emulator) -> None:
    def stop(what: str) -> None:
        if what == POINTS["wrong_type"].words:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await asked(emulator, progress=stop)

    for device in emulator.devices():
        stored = emulator.profile(did=device["did"])
        assert stored.pop("custom_properties") == {}
        assert stored in ({}, {"kids": []})


def service(answer: Callable[[web.Request], Awaitable[web.Response]]) -> TestServer:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    return TestServer(application)


async def test_what_does_not_come_back_is_cleared_too() -> None:
    written: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/profile/set":
            written.append(await request.json())
        return web.json_response({"did": "d", "seance": "s"})

    async with service(answer) as server:
        await probe("e0" * 15, api_url=str(server.make_url("/")), write=True, pause=0)

    first, last, _ = written
    assert first["first_name"] == "Probe"
    assert {**first, **dict.fromkeys(first.keys() - {"shop_id", "did"})}.items() <= last.items()


@pytest.mark.parametrize(
    ("shown", "contradictions"),
    [
        ({"first_name": "Probe", "location": 1}, []),
        ({"first_name": None, "location": "1"}, ["profile/set: first_name does not come back"]),
    ],
)
async def test_what_was_written_comes_back_as_text_or_as_a_number(
    shown: dict[str, Any], contradictions: list[str]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"did": "d", "seance": "s", "gender": "f", "data": [], **shown})

    async with service(answer) as server:
        url = str(server.make_url("/"))
        report = await probe("e0" * 15, shop_secret="s", api_url=url, write=True, pause=0)

    assert [one.partition(";")[0] for one in report.contradictions] == contradictions


async def test_without_permission_nothing_is_written_and_without_the_secret_less_is_known(
    emulator: Emulator,
) -> None:
    report = await probe(emulator.shop_id, api_url=emulator.url, pause=0)

    assert emulator.requests_to("/profile/set") == []
    assert emulator.requests_to("/import/audience") == []
    unknown = {one.setting for one in report.findings if one.verdict == "not found out"}
    assert {"null", "empty_text", "customer_unknown", "customer_profile"} <= unknown
    assert report.behaviour["user_id_names"] == "both"


async def test_with_a_wrong_secret_no_more_is_known_than_without(emulator: Emulator) -> None:
    report = await asked(emulator, shop_secret="0" * 32, write=False)

    assert report.facts["secret"] == "refused"
    notes = {one.setting: one.note for one in report.findings if one.observed is None}
    for setting in ("customer_unknown", "customer_profile", "lists"):
        assert notes[setting] == "the secret was refused"


async def test_an_unknown_shop_and_a_service_away_are_errors(emulator: Emulator) -> None:
    with pytest.raises(AuthenticationFailed, match="init answered 403: the shop_id was refused"):
        await probe("f" * 30, api_url=emulator.url, pause=0)
    url = emulator.url
    emulator.stop()
    with pytest.raises(ConnectionFailed, match="no answer"):
        await probe("f" * 30, api_url=url, pause=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"null": "sometimes"},
        {"null": True},
        {"shop_missing": 99},
        {"shop_missing": "created"},
        {"errors_at_200": 1},
        {"errors_at_200": True, "envelope": "empty"},
        {"no_such": 1},
    ],
)
def test_a_behaviour_that_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"expected|no such setting"):
        Behaviour.of(wrong)


def test_any_status_of_a_service_can_be_taken_over() -> None:
    assert Behaviour.of({"device_unknown": 418}).device_unknown == 418


@pytest.mark.parametrize("status", [200, 204, 302, 500])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{}",
        b'{"status": 500}',
        b'{"status": true, "did": 5, "seance": []}',
        b'{"status": "success", "payload": null}',
        b'{"status": "success", "payload": {"did": "d", "seance": "s", "gender": "f"}}',
        b'{"did": "d", "seance": "s", "custom_properties": [], "gender": "f", "kids": {}}',
        b'{"did": "d", "sid": "s", "gender": "f", "data": 1, "message": {}}',
        b'{"a": 1e400, "b": NaN, "c": "\\ud800"}',
    ],
)
async def test_a_service_that_answers_anything_is_reported_or_refused(
    body: bytes, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers={"Location": "/"})

    async with service(answer) as server:
        try:
            report = await probe(
                "e0" * 15,
                shop_secret="secret",
                api_url=str(server.make_url("/")),
                write=True,
                customer={"email": ADDRESS},
                pause=0,
            )
        except AuthenticationFailed:
            return
    json.dumps(report.to_json(), allow_nan=False)
    Behaviour.of({k: v for k, v in report.behaviour.items() if k != "errors_at_200"})
    assert report.contradictions or b"did" in body
