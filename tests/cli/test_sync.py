"""``personaclick sync`` on real files: reports, rejects, interruptions, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from examples.adventureworks import customers
from personaclick_async.cli.outcome import Exit
from personaclick_async.emulator import Emulator
from personaclick_async.sync.rejects import RejectFile
from tests.cli.test_commands import Shell

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "sample" / "adventureworks-packt" / "AdventureWorks_Customers.csv"
MAPPING = ROOT / "examples" / "mappings" / "adventureworks.toml"


@pytest.fixture
def shell(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(emulator)


def stored(emulator: Emulator) -> dict[str, dict[str, object]]:
    emulator.drain()
    return {str(one["external_id"]): one for one in emulator.profiles()}


@pytest.mark.parametrize("route", ["bulk", "per-profile"])
def test_every_customer_of_the_sample_arrives(shell: Shell, emulator: Emulator, route: str) -> None:
    done = shell("sync", str(SAMPLE), "--map", str(MAPPING), "--route", route)

    assert done.exit_code == Exit.DONE, done.output
    assert "40" in done.stdout
    found = stored(emulator)
    expected = list(customers(ROOT / "examples" / "sample"))
    assert found.keys() == {one["external_id"] for one in expected}
    for one in expected:
        there = found[one["external_id"]]
        assert there["email"] == one["email"]
        assert there["first_name"] == one["first_name"]
        assert there["birthday"] == one["birthday"].isoformat()
        assert there.get("gender") == one.get("gender")


def test_a_dry_run_counts_values_and_sends_nothing(shell: Shell, emulator: Emulator) -> None:
    done = shell("sync", str(SAMPLE), "--map", str(MAPPING), "--dry-run")

    assert done.exit_code == Exit.DONE, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["email", "40", "0", "0", "0"] in lines
    assert ["gender", "38", "2", "0", "0"] in lines
    assert "nothing was sent" in done.stdout
    assert "@example" not in done.stdout
    assert emulator.requests == []
    assert list(Path().iterdir()) == []


def test_a_dry_run_needs_no_shop(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.environment = {"COLUMNS": "100"}
    done = shell("sync", str(SAMPLE), "--map", str(MAPPING), "--dry-run")
    assert done.exit_code == Exit.DONE, done.output
    assert shell("sync", str(SAMPLE), "--map", str(MAPPING)).exit_code == Exit.CONFIGURATION


def test_a_dry_run_says_why_rows_would_be_rejected(shell: Shell, emulator: Emulator) -> None:
    Path("customers.csv").write_text(
        "id,email,birthday\n1,ada@shop.example,1985-12-10\n2,nonsense,1990-01-01\n"
        "3,[bold],1990-01-01\n4,,1990-02-30\n"
    )
    done = shell("sync", "customers.csv", "--dry-run")
    assert done.exit_code == Exit.INCOMPLETE
    shown = " ".join(done.stdout.split())
    assert "email: expected an e-mail address such as" in shown
    assert "(2 rows: 2, 3; sent without it)" in shown
    assert "birthday: expected a date, year first: YYYY-MM-DD (row 4; sent without it)" in shown
    assert "nonsense" not in shown

    reasons = json.loads(shell("sync", "customers.csv", "--dry-run", "--json").stdout)[
        "sent_without"
    ]
    assert [(one["field"], one["rows"], one["first_row"]) for one in reasons] == [
        ("email", 2, 2),
        ("birthday", 1, 4),
    ]
    assert emulator.requests == []


def test_a_dry_run_shows_examples_escaped_if_asked_to(shell: Shell, emulator: Emulator) -> None:
    rows = [{"external_id": n, "first_name": f"\x1b[2J\u202eAda {n}"} for n in range(1, 9)]
    Path("customers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    done = shell("sync", "customers.jsonl", "--dry-run", "--show-values")

    shown = " ".join(done.stdout.split())
    assert r"\x1b[2J\u202eAda 1, \x1b[2J\u202eAda 2, \x1b[2J\u202eAda 3" in shown
    assert "Ada 4" not in shown
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output


def test_a_dry_run_adds_up_what_a_hostile_file_breaks_without_end(shell: Shell) -> None:
    rows = ({"external_id": number, f"p{number}": float("inf")} for number in range(1, 251))
    Path("customers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    done = shell("sync", "customers.jsonl", "--dry-run", "--json")

    reasons = json.loads(done.stdout)["reasons"]
    assert len(reasons) == 101
    assert reasons[0] == {
        "field": "other fields",
        "rule": "other values",
        "rows": 150,
        "first_row": 101,
    }


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_rows_that_share_an_id_are_said(shell: Shell, options: tuple[str, ...]) -> None:
    Path("customers.csv").write_text("id,first_name\n1,Ada\n2,Eve\n1,Adam\n")

    shown = shell("sync", "customers.csv", *options).output
    told = json.loads(
        shell("sync", "customers.csv", "--json", "--journal", "2.db", *options).stdout
    )

    assert "1 row shares an external_id with a row before: one person? (row 3)" in shown
    assert any("1 row shares an external_id" in notice for notice in told["notices"])


def test_rejected_rows_can_be_corrected_and_synced_again(shell: Shell, emulator: Emulator) -> None:
    Path("customers.csv").write_text(
        "id,email,birthday\n1,ada@shop.example,1985-12-10\n2,nonsense,1990-01-01\n3,,1990-02-30\n"
    )
    done = shell("sync", "customers.csv", "--json")

    assert done.exit_code == Exit.INCOMPLETE
    report = json.loads(done.stdout)
    assert (report["read"], report["sent"], report["incomplete"]) == (3, 3, 2)
    rejects = Path(report["rejects"])
    assert rejects.stat().st_mode & 0o077 == 0
    text = rejects.read_text("utf-8-sig")
    assert '2,email,"sent without: expected an e-mail address' in text
    assert '3,birthday,"sent without: expected a date' in text

    rejects.write_text(text.replace("nonsense", "eve@shop.example").replace("02-30", "02-28"))
    again = shell("sync", str(rejects), "--json", "--rejects", "again.csv")

    assert again.exit_code == Exit.DONE, again.output
    assert json.loads(again.stdout)["sent"] == 2
    assert stored(emulator).keys() == {"1", "2", "3"}
    assert not Path("again.csv").exists()


def test_rejected_rows_are_synced_again_with_the_options_of_their_source(
    shell: Shell, emulator: Emulator
) -> None:
    Path("customers.csv").write_text("id;email\n1;nonsense\n")
    rejects = Path(
        json.loads(shell("sync", "customers.csv", "--delimiter", ";", "--json").stdout)["rejects"]
    )
    rejects.write_text(rejects.read_text("utf-8-sig").replace("nonsense", "eve@shop.example"))

    again = shell("sync", str(rejects), "--delimiter", ";", "--json")

    assert again.exit_code == Exit.DONE, again.output
    assert stored(emulator).keys() == {"1"}


def test_only_what_changed_is_sent_again(shell: Shell, emulator: Emulator) -> None:
    source = Path("customers.csv")
    source.write_text("id,first_name\n1,Ada\n2,Eve\n")
    first = json.loads(shell("sync", "customers.csv", "--skip-unchanged", "--json").stdout)
    source.write_text("id,first_name\n1,Ada\n2,Eva\n")
    second = json.loads(shell("sync", "customers.csv", "--skip-unchanged", "--json").stdout)

    assert (first["sent"], first["unchanged"]) == (2, 0)
    assert (second["sent"], second["unchanged"]) == (1, 1)


def test_standard_input_and_gzip_are_sources_too(shell: Shell, emulator: Emulator) -> None:
    lines = "".join(json.dumps({"external_id": n, "colour": "red"}) + "\n" for n in range(5))
    Path("people.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert shell("sync", "people.jsonl.gz").exit_code == Exit.DONE
    piped = subprocess.run(
        [sys.executable, "-m", "personaclick_async.cli", "sync", "-", "--json"],
        input=lines.replace('": ', '":').replace("0", "7"),
        env={**os.environ, **shell.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert piped.returncode == Exit.DONE, piped.stderr
    assert json.loads(piped.stdout)["sent"] == 5
    assert stored(emulator).keys() == {"0", "1", "2", "3", "4", "7"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.csv"], Exit.CONFIGURATION, "missing.csv"),
        (["customers.csv", "--map", "missing.toml"], Exit.CONFIGURATION, "missing.toml"),
        (["customers.csv", "--delimiter", "ab"], Exit.CONFIGURATION, "delimiter: expected one"),
        (["customers.csv", "--columns", "id\nfirst_name"], Exit.CONFIGURATION, "--columns: exp"),
        (["customers.csv", "--concurrency", "0"], Exit.CONFIGURATION, "concurrency: expected"),
        (["customers.csv", "--skip-rows", "9" * 20], Exit.USAGE, "--skip-rows"),
        (["customers.csv", "--route", "pigeon"], Exit.USAGE, "pigeon"),
    ],
)
def test_a_sync_that_can_not_begin_says_why(
    shell: Shell, arguments: list[str], code: Exit, said: str
) -> None:
    Path("customers.csv").write_text("id,first_name\n1,Ada\n")
    done = shell("sync", *arguments)

    assert done.exit_code == code, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_service_that_stays_down_stops_the_sync_which_resumes_later(
    shell: Shell, emulator: Emulator
) -> None:
    Path("customers.csv").write_text("id,first_name\n1,Ada\n2,Eve\n")
    with emulator.fault(status=503):
        stopped = shell("sync", "customers.csv", "--patience", "0", "--json")
    assert stopped.exit_code == Exit.UNREACHABLE
    assert json.loads(stopped.stdout)["sent"] == 0

    done = shell("sync", "customers.csv", "--json")
    assert json.loads(done.stdout)["sent"] == 2


def test_a_terminal_is_shown_how_far_a_sync_is(shell: Shell, emulator: Emulator) -> None:
    Path("customers.csv").write_text("id,first_name\n1,Ada\n2,Eve\n")
    reader, terminal = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "personaclick_async.cli", "sync", "customers.csv"],
        env={**os.environ, **shell.environment, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=terminal,
        timeout=60,
        check=True,
    )
    shown = os.read(reader, 65536)
    os.close(reader)
    os.close(terminal)

    assert b"syncing" in shown
    assert b" 2/2 " in shown.rpartition(b"syncing")[2]
    assert b"syncing" not in done.stdout


IN_THE_FOREGROUND = """
import signal
import sqlite3
from personaclick_async.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""Tests that run in the background are deaf to Ctrl-C, and their children with them."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sync_resumes(
    shell: Shell, emulator: Emulator, number: signal.Signals
) -> None:
    rows = 400
    Path("customers.csv").write_text(
        "id,first_name\n" + "".join(f"{n},Name {n}\n" for n in range(1, rows + 1))
    )
    command = ["sync", "customers.csv", "--route", "per-profile", "--concurrency", "8", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_THE_FOREGROUND, *command],
        env={**os.environ, **shell.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with emulator.fault(delay=0.05):
        while len(emulator.requests) < 100:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert 0 < json.loads(out)["sent"] < rows

    done = shell(*command)

    assert done.exit_code == Exit.DONE, done.output
    assert json.loads(done.stdout)["read"] == rows
    assert stored(emulator).keys() == {str(n) for n in range(1, rows + 1)}
    # What was delivered is not sent again, but for what was in flight.
    assert len(emulator.requests) <= rows + 2 * 8


def test_a_mapping_is_proposed_and_fits(shell: Shell, emulator: Emulator) -> None:
    proposed = shell("mapping", str(SAMPLE))
    assert proposed.exit_code == Exit.DONE
    Path("proposed.toml").write_text(proposed.stdout)

    done = shell("sync", str(SAMPLE), "--map", "proposed.toml", "--json")

    assert done.exit_code == Exit.DONE, done.output
    assert json.loads(done.stdout)["sent"] == 40


@pytest.mark.parametrize(
    ("rejects", "said"),
    [
        ("customers.csv", "--rejects: expected another file than the source"),
        ("hard-link.csv", "--rejects: expected another file than the source"),
        ("soft-link.csv", "--rejects: expected another file than the source"),
        ("crm.db", "--rejects: expected another file than the journal"),
        ("mapping.toml", "--rejects: expected another file than the mapping"),
        ("no-such-folder/rejects.csv", "rejects.csv: can't be opened"),
        (".", ".: can't be opened"),
        ("a" * 300, "can't be opened"),
        ("other-columns.csv", "exists with other columns"),
    ],
)
@pytest.mark.parametrize("pattern", ["customers.csv", "*ustomers.csv", "-"])
def test_a_reject_file_that_can_not_be_one_is_refused_before_the_first_request(
    shell: Shell, emulator: Emulator, pattern: str, rejects: str, said: str
) -> None:
    content = "id,email\n1,ada@shop.example\n2,nonsense\n"
    Path("customers.csv").write_text(content)
    Path("hard-link.csv").hardlink_to("customers.csv")
    Path("soft-link.csv").symlink_to("customers.csv")
    Path("other-columns.csv").write_text("a,b\n")
    Path("mapping.toml").write_text('[fields]\nexternal_id = "id"\nemail = "email"\n')
    options = ["--map", "mapping.toml", "--journal", "crm.db", "--kind", "csv", "--rejects"]
    with Path("customers.csv").open() as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "personaclick_command", "sync", pattern, *options, rejects],
            env={**os.environ, **shell.environment},
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == Exit.CONFIGURATION, done.stderr
    assert said in done.stderr
    assert emulator.requests == []
    assert Path("customers.csv").read_text() == content
    assert not Path("no-such-folder").exists()


