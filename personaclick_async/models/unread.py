"""Models as the bytes that they come from, until somebody reads them."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import attrs

from personaclick_async.codec import Json, decode_answer
from personaclick_async.config import Seconds
from personaclick_async.models.decoding import read_object
from personaclick_async.models.reading import Read

R = TypeVar("R", bound=Read)


@attrs.define(eq=False, repr=False)
class Unread(Generic[R]):
    """A model that is made when somebody reads it.

    Most of what a cache holds is never asked for again. A profile is a dozen objects: of ten
    thousand, the garbage collector's walks cost every request a tenth of its time, and they take
    five times the memory.

    :ivar kind: the model's class.
    :ivar source: the JSON object that the service sent.
    :ivar until: when it ceases to be fresh.
    :ivar model: the model, once it was read.
    :ivar said: the JSON object, decoded, for the first who asks.
    :ivar is_wanted: whether it was asked for since it has been kept.
    """

    kind: type[R]
    source: bytes
    until: Seconds = math.inf
    model: R | None = None
    said: Json = None
    is_wanted: bool = False

    def read(self) -> R:
        """Give the model; the same one each time."""
        if self.model is None:
            self.model = read_object(self.kind, self.source)
        return self.model

    def decode(self) -> Json:
        """Give the JSON object; a new one each time."""
        said, self.said = self.said, None
        return decode_answer(self.source) if said is None else said

    def folded(self, until: Seconds) -> Unread[R]:
        """Give the same to be kept until then at most, and unread."""
        return Unread(self.kind, self.source, min(self.until, until))

    def fold(self) -> None:
        """Be as nobody had ever asked for it."""
        self.model, self.said, self.is_wanted = None, None, False
