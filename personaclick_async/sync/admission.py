"""What callers give as records, which can go which route, and what a refusal means."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final, TypeAlias

from personaclick_async import codec
from personaclick_async.codec import Json
from personaclick_async.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    ConnectionFailed,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    PersonaClickError,
    RateLimited,
    ServerError,
    ServiceError,
    TransportError,
    Unprocessable,
    ValidationError,
)
from personaclick_async.models import rules
from personaclick_async.models.update import ProfileUpdate, to_wire
from personaclick_async.names import EMAIL, EXTERNAL_ID, IDENTIFIERS, LOYALTY_ID, PHONE, TELEGRAM_ID
from personaclick_async.sync.options import Route
from personaclick_async.sync.records import (
    NO_IDENTIFIER,
    Fault,
    Outcome,
    Record,
    Refused,
    Rejected,
    has_identifier,
)
from personaclick_async.sync.report import Cause

_REDIRECTS: Final = range(300, 400)

BULK_FROM: Final = 10_000
"""From so many records on, ``auto`` means bulk, if they can go there."""

IDENTIFIERS_OF: Final[Mapping[Route, Sequence[str]]] = {
    Route.PER_PROFILE: IDENTIFIERS,
    # The service ignores entries with none of these, and reports it nowhere (protocol, 2.9).
    Route.BULK: (EMAIL, PHONE, LOYALTY_ID, EXTERNAL_ID),
}
"""The identifiers of which a record needs one on a route."""

# Email is the service's primary identifier and phone its secondary one (6.4), but people share
# phones; the shop's own id goes before them where there is no address.
PRIORITY: Final = (EMAIL, EXTERNAL_ID, PHONE, LOYALTY_ID, TELEGRAM_ID)
"""Which identifier tells shards apart, of a record with several."""


def choose_route(first: Sequence[Outcome], *, whole: bool) -> Route:
    """Choose between the routes by the first records of a source.

    :param first: its first ``BULK_FROM`` rows, or all if it has fewer.
    :param whole: whether these are all.
    """
    if whole and len(first) < BULK_FROM:
        return Route.PER_PROFILE
    fit = all(isinstance(one, Rejected) or _unfit(one.wire, Route.BULK) is None for one in first)
    return Route.BULK if fit else Route.PER_PROFILE


Admitted: TypeAlias = tuple[Outcome, bytes]
"""A row admitted to a route, and its record as JSON: empty if it is rejected."""


def admitted(outcome: Outcome, route: Route, largest: int) -> Admitted:
    """Return a record that can go the route and its JSON, or its rejection and nothing.

    :param largest: the bytes that one record may have.
    """
    if not isinstance(outcome, Record):
        return outcome, b""
    wire = outcome.wire
    try:
        content = codec.encode(wire)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return rejected(outcome, Fault("record", "values that JSON knows", "others")), b""
    if len(content) > largest:
        rule = f"at most {largest} bytes in all"
        return rejected(outcome, Fault("record", rule, f"{len(content)} bytes")), b""
    # What the bulk route does not take shows in the bytes sooner than in the fields.
    if b"null" in content or not has_identifier(wire, IDENTIFIERS_OF[route]):
        unfit = _unfit(wire, route)
        if unfit is not None:
            return rejected(outcome, unfit), b""
    return outcome, content


def rejected(record: Record, fault: Fault) -> Refused:
    """Reject a record that can't go its route."""
    return Refused(record.row, (fault,), dict(record.wire))


def _unfit(wire: Mapping[str, Json], route: Route) -> Fault | None:
    if not has_identifier(wire):
        return NO_IDENTIFIER
    if route is Route.BULK:
        if None in wire.values():
            field = next(name for name, value in wire.items() if value is None)
            return Fault(field, "a value, or the field left out, on the bulk route", "CLEAR")
        if not has_identifier(wire, IDENTIFIERS_OF[route]):
            rule = f"at least one of {', '.join(IDENTIFIERS_OF[route])}"
            return Fault("user", rule, "none of them")
    return None