def test_a_reject_file_without_rows_goes_unless_somebody_made_it(shell: Shell) -> None:
    Path("customers.csv").write_text("id,first_name\n1,Ada\n")
    rejects = Path("customers-rejected.csv")
    RejectFile(rejects, ("id", "first_name")).close()  # as a run leaves it that is killed
    assert shell("sync", "customers.csv").exit_code == Exit.DONE
    assert not rejects.exists()

    rejects.touch()
    assert shell("sync", "customers.csv").exit_code == Exit.DONE
    assert rejects.exists()


def test_a_pattern_leaves_out_what_earlier_runs_rejected(shell: Shell, emulator: Emulator) -> None:
    Path("a.csv").write_text("email,first_name\nada@shop.example,Ada\nbad,Bob\n")
    Path("b.csv").write_text("email,first_name\nbea@shop.example,Bea\n")
    for run in range(3):
        done = shell("sync", "*.csv")
        assert done.exit_code == Exit.INCOMPLETE, done.output
        assert Path("a-rejected.csv").read_text().count("bad,Bob") == run + 1  # each run's own
    assert "a-rejected.csv: left out, as it holds rejected rows" in done.stderr
    assert len(list(emulator.profiles())) == 2


def test_a_database_is_not_its_own_reject_file(shell: Shell, emulator: Emulator) -> None:
    with closing(sqlite3.connect("crm.db")) as database, database:
        database.execute("CREATE TABLE customers (id INTEGER, email TEXT)")
    query = ("--query", "SELECT * FROM customers")
    for url in ("sqlite:///crm.db", f"sqlite:///{Path.cwd()}/crm.db"):
        done = shell("sync", url, *query, "--rejects", "crm.db")
        assert done.exit_code == Exit.CONFIGURATION
        assert "another file than the source" in done.output


