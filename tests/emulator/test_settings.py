"""Each setting changes what it says, also those that no probe can see."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from personaclick_async.emulator import Behaviour, Emulator, EmulatorSettings
from personaclick_async.emulator.settings import POINTS

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


@asynccontextmanager
async def shop(
    settings: EmulatorSettings | None = None, **told: Any
) -> AsyncIterator[tuple[Emulator, aiohttp.ClientSession]]:
    with Emulator(settings, behaviour=Behaviour.of(told)) as emulator:
        async with aiohttp.ClientSession(emulator.url) as http:
            yield emulator, http


def keys(emulator: Emulator) -> dict[str, str]:
    return {"shop_id": emulator.shop_id, "shop_secret": emulator.shop_secret}


def test_the_protocols_table_has_every_setting_and_its_default() -> None:
    table = PROTOCOL.read_text().partition("## 12.")[2]
    for name, point in POINTS.items():
        default = point.choices[0]
        words = {True: "yes", False: "no"}[default] if isinstance(default, bool) else default
        assert re.search(rf"`{name}`[^|]*\({re.escape(str(words))}[;)]", table), name


@pytest.mark.parametrize(("told", "status"), [({}, 200), ({"identifier_conflict": 409}, 409)])
async def test_a_conflict_of_identifiers(told: dict[str, Any], status: int) -> None:
    async with shop(**told) as (emulator, http):
        emulator.add_profiles([{"email": "a@shop.example"}, {"phone": "79990001122"}])
        body = {**keys(emulator), "email": "a@shop.example", "phone": "79990001122"}
        async with http.post("/profile/set", json=body) as answer:
            assert answer.status == status


@pytest.mark.parametrize(("told", "count"), [({}, 1), ({"phones": "compared as text"}, 4)])
async def test_phones_with_and_without_signs(told: dict[str, Any], count: int) -> None:
    async with shop(**told) as (emulator, _):
        for phone in ("79990001122", "+79990001122", "+7 (999) 000-11-22", "7-999-0001122"):
            emulator.add_profiles([{"phone": phone}])
        assert emulator.count_profiles() == count


@pytest.mark.parametrize("form", ["seconds", "date", "absent"])
async def test_the_forms_of_retry_after(form: str) -> None:
    settings = EmulatorSettings(import_limit=1)
    async with shop(settings, retry_after=form, over_limit=503) as (emulator, http):
        body = {**keys(emulator), "audience": []}
        for _ in range(2):
            async with http.post("/import/audience", json=body) as answer:
                header = answer.headers.get("Retry-After")
        assert answer.status == 503
        if form == "date":
            assert header is not None
            assert parsedate_to_datetime(header).tzinfo is not None
        else:
            assert (header is None) == (form == "absent")


async def test_imports_may_be_applied_at_once_and_refused_as_told() -> None:
    told = {"imports_applied": "before the answer", "oversize": 400, "import_refused": 401}
    async with shop(EmulatorSettings(max_import_bytes=500), **told) as (emulator, http):
        audience = [{"email": "a@shop.example"}, {"first_name": "Nobody"}]
        async with http.post("/import/audience", json={**keys(emulator), "audience": audience}):
            assert emulator.profile(email="a@shop.example")
            assert emulator.ignored_entries == 1
        for body, status in (
            ({**keys(emulator), "audience": ["x" * 600]}, 400),
            ({"shop_id": "x", "audience": []}, 401),
        ):
            async with http.post("/import/audience", json=body) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ({}, {"first_name": "Ada", "phone": "5550100"}),
        ({"empty_text": "clears"}, {}),
        ({"empty_text": "stored"}, {"first_name": "", "phone": "5550100"}),
        ({"empty_text": 422}, None),
    ],
)
async def test_an_empty_string(told: dict[str, Any], stored: dict[str, Any] | None) -> None:
    before = {"first_name": "Ada", "phone": "5550100"}
    async with shop(**told) as (emulator, http):
        emulator.add_profiles([{"email": "a@shop.example", **before}])
        body = {**keys(emulator), "email": "a@shop.example", "first_name": "", "phone": ""}
        async with http.post("/profile/set", json=body) as answer:
            assert answer.status == (200 if stored is not None else 422)
        found = emulator.profile(email="a@shop.example")
        shown = {name: value for name, value in found.items() if name in before}
        assert shown == (before if stored is None else stored)


async def test_kids_may_be_merged_and_shown() -> None:
    async with shop(lists="merged", kids_shown=True) as (emulator, http):
        for gender in "mf":
            emulator.add_profiles([{"email": "a@shop.example", "kids": [{"gender": gender}]}])
        query = {**keys(emulator), "email": "a@shop.example"}
        async with http.get("/profile", params=query) as answer:
            assert (await answer.json())["kids"] == [{"gender": "m"}, {"gender": "f"}]
