"""Which encoding a text is in: what it says itself, else what it can only be, else a question."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.code_pages import code_page_of, lines_of, ranked
from personaclick_async.sync.sources.files import HEAD_BYTES, Input

KEEP_BYTES: Final = "personaclick_async.keep_bytes"
"""An error handler, for decoding and for encoding, that keeps bytes that are no text.

Each such byte becomes a lone surrogate, as Python's ``surrogateescape`` does it for the bytes
from 0x80 (which is all that UTF-8 needs). Rules refuse lone surrogates, so the row alone is
rejected, and the reject file gets the same bytes that the source had.
"""

_FIRST: Final = 0xDC00
_ESCAPED: Final = range(0xDC80, 0xDD00)
_UTF8: Final = "utf-8"
_BOMS: Final = (
    (codecs.BOM_UTF8, _UTF8),
    # UTF-32's begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NEED_A_MARK: Final = ("utf-16", "utf-32")
_WIDE: Final = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_BLOCK: Final = 1024 * 1024
_EVIDENCE: Final = 256 * 1024
_SHOWN: Final = 3
_LONGEST_SAMPLE: Final = 100


@attrs.frozen
class Encoding:
    """An encoding, how many bytes of mark stand before the text, and why it is thought so."""

    name: str
    bom_bytes: int = 0
    reason: str = "given"


@attrs.frozen(repr=False)
class Candidate:
    """An encoding that a text may be in.

    :ivar sample: a line of the text, decoded: somebody's data, for the terminal only.
    """

    encoding: str
    sample: str


class UnknownEncoding(ConfigurationError):
    """A text's encoding can't be told with certainty.

    :ivar candidates: what fits, the likeliest first. Their samples are personal data, and no part
        of the error's text.
    """

    def __init__(self, message: str, candidates: Sequence[Candidate] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


def check_encoding(name: str) -> str:
    """Return an encoding's usual name.

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


def find_encoding(source: Input, given: str | None, *, otherwise: str | None = None) -> Encoding:
    """Find an input's encoding.

    A byte order mark is always believed. Then comes what was ``given``. Then UTF-16 and UTF-32 if
    the text can be nothing else, and UTF-8 if all of it is that, or nearly all. What is left is
    taken for a code page only if every word speaks for it.

    :param otherwise: what it is by definition, unless it says something else.
    :raises UnknownEncoding: it can't be told.
    """
    head = source.head()
    for bom, name in _BOMS:
        if head.startswith(bom):
            return Encoding(name, len(bom), "by its mark")
    if given is not None:
        name = check_encoding(given)
        if head and name in _NEED_A_MARK:
            raise ConfigurationError(
                f"{source.name}: has no byte order mark; give its encoding as {name}-le or "
                f"{name}-be"
            )
        return Encoding(name)
    for name in _WIDE:
        if _is_wide(head, name):
            return Encoding(name, reason="by its zero bytes")
    if otherwise is not None:
        return Encoding(otherwise, reason="what JSON is in")
    if source.content_hash is None:
        # All that can be seen beforehand; where it is cut, half a letter may be left.
        blocks = iter([head[: max(head.rfind(b"\n"), 0)] if len(head) == HEAD_BYTES else head])
    elif _is_utf8(_blocks(source)):
        return Encoding(_UTF8, reason="all of it is valid")
    else:
        blocks = _blocks(source)
    return _legacy(source.name, lines_of(blocks, _EVIDENCE))


def _legacy(name: str, evidence: bytes) -> Encoding:
    if _is_mostly_utf8(evidence):
        return Encoding(_UTF8, reason="what was seen of it is valid")
    found = code_page_of(evidence)
    if found is not None:
        return Encoding(found, reason="by its letters")
    longest = max(evidence.splitlines(), key=_high_bytes)
    candidates = (
        Candidate(one, longest.decode(one, "replace")[:_LONGEST_SAMPLE]) for one in ranked(evidence)
    )
    looks: dict[str, Candidate] = {}
    for one in candidates:
        looks.setdefault(one.sample, one)  # the likeliest of those that look the same
    shown = list(looks.values())[:_SHOWN]
    fitting = f"; these fit: {', '.join(one.encoding for one in shown)}" if shown else ""
    raise UnknownEncoding(
        f"{name}: is not in UTF-8; give its encoding (--encoding){fitting}", shown
    )


def _high_bytes(line: bytes) -> int:
    return sum(byte > ord("\x7f") for byte in line)


def _blocks(source: Input) -> Iterator[bytes]:
    with source.open() as stream:
        while block := stream.read(_BLOCK):
            yield block


def _is_utf8(blocks: Iterable[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder(_UTF8)()
    try:
        for block in blocks:
            # Most files are nearly all ASCII, which can be told at the speed of memory.
            if not block.isascii() or decoder.getstate()[0]:
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_mostly_utf8(evidence: bytes) -> bool:
    """Tell whether a text is UTF-8 but for some bytes, whose rows are then rejected."""
    lines = evidence.splitlines()
    broken = sum(not _is_utf8([line]) for line in lines)
    return broken <= len(lines) // 2


def _is_wide(head: bytes, name: str) -> bool:
    """Tell whether bytes can be only this encoding: much is ASCII, with zeros in between."""
    width = 4 if "32" in name else 2
    head = head[: len(head) // width * width]
    place = 0 if name.endswith("be") else width - 1
    zeros = head[place::width].count(0)
    if zeros * 4 < len(head) // width or head.count(0) * width > len(head) * (width - 0.5):
        return False
    text = head.decode(name, "replace")
    return zeros > 0 and "\0" not in text and "\ufffd" not in text[:-1]


def _keep(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        broken = error.object[error.start : error.end]
        return "".join(chr(_FIRST + byte) for byte in broken), error.end
    if isinstance(error, UnicodeEncodeError):
        lone = error.object[error.start : error.end]
        return b"".join(_bytes_of(one) for one in lone), error.end
    raise error


def _bytes_of(surrogate: str) -> bytes:
    if ord(surrogate) in _ESCAPED:
        return bytes([ord(surrogate) - _FIRST])
    # Not valid in UTF-8 either: fed back as it is, the row is rejected again.
    return surrogate.encode("utf-8", "surrogatepass")


codecs.register_error(KEEP_BYTES, _keep)
