"""What is measured and written by programs: included where a page asks for it, if it is there.

A page asks with a line ``<!-- generated: name -->``; the text is ``docs/_generated/name.md``.
"""

# Sphinx decides which arguments the functions have that it calls.
# ruff: noqa: ARG001, INP001

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def _include(app: Sphinx, page: str, source: list[str]) -> None:
    def text(mark: re.Match[str]) -> str:
        path = Path(app.srcdir) / "_generated" / f"{mark[1]}.md"
        app.env.note_dependency(str(path))
        return path.read_text() if path.exists() else ""

    source[0] = _MARK.sub(text, source[0])


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.connect("source-read", _include)
    return {"parallel_read_safe": True}
