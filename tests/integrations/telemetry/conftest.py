"""A backend that collects, and a client that reports to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from personaclick_async import PersonaClick
from tests.conftest import MakeClient
from tests.integrations.telemetry.collecting import Backend


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def client(make_client: MakeClient, backend: Backend) -> AsyncIterator[PersonaClick]:
    """A client under observation, none of whose hooks may raise."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    yield backend.telemetry.observe(make_client(hooks=backend.telemetry.hooks))
    assert complaints == []
