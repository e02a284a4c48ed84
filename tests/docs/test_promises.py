"""The page of promises names tests that are there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "promises.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "| tests |" not in line]
NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" |")[0][2:42])
def test_a_promise_names_tests_that_are_there(row: str) -> None:
    named = NAMED.findall(row.split(" | ")[1])
    assert named, "a promise without a test"
    for file, name in named:
        tests = _tests(file)
        assert tests if not name else name in tests, f"no test {file}::{name}"


def test_the_page_has_promises_of_every_kind() -> None:
    folders = {file.split("/")[0] for row in ROWS for file, _ in NAMED.findall(row)}
    assert folders >= {"wire", "client", "facade", "sync", "distributed", "trust", "emulator"}


def _tests(file: str) -> set[str]:
    found = ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
    functions = (one for one in found if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return {one.name for one in functions if one.name.startswith("test_")}
