"""Every example of the page about web frameworks runs, and those that are applications serve."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from personaclick_async.emulator import Emulator
from tests.integrations.web.serving import browser
from tests.integrations.web.test_examples import ROOT, environment, running

PAGE = ROOT / "docs" / "web-frameworks.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
APPLICATIONS = {
    name: next(one for one in EXAMPLES if mark in one)
    for name, mark in {
        "fastapi": "FastAPI(lifespan",
        "starlette": "Starlette(",
        "litestar": "Litestar(",
        "aiohttp.web": "web.Application(",
        "django": "get_asgi_application()",
    }.items()
}
SNIPPETS = [one for one in EXAMPLES if one not in APPLICATIONS.values()]


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_the_application_serves_a_visitor(
    emulator: Emulator, name: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(APPLICATIONS[name])
    served = {
        "aiohttp.web": ["-m", "aiohttp.web", "-P", "{port}", "shop:make"],
        "django": ["-m", "uvicorn", "shop:application", "--port", "{port}"],
    }.get(name, ["-m", "uvicorn", "shop:app", "--port", "{port}"])
    if name == "aiohttp.web":
        with (tmp_path / "shop.py").open("a") as shop:
            shop.write("\n\ndef make(arguments: list[str]) -> web.Application:\n    return app\n")

    async with running(emulator, served, folder=tmp_path) as url, browser(url) as visitor:
        for _ in range(2):
            async with visitor.get("/") as response:
                assert response.status == 200, await response.text()
                await response.read()

    assert len(emulator.devices()) == 1
    assert len(emulator.requests_to("/init")) == 1


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_the_snippet_runs(emulator: Emulator, snippet: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet],
        env=environment(emulator),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_has_an_example_of_every_framework() -> None:
    assert len(APPLICATIONS) == 5
    assert len(SNIPPETS) >= 5
