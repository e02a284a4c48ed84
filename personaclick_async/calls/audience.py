"""Importing profiles in bulk."""

from __future__ import annotations

from typing import Final

from personaclick_async.calls.scope import Core
from personaclick_async.config import CallOptions, Seconds
from personaclick_async.protocol import requests
from personaclick_async.protocol.answers import Answer

# The slowest upload that is waited for, 1 Mbit/s: 32 MB take 268 s, far beyond the usual timeout.
_SLOWEST_BYTES_PER_SECOND: Final = 125_000


async def import_audience(core: Core, options: CallOptions, body: bytes) -> None:
    """Queue the profiles in a ready body; success means queued, not stored (protocol, 2.9).

    Cached profiles are dropped, all of them: naming each of some 100,000 would take longer than
    reading the few again that are still asked for.

    :param body: entries inside :func:`personaclick_async.protocol.requests.audience_envelope`.
    :raises ServiceError: the service answered with an error; see its subclasses.
    :raises TransportError: no usable answer came; the import may have been queued.
    """
    call = requests.import_audience(body, attempt_timeout=upload_timeout(core, len(body)))
    try:
        await core.transport.send(call, options, Answer.parse)
    finally:
        core.profiles.clear()


def upload_timeout(core: Core, size: int) -> Seconds:
    """Return the seconds that one attempt may take to send ``size`` bytes and be answered."""
    return core.config.timeouts.total + size / _SLOWEST_BYTES_PER_SECOND
