"""From an answer to the result of its call, or to the error that it means (section 9)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, TypeVar

import attrs

from personaclick_async import codec, names
from personaclick_async.codec import Json
from personaclick_async.errors import (
    AuthenticationFailed,
    BadRequest,
    Forbidden,
    MalformedAnswer,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    ServerError,
    ServiceError,
    ServiceUnavailable,
    Unprocessable,
)
from personaclick_async.models.reading import WrongShape
from personaclick_async.protocol.requests import Call

T = TypeVar("T")

_OK: Final = 200
_STATUS_KEY: Final = f'"{names.STATUS}"'.encode()
_FIRST_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500

_BY_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    403: Forbidden,
    404: NotFound,
    413: PayloadTooLarge,
    422: Unprocessable,
    429: RateLimited,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServiceUnavailable,
}

# The sources disagree on the status of wrong credentials; the message settles it (section 9).
_ABOUT_CREDENTIALS: Final = re.compile(r"(?i)\b(?:shop|shop_id|shop_secret|secret)\b")
_PROFILE_WORD: Final = re.compile(r"(?i)\b(?:profile|device|did|user)\b")
_NOT_FOUND: Final = re.compile(r"(?i)\bnot found\b")

_TELLING_WORDS: Final = frozenset(
    {"shop", "shop_id", "shop_secret", "secret", "profile", "device", "did", "user", "not", "found"}
)

_SHORTEST_PRIVATE: Final = 3
_LONGEST_MESSAGE: Final = 300
_LONGEST_KIND: Final = 40
_LONGEST_LOOKED_THROUGH: Final = 10_000
_EMAIL_LIKE: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,255}")
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
_WORDS_GO_ON: Final = re.compile(r"(?<=\w)(?=\w)")
_REDACTED: Final = "[redacted]"


@attrs.define(kw_only=True, repr=False)
class Answer(Generic[T]):
    """What the service answered, as it came.

    :ivar endpoint: the call's name, such as ``profile/set``.
    :ivar status: the HTTP status.
    :ivar headers: the answer's headers; names compare without regard to case.
    :ivar body: the answer's body, decompressed.
    :ivar attempts: how many times the request was sent until this answer came.
    :ivar elapsed: seconds from the first attempt's start to this answer's end.
    """

    call: Call[T]
    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: int
    elapsed: float

    @property
    def endpoint(self) -> str:
        """The name of the call that was answered."""
        return self.call.endpoint.name

    def json(self) -> Json:
        """Give the body as JSON.

        :raises MalformedAnswer: it is not JSON.
        """
        try:
            return codec.decode_answer(self.body)
        except ValueError:
            reason = "the body is not JSON"
        raise self._malformed(reason)

    def parse(self) -> T:
        """Give the typed result of the call.

        :raises MalformedAnswer: the body is not what the call promises.
        """
        try:
            return self.call.read(self.body)
        except WrongShape as shape:
            reason = str(shape)
        # Outside the handler: a decoder's exception, chained, may quote the body.
        raise self._malformed(reason)

    def _malformed(self, reason: str) -> MalformedAnswer:
        kind = self.headers.get("Content-Type", "no content type")[:_LONGEST_KIND]
        kind = without_private(kind, self.call.private_values())
        return MalformedAnswer(
            f"{reason} (status {self.status}, {len(self.body)} bytes, {kind})",
            endpoint=self.endpoint,
            attempts=self.attempts,
            answer=self,
        )

    def __getstate__(self) -> dict[str, Any]:
        # aiohttp's view of headers can't be pickled; its copy, which compares names alike, can.
        state = {at.name: getattr(self, at.name) for at in attrs.fields(type(self))}
        copied = getattr(self.headers, "copy", None)
        # What was asked stays at home: it holds the secret, and no one there asks it again.
        call = attrs.evolve(self.call, query={}, body=None)
        return {**state, "call": call, "headers": copied() if copied else dict(self.headers)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<Answer {self.endpoint} {self.status}, {len(self.body)} bytes>"


def refusal(answer: Answer[T]) -> ServiceError | None:
    """Give the error that an answer means, or None if it is a success.

    Looks for every envelope that the service and its SDKs know, at every status.
    """
    body = answer.body
    if answer.status == _OK and (body == names.SUCCESS_BODY or _STATUS_KEY not in body):
        return None
    said = _body_object(answer.body)
    status = _status(answer.status, said)
    failed = not _OK <= status < 300 or said.get(names.STATUS) == names.STATUS_ERROR  # noqa: PLR2004
    if not failed:
        return None
    private = set(answer.call.private_values())
    kind = _kind(status, _own_words(_message(said), private))
    message = without_private(_message(said), private)
    if kind is RateLimited:
        return RateLimited(
            message,
            status=status,
            endpoint=answer.endpoint,
            attempts=answer.attempts,
            answer=answer,
            retry_after=retry_after(answer.headers, datetime.now(UTC)),
        )
    return kind(
        message,
        status=status,
        endpoint=answer.endpoint,
        attempts=answer.attempts,
        answer=answer,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read ``Retry-After`` in either of its forms, as seconds from ``now``; None if unusable."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def without_private(message: str, private: Iterable[str]) -> str:
    """Take out of a message what a request carried, and what looks like an address or a number.

    Also where it is written in other case, or as a URL, JSON or HTML spells it.
    """
    values = {value for value in private if len(value) >= _SHORTEST_PRIVATE}
    message = _without(message, _quoted(message, values))
    message = _LONG_NUMBER.sub(_REDACTED, _EMAIL_LIKE.sub(_REDACTED, message))
    return " ".join(message.split())[:_LONGEST_MESSAGE]


def _own_words(message: str, private: Iterable[str]) -> str:
    """Give a message without what it quotes, so that only the service's words tell its kind.

    A shop's address or a secret's text may hold such a word. A value that is one, as "shop" for
    a customer's channel, or is part of one, as the tier "Pro" of "Profile", leaves it alone.
    """
    message = _EMAIL_LIKE.sub(_REDACTED, message)
    values = {value for value in private if value and value.lower() not in _TELLING_WORDS}
    return _without(
        message,
        [
            (begin, end)
            for begin, end in _quoted(message, values)
            if not _WORDS_GO_ON.match(message, begin) and not _WORDS_GO_ON.match(message, end)
        ],
    )


def _quoted(message: str, values: Iterable[str]) -> list[tuple[int, int]]:
    # Its tables are a hundredth of what importing the package takes, and refusals are rare.
    from personaclick_async.protocol.quotations import places  # noqa: PLC0415

    return places(message, values)


def _without(message: str, where: Iterable[tuple[int, int]]) -> str:
    # All at once: a value may be part of the word that another one is replaced by.
    kept: list[str] = []
    done = 0
    for begin, end in sorted(where):
        if begin > done or not kept:
            kept += message[done:begin], _REDACTED
        done = max(done, end)
    return "".join(kept) + message[done:]


def _body_object(body: bytes) -> dict[str, Json]:
    try:
        said = codec.decode_answer(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _status(http: int, said: dict[str, Json]) -> int:
    # The React Native SDK guards against a numeric status in a body at HTTP 200 (section 9, 4).
    inner = said.get(names.STATUS)
    if http == _OK and isinstance(inner, int) and inner >= _FIRST_ERROR:
        return inner
    return http


def _message(said: dict[str, Json]) -> str:
    payload = said.get(names.PAYLOAD)
    inner = payload.get(names.MESSAGE) if isinstance(payload, dict) else None
    message = inner or said.get(names.MESSAGE)
    # A longer one is no message but a page; looking through it would hold up the event loop.
    if not isinstance(message, str) or len(message) > _LONGEST_LOOKED_THROUGH:
        return ""
    return message


def _kind(status: int, message: str) -> type[ServiceError]:
    if status < _FIRST_SERVER_ERROR and status != 429:  # noqa: PLR2004
        about_profile = _PROFILE_WORD.search(message)
        if about_profile is not None and _NOT_FOUND.search(message, about_profile.end()):
            return NotFound
        if _ABOUT_CREDENTIALS.search(message):
            return AuthenticationFailed
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= _FIRST_SERVER_ERROR else ServiceError
