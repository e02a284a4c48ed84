"""The benchmarks run, and what they say of a run is what was measured in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from benchmarks.harness import compare, load_server
from benchmarks.instructions import counted


@pytest.mark.parametrize("group", ["wire", "tls", "latency", "cached", "facade", "per_profile"])
def test_a_group_of_comparisons_runs(group: str) -> None:
    command = [sys.executable, "-m", "benchmarks.suites", group, "6", "12"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    found = json.loads(done.stdout)
    assert found
    for one in found:
        assert one["a_seconds"] > 0
        assert one["b_seconds"] > 0
        assert one["low"] <= one["ratio"] <= one["high"]


async def test_a_ratio_is_of_neighbours_in_time() -> None:
    order: list[str] = []

    async def a() -> None:
        order.append("a")

    async def b() -> None:
        order.append("b")

    found = await compare("b, of a", a, b, rounds=2, target=0.9)

    assert "".join(order) == "ab" + "abba" * 2
    assert (found.name, found.target) == ("b, of a", 0.9)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts instructions")
def test_instructions_are_counted_per_call() -> None:
    with load_server() as (url, _):
        few, more = (counted("sdk", url, "get", count) for count in (1, 21))

    assert 100_000 < (more - few) / 20 < 10_000_000


def test_importing_the_package_leaves_what_is_seldom_needed_alone() -> None:
    seldom = {"cattrs", "personaclick_async.sync", "personaclick_async.emulator", "rich", "uvloop"}
    code = f"import sys, personaclick_async; print(sorted({seldom!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "[]\n"
