"""The wheel and the source distribution, built once, and environments with little else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.supply.release import ROOT, Built, NotReleasable, build, install


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build what is published."""
    return build(ROOT, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, without extras, where nothing else is; return that Python."""
    try:
        return install(tmp_path_factory.mktemp("empty"), built.wheel)
    except NotReleasable as reason:
        if "No matching distribution" in str(reason) and "aiohttp" in str(reason):
            pytest.skip("no package index can be reached")
        raise


@pytest.fixture(scope="session")
def project(python: Path, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with the command and pytest, as a project does; return its Python."""
    home = tmp_path_factory.mktemp("project")
    return install(home, f"{built.wheel}[cli]", "pytest")
