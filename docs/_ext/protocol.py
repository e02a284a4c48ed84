"""Links from docstrings that name a section of the protocol, such as "protocol, section 6.4"."""

# Sphinx decides which arguments the functions have that it calls.
# ruff: noqa: ARG001, INP001, PLR0917

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_PAGE = "protocol"
_HEADING = re.compile(r"^(#+ (\d+(?:\.\d+)?)\.? )", re.MULTILINE)
_NAMED = re.compile(r"(protocol(?:, |'s )(?:section )?(\d+(?:\.\d+)?))")


def _label(number: str) -> str:
    return f"{_PAGE}-{number.replace('.', '-')}"


def _label_sections(app: Sphinx, page: str, source: list[str]) -> None:
    if page == _PAGE:
        source[0] = _HEADING.sub(lambda found: f"({_label(found[2])})=\n{found[1]}", source[0])


def _link_sections(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    lines[:] = [
        _NAMED.sub(lambda found: f":ref:`{found[1]} <{_label(found[2])}>`", line) for line in lines
    ]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.connect("source-read", _label_sections)
    app.connect("autodoc-process-docstring", _link_sections)
    return {"parallel_read_safe": True}
