"""From an answer to the result of its call, or to the error that it means (section 9)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, TypeVar

import attrs
from multidict import CIMultiDict

from personaclick_async import codec, errors, names
from personaclick_async.codec import Json
from personaclick_async.errors import MalformedAnswer, ServiceError
from personaclick_async.models.reading import WrongShape, read_json
from personaclick_async.protocol.requests import Call

T = TypeVar("T")

_OK: Final = 200
_SUCCESSES: Final = frozenset(range(_OK, 300)) - {206}  # which has a part of the answer only
_STATUS_KEY: Final = f'"{names.STATUS}"'.encode()
_STARTS_WITH_MESSAGE: Final = f'{{"{names.MESSAGE}"'.encode()
_ERROR_STATUS: Final = re.compile("[4-9][0-9]{2}")  # a number, also in quotes
_FIRST_SERVER_ERROR: Final = 500

_BY_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    400: errors.BadRequest,
    401: errors.AuthenticationFailed,
    403: errors.Forbidden,
    404: errors.NotFound,
    413: errors.PayloadTooLarge,
    422: errors.Unprocessable,
    429: errors.RateLimited,
    **dict.fromkeys((502, 503, 504), errors.ServiceUnavailable),
}

# The sources disagree on the status of wrong credentials; the message settles it (section 9).
_ABOUT_CREDENTIALS: Final = re.compile(r"(?i)\b(?:shop|shop_id|shop_secret|secret)\b")
_PROFILE_WORD: Final = re.compile(r"(?i)\b(?:profile|device|did|user)\b")
_NOT_FOUND: Final = re.compile(r"(?i)\bnot found\b")

# These a service says to anybody: a value that is a part of one ("Pro" of "Profile") is not what
# it quotes.
_KNOWN_WORDS: Final = re.compile(
    r"(?i)(?:shop|device|profile(?: with `?old_(?:email|phone|external_id)`?)?) not found"
    r"|identifier is not valid"
    r"|(?:no content type|(?:application|text)/(?:html|json|plain|xml|octet-stream))"
    r"(?:; ?charset=(?:utf-8|iso-8859-1|us-ascii))?"
)

WITHHELD: Final = "message withheld, it repeats what was sent"
"""Stands in an error for a service's message that quotes the request."""

_LONGEST_WAIT: Final = 1e10
_SHORTEST_PRIVATE: Final = 3
_LONGEST_MESSAGE: Final = 300
# The content encodings that aiohttp has taken off.
_DECODED: Final = frozenset({"gzip", "deflate", "identity"})
_LONGEST_LOOKED_THROUGH: Final = 10_000
_LARGEST_BODY_LOOKED_THROUGH: Final = 128 * 1024
_EMAIL_LIKE: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,255}")
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
# Of JSON, Python, URLs and HTML: what is written so can't be compared with what was sent.
_ESCAPE: Final = re.compile(
    r"\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\"'/\\bfnrt])|%[0-9A-Fa-f]{2}|&#?\w+;"
)
_REDACTED: Final = "[redacted]"