@pytest.mark.parametrize("options", [[], ["--shard", "1/1"]], ids=["whole", "shard"])
def test_a_trial_sends_the_first_rows_only(
    shell: Shell, emulator: Emulator, options: list[str]
) -> None:
    Path("customers.csv").write_text("id,email\n" + "".join(f"{n},\n" for n in range(1, 51)))

    done = json.loads(shell("sync", "customers.csv", "--limit", "7", "--json", *options).stdout)
    assert (done["read"], done["sent"]) == (7, 7)
    assert stored(emulator).keys() == {str(n) for n in range(1, 8)}

    # And is no obstacle to the whole.
    done = json.loads(shell("sync", "customers.csv", "--json", *options).stdout)
    assert (done["read"], done["sent"]) == (50, 50)


def test_a_trial_counts_no_changes_of_later_rows(shell: Shell) -> None:
    rows = "".join(f"{n}, Ada \n" for n in range(1, 51))
    Path("customers.csv").write_text(f"id,first_name\n{rows}")

    done = json.loads(shell("sync", "customers.csv", "--limit", "7", "--dry-run", "--json").stdout)
    counted = done["fields"]["first_name"]
    assert (counted["values"], counted["changes"]) == (7, 7)


def test_a_trial_of_a_shard_counts_the_changes_of_its_rows(shell: Shell) -> None:
    rows = "".join(f"{n}, Ada \n" for n in range(1, 301))
    Path("customers.csv").write_text(f"id,first_name\n{rows}")

    arguments = ("sync", "customers.csv", "--dry-run", "--json", "--shard")
    done = [json.loads(shell(*arguments, f"{n}/2").stdout) for n in (1, 2)]
    assert sum(one["read"] for one in done) == 300
    assert [one["changes"][0]["rows"] for one in done] == [one["read"] for one in done]


