"""Type checkers know each command's arguments and what its callbacks get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

RIGHT = """
from typing import assert_type
from personaclick_async.facade import CallError, Handle, create_personaclick

personaclick = create_personaclick()


def failed(error: CallError) -> None:
    assert_type(error.status, int | None)


def products(found: list[dict[str, object]]) -> None: ...


def device(did: str) -> None:
    assert_type(did, str)


async def stored(answer: dict[str, object]) -> None: ...


personaclick("init", "shop", "", None, None, {"did": "d"}, True)
personaclick("profile", "set", {"email": "ada@shop.example"}, stored, failed)
personaclick("profile", "set", {"email": "ada@shop.example"}, None, failed)
personaclick("profile", "get", lambda profile: print(profile["gender"]), True)
personaclick("profile", "get", None, failed, True)
personaclick("profile", "get", {"email": "ada@shop.example"}, stored)
personaclick("profile", "get", force=True, error=failed)
personaclick("orders", "last_for_user", products, failed)
personaclick("orders", "last_for_user", lambda found: print(found[0]["name"]))
personaclick("did", device)
personaclick("reset_session")
assert_type(personaclick("sid"), Handle)
"""
WRONG = """
personaclick("profile", "set")
personaclick("profile", "sett", {"a": 1})
personaclick("profile", "get", products)
personaclick("orders", "last_for_user", device)
personaclick("did", {"a": 1})
personaclick("profile", "set", {"a": 1}, None, device)
"""


def check(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_mypy_and_pyright_take_the_right_calls_and_no_wrong_one(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(RIGHT + WRONG)
    lines = [RIGHT.count("\n") + number for number in range(2, 2 + WRONG.count("\n") - 1)]

    done = check(tmp_path, "mypy", "--strict", "--follow-imports=silent", "right.py")
    assert done.returncode == 0, done.stdout
    done = check(tmp_path, "mypy", "--strict", "--follow-imports=silent", "wrong.py")
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert sorted(found) == lines, done.stdout

    settings = {"typeCheckingMode": "strict", "extraPaths": [str(Path.cwd())]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = check(tmp_path, "pyright", "--outputjson", "--pythonpath", sys.executable)
    told = json.loads(done.stdout)["generalDiagnostics"]
    wrong = [one for one in told if one["severity"] == "error"]
    assert {Path(one["file"]).name for one in wrong} == {"wrong.py"}, done.stdout
    assert sorted({one["range"]["start"]["line"] + 1 for one in wrong}) == lines
