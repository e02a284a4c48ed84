"""What each kind of user does first, in an environment that holds the wheel and little else."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supply.release import CONSTRAINTS, ROOT, add

README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def service(project: Path) -> Iterator[dict[str, str]]:
    """The emulator, started and used as it says: with the lines that it prints."""
    process = subprocess.Popen(
        [project.parent / "personaclick-emulator", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said: dict[str, str] = {}
    while len(said) < 3:
        line = process.stdout.readline()
        assert line
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            said[name] = value
    yield said
    process.terminate()
    process.communicate(timeout=20)


def user(
    service: dict[str, str], folder: Path, *command: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody who has set what the emulator said and nothing else."""
    unset = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**unset, **service},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def example(text: str) -> str:
    [found] = [one for one in EXAMPLES if text in one]
    return str(found)


def test_a_backend_developer_runs_the_first_example(
    project: Path, service: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "first.py").write_text(EXAMPLES[0])

    done = user(service, tmp_path, project, "first.py")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "f []\n"
    assert f"`{done.stdout.strip()}`" in README
    # And with what the readme itself says about an emulator on its usual port.
    [line] = re.findall(r"^\$ export (.*)$", README, re.MULTILINE)
    given = dict(one.split("=") for one in line.split())
    assert given["PERSONACLICK_SHOP_ID"] == service["PERSONACLICK_SHOP_ID"]
    assert re.sub(r":\d+/", "", given["PERSONACLICK_API_URL"]) in service["PERSONACLICK_API_URL"]


def test_a_backend_developer_runs_the_other_examples(
    project: Path, service: dict[str, str], tmp_path: Path
) -> None:
    for text in ("RateLimited as error", "range(1000)"):
        (tmp_path / "example.py").write_text(example(text))
        done = user(service, tmp_path, project, "example.py")
        assert done.returncode == 0, done.stderr


def test_a_tester_copies_the_synchronous_test(
    project: Path, service: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "test_shop.py").write_text(example("asyncio.run(register())"))

    done = user({}, tmp_path, project, "-m", "pytest", "-q", "-W", "error")

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_tester_copies_the_asynchronous_test_and_its_line_of_configuration(
    project: Path, tmp_path: Path
) -> None:
    add(project, "pytest-asyncio")
    [configuration] = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(configuration)
    (tmp_path / "test_shop.py").write_text(example("async def test_"))

    done = user({}, tmp_path, project, "-m", "pytest", "-q")

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_somebody_who_ports_javascript_runs_it(
    project: Path, service: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "ported.py").write_text(example("create_personaclick"))

    done = user(service, tmp_path, project, "ported.py")

    assert done.returncode == 0, done.stderr
    assert "True" in done.stdout


def test_a_data_engineer_syncs_a_file(
    project: Path, service: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "customers.csv").write_text(
        "Customer No,E-Mail,First Name\n1,ada@shop.example,Ada\n2,grace@shop.example,Grace\n"
    )
    command = project.parent / "personaclick"

    mapping = user(service, tmp_path, command, "mapping", "customers.csv")
    assert mapping.returncode == 0, mapping.stderr
    (tmp_path / "mapping.toml").write_text(mapping.stdout)
    sync = (command, "sync", "customers.csv", "--map", "mapping.toml")
    rehearsed = user(service, tmp_path, *sync, "--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    done = user(service, tmp_path, *sync, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sent"] == 2
    shown = user(
        service, tmp_path, command, "profile", "get", "--email", "ada@shop.example", "--full"
    )
    assert "Ada" in shown.stdout


def test_somebody_who_looks_at_it_runs_the_demo_with_what_make_demo_installs(
    project: Path, tmp_path: Path
) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert '--constraint constraints.txt --editable ".[cli]"' in makefile
    assert CONSTRAINTS.name in makefile

    done = user({"COLUMNS": "100", "PYTHONPATH": str(ROOT)}, ROOT, project, "-m", "examples.demo")

    assert done.returncode == 0, done.stderr
    assert "all steps" in done.stdout
