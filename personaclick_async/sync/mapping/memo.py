"""Remembering what was made of a text: files say the same few things over and over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from personaclick_async.codec import Json

MOST_TEXTS: Final = 16_384
_LONGEST_TEXT: Final = 64


class Memo(dict[str, Json]):
    """What a function gave for each text, as a look-up; bounded, and emptied when it is full.

    What it gives is shared between rows and must not be changed.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str], Json]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> Json:
        made = self._make(text)
        if len(text) <= _LONGEST_TEXT:
            if len(self) >= MOST_TEXTS:
                self.clear()
            self[text] = made
        return made
