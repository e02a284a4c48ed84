"""The documentation site builds without a warning, and holds what readers look for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import personaclick_async
from tests.docs.pages import DOCS


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


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    anchors = {
        found[1]
        for page in (site / "reference").glob("*.html")
        for found in re.finditer(r'<dt class="sig[^"]*" id="([\w.]+)"', page.read_text())
    }
    documented = {name.rpartition(".")[2] for name in anchors}

    assert set(personaclick_async.__all__) - documented == set()


def test_fields_are_shown_with_their_types(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "profile.html").read_text())

    assert re.search(r"bought_something\s*\(bool \| None\)", text)
    assert "Literal" not in text


def test_pages_ask_nobody_else_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text()
        )
        assert loaded == [], page.name
