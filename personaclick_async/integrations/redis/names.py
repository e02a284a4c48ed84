"""What the things in Redis are called."""

from __future__ import annotations

import attrs


@attrs.frozen
class Names:
    """The names of one shop's keys, all under a prefix.

    Braces would put the keys of a cluster into one slot; this store needs one server.
    """

    prefix: str
    shop: str

    @property
    def epoch(self) -> str:
        """Holds a text that every kept profile must have; another one makes all of them stale."""
        return f"{self.prefix}:{self.shop}:epoch"

    @property
    def channel(self) -> str:
        """The channel on which processes tell each other what to forget."""
        return f"{self.prefix}:{self.shop}:forget"

    def profile(self, key: str) -> str:
        """Name the key of a profile as the service sent it, with its epoch and its whole time."""
        return f"{self.prefix}:{self.shop}:profile:{key}"

    def permit(self, key: str) -> str:
        """Name the key of the permit to keep what reads under way will bring."""
        return f"{self.prefix}:{self.shop}:permit:{key}"
