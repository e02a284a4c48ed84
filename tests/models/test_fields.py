"""A field of the profile is declared in one place, from which everything else knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import personaclick_async
from personaclick_async.models.update import FIELDS
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.mapping.words import FIELD_COLUMNS

PACKAGE = Path(personaclick_async.__file__).parent
ROOT = PACKAGE.parent
HERE = Path(__file__).parent

AFTER_TYPED = "    middle_name: Sent[str]\n"
AFTER_FIELD = "    gender: Sent[Gender] = "
TYPED = "    middle_initial: Sent[str]\n"
FIELD = '    middle_initial: Sent[str] = sent(rules.text, Kind.TEXT, "mi")\n'


def test_two_lines_add_a_field_everywhere(tmp_path: Path) -> None:
    copied = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    module = copied / "models" / "update.py"
    text = module.read_text()
    assert (text.count(AFTER_TYPED), text.count(AFTER_FIELD)) == (1, 1)
    text = text.replace(AFTER_TYPED, AFTER_TYPED + TYPED).replace(AFTER_FIELD, FIELD + AFTER_FIELD)
    module.write_text(text)
    work = tmp_path / "work"
    work.mkdir()

    done = subprocess.run(
        [sys.executable, HERE / "with_middle_initial.py", work, ROOT / "docs" / "_ext"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_every_identifier_is_a_field() -> None:
    assert set(IDENTIFIERS) <= FIELDS.keys()


def test_no_column_name_means_two_fields() -> None:
    listed = [one for names in FIELD_COLUMNS.values() for one in set(names)]

    assert len(listed) == len(set(listed))