@attrs.define(repr=False)
class Answer(Generic[T]):
    """What the service answered, as it came."""

    call: Call[T]
    status: int  # the HTTP status
    headers: Mapping[str, str]  # the answer's headers; names compare without regard to case
    body: bytes  # the answer's body, decompressed
    attempts: int  # how many times the request was sent until this answer came
    elapsed: float  # seconds from the first attempt's start to this answer's end

    @property
    def endpoint(self) -> str:
        """The call's name, such as ``profile/set``."""
        return self.call.endpoint.name

    def json(self) -> Json:
        """Return the body as JSON.

        :raises MalformedAnswer: it is not JSON.
        """
        return attrs.evolve(self, call=attrs.evolve(self.call, read=read_json)).parse()

    def parse(self) -> T:
        """Return the typed result of the call.

        :raises MalformedAnswer: the body is not what the call promises.
        """
        try:
            return self.call.read(self.body)
        except WrongShape as shape:
            reason = str(shape)
        # Outside the handler: a decoder's exception, chained, may quote the body.
        kind = self.headers.get("Content-Type", "no content type")
        encoding = self.headers.get("Content-Encoding", "identity")
        if encoding.lower() not in _DECODED:
            kind = f"{kind}, encoded as {encoding}"
        shown, _ = _without_quotations(kind, self.call)
        if shown == WITHHELD:
            shown = "a content type that repeats what was sent"
        raise MalformedAnswer(
            f"{reason} (status {self.status}, {len(self.body)} bytes, {shown})",
            endpoint=self.endpoint,
            attempts=self.attempts,
            answer=self,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the request's content: it holds the secret, and is not sent again there.
        call = attrs.evolve(self.call, query={}, body=None)
        headers = CIMultiDict(self.headers)  # aiohttp's view of headers can't be pickled
        return type(self), (call, self.status, headers, self.body, self.attempts, self.elapsed)

    def __repr__(self) -> str:
        return f"<Answer {self.endpoint} {self.status}, {len(self.body)} bytes>"


def nothing_sent(call: Call[T]) -> Answer[T]:
    """Return the answer of a disabled client: a new device, an empty profile, no orders."""
    did = call.query.get(names.DID) or secrets.token_hex(5)
    said: Json = {
        names.INIT: {names.DID: did, names.SEANCE: secrets.token_hex(5)},
        names.PROFILE: {names.CUSTOM_PROPERTIES: {}},
        names.LAST_ORDER: [],
        names.ORDERS_BY_USER: [],
    }.get(call.endpoint, {names.STATUS: names.STATUS_SUCCESS})
    return Answer(call, _OK, {}, codec.encode(said), attempts=0, elapsed=0.0)


def refusal(answer: Answer[T]) -> ServiceError | None:
    """Return the error that an answer means, in every known envelope, or None for a success."""
    body = answer.body
    # First what surely is no envelope. A backslash may be in a key, escaped; rfind takes a third
    # of the time that "in" does.
    if answer.status == _OK and (
        body == names.SUCCESS_BODY
        or body.startswith(b"[")
        or (
            body.startswith(b'{"')
            and not body.startswith(_STARTS_WITH_MESSAGE)
            and body.rfind(_STATUS_KEY) < 0
            and body.rfind(b"\\") < 0
        )
    ):
        return None
    said: Json = None
    with suppress(WrongShape):
        said = read_json(body)
    said = said if isinstance(said, dict) else {}
    status, inner = answer.status, str(said.get(names.STATUS)).lower()
    if status == _OK and _ERROR_STATUS.fullmatch(inner):
        status = int(inner)  # the React Native SDK guards against it (section 9, 4)
    # A message alone (section 9, 3) is no profile, though each key of one may be absent.
    is_error = said.keys() == {names.MESSAGE} and answer.call.endpoint == names.PROFILE
    if status in _SUCCESSES and not is_error and inner != names.STATUS_ERROR:
        return None
    message = _message(said)
    shown, own_words = _without_quotations(message, answer.call)
    return _kind(status, own_words)(
        shown,
        status=status,
        endpoint=answer.endpoint,
        attempts=answer.attempts,
        answer=answer,
        retry_after=retry_after(answer.headers, datetime.now(UTC)),
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read ``Retry-After`` in either of its forms, as seconds from ``now``; None if unusable."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d+(?:\.\d+)?", value, re.ASCII):
        return min(float(value), _LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _without_quotations(message: str, call: Call[Any]) -> tuple[str, str]:
    """Return a message as it may be shown, and the service's own words, which tell its kind.

    One that repeats a value that the request carried is not shown at all; a value that is a part
    of one of the service's words ("Pro" of "Profile") stays in them.
    """
    if not message or _KNOWN_WORDS.fullmatch(message.strip()):
        return message, message
    if call.body is not None and len(call.body) > _LARGEST_BODY_LOOKED_THROUGH:
        # To look for all its values would take longer than the call (32 MB: a second).
        return WITHHELD, message
    quoted = _quoted(message, call.private_values())
    own_words = _EMAIL_LIKE.sub("", message)
    for value in sorted(quoted, key=len, reverse=True):
        own_words = re.sub(rf"(?i)(?<!\w){re.escape(value)}(?!\w)", "", own_words)
    if quoted or _ESCAPE.search(message):
        return WITHHELD, own_words
    shown = _LONG_NUMBER.sub(_REDACTED, _EMAIL_LIKE.sub(_REDACTED, message))
    return " ".join(shown.split())[:_LONGEST_MESSAGE], own_words


def _quoted(text: str, values: Iterable[str]) -> list[str]:
    """Return which of the values a text repeats, in whatever case and with whatever marks."""
    whole, letters = text.casefold(), _letters(text)
    return [
        value
        for value in set(values)
        if len(value) >= _SHORTEST_PRIVATE
        and (
            value.casefold() in whole
            or (len(bare := _letters(value)) >= _SHORTEST_PRIVATE and bare in letters)
        )
    ]


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _message(said: dict[str, Json]) -> str:
    payload = said.get(names.PAYLOAD)
    inner = payload.get(names.MESSAGE) if isinstance(payload, dict) else None
    message = inner or said.get(names.MESSAGE)
    # A longer one is no message but a page; looking through it would hold up the event loop.
    if not isinstance(message, str) or len(message) > _LONGEST_LOOKED_THROUGH:
        return ""
    return message


def _kind(status: int, message: str) -> type[ServiceError]:
    if status < _FIRST_SERVER_ERROR and status != errors.RateLimited.usual_status:
        about_profile = _PROFILE_WORD.search(message)
        if about_profile is not None and _NOT_FOUND.search(message, about_profile.end()):
            return errors.NotFound
        if _ABOUT_CREDENTIALS.search(message):
            return errors.AuthenticationFailed
    other = errors.ServerError if status >= _FIRST_SERVER_ERROR else ServiceError
    return _BY_STATUS.get(status, other)
