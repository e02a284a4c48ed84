"""Which way records go, which of them can go there, and what a refusal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final

from personaclick_async.codec import Json
from personaclick_async.errors import (
    AuthenticationFailed,
    BadRequest,
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
)
from personaclick_async.names import (
    EMAIL,
    EXTERNAL_ID,
    IDENTIFIERS,
    LOYALTY_ID,
    PHONE,
    TELEGRAM_ID,
)
from personaclick_async.sync.options import Route
from personaclick_async.sync.records import (
    Fault,
    Outcome,
    Record,
    Refused,
    Rejected,
    has_identifier,
)

BULK_FROM: Final = 10_000
"""From so many records on, ``auto`` means bulk, if they can go there."""

IDENTIFIERS_OF: Final[Mapping[Route, Sequence[str]]] = {
    Route.PER_PROFILE: IDENTIFIERS,
    # The service ignores entries with none of these, and tells nobody (protocol, 2.9).
    Route.BULK: (EMAIL, PHONE, LOYALTY_ID, EXTERNAL_ID),
}
"""By what a record can be named on a route, one of which it needs."""

# Email is the service's primary identifier and phone its secondary one (6.4), but people share
# phones; the shop's own id goes before them where there is no address.
PRIORITY: Final = (EMAIL, EXTERNAL_ID, PHONE, LOYALTY_ID, TELEGRAM_ID)
"""By which identifier a record with several is named first."""


def choose_route(first: Sequence[Outcome], *, whole: bool) -> Route:
    """Choose between the routes by the first records of a source.

    :param first: its first ``BULK_FROM`` rows, or all if it has fewer.
    :param whole: whether these are all.
    """
    if whole and len(first) < BULK_FROM:
        return Route.PER_PROFILE
    fit = all(isinstance(one, Rejected) or not _unfit_for_bulk(one.wire) for one in first)
    return Route.BULK if fit else Route.PER_PROFILE


def admit(outcome: Outcome, route: Route) -> Outcome:
    """Give a record that can go the route, or the rejection of one that can't."""
    if isinstance(outcome, Rejected):
        return outcome
    wire = outcome.wire
    unfit = _unfit_for_bulk(wire) if route is Route.BULK else _nameless(wire, IDENTIFIERS)
    if unfit is None:
        return outcome
    return rejected(outcome, *(_nameless(wire, IDENTIFIERS) or unfit))


def rejected(record: Record, field: str, rule: str, given: str) -> Refused:
    """Reject a record that can't go its route."""
    return Refused(record.row, (Fault(field, rule, given),), dict(record.wire))


def _unfit_for_bulk(wire: Mapping[str, Json]) -> tuple[str, str, str] | None:
    if None in wire.values():
        field = next(name for name, value in wire.items() if value is None)
        return field, "a value, or the field left out, on the bulk route", "CLEAR"
    return _nameless(wire, IDENTIFIERS_OF[Route.BULK])


def _nameless(wire: Mapping[str, Json], kinds: Sequence[str]) -> tuple[str, str, str] | None:
    if has_identifier(wire, kinds):
        return None
    return "user", f"at least one of {', '.join(kinds)}", "none of them"


class Verdict(Enum):
    """What follows from a failure."""

    WAIT = auto()
    """The service is down, overloaded or out of reach: try again later."""
    RECORD = auto()
    """The record is at fault: set it aside."""
    STOP = auto()
    """Nothing will get through: wrong credentials, a wrong address."""


def judge(error: PersonaClickError) -> Verdict:
    """Say what follows from a failure to deliver."""
    match error:
        case AuthenticationFailed() | Forbidden():
            return Verdict.STOP
        case BadRequest() | Unprocessable() | NotFound() | PayloadTooLarge():
            return Verdict.RECORD
        case RateLimited() | ServerError() | TransportError():
            return Verdict.WAIT
        case ServiceError(status=200):
            return Verdict.RECORD
        case _:
            return Verdict.STOP


def refusal(
    row: int, wire: Mapping[str, Json], error: PersonaClickError, *, message_is_clean: bool = True
) -> Refused:
    """Reject a record that the service has refused when it stood alone.

    :param message_is_clean: whether the service's message was freed of what the record holds.
    """
    message = getattr(error, "message", "") if message_is_clean else ""
    rule = f"what the service takes ({describe(error)}{message and f': {message}'})"
    return Refused(row, (Fault("record", rule, "what it refused"),), dict(wire))


def describe(error: PersonaClickError) -> str:
    """Say what went wrong without repeating the service's message, which may quote a record."""
    match error:
        case RateLimited(attempts=0):
            return f"{error.endpoint} is held back by the limit of requests"
        case ServiceError():
            return f"{error.endpoint} answered {error.status}"
        case ConnectionFailed() | TransportError():
            return str(error)
        case _:
            return type(error).__name__
