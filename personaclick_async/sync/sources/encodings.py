"""Which encoding a text is in: by its mark, else the only one that fits, else the user is asked.

Nobody notices the damage of a wrong guess. So a code page is taken only if all words beyond ASCII
look like words in it: letters of one language, capitals at the start, and vowels and consonants
where they can stand beside that letter: ``Peña`` is Spanish, but ``Kamiñski`` is ``Kamiński`` in
another page. Libraries that guess misread every third small file.
"""

from __future__ import annotations

import codecs
import io
import re
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, Final

import attrs

from personaclick_async.errors import ConfigurationError
from personaclick_async.sync.sources.files import HEAD_BYTES, Input

KEEP_BYTES: Final = "personaclick_async.keep_bytes"
"""An error handler, for decoding and for encoding, that keeps bytes that are no text.

Each such byte becomes a lone surrogate, as Python's ``surrogateescape`` does it for the bytes
from 0x80 (which is all that UTF-8 needs). Rules refuse lone surrogates, so the row alone is
rejected, and the reject file gets the same bytes that the source had.
"""

_SURROGATE: Final = 0xDC00
_UTF8: Final = "utf-8"
_WESTERN: Final = "cp1252"
_WIDE: Final = {
    "utf-32-le": codecs.BOM_UTF32_LE,  # begins with UTF-16's
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}
_BOMS: Final = {_UTF8: codecs.BOM_UTF8, **_WIDE}
_BLOCK: Final = 1024 * 1024
_EVIDENCE: Final = 256 * 1024
_SHOWN: Final = 3
_LONGEST_SAMPLE: Final = 100
_CONTROL: Final = re.compile("[\x80-\x9f]")
# A word: letters, with whatever stands within or beside them and is no ASCII.
_WORD: Final = re.compile(r"(?:[^\W\d_]|[^\x00-\x7f])+")
_WORDS_PER_DOUBT: Final = 25
_ENOUGH_LETTERS: Final = 12
_ENOUGH_WORDS: Final = 3
_COMMON_SHARE: Final = 0.55


@attrs.frozen
class Encoding:
    """An encoding, the length of the byte order mark, and how it was found out."""

    name: str
    bom_bytes: int = 0
    reason: str = "given"

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@attrs.frozen(repr=False)
class Candidate:
    """An encoding that a text may be in."""

    encoding: str
    sample: str  # a line of the text, decoded: somebody's data, for the terminal only


class UnknownEncoding(ConfigurationError):
    """A text's encoding is not certain.

    :ivar candidates: what fits, the likeliest first. Their samples are personal data, and no part
        of the error's text.
    """

    def __init__(self, message: str, candidates: Sequence[Candidate] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


def check_encoding(name: str) -> str:
    """Return an encoding's usual name; it must be one of text that Python knows."""
    try:
        # base64 and its like do not decode to text, and idna can't go on after an error.
        b"\xff\xff\xff\xff".decode(name, KEEP_BYTES)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        raise ConfigurationError(
            f"encoding: expected one that Python knows, got {name!r}"
        ) from None


def find_encoding(
    source: Input, given: str | None, *, otherwise: Encoding | None = None
) -> Encoding:
    """Find an input's encoding: by its mark, as ``given``, or by its content.

    :param otherwise: the format's own encoding, unless the input is UTF-16 or UTF-32.
    :raises UnknownEncoding: it is not certain.
    """
    head = source.head()
    for name, bom in _BOMS.items():
        if head.startswith(bom):
            return Encoding(name, len(bom), "by its mark")
    if given is not None:
        if head and given in ("utf-16", "utf-32"):
            rule = f"give its encoding as {given}-le or {given}-be"
            raise ConfigurationError(f"{source.name}: has no byte order mark; {rule}")
        return Encoding(given)
    for name in _WIDE:
        if b"\0" in head and _is_wide(head, name):
            return Encoding(name, reason="by its zero bytes")
    if otherwise is not None:
        return otherwise
    if source.content_hash is not None and _is_utf8(_blocks(source)):
        return Encoding(_UTF8, reason="all of it is valid")
    return _of_lines(source)


@contextmanager
def as_text(source: Input, encoding: Encoding) -> Iterator[io.TextIOWrapper]:
    """Read an input as text; newlines stay as they are."""
    with source.open() as stream:
        stream.read(encoding.bom_bytes)
        text = io.TextIOWrapper(stream, encoding=encoding.name, errors=KEEP_BYTES, newline="")
        try:
            yield text
        finally:
            # Or the wrapper closes the file, which is not its own.
            text.detach()


def _blocks(source: Input) -> Iterator[bytes]:
    """Read an input as far as it can be read beforehand: a stream's head only."""
    if source.content_hash is None:
        head = source.head()  # its last letter may be cut
        yield head[: max(head.rfind(b"\n"), 0)] if len(head) == HEAD_BYTES else head
        return
    with source.open() as stream:
        yield from iter(lambda: stream.read(_BLOCK) + stream.readline(_BLOCK), b"")


def _is_utf8(blocks: Iterable[bytes]) -> bool:
    try:
        deque(codecs.iterdecode(blocks, _UTF8), maxlen=0)
    except UnicodeDecodeError:
        return False
    return True


def _is_wide(head: bytes, name: str) -> bool:
    """Return whether bytes are surely in this wide encoding: valid, no zeros, much of it ASCII."""
    try:
        text = codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return False
    return len(text.encode("ascii", "ignore")) * 4 >= len(text) > 0 and "\0" not in text


def _of_lines(source: Input) -> Encoding:
    """Find the encoding by the lines with bytes beyond ASCII, or by enough of these."""
    lines: list[bytes] = []
    for block in _blocks(source):
        lines += [line for line in block.splitlines() if not line.isascii()]
        if sum(map(len, lines)) >= _EVIDENCE:
            break
    if sum(not _is_utf8([line]) for line in lines) <= len(lines) // 2:
        # Some bytes are no text: their rows are rejected.
        return Encoding(_UTF8, reason="what was seen of it is valid")
    known = _alphabets()
    texts: dict[str, str] = {}
    for page in known["candidates"].split():
        with suppress(UnicodeDecodeError):
            text = b"\n".join(lines).decode(page)
            if not _CONTROL.search(text):
                texts[page] = text
    languages = [one for one in known["languages"] if one["page"] in texts]
    found = {one["page"] for one in languages if _is_written_in(texts[one["page"]], one)}
    if _WESTERN in texts and _is_western(texts[_WESTERN], known["western"]):
        found = {_WESTERN}
    if len(found) == 1:
        return Encoding(found.pop(), reason="by its letters")
    longest = max(lines, key=lambda line: sum(byte > ord("\x7f") for byte in line))
    looks: dict[str, str] = {}
    for page in sorted(texts, key=lambda page: _share_of_words(texts[page]), reverse=True):
        looks.setdefault(longest.decode(page, "replace")[:_LONGEST_SAMPLE], page)
    shown = [Candidate(page, sample) for sample, page in looks.items()][:_SHOWN]
    fitting = f"; these fit: {', '.join(one.encoding for one in shown)}" if shown else ""
    raise UnknownEncoding(
        f"{source.name}: is not in UTF-8; give its encoding (--encoding){fitting}", shown
    )


@cache
def _alphabets() -> Mapping[str, Any]:
    """Load what is known of words; most texts are in UTF-8, and need none of it."""
    known = tomllib.loads(files(__package__).joinpath("alphabets.toml").read_text("utf-8"))
    west = known["western"]
    doubtful = "|".join(west["doubtful"]).replace("V", west["vowels"]).replace("S", west["shared"])
    west |= {"harmless": re.compile("|".join(west["harmless"])), "doubtful": re.compile(doubtful)}
    return known


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if not word.isascii()]


