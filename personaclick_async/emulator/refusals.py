"""The service's ways of saying no: a status and a message in the documented envelope."""

from __future__ import annotations

from personaclick_async import names
from personaclick_async.codec import Json


class Refused(Exception):
    """A request that is answered with an error (protocol, section 9)."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


def envelope(message: str) -> dict[str, Json]:
    """Give the body of an error."""
    return {names.STATUS: names.STATUS_ERROR, names.PAYLOAD: {names.MESSAGE: message}}
