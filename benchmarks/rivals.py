"""What else people would use for a profile read: other clients, and one call after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import httpx
import niquests
import requests

from benchmarks.clients import Call, bare_aiohttp, query


@asynccontextmanager
async def one_after_the_other(url: str) -> AsyncIterator[dict[str, Call]]:
    """The official SDKs' way: a call waits until the calls before have been answered."""
    turn = asyncio.Lock()
    async with bare_aiohttp(url) as bare:

        async def get(did: str) -> object:
            async with turn:
                return await bare["get"](did)

        yield {"get": get}


@asynccontextmanager
async def httpx_client(url: str) -> AsyncIterator[dict[str, Call]]:
    """HTTPX, asynchronous."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=30) as session:

        async def get(did: str) -> object:
            return (await session.get(url + "profile", params=query(did))).json()

        yield {"get": get}


@asynccontextmanager
async def niquests_client(url: str) -> AsyncIterator[dict[str, Call]]:
    """Niquests, asynchronous."""
    async with niquests.AsyncSession(pool_maxsize=1000, pool_connections=10) as session:

        async def get(did: str) -> object:
            return (await session.get(url + "profile", params=query(did))).json()

        yield {"get": get}


@asynccontextmanager
async def requests_in_threads(url: str, threads: int) -> AsyncIterator[dict[str, Call]]:
    """Requests, in a pool of threads."""
    with requests.Session() as session, ThreadPoolExecutor(threads) as pool:
        adapter = requests.adapters.HTTPAdapter(pool_connections=10, pool_maxsize=threads)
        session.mount("http://", adapter)
        loop = asyncio.get_running_loop()

        def blocking(did: str) -> object:
            return session.get(url + "profile", params=query(did), timeout=30).json()

        async def get(did: str) -> object:
            return await loop.run_in_executor(pool, blocking, did)

        yield {"get": get}
