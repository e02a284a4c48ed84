"""The page about porting tells the truth, and the ported shop page runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from personaclick_async.emulator import Emulator

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "porting-from-javascript.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(emulator: Emulator, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "PERSONACLICK_SHOP_ID": emulator.shop_id,
            "PERSONACLICK_API_URL": emulator.url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_example_of_the_page_runs(emulator: Emulator, example: str) -> None:
    done = run(emulator, "-X", "dev", "-c", example)

    assert (done.returncode, done.stderr) == (0, "")
    assert emulator.requests_to("/profile/set") != []
    assert done.stdout != ""


def test_the_page_has_examples_of_every_mode() -> None:
    assert len(EXAMPLES) == 3


def test_the_ported_shop_page_lives_through_a_visit(emulator: Emulator) -> None:
    emulator.add_products([{"id": "a", "name": "Red shoes", "price_full": 49.9}])
    emulator.add_orders([{"id": 1, "email": "ada@shop.example", "items": [{"id": "a"}]}])
    emulator.set_computed(email="ada@shop.example", fashion_sizes={"shoe": [38]})

    done = run(emulator, "-m", "examples.ported_shop_page")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "welcome back, Ada",
        "gender: not known yet",
        "shoe sizes: 38",
        "buy again: Red shoes, 50 $",
        "bought: True",
    ]
    stored = emulator.profile(email="ada@shop.example")
    assert stored["loyalty_bonuses"] == 20
