"""How a command leaves: on a signal, with its output gone, with a text that can't be shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from personaclick_async.cli.outcome import Exit
from personaclick_async.emulator import Emulator
from tests.cli.test_commands import Shell
from tests.test_codec import HOSTILE, unprintable

COMMAND = f"{sys.executable} -m personaclick_command"
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

# A shell runs what it puts in the background with Ctrl-C ignored; so may whoever runs the tests.
# Here it is ignored until the command begins: Python itself would print a traceback before.
IN_THE_FOREGROUND = """
import signal
from personaclick_command import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture
def shell(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return Shell(emulator)


def customers(count: int) -> None:
    rows = "".join(f"{n},Name {n}\n" for n in range(1, count + 1))
    Path("customers.csv").write_text(f"id,first_name\n{rows}")


def start(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", IN_THE_FOREGROUND, *arguments],
        env={**os.environ, **shell.environment},
        preexec_fn=ignore_interrupts,  # noqa: PLW1509 - no threads of the parent matter here
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bash(shell: Shell, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"],
        env={**os.environ, **shell.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_says_that_a_sync_is_unfinished_and_how_to_continue(
    shell: Shell, emulator: Emulator, number: signal.Signals, as_json: list[str]
) -> None:
    customers(400)
    command = ["sync", "customers.csv", "--route", "per-profile", "--concurrency", "8", *as_json]
    with emulator.fault(delay=0.05):
        process = start(shell, *command)
        while len(emulator.requests) < 60:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "run the same command again to continue" in err
    if as_json:
        assert json.loads(err)["error"] == "Interrupted"
        assert 0 < json.loads(out)["sent"] < 400

    done = shell("sync", "customers.csv", "--route", "per-profile", "--json")
    assert done.exit_code == Exit.DONE, done.output
    emulator.drain()
    assert len(list(emulator.profiles())) == 400


def test_a_second_signal_waits_for_no_answer_and_says_how_to_continue(
    shell: Shell, emulator: Emulator
) -> None:
    customers(400)
    with emulator.fault(delay=30):
        process = start(shell, "sync", "customers.csv", "--route", "per-profile")
        while not emulator.requests:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert "run the same command again to continue" in err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_moment_of_the_start_leaves_no_traceback(
    shell: Shell, emulator: Emulator, number: signal.Signals
) -> None:
    customers(3)
    for hundredths in range(6, 80, 16):
        process = start(shell, "sync", "customers.csv", "--restart")
        time.sleep(hundredths / 100)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err, hundredths
        # Python itself is deaf before our first line, and ends on the signal.
        assert process.returncode in (Exit.DONE, 128 + number, -number), err


def test_a_signal_ends_a_sync_that_waits_for_input(shell: Shell) -> None:
    process = start(shell, "sync", "-", "--kind", "jsonl")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.stdin is not None

    assert process.wait(timeout=20) == 128 + signal.SIGINT
    _, err = process.communicate()
    assert "interrupted" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "gone", ["| true", ">&-", ">/dev/full", "| head -c 1 >/dev/null", "2>&1 >&- | cat >&2"]
)
def test_a_sync_whose_output_is_gone_ends_with_its_own_outcome(
    shell: Shell, emulator: Emulator, gone: str
) -> None:
    customers(3)
    # The reader of a pipe is to be gone before anything is written.
    done = bash(shell, f"{COMMAND} sync customers.csv --json {gone}; exit ${{PIPESTATUS[0]}}")

    assert done.returncode == Exit.DONE, done.stderr
    emulator.drain()
    assert len(list(emulator.profiles())) == 3
    if "head" not in gone:
        assert done.stderr.count("\n") == 1
        assert "standard output is gone" in done.stderr
        assert (">&-" in gone) == ("it was closed" in done.stderr)


def test_neither_standard_output_nor_error_need_to_be_there(shell: Shell) -> None:
    customers(3)
    done = bash(shell, f"{COMMAND} sync customers.csv >&- 2>&-")

    assert done.returncode == Exit.DONE
    journal = Path("personaclick-sync.db").read_bytes()
    assert journal.startswith(b"SQLite format 3")  # and nothing that was meant for a terminal


def test_memory_that_runs_out_is_named_without_a_traceback(shell: Shell) -> None:
    customers(100)
    # Enough to begin with; a thread's stack alone takes a tenth of it.
    ran = bash(shell, f"ulimit -v 70000; {COMMAND} sync customers.csv --route bulk")
    assert ran.returncode == 1
    assert "may not have more memory" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", ["--help", "sync --help", "--version"])
def test_help_ends_well_when_nobody_reads_it(shell: Shell, arguments: str) -> None:
    done = bash(shell, f"{COMMAND} {arguments} >/dev/full")

    assert done.returncode == Exit.DONE
    assert "Traceback" not in done.stderr


def test_a_narrow_encoding_gets_escapes(shell: Shell, emulator: Emulator) -> None:
    emulator.add_profiles([{"external_id": "7", "first_name": "Zoë", "last_name": "Łęcka"}])
    narrow = {
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
    }
    shown = bash(shell, f"{COMMAND} profile get --external-id 7", **narrow)
    as_json = bash(shell, f"{COMMAND} profile get --full --external-id 7 --json", **narrow)

    assert shown.returncode == as_json.returncode == Exit.DONE, shown.stderr
    assert as_json.stdout.isascii()
    assert json.loads(as_json.stdout)["last_name"] == "Łęcka"


def test_values_of_customers_reach_a_terminal_escaped(shell: Shell, emulator: Emulator) -> None:
    name = HOSTILE.replace("\udcff", "")
    emulator.add_profiles([{"external_id": "7", "first_name": name, "last_name": "[bold]"}])
    emulator.add_products([{"id": "a", "name": name}])
    emulator.add_orders([{"id": 1, "external_id": "7", "date": 5, "items": [{"id": "a"}]}])

    for command in (("profile", "get", "--full"), ("orders", "last")):
        shown = shell(*command, "--external-id", "7")
        assert shown.exit_code == Exit.DONE, shown.output
        assert unprintable(shown.output) == {"\n"}
        assert r"\x1b[2J" in shown.output
        as_json = shell(*command, "--external-id", "7", "--json")
        assert unprintable(as_json.output) == {"\n"}
        [values] = json.loads(f"[{as_json.stdout}]")
        assert name in (values["first_name"] if command[0] == "profile" else values[0]["name"])


def test_the_names_of_files_reach_a_terminal_escaped(shell: Shell) -> None:
    hostile = "\x1b[2J\u202e\n.csv"
    Path(hostile).write_text("id,first_name\n1,Ada\n2,\n")
    for arguments in ((hostile,), ("missing" + hostile,), (hostile, "--dry-run")):
        shown = shell("sync", *arguments)
        assert unprintable(shown.output) <= {"\n"}, arguments
        assert "\x1b" not in shown.output
