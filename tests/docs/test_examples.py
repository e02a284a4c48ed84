"""Every example of every page runs against the emulator, and prints what the page says.

A page is gone through as a reader would: from top to bottom, with one emulator and in one folder,
where the files are that its captions name; one that a command has made must be what the page
shows. Where a block of text follows an example, it is the example's output.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import re
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from personaclick_async.emulator import Emulator
from personaclick_async.sync.mapping import FieldMapping
from tests.docs.pages import ROOT, TESTED_ELSEWHERE, Console, File, Python, mappings, pages, steps

ANYTHING = "..."
# The rest installs something, or serves until it is stopped.
RUN = re.compile(r"tail|sed|personaclick (?!emulator)")


@pytest.fixture
def environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The variables that a reader has set."""
    monkeypatch.setenv("PERSONACLICK_SHOP_ID", emulator.shop_id)
    monkeypatch.setenv("PERSONACLICK_SHOP_SECRET", emulator.shop_secret)
    monkeypatch.setenv("PERSONACLICK_API_URL", emulator.url)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "100")
    return emulator


@pytest.mark.filterwarnings("ignore::starlette.exceptions.StarletteDeprecationWarning")
@pytest.mark.parametrize("page", pages())
def test_the_page_tells_the_truth(environment: Emulator, page: str, tmp_path: Path) -> None:
    has_files = False
    with chdir(tmp_path):
        for step in steps(page):
            match step:
                case File():
                    has_files = True
                    give_file(step, page)
                case Python():
                    run_python(step, page)
                # Elsewhere commands are about files that the reader has and nobody else.
                case Console() if has_files and RUN.match(step.command):
                    run_command(step, page)


def give_file(file: File, page: str) -> None:
    path = Path(file.name)
    if path.exists():
        assert path.read_text() == file.text, f"{page}: {file.name}"
    path.write_text(file.text)


def run_python(example: Python, page: str) -> None:
    # As many lines before it as on the page, so that a traceback names the page's line.
    code = "\n" * (example.line - 1) + example.code
    names: dict[str, Any] = {"__name__": "__example__"}
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, str(ROOT / page), "exec"), names)
    if any(name.startswith("test_") and inspect.isfunction(one) for name, one in names.items()):
        run_pytest(example, page)
    if isinstance(app := names.get("app"), FastAPI):
        asyncio.run(visit(app))
    if example.output is not None:
        assert printed.getvalue() == example.output, f"{page}:{example.line}"


def run_pytest(example: Python, page: str) -> None:
    Path("test_example.py").write_text(example.code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "test_example.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{page}:{example.line}\n{done.stdout}"


async def visit(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop.example") as browser,
    ):
        assert (await browser.get("/")).status_code == 200


def run_command(console: Console, page: str) -> None:
    done = subprocess.run(
        ["bash", "-c", console.command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    # Tables fill their columns up, and files begin with a mark for spreadsheets.
    said = re.sub(r" +$", "", done.stdout, flags=re.MULTILINE).replace("\ufeff", "")
    wanted = ".*".join(re.escape(part) for part in console.output.split(ANYTHING))
    assert re.fullmatch(wanted, said, re.DOTALL), f"{page}:{console.line} printed:\n{said}"


def test_no_page_is_left_out() -> None:
    assert {"README.md", "docs/index.md", "docs/concepts.md", "docs/batch-syncs.md"} <= {*pages()}
    for page, test in TESTED_ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text()


@pytest.mark.parametrize("page", pages())
def test_every_block_of_code_says_what_it_is(page: str) -> None:
    fences = re.findall(r"^```.*$", (ROOT / page).read_text(), re.MULTILINE)

    assert len(fences) % 2 == 0
    assert "```" not in fences[::2]


@pytest.mark.parametrize("mapping", mappings(), ids=range(len(mappings())))
def test_every_mapping_is_one(mapping: str) -> None:
    assert FieldMapping.parse(mapping).fields
