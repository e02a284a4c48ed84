"""However the service behaves at the open points: the right result or a typed error."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from hypothesis import given, settings

from personaclick_async import PersonaClick, PersonaClickError, RetryPolicy
from personaclick_async.emulator import Behaviour, Emulator
from personaclick_async.sync import Route, SyncOptions
from tests.test_probe import EXAMPLES, behaviours

T = TypeVar("T")
CUSTOMERS = [{"external_id": f"c{n}", "first_name": f"Name {n}"} for n in range(100)]


async def result(call: Awaitable[T]) -> T | PersonaClickError:
    """The result of a call, or the typed error that it raised; anything else fails the test."""
    try:
        return await call
    except PersonaClickError as error:
        return error


async def a_visitor(client: PersonaClick) -> None:
    """A device sets what its profile shows, and reads it back."""
    user = await result(client.init())
    if isinstance(user, PersonaClickError):
        return
    done = await result(user.profile.set(gender="f", custom={"colour": "red"}))
    profile = await result(user.profile.get())
    if done is None and not isinstance(profile, PersonaClickError):
        assert profile.gender == "f"
        assert profile.custom_properties in ({}, {"colour": "red"})
    assert await result(user.orders.last_for_user()) == []


async def a_customer(client: PersonaClick) -> None:
    """A customer is set and read back, and has bought something."""
    user = client.user(external_id="7")
    done = await result(user.profile.set(first_name="Ada", kids=[{"gender": "f"}]))
    for read in (user.profile.full(), user.profile.get()):
        full = await result(read)
        if done is None and not isinstance(full, PersonaClickError):
            assert full.to_dict()["first_name"] == "Ada"
    bought = await result(user.orders.last_for_user())
    if not isinstance(bought, PersonaClickError):
        assert [product.id for product in bought] == ["a"]
    history = await result(user.orders.by_user())
    if not isinstance(history, PersonaClickError):
        assert [order.id for order in history] == ["o1"]


@settings(deadline=None, max_examples=EXAMPLES)
@given(behaviour=behaviours(customer_profile="full"))
async def test_no_behaviour_makes_a_wrong_value(behaviour: Behaviour) -> None:
    with Emulator(behaviour=behaviour) as emulator:
        emulator.add_products([{"id": "a", "name": "Apple", "price": 1}])
        emulator.add_orders([{"id": "o1", "external_id": "7", "items": [{"id": "a"}]}])
        async with PersonaClick(
            emulator.shop_id,
            shop_secret=emulator.shop_secret,
            api_url=emulator.url,
            retry=RetryPolicy(attempts=1),
        ) as client:
            await a_visitor(client)
            await a_customer(client)
            for route in Route.PER_PROFILE, Route.BULK:
                report = await result(client.sync_all(CUSTOMERS, options=SyncOptions(route=route)))
                if not isinstance(report, PersonaClickError):
                    counts = (report.sent, report.failed, report.rejected)
                    assert sum(counts) == len(CUSTOMERS)
        emulator.drain()
        stored = {one["external_id"]: one for one in emulator.profiles() if "external_id" in one}
        for customer in CUSTOMERS:
            found = stored.get(customer["external_id"])
            assert found is None or found["first_name"] == customer["first_name"]


@settings(deadline=None, max_examples=EXAMPLES)
@given(behaviour=behaviours(customer_profile="full"))
async def test_a_wrong_secret_is_always_a_typed_error(behaviour: Behaviour) -> None:
    with Emulator(behaviour=behaviour) as emulator:
        async with PersonaClick(
            emulator.shop_id,
            shop_secret="wrong",
            api_url=emulator.url,
            retry=RetryPolicy(attempts=1),
        ) as client:
            user = client.user(external_id="7")
            for call in (
                user.profile.get(),
                user.profile.set(first_name="A"),
                user.profile.purge(),
            ):
                assert isinstance(await result(call), PersonaClickError)
            report = await result(client.sync_all(CUSTOMERS[:1]))
            assert isinstance(report, PersonaClickError) or report.sent == 0
