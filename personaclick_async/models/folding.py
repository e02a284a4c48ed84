"""Models that are kept for later, as the bytes that they came from."""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from personaclick_async.config import Seconds
from personaclick_async.models.converter import read_object
from personaclick_async.models.reading import Read, source_of

R = TypeVar("R", bound=Read)


@attrs.define(eq=False, repr=False)
class Folded(Generic[R]):
    """A model as its bytes, until somebody wants it again.

    Most of what a cache holds is never asked for again. A profile is a dozen objects: of ten
    thousand, the garbage collector's walks cost every request a tenth of its time, and they take
    five times the memory.

    :ivar until: the time until which it is fresh.
    :ivar value: the model, once it was wanted.
    """

    kind: type[R]
    source: bytes
    until: Seconds
    value: R | None = None

    @classmethod
    def of(cls, model: R, until: Seconds) -> Folded[R]:
        """Fold a model up."""
        return cls(type(model), source_of(model), until)

    def unfold(self) -> R:
        """Make the model again; the same one each time."""
        if self.value is None:
            self.value = read_object(self.kind, self.source)
        return self.value
