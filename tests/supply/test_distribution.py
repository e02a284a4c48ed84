"""The wheel and the source distribution are complete, and work where nothing else is."""

from __future__ import annotations

import email
import re
import sys
import tomllib
from pathlib import Path

from personaclick_async import __version__
from tests.supply.conftest import ROOT, Built, build, content, run

HERE = Path(__file__).parent
STORY = HERE / "story.py"
CONSUMER = HERE / "consumer.py"
BEHIND_OTHERS = (
    "personaclick_async.cli.",
    "personaclick_async.integrations.dask_frames",
    "personaclick_async.integrations.dask_work",
    "personaclick_async.integrations.opentelemetry_counts",
    "personaclick_async.testing",
)
"""Modules that only others import, which name the extra."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_wheel_has_all_of_the_package_and_nothing_else(built: Built) -> None:
    package = ROOT / "personaclick_async"
    there = {
        str(path.relative_to(ROOT))
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    names = set(built.content())
    metadata = {name for name in names if ".dist-info/" in name}

    assert names - metadata == there | {"personaclick_command.py"}
    assert {"personaclick_async/py.typed", "personaclick_async/emulator/page/page.js"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_the_source_distribution_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    again = content(build(built.unpacked, "wheel", tmp_path))

    assert again == built.content()
    assert {path.name for path in built.unpacked.iterdir()} >= {"tests", "docs", "benchmarks"}


def test_its_metadata_say_what_it_is(built: Built) -> None:
    [text] = [data for name, data in built.content().items() if name.endswith("/METADATA")]
    said = email.message_from_bytes(text)

    assert (said["Name"], said["Version"]) == ("personaclick-async", __version__)
    assert said["Requires-Python"] == ">=3.11"
    assert said["License-Expression"] == "MIT"
    core = [one for one in said.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(core) == sorted(PROJECT["dependencies"])
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_every_dependency_has_a_lowest_version() -> None:
    extras = (one for extra in PROJECT["optional-dependencies"].values() for one in extra)
    for requirement in (*PROJECT["dependencies"], *extras):
        assert re.search(r">=\d", requirement) or requirement.startswith(PROJECT["name"])


def test_without_extras_it_does_its_work(python: Path, tmp_path: Path) -> None:
    rows = tmp_path / "customers.csv"
    rows.write_text("id,first_name\n1,Ada\n2,Grace\n")

    done = run(python, "-W", "error", "-X", "dev", STORY, "visit", rows, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "gender f\norders []\ncallback f\nsent 2\n"
    assert done.stderr == ""


def test_what_needs_an_extra_names_it(python: Path, tmp_path: Path) -> None:
    done = run(python, STORY, "modules", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    needing = dict(line.split(" ", 2)[1:] for line in done.stdout.splitlines())
    for module, message in needing.items():
        inside = module.startswith(BEHIND_OTHERS)
        assert inside or "personaclick-async[" in message, f"{module}: {message}"
    assert "personaclick_async.integrations.fastapi" in needing


def test_commands_without_their_extra_say_what_to_install(python: Path, tmp_path: Path) -> None:
    done = run(python.parent / "personaclick", "--help", cwd=tmp_path)
    emulator = run(python.parent / "personaclick-emulator", "--help", cwd=tmp_path)

    assert done.returncode == 1
    assert 'pip install "personaclick-async[cli]"' in done.stderr
    assert emulator.returncode == 0
    assert "--port" in emulator.stdout


def test_its_types_are_seen_by_those_who_use_it(python: Path, tmp_path: Path) -> None:
    program = tmp_path / "consumer.py"
    program.write_text(CONSUMER.read_text())
    checking = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)

    done = run(*checking, "--cache-dir", tmp_path / "cache", program.name, cwd=tmp_path)

    lines = program.read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if "# WRONG" in line}
    found = {int(number) for number in re.findall(r"consumer\.py:(\d+): error", done.stdout)}
    assert found == wrong, done.stdout + done.stderr