def _share_of_words(text: str) -> float:
    words = _words(text)
    return sum(map(_is_cased_word, words)) / max(len(words), 1)


def _is_cased_word(word: str) -> bool:
    """Return whether a word is all letters, with capitals at its start only, or throughout."""
    if not word.isalpha():
        return False
    if any(map(str.isascii, word)) and any(ch >= "\u0370" for ch in word):
        return False  # two scripts in one word
    # ASCII capitals may stand inside: McDonald.
    return word.isupper() or not any(ch.isupper() and not ch.isascii() for ch in word[1:])


def _is_western(text: str, west: Mapping[str, Any]) -> bool:
    words = {*_words(west["harmless"].sub("", text))}
    letters = {ch for word in words for ch in word.lower() if ch > "\x7f" and ch.isalpha()}
    if letters and letters <= {*west["circumflex"]}:
        return False
    sure = {word for word in words if _is_western_word(word, west)}
    telling = [word for word in sure if not {*word.lower()} & letters <= {*west["shared"]}]
    return len(telling) >= _WORDS_PER_DOUBT * len(words - sure)


def _is_western_word(word: str, west: Mapping[str, Any]) -> bool:
    if not any(map(str.isalpha, word)):
        return len(word) == 1  # a sign by itself
    beyond = {ch for ch in word.lower() if ch > "\x7f"}
    is_known = any(beyond <= {*alphabet} for alphabet in west["alphabets"].split())
    return is_known and _is_cased_word(word) and not west["doubtful"].search(f" {word.lower()} ")


def _is_written_in(text: str, language: Mapping[str, str]) -> bool:
    """Return whether lines are certainly in a language of ``alphabets.toml``."""
    cased = {*_words(text)}
    words = {word.lower() for word in cased}
    letters = [ch for word in words for ch in word if ch > "\x7f"]
    known = language["letters"]
    telling = {*language.get("telling", known)}
    never = re.compile(language.get("never", r"^[^\x00-\x7f]+$"))
    return (
        all(map(_is_cased_word, cased))
        and {*letters} <= {*known}
        and not any(map(never.search, words))
        and sum(not telling.isdisjoint(word) for word in words) >= _ENOUGH_WORDS
        and len(telling & {*letters}) > 1
        and sum(map(len, words)) >= _ENOUGH_LETTERS
        and sum(map(language.get("common", known).count, letters)) >= _COMMON_SHARE * len(letters)
    )


def _keep(error: Any) -> tuple[str | bytes, int]:  # noqa: ANN401 - of decoding or of encoding
    broken = error.object[error.start : error.end]
    if isinstance(broken, bytes):
        return "".join(chr(_SURROGATE + byte) for byte in broken), error.end
    # Others are not valid in UTF-8 either: fed back as they are, the row is rejected again.
    kept = [
        one.encode(_UTF8, "surrogateescape" if "\udc80" <= one <= "\udcff" else "surrogatepass")
        for one in broken
    ]
    return b"".join(kept), error.end


codecs.register_error(KEEP_BYTES, _keep)
