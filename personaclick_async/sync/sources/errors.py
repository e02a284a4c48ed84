"""What can go wrong with a source once it is being read."""

from __future__ import annotations

from personaclick_async.errors import PersonaClickError


class SourceFailed(PersonaClickError):
    """A source can't be read to its end: it changed, broke off, or lost its connection.

    What was read until then is good. The text names the source and holds nothing of its content.
    """
