"""The examples of the documentation pass a user's strict type checkers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, python_examples

LEFT_OUT = {"distributed.md"}
"""Pages whose examples are parts of a program, or are for libraries that come without types."""

UNTYPED = "fastapi.testclient"
"""Its types depend on a library that FastAPI itself does not ask for; pyright finds none."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each example as a module."""
    folder = tmp_path_factory.mktemp("examples")
    for page, example in python_examples():
        if Path(page).name in LEFT_OUT:
            continue
        name = f"{Path(page).stem}_{example.line}".replace("-", "_")
        (folder / f"{name}.py").write_text(example.code)
    return folder


def test_mypy_is_content(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", folder],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_pyright_is_content(folder: Path) -> None:
    settings = {
        "typeCheckingMode": "strict",
        "extraPaths": [str(ROOT)],
        "pythonVersion": "3.11",
    }
    for path in folder.glob("*.py"):
        if UNTYPED in path.read_text():
            path.unlink()
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "-p", folder, "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
