"""Which encoding a text is in: what it says itself, else UTF-8 if it fits, else a guess."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.broken_text import KEEP_BYTES
from personaclick_async.sync.sources.extras import need
from personaclick_async.sync.sources.inputs import Input

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32's begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEED_A_MARK: Final = ("utf-16", "utf-32")
_BLOCK: Final = 1024 * 1024
_EVIDENCE: Final = 64 * 1024


@attrs.frozen
class Encoding:
    """An encoding, and how many bytes of byte order mark stand before the text."""

    name: str
    bom_bytes: int = 0


def check_encoding(name: str) -> str:
    """Give an encoding's usual name.

    :raises ConfigurationError: there is none of that name, or it is not one of text.
    """
    try:
        # Some codecs do not make text (base64), and some can't go on after an error (idna).
        b"\xff\xff\xff\xff".decode(name, KEEP_BYTES)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        raise ConfigurationError(
            f"encoding: expected one that Python knows, got {name!r}"
        ) from None


def find_encoding(source: Input, given: str | None) -> Encoding:
    """Find an input's encoding.

    A byte order mark is always believed. Then comes what was ``given``. Then UTF-8, if all of the
    input is that. What is left is guessed by charset-normalizer.

    :raises ConfigurationError: it can't be told; says to give it.
    """
    head = source.head()
    for bom, name in _BOMS:
        if head.startswith(bom):
            return Encoding(name, len(bom))
    if given is not None:
        name = check_encoding(given)
        if head and name in _NEED_A_MARK:
            raise ConfigurationError(
                f"{source.name}: has no byte order mark; give its encoding as {name}-le or "
                f"{name}-be"
            )
        return Encoding(name)
    evidence = _not_utf8(_blocks(source) if source.content_hash else [head])
    if not evidence:
        return Encoding("utf-8")
    purpose = f"{source.name}: is not in UTF-8; give its encoding, or to have it guessed"
    guess = need("charset_normalizer", extra="encodings", purpose=purpose)
    guesses = (check_encoding(match.encoding) for match in guess.from_bytes(evidence))
    # A mark in the midst of a text speaks for an encoding that the text can't be read in.
    best = next((name for name in guesses if name not in _NEED_A_MARK), None)
    if best is None:
        raise ConfigurationError(f"{source.name}: is not in UTF-8; give its encoding")
    return Encoding(best)


def _blocks(source: Input) -> Iterator[bytes]:
    with source.open() as stream:
        while block := stream.read(_BLOCK):
            yield block


def _not_utf8(blocks: Iterable[bytes]) -> bytes:
    """Give lines with letters beyond ASCII from a text that is not UTF-8; nothing if it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blocks:
        # Most files are nearly all ASCII, which can be told at the speed of memory.
        if block.isascii() and not decoder.getstate()[0]:
            continue
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            lines = (line for line in block.splitlines(keepends=True) if not line.isascii())
            return b"".join(lines)[:_EVIDENCE] or block[:_EVIDENCE]
    return b""
