"""What most tests need: a running emulator, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import settings

from personaclick_async import PersonaClick, RetryPolicy
from personaclick_async.emulator import Emulator

QUICK_RETRY = RetryPolicy(first_wait=0.01, longest_wait=0.05, total=20)
"""The rules of retrying with waits that a test can afford."""

MakeClient = Callable[..., PersonaClick]

# The same code always gets the same verdict; `make explore` is for inputs that none has met yet.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("same")


@pytest.fixture
def emulator(personaclick_emulator: Emulator) -> Emulator:
    """A started emulator of its own for each test."""
    return personaclick_emulator


@pytest.fixture
async def make_client(emulator: Emulator) -> AsyncIterator[MakeClient]:
    """Make clients of the emulator, closed when the test ends."""
    made: list[PersonaClick] = []

    def make(**settings: Any) -> PersonaClick:
        usual: dict[str, Any] = {
            "shop_id": emulator.shop_id,
            "shop_secret": emulator.shop_secret,
            "api_url": emulator.url,
            "retry": QUICK_RETRY,
        }
        client = PersonaClick(**{**usual, **settings})
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def client(make_client: MakeClient) -> PersonaClick:
    """A client with the secret, the cache on, and short waits between attempts."""
    return make_client()
