"""Building what is published, and checking it: ``make release`` does all of it but the upload."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
CONSTRAINTS: Final = ROOT / "constraints.txt"
COMMAND: Final = "personaclick_command.py"


class NotReleasable(Exception):
    """What was built must not be uploaded; says why."""


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


def checked(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command that has to succeed; return its output."""
    done = run(*command, cwd=cwd)
    if done.returncode:
        raise NotReleasable(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@attrs.frozen
class Built:
    """What is published."""

    wheel: Path
    sdist: Path

    def content(self) -> dict[str, bytes]:
        """Return the wheel's files, by name."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def unpack(self, into: Path) -> Path:
        """Unpack the source distribution; return its folder."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(into, filter="data")
        return into / self.sdist.name.removesuffix(".tar.gz")


def build(project: Path, into: Path) -> Built:
    """Build the wheel and the source distribution with the project's own backend."""
    checked(sys.executable, "-m", "build", "--no-isolation", "--outdir", into, project)
    [wheel], [sdist] = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)


def check_contents(built: Built) -> None:
    """Compare the wheel with the package: all of it and nothing else.

    :raises NotReleasable: something is missing, or too much.
    """
    files = (path for path in (ROOT / "personaclick_async").rglob("*") if path.is_file())
    expected = {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"} | {COMMAND}
    found = {name for name in built.content() if ".dist-info/" not in name}
    if found != expected:
        raise NotReleasable(f"the wheel's contents differ: {sorted(found ^ expected)}")


def check_changelog(version: str) -> None:
    """Look for the version's entry, which has a date.

    :raises NotReleasable: it is not the newest, or not there.
    """
    headings = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [(name, rest) for name, rest in headings if name != "Unreleased"]
    if not released or released[0][0] != version:
        raise NotReleasable(f"CHANGELOG.md: expected [{version}] as the newest version")
    if not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", released[0][1]):
        raise NotReleasable(f"CHANGELOG.md: expected a date after [{version}]")


def install(home: Path, *what: str | Path) -> Path:
    """Install into a new environment with nothing else; return its Python.

    :raises NotReleasable: it can't be installed.
    """
    checked(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    add(python, *what)
    return python


def add(python: Path, *what: str | Path) -> None:
    """Install more into an environment."""
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
    checked(*pip, "--constraint", CONSTRAINTS, *what)


def release(into: Path) -> Built:
    """Build and check.

    :raises NotReleasable: something is not as it has to be.
    """
    shutil.rmtree(into, ignore_errors=True)
    built = build(ROOT, into)
    version = built.wheel.name.split("-")[1]
    check_changelog(version)
    check_contents(built)
    checked(sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist)
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder) / "venv", built.wheel)
        code = "import personaclick_async; print(personaclick_async.__version__)"
        said = checked(python, "-W", "error", "-c", code, cwd=Path(folder)).strip()
        if said != version:
            raise NotReleasable(f"the wheel of {version} says that it is {said}")
    return built


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("into", type=Path, help="the folder to build into; it is emptied first")
    try:
        built = release(parser.parse_args().into)
    except NotReleasable as reason:
        sys.exit(f"not releasable: {reason}")
    sys.stdout.write(
        f"built and checked: {built.wheel.name}, {built.sdist.name}\n"
        "Nothing was uploaded: that is a person's decision (twine upload).\n"
    )


if __name__ == "__main__":
    main()
