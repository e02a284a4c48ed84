"""Text on its way to a terminal, a log or an error's message: what does not print is escaped.

A customer's name, a file's name or the service's message may hold ESC, which moves a terminal's
cursor and colours, CR and LF, which forge a log's lines, or U+202E, which turns text around.
"""

from __future__ import annotations

import json
import unicodedata


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with every character that does not print as its escape.

    ``"\x1b[2J"`` becomes ``r"\x1b[2J"``. Spaces of any width stay as they are.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_json(text: str) -> str:
    r"""Return JSON text that means the same, with such characters as JSON's own escapes.

    Newlines stay: in JSON they stand between values only.
    """
    if text.isprintable():
        return text
    return "".join(
        ch if ch == "\n" or _prints(ch) else json.dumps(ch).removeprefix('"').removesuffix('"')
        for ch in text
    )


def _escaped(ch: str) -> str:
    return ch if _prints(ch) else ch.encode("unicode_escape").decode("ascii")


def _prints(ch: str) -> bool:
    return ch.isprintable() or unicodedata.category(ch) == "Zs"
