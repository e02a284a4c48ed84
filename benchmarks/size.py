"""How large the package is, and how much of it a call goes through: run by ``make size``.

Prints each measure beside the most that it may be, and ends with 1 if one is above it.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from personaclick_async import PersonaClick
from personaclick_async.emulator import Emulator
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.sources import CsvSource

PACKAGE: Final = Path(__file__).parents[1] / "personaclick_async"

SEVERAL_MACHINES: Final = (
    *("sync/parts.py", "cli/machines.py", "integrations/dask*", "integrations/shared_limit.py"),
)
REDIS: Final = ("integrations/redis*",)
FEW_LINES: Final = 40
ROWS: Final = 200

Row = tuple[str, tuple[int, ...], tuple[int, ...]]


def main() -> int:
    """Print the table."""
    too_much = 0
    print(f"{'measure':<52}{'now':>14}{'at most':>14}")
    for name, now, most in (*in_files(), *in_calls()):
        is_more = any(one > limit for one, limit in zip(now, most, strict=True))
        too_much += is_more
        shown, limit = (" / ".join(f"{one:,}" for one in numbers) for numbers in (now, most))
        print(f"{name:<52}{shown:>14}{limit:>14}{'  more' if is_more else ''}")
    return 1 if too_much else 0


def in_files() -> Iterator[Row]:
    """Measure the files as they lie there."""
    files = sorted(PACKAGE.rglob("*.py"))
    trees = {file: ast.parse(file.read_text()) for file in files}
    yield "lines / files of the package", (lines(files), len(files)), (18_500, 125)
    sync = [file for file in files if file.is_relative_to(PACKAGE / "sync")]
    yield "lines / files of sync/", (lines(sync), len(sync)), (5_600, 32)
    yield "lines for several machines", (lines(matching(SEVERAL_MACHINES)),), (700,)
    yield "lines of Redis", (lines(matching(REDIS)),), (420,)
    found = circles(trees)
    yield "import circles, lazy ones counted", (len(found),), (0,)
    for circle in found:
        print(f"  {', '.join(sorted(circle))}")
    give = sum(begins_with_give(tree) for tree in trees.values())
    yield 'docstrings that begin with "Give"', (give,), (0,)
    small = [file for file in files if file.name != "__init__.py" and lines([file]) < FEW_LINES]
    yield f"files under {FEW_LINES} lines, not __init__", (len(small),), (4,)


def in_calls() -> Iterator[Row]:
    """Measure the functions of the package, and their files, that a call enters."""
    with tempfile.TemporaryDirectory() as folder, Emulator() as emulator:
        path = Path(folder) / "people.csv"
        rows = (f"ada{number}@shop.example,Ada\n" for number in range(ROWS))
        path.write_text("email,first_name\n" + "".join(rows))

        async def get(client: PersonaClick) -> Callable[[], Awaitable[object]]:
            user = client.user(did="device0001")
            await user.profile.get()
            return lambda: user.profile.get(force=True)

        async def sync(client: PersonaClick) -> Callable[[], Awaitable[object]]:
            options = SyncOptions(route="per-profile")
            await client.sync_all(CsvSource(path), options=options)
            return lambda: client.sync_all(CsvSource(path), options=options)

        yield "functions / files of one warmed get", entered(emulator, get), (30, 12)
        yield (
            "functions / files of a per-profile sync of a file",
            entered(emulator, sync),
            (170, 28),
        )


def entered(
    emulator: Emulator,
    prepare: Callable[[PersonaClick], Awaitable[Callable[[], Awaitable[object]]]],
) -> tuple[int, int]:
    """Count what a call enters, and in how many files it lies.

    :param prepare: makes the call once, and returns how to make it again.
    """
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.add(frame.f_code)

    async def run() -> None:
        async with PersonaClick(
            emulator.shop_id, shop_secret=emulator.shop_secret, api_url=emulator.url
        ) as client:
            call = await prepare(client)
            threading.setprofile(note)
            sys.setprofile(note)
            try:
                await call()
            finally:
                sys.setprofile(None)
                threading.setprofile(None)

    asyncio.run(run())
    ours = [
        code
        for code in tuple(seen)  # a thread may end meanwhile
        if (file := Path(code.co_filename)).is_relative_to(PACKAGE)
        and not file.is_relative_to(PACKAGE / "emulator")
        and not code.co_name.startswith("<")
    ]
    return len(ours), len({code.co_filename for code in ours})


def lines(files: list[Path]) -> int:
    """Count the lines of files."""
    return sum(len(file.read_text().splitlines()) for file in files)


def matching(patterns: tuple[str, ...]) -> list[Path]:
    """Return the files of the package that have one of these names."""
    found = {file for pattern in patterns for file in PACKAGE.glob(pattern)}
    inside = {file for folder in found if folder.is_dir() for file in folder.rglob("*.py")}
    return sorted({file for file in found if file.is_file()} | inside)


def begins_with_give(tree: ast.Module) -> int:
    """Count the docstrings of a file that begin with the word."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, nodes))
    return sum((text or "").split(maxsplit=1)[:1] == ["Give"] for text in texts)


def circles(trees: Mapping[Path, ast.Module]) -> list[set[str]]:
    """Return the groups of files that import each other, imports inside functions counted."""
    by_name = {module_of(file): tree for file, tree in trees.items()}
    imports = {name: set(imported(tree, by_name)) - {name} for name, tree in by_name.items()}
    reached = {name: reachable(name, imports) for name in imports}
    groups: list[set[str]] = []
    for name in imports:
        group = {other for other in reached[name] if name in reached[other]}
        if group and group not in groups:
            groups.append(group)
    return groups


def module_of(file: Path) -> str:
    """Return the name by which a file is imported."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, known: Mapping[str, object]) -> Iterator[str]:
    """Yield the modules of the package that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def reachable(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    """Return every module that one imports, by way of others too."""
    found: set[str] = set()
    left = [name]
    while left:
        for other in imports[left.pop()] - found:
            found.add(other)
            left.append(other)
    return found


if __name__ == "__main__":
    sys.exit(main())
