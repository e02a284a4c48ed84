"""``personaclick probe`` asks, shows and writes down, and an emulator does as was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from personaclick_async.cli.app import app
from personaclick_async.emulator import Behaviour, Emulator


def run(emulator: Emulator, here: Path, *arguments: str, given: str | None = None) -> Result:
    environment = {
        "PERSONACLICK_SHOP_ID": emulator.shop_id,
        "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
        "PERSONACLICK_API_URL": emulator.url,
        "COLUMNS": "120",
    }
    command = ["probe", "--pause", "0", "--output", str(here / "probe.json"), *arguments]
    return CliRunner().invoke(app, command, env=environment, input=given)


def test_a_probe_is_shown_and_an_emulator_is_made_of_it(tmp_path: Path) -> None:
    told: dict[str, Any] = {"device_unknown": 404, "missing_blocks": "absent", "null": "ignored"}
    with Emulator(behaviour=Behaviour.of(told)) as emulator:
        ended = run(emulator, tmp_path, "--write", "--yes")

    assert ended.exit_code == 0, ended.output
    assert "unknown did" in ended.output
    assert "differs" in ended.output
    assert "asking about null" in ended.stderr
    found = Behaviour.load(tmp_path / "probe.json")
    assert found == Behaviour.of(told)


def test_it_writes_only_after_a_yes(emulator: Emulator, tmp_path: Path) -> None:
    ended = run(emulator, tmp_path, "--write", given="n\n")

    assert ended.exit_code == 1
    assert "for a device made for the purpose" in ended.stderr
    assert emulator.requests == []


def test_a_contradiction_says_what_to_do_and_is_the_exit_code(tmp_path: Path) -> None:
    with Emulator(behaviour=Behaviour(customer_profile="public")) as emulator:
        ended = run(emulator, tmp_path, "--json")
        assert ended.exit_code == 1
        assert "please report it" in json.loads(ended.stdout)["contradictions"][0]
        assert json.loads(ended.stderr)["error"] == "Contradicted"
        ended = run(emulator, tmp_path)
        assert "Contradicted" in ended.stderr


def test_a_probe_whose_file_can_not_be_written_is_shown_all_the_same(
    emulator: Emulator, tmp_path: Path
) -> None:
    ended = run(emulator, tmp_path / "missing", "--json")

    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["requests"] == len(emulator.requests)
    assert "No such file" in json.loads(ended.stderr)["message"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--customer", "ada"], 4), (["--customer", "name=ada"], 4)]
)
def test_a_wrong_customer_is_named(
    emulator: Emulator, tmp_path: Path, arguments: list[str], code: int
) -> None:
    assert run(emulator, tmp_path, *arguments).exit_code == code


def test_a_customer_is_looked_at_without_values(emulator: Emulator, tmp_path: Path) -> None:
    emulator.add_profiles([{"email": "ada@shop.example", "first_name": "Augusta"}])
    ended = run(emulator, tmp_path, "--customer", "email=ada@shop.example")

    assert ended.exit_code == 0
    written = (tmp_path / "probe.json").read_text()
    assert json.loads(written)["facts"]["profile"]["customer"]["first_name"] == "string"
    assert "Augusta" not in written


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"behaviour": {"null": 5}}'])
def test_a_file_that_no_probe_wrote_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    for one in (path, Path("/dev/zero")):
        with pytest.raises(ValueError, match=r"expected"):
            Behaviour.load(one)
