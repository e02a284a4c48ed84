"""Where a service's message quotes what it was sent, however it has escaped the quotation.

A message may quote a value as it is or in other case, as a URL, JSON, HTML or a repr spells it, or
in one of these within another. So it is looked through once as it came and once for each kind of
escape undone; what is found there is traced back to where it stands in the message.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote

import attrs

# Runs, because one letter may take several escapes: bytes of UTF-8, or a surrogate pair.
_OF_URL: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})++")
_OF_FORM: Final = re.compile(r"(?:%[0-9A-Fa-f]{2}|\+)++")
_OF_BYTES: Final = re.compile(r"(?:\\x[0-9A-Fa-f]{2})++")
_OF_JSON: Final = re.compile(r"(?:\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\"'\\/bfnrt]))++")
_OF_HTML: Final = re.compile(r"(?:&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});)++")
_NOT_OF_JSON: Final = re.compile(r"\\x([0-9A-Fa-f]{2})|\\'")
_MOST_VIEWS: Final = 12


@attrs.frozen
class _View:
    """A message with escapes undone, and where each of its characters stood in the message."""

    text: str
    begins: Sequence[int]
    ends: Sequence[int]


def places(message: str, values: Iterable[str]) -> list[tuple[int, int]]:
    """Find where values stand in a message, in whatever case and however escaped."""
    wanted = {form for value in values for form in (folded(value), folded(value.upper()))}
    found: list[tuple[int, int]] = []
    for view in _views(message):
        text = folded(view.text)
        for value in wanted:
            begin = text.find(value)
            while begin >= 0:
                end = begin + len(value)
                found.append((view.begins[begin], view.ends[end - 1]))
                begin = text.find(value, end)
    return found


def folded(text: str) -> str:
    """Give a text in lower case, character for character: places in it are those in the text.

    Of all characters one becomes two in lower case, and one depends on what stands around it.
    """
    return (
        text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i")
        .lower()
        .replace("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")
    )


def _views(message: str) -> Iterator[_View]:
    """Give a message as it came, and with each kind of escape undone, also within another."""
    views = [_View(message, range(len(message)), range(1, len(message) + 1))]
    seen = {message}
    for view in views:  # grows while it is gone through
        yield view
        for escapes, undo in _ESCAPES:
            if len(views) < _MOST_VIEWS and escapes.search(view.text):
                undone = _undone(view, escapes, undo)
                if undone.text not in seen:
                    seen.add(undone.text)
                    views.append(undone)


def _undone(view: _View, escapes: re.Pattern[str], undo: Callable[[str], str]) -> _View:
    texts: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    done = 0
    for run in escapes.finditer(view.text):
        begin, end = run.span()
        plain = undo(run[0])
        texts += view.text[done:begin], plain
        begins += view.begins[done:begin]
        begins += [view.begins[begin]] * len(plain)
        ends += view.ends[done:begin]
        ends += [view.ends[end - 1]] * len(plain)
        done = end
    texts.append(view.text[done:])
    begins += view.begins[done:]
    ends += view.ends[done:]
    return _View("".join(texts), begins, ends)


def _without_json(run: str) -> str:
    # What only Python writes is put as JSON does.
    spelt = _NOT_OF_JSON.sub(lambda one: f"\\u00{one[1]}" if one[1] else "'", run)
    undone: str = json.loads(f'"{spelt}"')
    return undone


def _without_bytes(run: str) -> str:
    return bytes.fromhex(run.replace("\\x", "")).decode("utf-8", "replace")


_ESCAPES: Final[tuple[tuple[re.Pattern[str], Callable[[str], str]], ...]] = (
    (_OF_URL, unquote),
    (_OF_FORM, lambda run: unquote(run.replace("+", " "))),
    (_OF_JSON, _without_json),
    (_OF_BYTES, _without_bytes),
    (_OF_HTML, html.unescape),
)
