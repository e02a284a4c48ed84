"""One whole story in a talkative process: nothing it says or writes anywhere names anybody."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from tests.trust.canaries import CANARIES, found_in
from tests.trust.run_everything import LAST_WORDS, REJECTED

ROOT = Path(__file__).parents[2]


def test_nothing_that_a_process_says_or_writes_names_anybody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "always", "-m", "tests.trust.run_everything"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONASYNCIODEBUG": "1", "PYTHONPATH": str(ROOT)},
        umask=0,
        capture_output=True,
        timeout=120,
        check=False,
    )

    # It came to its end, by the exception that it is to end with, and said all sorts of things.
    errors = done.stderr.decode()
    assert errors.rstrip().endswith(LAST_WORDS), errors[-2000:]
    account = json.loads((tmp_path / "made.json").read_text())
    assert account["made"] > 100
    assert account["heard"] > 50
    for name in ("personaclick_async", "personaclick_async.facade", "asyncio", "shop"):
        assert f" {name} " in errors
    for word in (
        "Traceback",
        "ValidationError",
        "SyncStopped",
        "ConnectionFailed",
        "a callback of",
    ):
        assert word in errors
    for word in (
        '"name": "POST /profile/set"',
        "personaclick.sync.records",
        "Rejected row 8",
        "<User",
    ):
        assert word in done.stdout.decode()

    assert found_in(done.stdout) == []
    assert found_in(done.stderr) == []

    written = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert written.keys() >= {"bulk.db", "per-profile.db", REJECTED}
    people = written.pop(REJECTED)
    for name, path in written.items():
        assert found_in(path.read_bytes()) == [], name
    # The reject file holds rows by design, and so is for its owner alone.
    assert "custom" in found_in(people.read_bytes())
    assert CANARIES["email"].encode() in people.read_bytes()
    for path in (people, written["bulk.db"], written["per-profile.db"]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
