"""Files as people have them, each proposed, rehearsed and synced untouched: what is stored then.

A folder of ``cases`` is a case: ``input.*`` is the file, ``case.toml`` says what must come of it:

- ``stored``: the profiles, whole, in any order;
- ``exit``: the exit code of the dry run and of the sync, 0 unless said;
- ``options``: how the file is read, for all three commands; ``sync``: more for the last two;
- ``says``: words that the commands write somewhere; ``refuses``: words of ``mapping``'s error, if
  it is to refuse the file, and then nothing else is run.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from personaclick_async.emulator import Emulator
from tests.cli.test_commands import Shell

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("case", sorted(path.parent.name for path in CASES.glob("*/case.toml")))
def test_a_file_is_stored_as_it_was_meant_or_refused(
    case: str, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tomllib.loads((CASES / case / "case.toml").read_text("utf-8"))
    source, *more = sorted((CASES / case).glob("input*"))
    where = str(source.with_name("input*")) if more else str(source)
    monkeypatch.chdir(tmp_path)
    shell = Shell(emulator)
    read = [where, *said.get("options", [])]

    proposed = shell("mapping", *read)
    if "refuses" in said:
        assert proposed.exit_code, proposed.output
        assert said["refuses"] in proposed.stderr
        assert "@" not in proposed.stdout
        return
    assert proposed.exit_code == 0, proposed.output
    Path("proposal.toml").write_text(proposed.stdout, "utf-8")

    options = [*read, "--map", "proposal.toml", *said.get("sync", [])]
    rehearsed = shell("sync", *options, "--dry-run")
    assert emulator.requests == []
    synced = shell("sync", *options)

    assert (rehearsed.exit_code, synced.exit_code) == (said.get("exit", 0),) * 2, synced.output
    emulator.drain()
    stored = [plain(profile) for profile in emulator.profiles()]
    assert sorted(stored, key=repr) == sorted(said["stored"], key=repr)
    for words in said.get("says", []):
        assert words in proposed.output + rehearsed.output + synced.output


def plain(profile: dict[str, Any]) -> dict[str, Any]:
    """Return what was sent of a profile, flat and in order."""
    sent = {**profile, **profile["custom_properties"]}
    del sent["custom_properties"]
    return dict(sorted((name, value) for name, value in sent.items() if value not in (None, [])))
