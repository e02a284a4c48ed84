"""What people would use instead: HTTP clients and no SDK, as a careful person would write them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import aiohttp
import httpx
import niquests
import requests

from personaclick_async import CachePolicy, PersonaClick

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
    """Give an id that was never used: repeated URLs would flatter whoever caches them."""
    return f"device{next(_devices):010}"


def _query(did: str) -> dict[str, str]:
    return {"shop_id": SHOP, "did": did}


@asynccontextmanager
async def bare_aiohttp(url: str) -> AsyncIterator[dict[str, Call]]:
    """The floor: one aiohttp session and json.loads."""
    ready_made = json.dumps({"shop_id": SHOP, "did": "device", **FIELDS}).encode()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def get(did: str) -> object:
            async with session.get(url + "profile", params=_query(did), headers=_HEADERS) as answer:
                return json.loads(await answer.read())

        async def last_order(did: str) -> object:
            async with session.get(
                url + "orders/last_for_user", params=_query(did), headers=_HEADERS
            ) as answer:
                return json.loads(await answer.read())

        async def set_(_: str) -> object:
            async with session.post(url + "profile/set", data=ready_made, headers=_JSON) as answer:
                return json.loads(await answer.read())

        yield {"get": get, "set": set_, "last order": last_order}


@asynccontextmanager
async def sdk(url: str) -> AsyncIterator[dict[str, Call]]:
    """This package, with all layers on."""
    async with PersonaClick(
        SHOP, shop_secret=SECRET, api_url=url, max_concurrency=1000, cache=CachePolicy()
    ) as client:

        async def get(did: str) -> object:
            return await client.user(did=did).profile.get()

        async def last_order(did: str) -> object:
            return await client.user(did=did).orders.last_for_user()

        async def set_(did: str) -> object:
            await client.user(did=did).profile.set(**FIELDS)
            return None

        yield {"get": get, "set": set_, "last order": last_order}


@asynccontextmanager
async def httpx_client(url: str) -> AsyncIterator[dict[str, Call]]:
    """HTTPX, asynchronous."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=30) as session:

        async def get(did: str) -> object:
            return (await session.get(url + "profile", params=_query(did))).json()

        yield {"get": get}


@asynccontextmanager
async def niquests_client(url: str) -> AsyncIterator[dict[str, Call]]:
    """Niquests, asynchronous."""
    async with niquests.AsyncSession(pool_maxsize=1000, pool_connections=10) as session:

        async def get(did: str) -> object:
            return (await session.get(url + "profile", params=_query(did))).json()

        yield {"get": get}


@asynccontextmanager
async def requests_in_threads(url: str, threads: int) -> AsyncIterator[dict[str, Call]]:
    """Requests, in a pool of threads."""
    with requests.Session() as session, ThreadPoolExecutor(threads) as pool:
        adapter = requests.adapters.HTTPAdapter(pool_connections=10, pool_maxsize=threads)
        session.mount("http://", adapter)
        loop = asyncio.get_running_loop()

        def blocking(did: str) -> object:
            return session.get(url + "profile", params=_query(did), timeout=30).json()

        async def get(did: str) -> object:
            return await loop.run_in_executor(pool, blocking, did)

        yield {"get": get}
