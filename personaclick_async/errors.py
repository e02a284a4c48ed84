"""Every error that the package raises, under one root.

No text or ``repr`` here holds a value that a caller sent or the service stored: only field
names, types, rules, statuses, hosts, and the service's own message if it repeats no such value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from personaclick_async.codec import printable


class PersonaClickError(Exception):
    """The root: catch it to catch whatever this package raises on purpose."""

    def __str__(self) -> str:
        # A file's name or the service's message may hold ESC, CR or LF, and logs print errors.
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Task queues pickle exceptions; the default way calls __init__ with positional args only.
        return type(self).__new__, (type(self),), {**self.__dict__, "args": self.args}


class ConfigurationError(PersonaClickError, ValueError):
    """The client was set up in a way that can't work. Names the setting and the rule."""


class ValidationError(PersonaClickError, ValueError):
    """A value was refused before anything was sent.

    :ivar field: where the value stood, as a path (``kids[0].birthday``).
    :ivar rule: what would be accepted.
    :ivar given: the type of what was given and its size, never its content.
    """

    def __init__(self, field: str, rule: str, given: str) -> None:
        super().__init__(f"{field}: expected {rule}, got {given}")
        self.field = field
        self.rule = rule
        self.given = given

    def within(self, path: str) -> ValidationError:
        """Return the same error for a field that lies inside ``path``."""
        return ValidationError(f"{path}.{self.field}", self.rule, self.given)


class ClientClosed(PersonaClickError, RuntimeError):
    """The client was used after it was closed."""


class NoCurrentUser(PersonaClickError, LookupError):
    """``client.profile`` or ``client.orders`` was used where no current user is set."""


class NoEventLoop(PersonaClickError, RuntimeError):
    """A call was made where no event loop of asyncio runs."""


class Answered(Protocol):
    """The answer that an error is about; see :class:`~personaclick_async.Answer`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: int
    elapsed: float

    @property
    def endpoint(self) -> str:
        """The call's name, such as ``profile/set``."""

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the body as JSON."""


class TransportError(PersonaClickError):
    """No usable answer came back.

    :ivar endpoint: the call's name, such as ``profile/set``.
    :ivar attempts: how many times the request was sent.
    :ivar answer: of a :class:`MalformedAnswer`, the answer as it came.
    """

    def __init__(
        self, reason: str, *, endpoint: str, attempts: int, answer: Answered | None = None
    ) -> None:
        super().__init__(f"{endpoint}: {reason} ({_times(attempts)})")
        self.endpoint = endpoint
        self.attempts = attempts
        self.answer = answer


class ConnectionFailed(TransportError, ConnectionError):
    """The service could not be reached, or the connection broke before the answer was complete."""


class TimedOut(TransportError, TimeoutError):
    """A timeout of :class:`Timeouts` or of ``with_options`` passed; says what was waited for."""


class AnswerTooLarge(TransportError):
    """The answer was larger than ``max_answer_bytes``; the rest was not read."""


class MalformedAnswer(TransportError):
    """The answer is not the JSON that was promised: cut short, a proxy's HTML, another shape."""


class ServiceError(PersonaClickError):
    """The service answered with an error.

    Also for an answer with HTTP status 200 whose body says ``"status": "error"``
    (protocol, section 9).

    :ivar status: the HTTP status, or the one that the body names where it differs.
    :ivar message: the service's message; empty if there is none. A message that repeats a value
        that was sent is withheld, and this says so.
    :ivar endpoint: the call's name, such as ``profile/set``.
    :ivar attempts: how many times the request was sent.
    :ivar answer: the last answer as it came.
    :ivar retry_after: seconds that the service asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        endpoint: str,
        attempts: int,
        answer: Answered | None = None,
        retry_after: float | None = None,
    ) -> None:
        message = printable(message)
        said = f": {message}" if message else ""
        what = f"answered {status}" if attempts else "was not asked"
        super().__init__(f"{endpoint} {what}{said} ({_times(attempts)})")
        self.message = message
        self.status = status
        self.endpoint = endpoint
        self.attempts = attempts
        self.answer = answer
        self.retry_after = retry_after


class BadRequest(ServiceError):
    """400: the request is not valid; on imports also wrong credentials."""


class AuthenticationFailed(ServiceError):
    """401, or another status whose message says that the shop or the secret is wrong."""


class Forbidden(ServiceError):
    """403: the secret is missing, or the shop is inactive or restricted."""


class NotFound(ServiceError):
    """404: no such profile or device."""


class PayloadTooLarge(ServiceError):
    """413: the body is over the service's limit (documented for imports: 32 MB)."""


class Unprocessable(ServiceError):
    """422: a parameter is present but not acceptable."""


class RateLimited(ServiceError):
    """429: too many requests. Also of a call that a limit of the client's own did not let out."""

    usual_status = 429


class ServerError(ServiceError):
    """500 and above: the service failed."""


class ServiceUnavailable(ServerError):
    """502, 503 or 504: the service is down, in maintenance, or not reached by its own proxy."""


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"