@pytest.mark.parametrize("content", ["", "id,email\n", "\ufeffid,email\n", "\n\n"])
def test_a_file_without_rows_is_invalid_input(
    shell: Shell, emulator: Emulator, content: str
) -> None:
    Path("customers.csv").write_text(content)
    for arguments in (["sync"], ["sync", "--dry-run"], ["sync", "--json"], ["mapping"]):
        done = shell(*arguments, "customers.csv")
        assert done.exit_code == Exit.INVALID_INPUT, (arguments, done.output)
        assert "customers.csv: expected rows of data, got none" in done.output
    assert emulator.requests == []


def test_a_query_without_rows_is_done(shell: Shell) -> None:
    with closing(sqlite3.connect("crm.db")) as database, database:
        database.execute("CREATE TABLE customers (id INTEGER, email TEXT)")
    done = shell("sync", "sqlite:///crm.db", "--query", "SELECT id, email FROM customers")
    assert done.exit_code == Exit.DONE, done.output


def test_a_dry_run_says_what_is_changed(shell: Shell) -> None:
    Path("customers.csv").write_text("id,email,phone\n1,ADA@SHOP.EXAMPLE\u200b,+41446681800\n")

    done = shell("sync", "customers.csv", "--dry-run")

    assert done.exit_code == Exit.DONE, done.output
    [email] = [line.split() for line in done.stdout.splitlines() if line.startswith("email ")]
    assert email == ["email", "1", "0", "2", "0"]
    assert "email: " in done.stdout
    assert "(row 1)" in done.stdout
    changes = json.loads(shell("sync", "customers.csv", "--dry-run", "--json").stdout)["changes"]
    assert {one["field"] for one in changes} == {"email"}


def test_national_phones_need_a_country(shell: Shell, emulator: Emulator) -> None:
    Path("customers.csv").write_text("id,phone\n1,044 668 18 00\n")
    Path("mapping.toml").write_text('[fields]\nexternal_id = "id"\nphone = "phone"\n')

    assert shell("sync", "customers.csv").exit_code == Exit.INCOMPLETE
    for options in ([], ["--map", "mapping.toml"]):
        done = shell("sync", "customers.csv", "--country", "CH", "--restart", *options)
        assert done.exit_code == Exit.DONE, done.output
        assert str(stored(emulator)["1"]["phone"]).lstrip("+") == "41446681800"
    assert shell("sync", "customers.csv", "--country", "XX").exit_code == Exit.CONFIGURATION
