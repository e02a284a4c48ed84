"""The documentation site builds without a warning, and holds what readers look for."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from personaclick_async.cli.app import app
from tests.docs.pages import DOCS

TOLD_IN_WORDS = {"Client", "CurrentUser", "CurrentUserOrNone"}
"""Types of parameters and of functions, which have no entry of their own."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, target],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return target


@pytest.mark.parametrize(
    "package",
    [
        "personaclick_async",
        "personaclick_async.emulator",
        "personaclick_async.models",
        "personaclick_async.facade",
        "personaclick_async.sync",
        "personaclick_async.sync.mapping",
        "personaclick_async.sync.sources",
        "personaclick_async.integrations.aiohttp_web",
        "personaclick_async.integrations.asgi",
        "personaclick_async.integrations.dask",
        "personaclick_async.integrations.django",
        "personaclick_async.integrations.fastapi",
        "personaclick_async.integrations.litestar",
        "personaclick_async.integrations.opentelemetry",
        "personaclick_async.integrations.redis",
        "personaclick_async.integrations.wsgi",
    ],
)
def test_every_public_name_is_in_the_reference(site: Path, package: str) -> None:
    names = set(importlib.import_module(package).__all__) - TOLD_IN_WORDS
    anchors = {
        found[1]
        for page in (site / "reference").glob("*.html")
        for found in re.finditer(r'<dt class="sig[^"]*" id="([\w.]+)"', page.read_text())
    }
    documented = {name.rpartition(".")[2] for name in anchors}

    assert names - documented == set()


def test_fields_are_shown_with_their_types(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "profile.html").read_text())

    assert re.search(r"bought_something\s*\(bool \| None\)", text)
    assert "Literal" not in text


def test_fields_are_shown_with_the_comments_behind_them(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "sync.html").read_text())

    assert re.search(r"earlier \(int\) . how many of the rows read were settled", text)


def test_what_only_the_package_uses_is_not_shown(site: Path) -> None:
    pages = (site / "reference").glob("*.html")
    text = re.sub(r"<[^>]+>", "", "".join(page.read_text() for page in pages))

    assert "Unset" not in text
    assert not re.search("for the package.s own modules", text)


def test_pages_ask_nobody_else_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert loaded == [], page.name


def test_every_option_of_the_command_is_in_the_reference(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "command.html").read_text())
    commands = [typer.main.get_command(app)]
    options = set()
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        options |= {name for one in command.params for name in one.opts if name.startswith("--")}
    # Typer's own.
    options -= {"--help", "--version", "--install-completion", "--show-completion"}

    assert {name for name in options if not re.search(rf"{name}\b", text)} == set()
