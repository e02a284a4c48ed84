"""Pages taken apart: the examples in them, and what the page says that comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

TESTED_ELSEWHERE = {
    "docs/web-frameworks.md": "tests/integrations/web/test_page_of_the_docs.py",
    "docs/distributed.md": "tests/distributed/test_recipes.py",
    "docs/porting-from-javascript.md": "tests/facade/test_porting.py",
}
"""Pages whose examples need more than to be run: they are served, or are processes."""

_FENCE = re.compile(
    r"^(?P<ticks>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=ticks)[ ]*$", re.MULTILINE | re.DOTALL
)
_CAPTION = re.compile(r":caption: (?P<name>\S+)\n\n?")
_PROMPT = "$ "


@attrs.frozen
class Block:
    """A fenced block.

    :ivar line: the line of the page that the text begins in.
    :ivar follows: whether nothing stands between this block and the one before.
    :ivar file: the name in its caption.
    """

    language: str
    text: str
    line: int
    follows: bool = False
    file: str | None = None


@attrs.frozen
class Python:
    """An example, and what it prints if the page says so."""

    code: str
    line: int
    output: str | None


@attrs.frozen
class Console:
    """A command, and what it prints: ``...`` stands for anything."""

    command: str
    line: int
    output: str


@attrs.frozen
class File:
    """A file that the reader is to have, as its caption says."""

    name: str
    text: str


Step = Python | Console | File


def pages() -> list[str]:
    """Name every page with examples that are run here."""
    return [name for name in _names() if name not in TESTED_ELSEWHERE and any(steps(name))]


def python_examples() -> list[tuple[str, Python]]:
    """Return the examples in Python of every page, with their pages."""
    return [(name, step) for name in _names() for step in steps(name) if isinstance(step, Python)]


def mappings() -> list[str]:
    """Give every mapping of every page."""
    blocks = [block for name in _names() for block in _blocks((ROOT / name).read_text())]
    return [one.text for one in blocks if one.language == "toml" and "[fields]" in one.text]


def _names() -> list[str]:
    found = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found if "_build" not in path.parts]


def steps(page: str) -> Iterator[Step]:
    """Give what a reader of the page would do, in order."""
    blocks = list(_blocks((ROOT / page).read_text()))
    for number, block in enumerate(blocks):
        if block.file is not None:
            yield File(block.file, block.text)
        elif block.language == "python":
            after = next(iter(blocks[number + 1 : number + 2]), None)
            said = after is not None and after.follows and after.language == "text"
            yield Python(block.text, block.line, after.text if after and said else None)
        elif block.language == "console":
            yield from _commands(block)


def _blocks(text: str) -> Iterator[Block]:
    end = 0
    for found in _FENCE.finditer(text):
        language = found["info"].strip().removeprefix("{code-block}").strip()
        caption = _CAPTION.match(found["text"])
        yield Block(
            language,
            found["text"] if caption is None else found["text"][caption.end() :],
            line=text.count("\n", 0, found.start("text")) + 1,
            follows=not text[end : found.start()].strip(),
            file=caption and caption["name"],
        )
        end = found.end()


def _commands(block: Block) -> Iterator[Console]:
    command, line, output = "", 0, ""
    for number, text in enumerate(block.text.splitlines(keepends=True), block.line):
        if text.startswith(_PROMPT):
            if command:
                yield Console(command, line, output)
            command, line, output = text.removeprefix(_PROMPT).rstrip("\n"), number, ""
        else:
            output += text
    if command:
        yield Console(command, line, output)
