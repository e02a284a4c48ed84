"""The command line as a person and a script use it, against the emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from personaclick_async.cli.app import app
from personaclick_async.cli.outcome import Exit
from personaclick_async.emulator import Emulator


class Shell:
    """Runs commands with the emulator's address and keys in the environment."""

    def __init__(self, emulator: Emulator) -> None:
        self.environment = {
            "PERSONACLICK_SHOP_ID": emulator.shop_id,
            "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
            "PERSONACLICK_API_URL": emulator.url,
            "PERSONACLICK_RETRIES": "0",
            "COLUMNS": "100",
        }

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=self.environment)

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "personaclick_async.cli", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def shell(emulator: Emulator) -> Shell:
    return Shell(emulator)


def test_a_profile_is_set_and_shown(shell: Shell, emulator: Emulator) -> None:
    done = shell(
        "profile",
        "set",
        "--external-id",
        "7",
        "first_name=Ada",
        "age=36",
        "bought_something=yes",
        "birthday=1985-12-10",
        'kids:=[{"gender":"f"}]',
        "custom.colour=red",
        "custom.visits:=12",
    )
    assert done.exit_code == Exit.DONE, done.output

    stored = emulator.profile(external_id="7")
    assert (stored["first_name"], stored["age"]) == ("Ada", 36)
    assert (stored["bought_something"], stored["birthday"]) == (True, "1985-12-10")
    assert stored["kids"] == [{"gender": "f"}]
    assert stored["custom_properties"] == {"colour": "red", "visits": 12}

    shown = shell("profile", "get", "--external-id", "7")
    assert shown.exit_code == Exit.DONE
    assert "Ada" in shown.stdout

    assert shell("profile", "set", "--external-id", "7", "first_name:=null").exit_code == Exit.DONE
    stored = emulator.profile(external_id="7")
    assert "first_name" not in stored


def test_json_is_for_scripts(shell: Shell) -> None:
    shell("profile", "set", "--email", "ada@shop.example", "first_name=Ada")

    done = shell.process("profile", "get", "--email", "ada@shop.example", "--full", "--json")

    assert done.returncode == Exit.DONE, done.stderr
    assert json.loads(done.stdout)["first_name"] == "Ada"
    assert done.stdout.count("\n") == 1


def test_a_session_starts_and_goes_on(shell: Shell) -> None:
    first = json.loads(shell("init", "--json").stdout)
    again = json.loads(shell("init", "--did", first["did"], "--json").stdout)

    assert first["did"] == again["did"]
    assert first["seance"]


def test_the_last_order_is_a_table(shell: Shell, emulator: Emulator) -> None:
    assert "no order yet" in shell("orders", "last", "--did", "device0001").stdout
    emulator.add_products([{"id": "a", "name": "Apple", "price_full": 1.5}])
    emulator.add_orders([{"id": 1, "did": "device0001", "date": 5, "items": [{"id": "a"}]}])

    shown = shell("orders", "last", "--did", "device0001").stdout
    assert "Apple" in shown
    assert "1.50 $" in shown
    found = json.loads(shell("orders", "last", "--did", "device0001", "--json").stdout)
    assert [product["id"] for product in found] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["profile", "get"], Exit.INVALID_INPUT, "exactly one of"),
        (["profile", "get", "--email", "nobody@shop.example"], Exit.NOT_FOUND, "404"),
        (["profile", "set", "--did", "d", "age=-1"], Exit.INVALID_INPUT, "age: expected"),
        (["profile", "set", "--did", "d", "age"], Exit.INVALID_INPUT, "name=text"),
        (["profile", "set", "--did", "d", ":=5"], Exit.INVALID_INPUT, "name=text"),
        (
            ["profile", "set", "--did", "d", "age=1", "age:=2"],
            Exit.INVALID_INPUT,
            "age: expected one",
        ),
        (
            ["profile", "set", "--did", "d", "custom.a=1", "custom.a=1"],
            Exit.INVALID_INPUT,
            "custom.a: expected one value, got two",
        ),
        (["profile", "set", "--did", "d", "kids:={"], Exit.INVALID_INPUT, "JSON after :="),
        (["profile", "get", "--did", "d", "--shop-id", "x"], Exit.CONFIGURATION, "30 hexa"),
        (
            ["profile", "get", "--did", "d", "--api-url", "http://127.0.0.1:9"],
            Exit.UNREACHABLE,
            "could not connect to 127.0.0.1:9 (connection refused)",
        ),
        (["init", "--secret-file", "missing"], Exit.CONFIGURATION, "can't be read"),
        (["init", "--secret-file", "/dev/zero"], Exit.CONFIGURATION, "expected a file, got a"),
        (["init", "--secret-file", "/dev/null"], Exit.CONFIGURATION, "expected a file, got a"),
        (
            ["profile", "set", "--did", "d", "emial=ada@shop.example"],
            Exit.INVALID_INPUT,
            'unknown field "emial"; did you mean "email"?',
        ),
        (["profile", "set", "--did", "d", "zzz=1"], Exit.INVALID_INPUT, "custom.zzz=value"),
        (["fly"], Exit.USAGE, "No such command"),
    ],
)
def test_what_goes_wrong_has_a_code_and_a_line(
    shell: Shell, arguments: list[str], code: Exit, said: str
) -> None:
    done = shell(*arguments)

    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output


