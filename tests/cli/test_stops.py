"""What stops a sync has an exit code of its own, the reason, and what to do; as JSON too."""

from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from personaclick_async.cli.outcome import EXIT_CODES, Exit, code_of
from personaclick_async.emulator import Emulator
from personaclick_async.errors import (
    ConnectionFailed,
    Forbidden,
    PersonaClickError,
    ServerError,
    ServiceUnavailable,
)
from personaclick_async.sync import Cause, JournalFailed, Report, SyncRefused, SyncStopped
from personaclick_async.sync.journal import JournalDamaged, JournalLocked
from personaclick_async.sync.rejects import RejectsFailed
from personaclick_async.sync.sources import SourceFailed
from tests.cli.test_commands import Shell
from tests.docs.pages import DOCS

NOBODY = "http://127.0.0.1:9/"


@pytest.fixture
def shell(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    Path("customers.csv").write_text("id,first_name\n1,Ada\n2,Eve\n")
    return Shell(emulator)


def stop(shell: Shell, code: Exit, *options: str) -> dict[str, str]:
    """Sync, expect this code in text and in JSON; return the error."""
    command = ("sync", "customers.csv", "--patience", "0", *options)
    as_text = shell(*command)
    as_json = shell(*command, "--json")

    assert as_text.exit_code == as_json.exit_code == code, as_text.output
    assert "Traceback" not in as_text.output
    assert isinstance(json.loads(as_json.stdout or "{}"), dict)
    error: dict[str, str] = json.loads(as_json.stderr)
    assert error["message"] in " ".join(as_text.stderr.split())
    for lacking in ("max_refused", "unfinished=", "SyncOptions"):
        assert lacking not in error["message"]
    return error


@pytest.mark.parametrize("route", ["bulk", "per-profile"])
@pytest.mark.parametrize(
    "wrong", [{"PERSONACLICK_SHOP_SECRET": "0" * 32}, {"PERSONACLICK_SHOP_ID": "a" * 30}]
)
def test_wrong_credentials_end_with_the_services_reason_at_the_first_request(
    shell: Shell, emulator: Emulator, route: str, wrong: dict[str, str]
) -> None:
    shell.environment |= wrong

    error = stop(shell, Exit.DENIED, "--route", route, "--concurrency", "1")

    assert error["cause"] == "credentials"
    assert "nothing can be delivered" in error["message"]
    reason = error["message"].rpartition(": ")[2]
    assert reason.split()[0] in ("Shop", "Wrong", "Invalid", "shop_secret", "Secret"), reason
    assert len(emulator.requests) <= 4  # for each run one, and one to make sure


def test_a_script_reads_one_error_and_no_text(shell: Shell, emulator: Emulator) -> None:
    with emulator.fault(status=503):
        stopped = shell.process("sync", "customers.csv", "--patience", "0.1", "--json")
    assert json.loads(stopped.stderr)["cause"] == "unreachable"
    assert "a sync waits for the service" in json.loads(stopped.stdout)["warnings"][0]

    done = [shell.process("sync", "customers.csv", "--json") for _ in range(2)]
    assert [one.stderr for one in done] == ["", ""]
    assert "it is sent again" in json.loads(done[1].stdout)["warnings"][0]


@pytest.mark.parametrize("route", ["bulk", "per-profile"])
def test_a_redirect_is_a_wrong_address(shell: Shell, emulator: Emulator, route: str) -> None:
    with emulator.fault(status=302):
        error = stop(shell, Exit.CONFIGURATION, "--route", route)

    assert error["cause"] == "redirected"


def test_record_after_record_refused_is_not_an_outage(shell: Shell, emulator: Emulator) -> None:
    rows = "".join(f"{n},Name {n}\n" for n in range(100))
    Path("customers.csv").write_text(f"id,first_name\n{rows}")
    with emulator.fault(status=422, error_message="not acceptable"):
        error = stop(shell, Exit.ALL_REFUSED, "--route", "per-profile", "--restart")

    assert error["cause"] == "refused-in-a-row"
    assert "look at the reasons" in error["message"]


def test_only_what_can_not_be_reached_is_not_reachable(shell: Shell, emulator: Emulator) -> None:
    with emulator.fault(status=503):
        assert stop(shell, Exit.UNREACHABLE)["cause"] == "unreachable"
    with emulator.fault(status=429):
        stop(shell, Exit.RATE_LIMITED)
    shell.environment["PERSONACLICK_API_URL"] = NOBODY
    assert stop(shell, Exit.UNREACHABLE, "--journal", "other.db")["cause"] == "unreachable"


def test_a_journal_that_can_not_be_used_has_a_code(shell: Shell, emulator: Emulator) -> None:
    stop(shell, Exit.JOURNAL_FAILED, "--journal", "no-such-folder/journal.db")

    assert shell("sync", "customers.csv", "--journal", "journal.db").exit_code == Exit.DONE
    with closing(sqlite3.connect("journal.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        stop(shell, Exit.JOURNAL_FAILED, "--journal", "journal.db")


def test_a_source_that_breaks_off_has_a_code(shell: Shell, emulator: Emulator) -> None:
    whole = "id,first_name\n" + "".join(f"{n},Name {n}\n" for n in range(5000))
    packed = gzip.compress(whole.encode())
    Path("customers.csv.gz").write_bytes(packed[: len(packed) // 2])
    for command in ("sync", "mapping"):
        done = shell(command, "customers.csv.gz")
        assert done.exit_code == Exit.SOURCE_FAILED, done.output
        assert "breaks off" in done.stderr


def test_every_code_is_in_the_help_and_in_the_documentation() -> None:
    page = (DOCS / "batch-syncs.md").read_text()
    for code in Exit:
        assert f"| {code.value} |" in page
        assert f" {code.value} " in EXIT_CODES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JournalFailed("x"), Exit.JOURNAL_FAILED),
        (JournalLocked("x"), Exit.JOURNAL_FAILED),
        (JournalDamaged("x"), Exit.JOURNAL_FAILED),
        (RejectsFailed("x"), Exit.REJECTS_FAILED),
        (SourceFailed("x"), Exit.SOURCE_FAILED),
        (SyncRefused("x"), Exit.CONFIGURATION),
        (ConnectionFailed("x", endpoint="init", attempts=1), Exit.UNREACHABLE),
        (ServerError("x", status=500, endpoint="init", attempts=1), Exit.FAILED),
        (ServiceUnavailable("x", status=503, endpoint="init", attempts=1), Exit.UNREACHABLE),
        (Forbidden("x", status=403, endpoint="init", attempts=1), Exit.DENIED),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_code_follows_from_the_kind_of_error(error: PersonaClickError, code: Exit) -> None:
    assert code_of(error) == code


def test_every_cause_of_a_stop_has_a_code() -> None:
    codes = {one: code_of(SyncStopped("x", report=Report(), cause=one)) for one in Cause}
    assert [one for one, code in codes.items() if code is Exit.FAILED] == [Cause.FAILED]
