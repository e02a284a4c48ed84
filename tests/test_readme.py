"""Every Python example of the README runs against the emulator."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from personaclick_async.emulator import Emulator

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The variables that the examples read."""
    monkeypatch.setenv("PERSONACLICK_SHOP_ID", emulator.shop_id)
    monkeypatch.setenv("PERSONACLICK_SHOP_SECRET", emulator.shop_secret)
    monkeypatch.setenv("PERSONACLICK_API_URL", emulator.url)
    return emulator


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_example_runs(environment: Emulator, example: str) -> None:
    names: dict[str, Any] = {"__name__": "__example__"}
    exec(compile(example, str(README), "exec"), names)
    for name, test in names.items():
        if name.startswith("test_") and inspect.iscoroutinefunction(test):
            asyncio.run(test(environment))
    if isinstance(app := names.get("app"), FastAPI):
        asyncio.run(_visit(app))

    assert environment.requests


async def _visit(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop.example") as browser,
    ):
        assert (await browser.get("/")).status_code == 200


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4
