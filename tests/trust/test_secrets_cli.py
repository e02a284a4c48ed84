"""The command line shows a person only where it was asked to, and the secret nowhere."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from typer.testing import CliRunner, Result

from personaclick_async.cli.app import app
from personaclick_async.cli.outcome import Exit
from personaclick_async.emulator import Emulator, EmulatorSettings
from tests.trust.canaries import CANARIES, flat_row, found_in, personal_in


@attrs.frozen
class Shell:
    """The command with the secret in its environment, in a folder of its own, umask open."""

    shop: Emulator
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PERSONACLICK_SHOP_ID": self.shop.shop_id,
            "PERSONACLICK_SHOP_SECRET": self.shop.shop_secret,
            "PERSONACLICK_API_URL": self.shop.url,
            "PERSONACLICK_RETRIES": "0",
            "PYTHONASYNCIODEBUG": "1",
            "COLUMNS": "200",
        }

    def here(self, *arguments: str) -> Result:
        """Run it in this process, which is faster."""
        return CliRunner().invoke(app, arguments, env=self.environment)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it in a process of its own."""
        return subprocess.run(
            [sys.executable, "-X", "dev", "-m", "personaclick_async.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            umask=0,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Emulator(EmulatorSettings(shop_secret=CANARIES["shop_secret"])) as shop:
        yield Shell(shop, tmp_path)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


FIELDS = [f"{name}={flat_row()[name]}" for name in ("first_name", "last_name", "location")]
BY_EMAIL = ("--email", CANARIES["email"])


def test_one_user(shell: Shell) -> None:
    done = shell("profile", "set", *BY_EMAIL, *FIELDS, "--json")
    assert done.returncode == Exit.DONE, done.stderr
    assert found_in(said(done)) == []
    assert len(personal_in(json.dumps(list(shell.shop.profiles())))) >= 4

    # What was asked for is shown: on standard output, where it can be sent elsewhere.
    shown = shell("profile", "get", *BY_EMAIL, "--full")
    assert {"first_name", "location"} <= set(found_in(shown.stdout))
    assert "shop_secret" not in found_in(shown.stdout)
    assert found_in(shown.stderr) == []

    for arguments in (("orders", "last", "--did", CANARIES["did"]), ("init",), ("--version",)):
        assert found_in(said(shell(*arguments))) == []


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_one_user_for_whom_it_fails(shell: Shell, as_json: list[str]) -> None:
    quoted = " and ".join((CANARIES["shop_secret"], CANARIES["email"], CANARIES["first_name"]))
    with shell.shop.fault(status=422, error_message=quoted):
        refused = shell.here("profile", "set", *BY_EMAIL, *FIELDS, *as_json)
    failures = [
        refused,
        shell.here("profile", "get", "--phone", CANARIES["phone"], *as_json),
        shell.here("profile", "set", *BY_EMAIL, f"birthday={CANARIES['first_name']}", *as_json),
        shell.here("profile", "set", *BY_EMAIL, f"kids:={CANARIES['first_name']}", *as_json),
        shell.here("profile", "set", *BY_EMAIL, CANARIES["first_name"], *as_json),
        shell.here("profile", "get", "--email", CANARIES["last_name"], *as_json),
        shell.here("profile", "get", *BY_EMAIL, "--did", CANARIES["did"], *as_json),
        shell.here("profile", "get", *BY_EMAIL, "--api-url", "http://127.0.0.1:9", *as_json),
        shell.here("profile", "get", *BY_EMAIL, "--shop-id", CANARIES["shop_secret"], *as_json),
    ]
    for done in failures:
        assert done.exit_code not in (Exit.DONE, Exit.USAGE)
        assert done.stdout == ""
        assert isinstance(done.exception, SystemExit)
        assert found_in(done.output + done.stderr) == []


@pytest.mark.parametrize("route", ["bulk", "per-profile"])
def test_a_sync(shell: Shell, route: str) -> None:
    rows = [flat_row(), {**flat_row(), "email": CANARIES["last_name"]}, {"first_name": "Ada"}]
    people = shell.folder / "people.jsonl"
    people.write_text("".join(json.dumps(row) + "\n" for row in rows))

    with shell.shop.fault(status=422, error_message=json.dumps(flat_row()), times=1):
        done = shell("sync", "people.jsonl", "--route", route)
    again = shell("sync", "people.jsonl", "--route", route, "--json", "--skip-unchanged")
    stopped = shell("sync", "people.jsonl", "--patience", "0", "--api-url", "http://127.0.0.1:9")

    assert {done.returncode, again.returncode} == {Exit.INCOMPLETE}, done.stderr
    assert stopped.returncode == Exit.UNREACHABLE
    assert found_in(said(done) + said(again) + said(stopped)) == []
    people.unlink()
    for path in shell.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        held = found_in(path.read_bytes())
        assert held == [] if path.suffix == ".db" else "shop_secret" not in held
    assert len(list(shell.folder.iterdir())) == 2


def test_a_dry_run_shows_values_only_if_asked_to_and_none_as_json(shell: Shell) -> None:
    (shell.folder / "people.jsonl").write_text(json.dumps(flat_row()) + "\n")

    plain = shell("sync", "people.jsonl", "--dry-run")
    shown = shell("sync", "people.jsonl", "--dry-run", "--show-values")
    counted = shell("sync", "people.jsonl", "--dry-run", "--json", "--show-values")

    assert plain.returncode == Exit.DONE
    assert found_in(said(plain)) == []

    assert shown.returncode == counted.returncode == Exit.DONE, shown.stderr
    assert "shop_secret" not in found_in(shown.stdout)
    assert "email" in found_in(shown.stdout)  # by design: it is there to be looked over
    assert found_in(shown.stderr) == []
    assert found_in(said(counted)) == []
    assert [path.name for path in shell.folder.iterdir()] == ["people.jsonl"]


def test_a_proposed_mapping_names_columns_and_nobody(shell: Shell) -> None:
    row = {name: value for name, value in flat_row().items() if isinstance(value, str)}
    (shell.folder / "people.jsonl").write_text(f"{json.dumps(row)}\n" * 5)

    done = shell("mapping", "people.jsonl")

    assert done.returncode == Exit.DONE, done.stderr
    assert "first_name" in done.stdout
    assert found_in(said(done)) == []


@pytest.mark.parametrize("command", [["profile", "get"], ["sync"], ["emulator"]])
def test_no_command_takes_the_secret_where_all_users_of_the_machine_see_it(
    shell: Shell, command: list[str]
) -> None:
    done = shell(*command, "--help")
    assert "--shop-secret" not in done.stdout
    assert found_in(said(done)) == []

    given = shell(*command, "--shop-secret", CANARIES["shop_secret"])
    assert given.returncode != Exit.DONE


def test_the_emulators_command_never_says_a_secret_of_your_own(shell: Shell) -> None:
    environment = {**os.environ, "PERSONACLICK_SHOP_SECRET": CANARIES["shop_secret"]}
    process = subprocess.Popen(
        [sys.executable, "-m", "personaclick_async.emulator", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = ""
    while "PERSONACLICK_SHOP_ID" not in lines:
        line = process.stdout.readline()
        assert line
        lines += line
    process.terminate()
    lines += process.communicate(timeout=20)[0]

    assert "PERSONACLICK_API_URL" in lines
    assert found_in(lines) == []
