"""Each call is the request that the protocol document describes, for each way to name a user."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from personaclick_async import ConfigurationError, ProfileUpdate, Segment, ValidationError
from personaclick_async.models import Identity
from personaclick_async.protocol import requests
from personaclick_async.protocol.requests import Call, RequestContext, Shop

SHOP_ID = "e0" * 15
SHOP = Shop(shop_id=SHOP_ID, secret="top-secret")
PUBLIC = Shop(shop_id=SHOP_ID)
DEVICE = RequestContext(
    identity=Identity("did", "d1"), seance="s1", stream="web", segment=Segment.A
)
PERSON = RequestContext(identity=Identity("external_id", "7"))
UPDATE = ProfileUpdate(first_name="Ada", external_id=8, custom={"colour": "red"})
VISIT = {"did": "d1", "seance": "s1", "sid": "s1", "stream": "web"}
NAMED = {"external_id": "7", "shop_secret": "top-secret"}


def body(call: Call[Any]) -> dict[str, Any]:
    assert call.body is not None
    sent: dict[str, Any] = json.loads(bytes(call.body))
    assert sent.pop("shop_id") == SHOP_ID
    return sent


@pytest.mark.parametrize(
    ("call", "method", "path", "query"),
    [
        (requests.init(PUBLIC), "GET", "/init", {}),
        (requests.init(PUBLIC, did="d1"), "GET", "/init", {"did": "d1"}),
        (requests.init(PUBLIC, did="d1", seance="s1", stream="web"), "GET", "/init", VISIT),
        (requests.read_profile(PUBLIC, DEVICE), "GET", "/profile", VISIT),
        (requests.read_profile(SHOP, DEVICE), "GET", "/profile", VISIT),
        (requests.read_profile(SHOP, PERSON), "GET", "/profile", NAMED),
        (
            requests.read_full_profile(SHOP, DEVICE),
            "GET",
            "/profile",
            {**VISIT, "shop_secret": "top-secret"},
        ),
        (
            requests.last_order(SHOP, DEVICE),
            "GET",
            "/orders/last_for_user",
            {**VISIT, "segment": "A"},
        ),
        (requests.last_order(SHOP, PERSON), "GET", "/orders/last_for_user", {"external_id": "7"}),
        (requests.orders_by_user(SHOP, PERSON), "GET", "/orders/by_user", NAMED),
        (
            requests.orders_by_user(SHOP, PERSON, date_from=date(2026, 5, 1)),
            "GET",
            "/orders/by_user",
            {**NAMED, "date_from": "2026-05-01"},
        ),
    ],
)
def test_reads_have_everything_in_the_query(
    call: Call[Any], method: str, path: str, query: dict[str, str]
) -> None:
    assert (call.endpoint.method, call.endpoint.path) == (method, path)
    assert call.query == {"shop_id": SHOP_ID, **query}
    assert call.body is None
    assert call.headers == {}


@pytest.mark.parametrize("kind", ["email", "phone", "external_id", "loyalty_id", "telegram_id"])
def test_each_identifier_goes_by_its_name_and_needs_the_secret(kind: str) -> None:
    context = RequestContext(identity=Identity(kind, "value"))

    assert requests.read_profile(SHOP, context).query[kind] == "value"
    assert body(requests.purge_profile(SHOP, context)) == {
        kind: "value",
        "shop_secret": "top-secret",
    }
    builds = [requests.read_profile, requests.read_full_profile]
    if kind not in ("external_id", "telegram_id"):
        builds.append(requests.last_order)
    for build in builds:
        with pytest.raises(ConfigurationError, match="shop_secret is needed"):
            build(PUBLIC, context)


def test_an_update_goes_flat_into_the_body() -> None:
    call = requests.set_profile(PUBLIC, DEVICE, UPDATE)

    assert (call.endpoint.method, call.endpoint.path) == ("POST", "/profile/set")
    assert call.headers == {"Content-Type": "application/json"}
    assert call.query == {}
    assert body(call) == {"first_name": "Ada", "id": 8, "colour": "red", **VISIT}


def test_the_name_of_the_user_id_is_a_setting() -> None:
    shop = Shop(
        shop_id=SHOP_ID, secret="s", set_user_id_name="external_id", query_user_id_name="id"
    )

    assert body(requests.set_profile(shop, DEVICE, UPDATE))["external_id"] == 8
    assert requests.read_profile(shop, PERSON).query["id"] == "7"


def test_a_person_named_twice_must_be_the_same() -> None:
    same = ProfileUpdate(external_id=7, first_name="Ada")
    assert body(requests.set_profile(SHOP, PERSON, same))["id"] == "7"
    with pytest.raises(ValidationError, match=r"^id: expected the one that names the user"):
        requests.set_profile(SHOP, PERSON, UPDATE)


def test_a_device_can_not_be_purged() -> None:
    with pytest.raises(ValidationError, match="got a device"):
        requests.purge_profile(SHOP, DEVICE)


def test_no_repr_shows_what_is_sent() -> None:
    call = requests.set_profile(SHOP, PERSON, ProfileUpdate(first_name="Ada"))

    assert repr(call) == "<Call profile/set>"
    assert {"Ada", "7", "top-secret", SHOP_ID} <= set(call.private_values())
    for thing in (SHOP, PERSON, PERSON.identity):
        assert "top-secret" not in repr(thing)
        assert "7" not in repr(thing).partition(" at 0x")[0]
    assert repr(DEVICE) == "<RequestContext by did>"


@pytest.mark.parametrize(
    "named", [{}, {"did": "d", "email": "a@b.co"}, {"email": None}, {"name": "x"}, {"did": ""}]
)
def test_an_identity_is_one_known_identifier(named: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Identity.of(**named)


def test_equal_identities_are_one_key() -> None:
    assert Identity.of(external_id=7) == Identity.of(external_id="7")
    assert len({Identity.of(phone="+7 999 000-11-22"), Identity.of(phone="+79990001122")}) == 1
    assert Identity.of(external_id="7") != Identity.of(loyalty_id="7")


def test_a_customer_named_by_the_fields_is_updated_with_the_secret() -> None:
    wire = {"external_id": 8, "email": "ada@shop.example", "custom": {"external_id": 1}}
    sent = body(requests.set_named_profile(SHOP, wire, stream="sync"))

    assert sent == {
        "shop_secret": SHOP.secret,
        "id": 8,
        "email": "ada@shop.example",
        "custom": {"external_id": 1},
        "stream": "sync",
    }
    assert wire["external_id"] == 8
    with pytest.raises(ConfigurationError, match="shop_secret"):
        requests.set_named_profile(PUBLIC, wire)


@pytest.mark.parametrize("shop", [SHOP, PUBLIC])
@pytest.mark.parametrize("kind", ["external_id", "telegram_id"])
def test_the_last_order_by_these_needs_and_sends_no_secret(kind: str, shop: Shop) -> None:
    query = requests.last_order(shop, RequestContext(identity=Identity(kind, "7"))).query
    assert query == {"shop_id": SHOP_ID, kind: "7"}


@pytest.mark.parametrize(
    ("method", "path", "parameters", "field"),
    [
        ("get", "/x", {}, "method"),
        ("PATCH", "/x", {}, "method"),
        ("GET", "", {}, "path"),
        ("GET", "/x?a=b", {}, "path"),
        ("GET", "/../x", {}, "path"),
        ("GET", "//elsewhere.example/x", {}, "path"),
        ("GET", "https://elsewhere.example/x", {}, "path"),
        ("GET", 5, {}, "path"),
        ("GET", "/x", [1], "parameters"),
        ("GET", "/x", {"a": [1]}, "a"),
        ("GET", "/x", {"a": None}, "a"),
        ("GET", "/x", {"a": "\ud800"}, "parameters.a"),
        ("GET", "/x", {"a": float("nan")}, "parameters.a"),
        ("GET", "/x", {"a": 10**5000}, "parameters.a"),
        ("GET", "/x", {1: "a"}, "parameters"),
        ("POST", "/x", {"a": object()}, "parameters.a"),
        ("POST", "/x", {"a": [float("nan")]}, "parameters.a[0]"),
        ("POST", "/x", {"a": b"x"}, "parameters.a"),
        ("POST", "/x", {"a": "\ud800"}, "parameters.a"),
        ("POST", "/x", {"shop_id": "other"}, "shop_id"),
        ("POST", "/x", {"shop_secret": "other"}, "shop_secret"),
    ],
)
def test_a_request_that_cannot_be_made_is_refused(
    method: str, path: Any, parameters: Any, field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        requests.any_request(SHOP, method, path, parameters, repeat=False)
    assert caught.value.field == field
    assert caught.value.__context__ is None


@pytest.mark.parametrize("tz", [-13, 15, True, "3", float("nan")])
def test_an_offset_that_is_none_is_refused(tz: Any) -> None:
    with pytest.raises(ValidationError, match="tz: expected hours from GMT"):
        requests.init(SHOP, tz=tz)