def test_errors_can_be_json_too(shell: Shell) -> None:
    done = shell.process("profile", "get", "--email", "nobody@shop.example", "--json")

    assert done.stdout == ""
    assert json.loads(done.stderr)["error"] == "NotFound"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fly"], "No such command"),
        (["profile", "get", "--emial", "a"], "No such option: --emial"),
        (["sync", "customers.csv", "--limit", "0"], "Invalid value for '--limit'"),
        (["sync"], "Missing argument"),
    ],
)
def test_a_wrong_command_line_is_json_too(shell: Shell, arguments: list[str], said: str) -> None:
    done = shell.process(*arguments, "--json")

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    error = json.loads(done.stderr)
    assert error["error"] == "UsageError"
    assert said in error["message"]


def test_the_secret_comes_from_a_file(shell: Shell, emulator: Emulator, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(emulator.shop_secret + "\n")
    del shell.environment["PERSONACLICK_SHOP_SECRET"]
    set_it = ("profile", "set", "--email", "ada@shop.example", "first_name=Ada")

    assert shell(*set_it).exit_code == Exit.CONFIGURATION
    assert shell(*set_it, "--secret-file", str(secret)).exit_code == Exit.DONE


def test_help_names_the_exit_codes_and_no_pipe_gets_colours(shell: Shell) -> None:
    done = shell.process("--help")

    assert "Exit codes" in done.stdout
    assert "\x1b[" not in done.stdout


IMPORTED_BY = """
import sys
from personaclick_command import main
sys.argv = ["personaclick", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write(" ".join(sys.modules))
"""


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["sync", "-h"], []])
def test_what_sends_nothing_imports_neither_the_sync_nor_the_emulator(
    shell: Shell, arguments: list[str]
) -> None:
    completing = {"_PERSONACLICK_COMPLETE": "complete_bash", "COMP_WORDS": "personaclick sy"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_BY, *arguments],
        env={**os.environ, **({} if arguments else {**completing, "COMP_CWORD": "1"})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == Exit.DONE, done.stderr
    assert arguments or done.stdout.split() == ["sync"]
    imported = done.stderr.split()
    assert "personaclick_async.client" in imported
    for part in ("sync", "emulator", "facade", "integrations"):
        assert f"personaclick_async.{part}" not in imported
    assert "aiohttp.web" not in imported


def test_verbose_logs_requests_and_nobody(shell: Shell) -> None:
    done = shell.process("profile", "set", "--email", "ada@shop.example", "age=36", "--verbose")

    assert done.returncode == Exit.DONE, done.stderr
    assert "POST profile/set: 200, attempt 1" in done.stderr
    assert "ada" not in done.stderr


def test_the_emulator_is_a_command_too(shell: Shell) -> None:
    done = shell.process("emulator", "--help")

    assert done.returncode == Exit.DONE
    assert "--fault" in done.stdout


def test_a_mapping_is_proposed_for_a_country(shell: Shell, tmp_path: Path) -> None:
    source = tmp_path / "people.csv"
    source.write_text("email,phone\nada@shop.example,044 668 18 00\n")
    done = shell("mapping", str(source), "--country", "CH")
    assert done.exit_code == Exit.DONE
    assert 'country = "CH"' in done.output
    assert '\nphone = "phone"' in done.output
