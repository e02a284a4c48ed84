"""What a failed attempt means, whether to make another, and after which wait; no I/O, no clock.

Not stamina: it decides per call, while here one pause holds back every call of the shop, one
budget is shared by all calls, a ``Retry-After`` beyond the total must fail at once instead of
sleeping past it, and a first attempt that succeeds must cost nothing.
"""

from __future__ import annotations

import os
import re
from typing import Final

import aiohttp
import attrs

from personaclick_async.config import RetryPolicy, Seconds
from personaclick_async.errors import ConnectionFailed, MalformedAnswer, PersonaClickError, TimedOut
from personaclick_async.names import Repeat

_REFUSED_UNREAD: Final = frozenset({425, 429, 503})
_RESERVE: Final = 10.0
_ENCODING: Final = re.compile(r"content-encoding: \w+ \((\w+)\)\. Please install `([\w.]+)`")
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


@attrs.frozen
class Failure:
    """What went wrong with an attempt.

    :ivar status: the answer's status; None if no answer came.
    :ivar retry_after: seconds that the service asked to wait, if it did.
    :ivar unsent: whether the request certainly never reached the service.
    :ivar hopeless: whether another attempt would fail the same way (a bad certificate).
    :ivar stale: whether a connection that had been used before broke in place of an answer, as
        happens when the server closes it in the moment of the request.
    """

    status: int | None = None
    retry_after: Seconds | None = None
    unsent: bool = False
    hopeless: bool = False
    stale: bool = False


def may_repeat(policy: RetryPolicy, failure: Failure, repeat: Repeat) -> bool:
    """Whether sending the request again is both useful and safe."""
    if failure.hopeless:
        return False
    if failure.status is not None and failure.status not in policy.statuses:
        return False
    if repeat is Repeat.ALWAYS:
        return True
    return failure.unsent or failure.status in _REFUSED_UNREAD


def wait_before_next(
    policy: RetryPolicy, failure: Failure, *, attempt: int, elapsed: Seconds, chance: float
) -> Seconds | None:
    """Return the seconds to wait before the next attempt, or None to give up.

    :param attempt: how many attempts have failed.
    :param elapsed: seconds since the first attempt began.
    :param chance: a random number from 0 to 1.
    """
    if attempt >= policy.attempts:
        return None
    backoff = min(policy.longest_wait, policy.first_wait * 2.0 ** min(attempt - 1, 60))
    wait = backoff * (1 - chance / 2)
    if failure.retry_after is not None:
        # Never earlier than asked; spread, so that all who were told the same don't come at once.
        wait = failure.retry_after + policy.first_wait * chance
    return wait if elapsed + wait <= policy.total else None


@attrs.define(eq=False, repr=False)
class RetryBudget:
    """Retries that a client may make: a share of its calls, and a reserve for quiet times.

    Shared by threads without a lock: a lost update shifts the budget by one, which is harmless.
    """

    share: float
    _left: float = attrs.field(default=_RESERVE, init=False)
    _seen_calls: int = attrs.field(default=0, init=False)

    def spend(self, *, calls: int) -> bool:
        """Take a retry out of the budget; False if there is none left.

        :param calls: how many calls the client has made so far.
        """
        # What they have earned is added here and not at each call: most calls need no retry.
        earned = (calls - self._seen_calls) * self.share
        self._left = min(self._left + earned, _RESERVE)
        self._seen_calls = calls
        if self._left < 1:
            return False
        self._left -= 1
        return True


def failure_of(
    cause: Exception, *, is_reused: bool, endpoint: str, attempts: int, patience: str
) -> tuple[PersonaClickError, Failure]:
    """Return the error that an exception of aiohttp's means, and what to do about it.

    Its texts are not passed on: they hold the URL, whose query holds the secret and the user.

    :param is_reused: whether the connection had carried other requests before.
    :param patience: for how long the answer was waited for, in words.
    """
    failure = Failure()
    kind: type[ConnectionFailed | TimedOut] = ConnectionFailed
    reason = f"the connection broke ({type(cause).__name__})"
    match cause:
        case aiohttp.ConnectionTimeoutError():
            kind, failure = TimedOut, Failure(unsent=True)
            reason = "no connection within the timeout"
        case TimeoutError():
            kind, reason = TimedOut, f"no answer within {patience}"
        case aiohttp.ClientResponseError() if found := _ENCODING.search(cause.message):
            encoding, package = found.groups()
            reason = (
                f"the answer is encoded as {encoding}, which takes the package {package} to read"
            )
            error = MalformedAnswer(reason, endpoint=endpoint, attempts=attempts, answer=None)
            return error, Failure(hopeless=True)
        case aiohttp.ClientConnectorCertificateError():
            failure = Failure(hopeless=True)
            why = getattr(cause.certificate_error, "verify_message", "") or "no reason given"
            reason = f"the certificate of {cause.host}:{cause.port} is not accepted ({why})"
        case aiohttp.ClientConnectorSSLError():
            failure = Failure(hopeless=True)
            reason = f"no TLS connection to {cause.host}:{cause.port}"
        case aiohttp.ClientConnectorDNSError():
            failure = Failure(unsent=True)
            reason = f"could not find the host {cause.host} ({_system_says(cause.os_error)})"
        case aiohttp.ClientConnectorError():
            failure = Failure(unsent=True)
            why = _system_says(cause.os_error)
            reason = f"could not connect to {cause.host}:{cause.port} ({why})"
        case (
            aiohttp.ServerDisconnectedError()
            | aiohttp.ClientOSError()
            | aiohttp.ClientConnectionResetError()
        ):
            failure = Failure(stale=is_reused)
    return kind(reason, endpoint=endpoint, attempts=attempts), failure


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
