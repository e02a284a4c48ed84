"""The package has the layers of docs/architecture.md, and that page names files that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT

PACKAGE = ROOT / "personaclick_async"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

LAYERS = (
    ("names", "codec", "_version"),
    ("errors",),
    ("models",),
    ("protocol",),
    ("transport", "cache"),
    ("user",),
    ("client", "sync"),
    ("facade",),
    ("cli",),
)
"""What is above imports what is below, and never the other way round."""

NEVER_IMPORTED_BY_THE_CORE = ("integrations", "facade", "emulator", "cli", "probe", "testing")
CORE = ("names", "errors", "codec", "models", "protocol", "transport", "cache", "user", "client")


def imported(path: Path) -> set[str]:
    """Name the modules of ours that a module imports, lazily or not, but for annotations."""
    tree = ast.parse(path.read_text())
    return {
        full if full in MODULES else node.module
        for node in _nodes(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE.name)
        for full in [f"{node.module}.{alias.name}" for alias in node.names]
    }


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child)


IMPORTS = {name: imported(path) for name, path in MODULES.items()}


def part_of(module: str) -> str:
    """Name the file or folder at the top of the package that a module is in."""
    return [*module.split("."), ""][1]


def test_no_imports_go_round_in_a_circle() -> None:
    graph = {module: found - {module} for module, found in IMPORTS.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports_run_down_the_layers() -> None:
    height = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    upwards = {
        f"{module} imports {other}"
        for module, found in IMPORTS.items()
        for other in found
        if height.get(part_of(other), -1) > height.get(part_of(module), len(LAYERS))
    }
    assert upwards == set()


def test_the_core_knows_nothing_of_what_is_built_on_it() -> None:
    wrong = {
        f"{module} imports {other}"
        for module, found in IMPORTS.items()
        if part_of(module) in CORE
        for other in found
        if part_of(other) in NEVER_IMPORTED_BY_THE_CORE
    }
    assert wrong == set()


def test_the_emulator_shares_nothing_with_the_client() -> None:
    used = {
        part_of(other)
        for module, found in IMPORTS.items()
        if part_of(module) == "emulator"
        for other in found
    }
    assert used <= {"emulator", "names", "models", "codec", "errors", "_version", ""}


def test_every_file_that_the_page_names_exists() -> None:
    text = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", text))
    assert len(named) > 30
    missing = {name for name in named if not (PACKAGE / name).exists() | (ROOT / name).exists()}
    assert missing == set()
