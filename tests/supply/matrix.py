"""The test suite on other Pythons, with the lowest versions that are allowed and with the pinned.

Run with ``make matrix``, or ``python -m tests.supply.matrix --python 3.13 --versions pinned``.
Takes about five minutes for each combination, and an index to install from.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
VERSIONS: Final = ("lowest", "pinned")

_NOT_RUN: Final = {"bench", "docs", "dev"}
_TOOLS: Final = ("hatchling", "hypothesis", "mypy", "opentelemetry-sdk", "psycopg", "pytest")
_OTHERS_OF_THE_TIME: Final = ("click==8.2.1", "httpx==0.28.0")
"""What the lowest versions brought along when they were new."""

_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)")


def requirements() -> Iterator[str]:
    """Return what the package needs with the extras that are tested."""
    yield from PROJECT["dependencies"]
    for name, extra in PROJECT["optional-dependencies"].items():
        if name not in _NOT_RUN:
            yield from extra


def lowest() -> list[str]:
    """Pin each requirement to the lowest version that it allows."""
    found = (_REQUIREMENT.match(one) for one in requirements())
    return [*(f"{one[1]}=={one[2]}" for one in found if one), *_OTHERS_OF_THE_TIME]


def run(python: str, versions: str) -> str:
    """Install into a new environment and run the suite; return its last line."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        subprocess.run([python, "-m", "venv", home / "venv"], check=True)
        inside = str(home / "venv" / "bin" / "python")
        constraints = ROOT / "constraints.txt"
        if versions == "lowest":
            constraints = home / "lowest.txt"
            constraints.write_text("\n".join(lowest()))
        extras = ",".join(sorted(PROJECT["optional-dependencies"].keys() - _NOT_RUN))
        dev = PROJECT["optional-dependencies"]["dev"]
        tools = [one for one in dev if one.startswith((*_TOOLS, "uvicorn", "websockets"))]
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        where = ["--constraint", str(constraints), "--editable", f"{ROOT}[{extras}]"]
        subprocess.run([*pip, *where, *tools], check=True)
        tests = [inside, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
        # The documentation and the benchmarks have tools of their own, in one version.
        tests += ["--ignore", "tests/docs", "--ignore", "tests/supply"]
        done = subprocess.run(tests, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return "\n".join([*failed, done.stdout.splitlines()[-1]])


def main() -> None:
    """Run every combination that this machine has, and say how each went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--python", nargs="+", default=PYTHONS)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, choices=VERSIONS)
    asked = parser.parse_args()
    for version in asked.python:
        python = shutil.which(version) or shutil.which(f"python{version}")
        for versions in asked.versions:
            went = "not on this machine" if python is None else run(python, versions)
            sys.stdout.write(f"Python {version}, {versions}: {went}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