class Verdict(Enum):
    """What follows from a failure."""

    WAIT = auto()
    """The service is down, overloaded or unreachable: try again later."""
    RECORD = auto()
    """The record is at fault: reject it."""
    PROBE = auto()
    """The credentials or the record: asking for something else tells which."""
    STOP = auto()
    """Nothing will get through, as with a wrong address."""


def judge(error: PersonaClickError) -> Verdict:
    """Return what follows from a failure to deliver."""
    match error:
        case AuthenticationFailed(status=401) | Forbidden():
            return Verdict.PROBE
        case BadRequest() | Unprocessable() | NotFound() | PayloadTooLarge():
            return Verdict.RECORD
        case RateLimited() | ServerError() | TransportError():
            return Verdict.WAIT
        case ServiceError(status=200):
            return Verdict.RECORD
        case _:
            return Verdict.STOP


def cause_of(error: PersonaClickError | None) -> Cause:
    """Return why a sync ends after a failure."""
    match error:
        case AuthenticationFailed() | Forbidden():
            return Cause.CREDENTIALS
        case ConnectionFailed() if is_out_of_files(error):
            return Cause.RESOURCES
        case RateLimited() | ServerError() | TransportError():
            return Cause.UNREACHABLE
        case ServiceError() if error.status in _REDIRECTS:
            return Cause.REDIRECTED
        case ConfigurationError():
            return Cause.LIMIT
        case _:
            return Cause.FAILED


def refusal(row: int, wire: Mapping[str, Json], error: PersonaClickError) -> Refused:
    """Reject a record that the service has refused when it stood alone."""
    message = getattr(error, "message", "")
    rule = f"what the service takes ({describe(error)}{message and f': {message}'})"
    return Refused(row, (Fault("record", rule, "what it refused"),), dict(wire))


def is_out_of_files(error: PersonaClickError) -> bool:
    """Return whether a connection failed because too many files are open."""
    return isinstance(error, ConnectionFailed) and any(
        os.strerror(number).lower() in str(error) for number in (errno.EMFILE, errno.ENFILE)
    )


def describe(error: PersonaClickError) -> str:
    """Say what went wrong without the service's message, which may quote a record."""
    match error:
        case RateLimited(attempts=0):
            return f"{error.endpoint} is held back by the limit of requests"
        case ServiceError(status=status) if status in _REDIRECTS:
            return f"{error.endpoint} answered {status}, a redirect: correct the service's address"
        case ServiceError():
            return f"{error.endpoint} answered {error.status}"
        case _:
            return str(error)


Item: TypeAlias = ProfileUpdate | Mapping[str, object] | Record | Rejected
"""What an iterable may give: an update, a flat mapping of its fields, or what a source gives."""


def outcome_of(item: Item, row: int) -> Outcome:
    """Make a record of an item, or its rejection; ``row`` is for items that have none.

    A flat mapping has custom properties beside the standard fields, as the wire has them.
    """
    match item:
        case Record() | Rejected():
            return item
        case ProfileUpdate():
            return _record(item, row, {})
        case dict() | Mapping():  # the first is told apart several times as fast
            try:
                return _record(ProfileUpdate.from_flat(item), row, item)
            except ValidationError as error:
                return Rejected(row, (Fault.of(error),), item)
            except TypeError:
                fault = Fault("record", "a mapping with str keys", "other keys")
                return Rejected(row, (fault,), {})
        case _:
            rule = "a ProfileUpdate, a mapping or a Record"
            return Rejected(row, (Fault("record", rule, rules.given(item)),), {})


def _record(update: ProfileUpdate, row: int, source_row: Mapping[str, object]) -> Outcome:
    if not update:
        return Rejected(row, (Fault("record", "at least one field", "none"),), source_row)
    return Record(row, to_wire(update, user_id_name=EXTERNAL_ID))
