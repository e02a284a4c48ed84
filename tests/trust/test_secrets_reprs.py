"""No public object shows in its repr, its text or its format what it holds of anybody."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import typing
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Final

import attrs
import pytest

import personaclick_async as sdk
from personaclick_async import emulator, facade, hooks, models, sync
from personaclick_async.cache import CacheStats
from personaclick_async.config import CallOptions, Config
from personaclick_async.emulator import Emulator, EmulatorSettings
from personaclick_async.facade import create_personaclick
from personaclick_async.integrations import redis
from personaclick_async.logs import RedactingFormatter, Redactor
from personaclick_async.models.reading import Read
from personaclick_async.protocol.answers import refusal
from personaclick_async.sync import mapping, sources
from personaclick_async.sync.sources import open_source
from personaclick_async.transport import TransportStats
from tests.conftest import MakeClient
from tests.trust.canaries import CANARIES, UPDATE, answered_profile, flat_row, found_in

PACKAGES: Final = (sdk, models, facade, sync, sources, mapping, emulator, redis)

EVERYTHING: Final = " ".join(CANARIES.values())
SENT: Final = json.dumps(flat_row())

SAYS_NOTHING: Final = {
    # What they hold are settings, counts and names of columns, chosen by whoever writes the code.
    *(sdk.CachePolicy, CacheStats, CallOptions, sdk.RateLimit, sdk.RetryPolicy),
    *(sdk.Timeouts, TransportStats, sdk.CleanConnector),
    *(sync.Checked, sync.Delivered, sync.Failed, sync.Queued, sync.Unchanged, sync.Waiting),
    *(sync.SyncOptions, emulator.Behaviour),
    *(sources.Layout, mapping.CompiledMapping, mapping.FieldMapping, mapping.Origin),
    *(mapping.Change, mapping.Changes),
}


def public_classes() -> set[type]:
    """Every class in an ``__all__`` that has instances of its own."""
    found = (getattr(package, name) for package in PACKAGES for name in package.__all__)
    return {
        one
        for one in found
        if inspect.isclass(one) and one is not sdk.Json
        if not issubclass(one, BaseException | Enum)
        if not typing.is_typeddict(one)
        if not getattr(one, "_is_protocol", False) and not inspect.isabstract(one)
    }


def filled(kind: type[Read]) -> Read:
    """Make an object of an answer with a text full of canaries in each of its fields."""
    made = kind.__new__(kind)
    for field in attrs.fields_dict(typing.cast("type[attrs.AttrsInstance]", kind)):
        object.__setattr__(made, field, EVERYTHING)
    return made


def csv_of(folder: Path) -> Path:
    path = folder / "people.csv"
    row = {name: str(value) for name, value in flat_row().items() if isinstance(value, str)}
    path.write_text("\n".join((",".join(row), ",".join(f'"{one}"' for one in row.values()))))
    return path


@attrs.frozen
class World:
    """What objects are made of: a shop with one customer, all of whom is canaries."""

    client: sdk.PersonaClick
    shop: Emulator
    folder: Path

    @property
    def user(self) -> sdk.User:
        return self.client.user(did=CANARIES["did"], seance=CANARIES["seance"])

    async def full_answer(self) -> sdk.Answer[sdk.FullProfile]:
        return await self.user.profile.raw.full()

    async def attempt(self) -> hooks.Attempt:
        seen: list[hooks.Attempt] = []
        async with sdk.PersonaClick(
            self.shop.shop_id,
            shop_secret=self.shop.shop_secret,
            api_url=self.shop.url,
            hooks=sdk.Hooks(on_response=seen.append),
        ) as client:
            with pytest.raises(sdk.ServiceError), self.shop.fault(status=422, error_message=SENT):
                await client.user(email=CANARIES["email"]).profile.set(**UPDATE)
        assert seen[0].error is not None
        return seen[0]

    async def handle(self) -> facade.Handle:
        handle = create_personaclick(self.client).for_user(self.user)("profile", "get")
        await handle
        return handle

    async def call_error(self) -> facade.CallError:
        heard: list[facade.CallError] = []
        call = create_personaclick(self.client).for_user(self.user)
        with pytest.raises(sdk.ServiceError), self.shop.fault(status=422, error_message=SENT):
            await call("profile", "set", UPDATE, None, heard.append)
        return heard[0]

    async def rejected(self) -> sync.Rejected:
        [rejected] = [one async for one in self.client.sync([{**flat_row(), "gender": EVERYTHING}])]
        assert isinstance(rejected, sync.Rejected)
        return rejected

    async def report(self) -> sync.Report:
        return await self.client.sync_all([flat_row(), {**flat_row(), "email": EVERYTHING}])


Make = Callable[[World], object | Awaitable[object]]

ROW = flat_row()
RECORD = sync.Record(1, ROW)
FAULTS = (sync.Fault("email", "an address", "a str"),)

MAKE: Final[dict[type, Make]] = {
    sdk.Answer: World.full_answer,
    hooks.Attempt: World.attempt,
    Config: lambda world: world.client.config,
    sdk.FullProfile: lambda world: world.user.profile.full(),
    sdk.Profile: lambda world: world.user.profile.get(),
    sdk.Hooks: lambda _: sdk.Hooks(on_request=print),
    models.Identity: lambda world: world.user.identity,
    models.InitAnswer: lambda world: world.user.init(),
    sdk.Kid: lambda _: sdk.Kid(gender="f", birthday=CANARIES["kid_birthday"]),
    sdk.PersonaClick: lambda world: world.client,
    sdk.ProfileUpdate: lambda _: sdk.ProfileUpdate(**UPDATE),
    sdk.Session: lambda world: world.user.session,
    sdk.Stored: lambda _: sdk.Stored(json.dumps(answered_profile()).encode(), 1.0),
    sdk.DeviceUser: lambda world: world.client.init(did=CANARIES["did"]),
    sdk.User: lambda world: world.user,
    sdk.Vehicle: lambda _: sdk.Vehicle(vds=CANARIES["vehicle"]),
    facade.CallError: World.call_error,
    facade.Handle: World.handle,
    facade.Personaclick: lambda world: create_personaclick(world.client).for_user(world.user),
    sync.Record: lambda _: RECORD,
    sync.Fault: lambda _: FAULTS[0],
    sync.FaultyRow: lambda _: sync.FaultyRow(1, FAULTS, ROW),
    sync.Omitted: lambda _: sync.Omitted(1, FAULTS, ROW),
    sync.Rejected: World.rejected,
    sync.Refused: lambda _: sync.Refused(1, FAULTS, ROW),
    sync.Report: World.report,
    sync.Sync: lambda world: world.client.sync([ROW]),
    sources.Candidate: lambda _: sources.Candidate("cp1252", EVERYTHING),
    sources.RemoteInput: lambda _: sources.RemoteInput("https://user:5eCr3t@127.0.0.1/crm.csv"),
    sources.SheetSource: lambda world: sources.SheetSource(csv_of(world.folder)),
    sources.CsvSource: lambda world: open_source(csv_of(world.folder)),
    sources.FileInput: lambda world: sources.FileInput(csv_of(world.folder)),
    sources.IterableSource: lambda _: sources.IterableSource([ROW]),
    sources.JsonSource: lambda world: sources.JsonSource(csv_of(world.folder)),
    sources.ParquetSource: lambda world: sources.ParquetSource(csv_of(world.folder)),
    sources.Sample: lambda world: open_source(csv_of(world.folder)).sample(),
    sources.SeveralSources: lambda world: open_source(f"{csv_of(world.folder)}*"),
    sources.SqlSource: lambda _: sources.SqlSource(
        f"postgresql://crm:{'5eCr3t-k3y-0f-Fink'}@127.0.0.1/crm",
        f"SELECT * FROM people WHERE email = '{CANARIES['loyalty_id']}'",
        parameters={"phone": CANARIES["phone"]},
    ),
    sources.StreamInput: lambda _: sources.StreamInput(io.BytesIO(EVERYTHING.encode())),
    emulator.Emulator: lambda world: world.shop,
    emulator.EmulatorSettings: lambda world: world.shop.settings,
    emulator.Fault: lambda _: emulator.Fault(
        error_message=EVERYTHING, body=EVERYTHING.encode(), status=422
    ),
    emulator.Held: lambda world: world.shop.hold("GET", "/profile"),
    emulator.RecordedRequest: lambda world: world.shop.requests_to("/profile/set")[-1],
    redis.RedisStore: lambda _: redis.RedisStore(
        f"redis://:{CANARIES['loyalty_id']}@127.0.0.1:9/0"
    ),
    Redactor: lambda _: Redactor([CANARIES["shop_secret"]]),
    RedactingFormatter: lambda _: RedactingFormatter(secrets=[CANARIES["shop_secret"]]),
}
"""How to come by an object of each class, with canaries in it."""

CATALOGUE: Final = {models.Category, models.FashionColor, models.Param, sdk.Product}
"""What a shop shows to everybody; who bought it is not in it."""


@pytest.fixture
async def world(make_client: MakeClient, tmp_path: Path) -> typing.AsyncIterator[World]:
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        client = make_client(
            shop_id=shop.shop_id, shop_secret=shop.shop_secret, api_url=shop.url, cache=None
        )
        world = World(client, shop, tmp_path)
        await world.user.profile.set(**UPDATE)
        yield world
        await client.close()


def test_every_public_class_has_a_row() -> None:
    assert public_classes() - MAKE.keys() - SAYS_NOTHING - CATALOGUE - set(answer_models()) == set()
    assert len(public_classes()) > 50


async def test_no_public_object_shows_what_it_holds(world: World) -> None:
    shown: dict[str, list[str]] = {}
    for kind, make in MAKE.items():
        made = make(world)
        one = await made if inspect.iscoroutine(made) else made
        assert isinstance(one, kind)
        for text in (repr(one), str(one), f"{one}", repr([one]), repr({"of": (one,)})):
            shown.setdefault(kind.__name__, []).extend(found_in(text))
    assert {name: found for name, found in shown.items() if found} == {}


def answer_models() -> list[type]:
    """Every class of what is read: those that answers are, and those that are in them."""
    modules = ("profile", "order", "identity")
    names = [importlib.import_module(f"personaclick_async.models.{one}") for one in modules]
    return [
        one
        for module in names
        for one in vars(module).values()
        if inspect.isclass(one) and attrs.has(one) and one.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", [kind for kind in answer_models() if kind not in CATALOGUE])
def test_nothing_that_was_read_shows_what_it_says(kind: type[Read]) -> None:
    assert found_in(repr(filled(kind))) == []


def test_every_part_of_an_answer_is_a_model() -> None:
    assert {one for one in public_classes() if issubclass(one, Read)} <= set(answer_models())
    assert len(answer_models()) > 20


async def test_what_a_public_object_is_made_of_shows_nothing_either(world: World) -> None:
    answer = await world.full_answer()
    parts = [
        answer.call,
        answer.headers,
        world.client._core,
        world.user.scope,
        world.user.scope.visit,
    ]
    parts += [vars(world.client), vars(world.user), world.client.profile, world.user.orders]
    parts += [refusal(answer), world.client.sync([ROW]).report, world.shop.requests]
    for error in ("parse", "json"):
        answer.body = EVERYTHING.encode()
        with pytest.raises(sdk.MalformedAnswer) as caught:
            getattr(answer, error)()
        parts += [caught.value, vars(caught.value)]
    assert {type(one).__name__: found_in(repr(one)) for one in parts if found_in(repr(one))} == {}


async def test_the_canaries_are_really_in_there(world: World) -> None:
    answer = await world.full_answer()
    assert {"email", "phone", "first_name", "custom", "custom_nested"} <= set(found_in(answer.body))
    assert "shop_secret" in found_in(json.dumps(dict(answer.call.query)))
    assert len(found_in(json.dumps((await world.rejected()).source_row, default=str))) > 10
