"""How the command is told to read a file, and what it says about how it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import openpyxl  # type: ignore[import-untyped]
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from personaclick_async.cli.app import app
from personaclick_async.cli.options import KindName, RouteName
from personaclick_async.cli.outcome import Exit
from personaclick_async.emulator import Emulator
from personaclick_async.sync import Route, SyncOptions
from personaclick_async.sync.sources import SourceKind
from tests.cli.test_commands import Shell
from tests.cli.test_sync import stored


@pytest.fixture
def shell(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(emulator)


def test_the_options_are_those_of_the_sync() -> None:
    # They are written down again, as completion is to work without an import of the sync.
    assert get_args(KindName) == tuple(SourceKind)
    assert set(get_args(RouteName)) == set(Route)
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    given = {one.name: one.default for one in command.commands["sync"].params}
    options = SyncOptions()
    assert (given["concurrency"], given["patience"]) == (options.concurrency, options.patience)
    assert given["route"] == options.route


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("id;first_name\n1;Ada\n", ["--delimiter", ";"]),
        ("id\tfirst_name\n1\tAda\n", ["--delimiter", "tab"]),
        ("'id','first_name'\n'1','Ada'\n", ["--quote", "'"]),
        ('1,"Ada"\n', ["--columns", "id,first_name"]),
        ('1,"Ada"\n', ["--no-header", "--columns", '"id","first_name"']),
        ("Export of today\n\nid,first_name\n1,Ada\n", ["--skip-rows", "2"]),
    ],
)
def test_a_file_is_read_as_it_is_said(
    shell: Shell, emulator: Emulator, content: str, options: list[str]
) -> None:
    Path("customers.txt").write_text(content)

    done = shell("sync", "customers.txt", *options)

    assert done.exit_code == Exit.DONE, done.output
    assert stored(emulator)["1"]["first_name"] == "Ada"


def test_quotes_may_be_escaped_or_be_letters(shell: Shell, emulator: Emulator) -> None:
    Path("escaped.csv").write_text('id,first_name\n1,"Ada \\"The Countess\\""\n')
    Path("letters.csv").write_text('id,first_name\n2,Ada "The Countess"\n')

    assert shell("sync", "escaped.csv", "--escape", "\\").exit_code == Exit.DONE
    assert shell("sync", "letters.csv", "--quote", "none").exit_code == Exit.DONE

    names = {one["first_name"] for one in stored(emulator).values()}
    assert names == {'Ada "The Countess"'}


def test_a_sheet_of_a_workbook_is_named(shell: Shell, emulator: Emulator) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "first_name"])
    book.active.append(["1", "Ada"])
    book.create_sheet("Old").append(["id", "first_name"])
    book["Old"].append(["2", "Grace"])
    book.save("customers.xlsx")

    assert shell("sync", "customers.xlsx", "--sheet", "Old").exit_code == Exit.DONE
    assert stored(emulator).keys() == {"2"}
    assert shell("sync", "customers.xlsx").exit_code == Exit.DONE
    assert stored(emulator).keys() == {"1", "2"}


@pytest.mark.parametrize("command", [["mapping"], ["sync", "--dry-run"], ["sync"]])
def test_the_encoding_that_is_used_is_said(shell: Shell, command: list[str]) -> None:
    Path("customers.csv").write_bytes("id,first_name\n1,José\n2,Peña\n".encode("cp1252"))

    done = shell(*command, "customers.csv")
    assert done.exit_code == Exit.DONE, done.output
    assert "customers.csv: read as cp1252" in done.stderr
    [notice] = json.loads(shell(*command, "customers.csv", "--json").stdout)["notices"]
    assert notice.startswith("customers.csv: read as cp1252")


@pytest.mark.parametrize("command", [["mapping"], ["sync", "--dry-run"], ["sync"]])
def test_an_encoding_that_is_not_known_is_asked_for(
    shell: Shell, emulator: Emulator, command: list[str]
) -> None:
    Path("customers.csv").write_bytes("id,first_name\n1,Денис\n2,Ольга\n".encode("cp1251"))

    done = shell(*command, "customers.csv")
    assert done.exit_code == Exit.CONFIGURATION
    assert done.stdout == ""
    asked = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("--encoding")]
    assert len(asked) == 3
    assert "cp1251" in asked
    assert "Денис" in done.stderr or "Ольга" in done.stderr
    as_json = json.loads(shell(*command, "customers.csv", "--json").stderr)
    assert "Денис" not in as_json["message"]
    assert emulator.requests == []

    assert shell(*command, "customers.csv", "--encoding", "cp1251").exit_code == Exit.DONE


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ('emial = "E-Mail"', 'unknown field "emial"; did you mean "email"?'),
        ('email = "EMail"', "did you mean 'E-Mail'? (columns: 'No', 'E-Mail', 'v')"),
        ('email = "Address"', "not in the source (columns: 'No', 'E-Mail', 'v')"),
    ],
)
def test_what_a_mapping_mistypes_is_named_with_the_nearest(
    shell: Shell, mapping: str, said: str
) -> None:
    Path("customers.csv").write_text("No,E-Mail,v\n1,ada@shop.example,2\n")
    Path("mapping.toml").write_text(f"[fields]\n{mapping}\n")

    done = shell("sync", "customers.csv", "--map", "mapping.toml")

    assert done.exit_code == Exit.CONFIGURATION
    assert said in done.output


def test_a_reserved_name_is_called_reserved(shell: Shell) -> None:
    Path("customers.csv").write_text("id,v,first_name\n1,2,Ada\n")

    done = shell("sync", "customers.csv")

    assert done.exit_code == Exit.CONFIGURATION
    assert "column 'v': expected another name, as this one is reserved" in done.output
