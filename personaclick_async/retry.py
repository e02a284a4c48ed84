"""What a failed attempt means, whether to make another, and after which wait; no I/O, no clock.

Not stamina: it decides per call, while here all calls of the shop share one pause and one budget,
and a ``Retry-After`` beyond the total must fail at once.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import Final

import aiohttp
import attrs

from personaclick_async.config import RetryPolicy, Seconds
from personaclick_async.errors import ConnectionFailed, MalformedAnswer, TimedOut, TransportError
from personaclick_async.names import Endpoint

_REFUSED_UNREAD: Final = frozenset({425, 429, 503})
_RESERVED_RETRIES: Final = 10.0
_ENCODING: Final = re.compile(r"content-encoding: \w+ \((\w+)\)\. Please install `([\w.]+)`")
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


class Fate(Enum):
    """What a failed attempt means for the next one."""

    OPEN = "the service may have read the request, and may take the next one"
    UNSENT = "the request never reached the service"
    STALE = "a connection that had been used before broke in place of an answer"
    HOPELESS = "another attempt would fail the same way, as with a bad certificate"


def may_repeat(policy: RetryPolicy, endpoint: Endpoint, status: int | None, fate: Fate) -> bool:
    """Whether sending the request again is both useful and safe."""
    if fate is Fate.HOPELESS or not (status is None or status in policy.statuses):
        return False
    return endpoint.is_idempotent or fate is Fate.UNSENT or status in _REFUSED_UNREAD


def wait_before_next(
    policy: RetryPolicy,
    *,
    failed: int,
    elapsed: Seconds,
    chance: float,
    retry_after: Seconds | None = None,
) -> Seconds | None:
    """Return the seconds to wait before the next attempt, or None to give up.

    :param elapsed: seconds since the first attempt began.
    :param chance: a random number from 0 to 1.
    """
    wait = backoff(policy, failed=failed, chance=chance, retry_after=retry_after)
    return wait if failed < policy.attempts and elapsed + wait <= policy.total else None


def backoff(
    policy: RetryPolicy, *, failed: int, chance: float, retry_after: Seconds | None
) -> Seconds:
    """Return the seconds to wait after so many failures, however many there may be."""
    if retry_after is not None:
        # Never earlier than asked; spread, so that all who were told the same don't come at once.
        return retry_after + policy.first_wait * chance
    wait = min(policy.longest_wait, policy.first_wait * 2.0 ** min(failed - 1, 60))
    return wait * (1 - chance / 2)


@attrs.define(eq=False, repr=False)
class RetryBudget:
    """Retries that a client may make: a share of its calls, and a reserve for quiet times.

    Shared by threads without a lock: a lost update shifts the budget by one, which is harmless.
    """

    share: float
    _left: float = attrs.field(default=_RESERVED_RETRIES, init=False)
    _seen_calls: int = attrs.field(default=0, init=False)

    def spend(self, *, calls_so_far: int) -> bool:
        """Take a retry out of the budget; False if it is spent."""
        # What they have earned is added here and not at each call: most calls need no retry.
        earned = (calls_so_far - self._seen_calls) * self.share
        self._left = min(self._left + earned, _RESERVED_RETRIES)
        self._seen_calls = calls_so_far
        if self._left < 1:
            return False
        self._left -= 1
        return True


def failure_of(
    cause: Exception, endpoint: str, attempts: int, *, is_reused: bool | None, patience: Seconds
) -> tuple[TransportError, Fate]:
    """Return the error that an exception of aiohttp's means, and what it means for the next try.

    Its texts are not passed on: they hold the URL, whose query holds the secret and the user.
    """
    fate = Fate.OPEN
    kind: type[TransportError] = ConnectionFailed
    reason = f"the connection broke ({type(cause).__name__})"
    match cause:
        case aiohttp.ConnectionTimeoutError():
            kind, fate, reason = TimedOut, Fate.UNSENT, "no connection within the timeout"
        case TimeoutError():
            kind, reason = TimedOut, f"no answer within {patience:g} s"
        case aiohttp.ClientResponseError() if found := _ENCODING.search(cause.message):
            kind, fate = MalformedAnswer, Fate.HOPELESS
            encoding, needed = found.groups()
            reason = f"reading the answer, encoded as {encoding}, takes the package {needed}"
        case aiohttp.ClientConnectorCertificateError():
            fate = Fate.HOPELESS
            why = getattr(cause.certificate_error, "verify_message", "") or "no reason given"
            reason = f"the certificate of {cause.host}:{cause.port} is not accepted ({why})"
        case aiohttp.ClientConnectorSSLError():
            fate, reason = Fate.HOPELESS, f"no TLS connection to {cause.host}:{cause.port}"
        case aiohttp.InvalidURL():
            fate, reason = Fate.HOPELESS, "the host of the service's address is not valid"
        case aiohttp.ClientConnectorDNSError():
            fate, why = Fate.UNSENT, _system_says(cause.os_error)
            reason = f"could not find the host {cause.host} ({why})"
        case aiohttp.ClientConnectorError():
            fate, why = Fate.UNSENT, _system_says(cause.os_error)
            reason = f"could not connect to {cause.host}:{cause.port} ({why})"
        case (
            aiohttp.ServerDisconnectedError()
            | aiohttp.ClientOSError()
            | aiohttp.ClientConnectionResetError()
        ):
            fate = Fate.STALE if is_reused else fate
    return kind(reason, endpoint=endpoint, attempts=attempts), fate


def _system_says(error: OSError) -> str:
    """Return the operating system's reason in its own words, without aiohttp's."""
    number = error.errno
    if number is None:
        # Several addresses were tried; the text lists what each of them failed with.
        found = _ERRNO.search(str(error))
        number = None if found is None else int(found[1])
    if number is None or number < 0:
        return (error.strerror or "no reason given").lower()
    return os.strerror(number).lower()
