"""The wheel and the source distribution, built once, and an environment with nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def build(project: Path, kind: str, into: Path) -> Path:
    """Build with the project's own backend, from what is there."""
    done = run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into, cwd=project)
    assert done.returncode == 0, done.stderr
    [made] = into.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@attrs.frozen
class Built:
    """What is published.

    :ivar unpacked: the source distribution's folder.
    """

    wheel: Path
    sdist: Path
    unpacked: Path

    def content(self) -> dict[str, bytes]:
        """Give the wheel's files."""
        return content(self.wheel)


def content(wheel: Path) -> dict[str, bytes]:
    """Give a wheel's files, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build what is published."""
    folder = tmp_path_factory.mktemp("built")
    sdist = build(ROOT, "sdist", folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return Built(build(ROOT, "wheel", folder / "wheel"), sdist, unpacked)


@pytest.fixture(scope="session")
def python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, without extras, where nothing else is; gives that Python."""
    home = tmp_path_factory.mktemp("empty")
    made = run(sys.executable, "-m", "venv", home)
    assert made.returncode == 0, made.stderr
    python = home / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    installed = run(*pip, "install", "--constraint", ROOT / "constraints.txt", built.wheel)
    if "No matching distribution" in installed.stderr and "aiohttp" in installed.stderr:
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    return python
