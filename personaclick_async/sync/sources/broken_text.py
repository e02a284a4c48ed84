"""Bytes that are no text in a file's encoding: kept, so that their row alone is rejected.

Each such byte becomes a lone surrogate, as Python's ``surrogateescape`` does it for the bytes
from 0x80 (which is all that UTF-8 needs). Rules refuse lone surrogates, so the row is rejected,
and the reject file gets the same bytes that the source had.
"""

from __future__ import annotations

import codecs
from typing import Final

KEEP_BYTES: Final = "personaclick_async.keep_bytes"
"""The name of the error handler, for decoding and for encoding."""

_FIRST: Final = 0xDC00
_ESCAPED: Final = range(0xDC80, 0xDD00)


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
