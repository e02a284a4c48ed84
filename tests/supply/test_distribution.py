"""The wheel and the source distribution are complete, and work where nothing else is."""

from __future__ import annotations

import email
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from personaclick_async import __version__
from tests.supply.release import (
    ROOT,
    Built,
    NotReleasable,
    build,
    check_changelog,
    check_contents,
    checked,
    run,
)

HERE = Path(__file__).parent
STORY = HERE / "story.py"
CONSUMER = HERE / "consumer.py"
BEHIND_OTHERS = (
    "personaclick_async.cli.",
    "personaclick_async.integrations.dask_frames",
    "personaclick_async.integrations.dask_work",
    "personaclick_async.testing",
)
"""Modules that only others import, which name the extra."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_wheel_has_all_of_the_package_and_nothing_else(built: Built) -> None:
    check_contents(built)
    names = set(built.content())
    assert {"personaclick_async/py.typed", "personaclick_async/emulator/page/page.js"} <= names
    assert "personaclick_async/emulator/schema.sql" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    unpacked = built.unpack(tmp_path / "unpacked")
    again = build(unpacked, tmp_path / "again")

    assert again.content() == built.content()
    assert {path.name for path in unpacked.iterdir()} >= {"tests", "docs", "benchmarks"}


def test_it_can_be_released(built: Built) -> None:
    checked(sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist)
    check_changelog(__version__)


def test_a_version_without_an_entry_is_not_released() -> None:
    with pytest.raises(NotReleasable, match=re.escape("expected [99.0] as the newest")):
        check_changelog("99.0")


def test_its_metadata_say_what_it_is(built: Built) -> None:
    [text] = [data for name, data in built.content().items() if name.endswith("/METADATA")]
    said = email.message_from_bytes(text)

    assert (said["Name"], said["Version"]) == ("personaclick-async", __version__)
    assert said["Requires-Python"] == ">=3.11"
    assert said["License-Expression"] == "MIT"
    core = {Requirement(one) for one in said.get_all("Requires-Dist", []) if "extra" not in one}
    assert core == {Requirement(one) for one in PROJECT["dependencies"]}
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert said["Author"] or said["Author-Email"]
    links = dict(one.split(", ", 1) for one in said.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= links.keys()
    assert said["Description-Content-Type"] == "text/markdown"
    readme = said.get_payload()
    assert isinstance(readme, str)
    assert "pip install personaclick-async" in readme[:900]
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(targets) > 10
    assert all(target.startswith("https://") for target in targets)
    assert any(target.endswith("/raw/main/docs/_pictures/scaling.svg") for target in targets)


def test_every_dependency_has_a_lowest_version() -> None:
    extras = (one for extra in PROJECT["optional-dependencies"].values() for one in extra)
    for requirement in (*PROJECT["dependencies"], *extras):
        assert re.search(r">=\d", requirement) or requirement.startswith(PROJECT["name"])


def test_what_breaks_with_a_major_version_stays_below_the_next(built: Built) -> None:
    for name in ("aiohttp", "cachetools", "cattrs", "msgspec"):
        [requirement] = [one for one in PROJECT["dependencies"] if one.startswith(name)]
        assert re.fullmatch(rf"{name}>=[\d.]+,<\d+", requirement)


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
