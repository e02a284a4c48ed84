"""``make demo`` tells its whole story on the sample."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}


@pytest.mark.parametrize("locale", [{}, ASCII], ids=["usual", "ascii"])
def test_the_demo_runs_on_the_sample(locale: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **locale, "COLUMNS": "100"},
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Last order of") == 3
    assert "Meadow Candles, set of 3" in done.stdout
    assert "40 rows read, 40 sent in 1 request, 0 rejected, 0 failed" in done.stdout
    for line in ("reads answered by the cache", "requests sent", "all steps"):
        assert line in done.stdout
