"""A plain HTTP client of the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from personaclick_async.emulator import Emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that knows the emulator's address, keeps no cookies, and knows nothing else."""
    async with aiohttp.ClientSession(
        base_url=emulator.url, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield session
