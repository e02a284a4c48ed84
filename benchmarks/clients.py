"""The two that are compared most: bare aiohttp as a careful person would use it, and this SDK.

What else people would use is in ``rivals``: it is loaded where it is measured, and weighs on
nothing else.
"""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import aiohttp
from yarl import URL

from personaclick_async import CachePolicy, PersonaClick
from personaclick_async.config import Config
from personaclick_async.pools import new_session

SHOP: Final = "e0" * 15
SECRET: Final = "5e" * 16
FIELDS: Final[dict[str, Any]] = {
    "email": "ada@shop.example",
    "first_name": "Ada",
    "gender": "f",
    "birthday": "1990-03-11",
    "location": "NY",
    "kids": [{"gender": "m"}],
}
_HEADERS: Final = {"Accept": "application/json", "User-Agent": "bare/1.0"}
_JSON: Final = {**_HEADERS, "Content-Type": "application/json"}

Call: TypeAlias = Callable[[str], Awaitable[object]]
"""Makes one call for the device with that id."""

_devices = itertools.count()


def device() -> str:
    """Return an id that was never used: repeated URLs would flatter a client that caches them."""
    return f"device{next(_devices):010}"


def query(did: str) -> dict[str, str]:
    return {"shop_id": SHOP, "did": did}


@asynccontextmanager
async def bare_aiohttp(
    url: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[dict[str, Call]]:
    """The floor: one aiohttp session, json.dumps and json.loads."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls or True),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:

        async def get(did: str) -> object:
            async with session.get(url + "profile", params=query(did), headers=_HEADERS) as answer:
                return json.loads(await answer.read())

        async def last_order(did: str) -> object:
            async with session.get(
                url + "orders/last_for_user", params=query(did), headers=_HEADERS
            ) as answer:
                return json.loads(await answer.read())

        async def set_(did: str) -> object:
            # Encoded each time: no two visitors send the same.
            body = json.dumps({**query(did), **FIELDS}).encode()
            async with session.post(url + "profile/set", data=body, headers=_JSON) as answer:
                return json.loads(await answer.read())

        yield {"get": get, "set": set_, "last order": last_order}


@asynccontextmanager
async def session_as_here(url: str) -> AsyncIterator[dict[str, Call]]:
    """Aiohttp as this SDK sets it up, and nothing of the SDK besides."""
    address = URL(url + "profile")
    async with new_session(Config(shop_id=SHOP)) as session:

        async def get(did: str) -> object:
            answer = await session.request("GET", address, params=query(did))
            return await answer.read()

        yield {"get": get}


@asynccontextmanager
async def sdk(url: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[dict[str, Call]]:
    """This package, with all layers on."""
    async with PersonaClick(
        SHOP,
        shop_secret=SECRET,
        api_url=url,
        max_concurrency=1000,
        cache=CachePolicy(),
        ssl_context=tls,
    ) as client:

        async def get(did: str) -> object:
            return await client.user(did=did).profile.get()

        async def last_order(did: str) -> object:
            return await client.user(did=did).orders.last_for_user()

        async def set_(did: str) -> object:
            await client.user(did=did).profile.set(**FIELDS)
            return None

        yield {"get": get, "set": set_, "last order": last_order}
