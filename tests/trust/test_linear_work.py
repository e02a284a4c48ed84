"""Work grows with the size of what comes in, and no faster.

Each case is so large that work in proportion to its square would take hours. All of them run in
one process, which is given far longer than it needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 120


def test_no_input_makes_work_out_of_proportion() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trust.large_inputs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
