"""A visit: the device id, the session id, and until when the session lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from personaclick_async.errors import ValidationError
from personaclick_async.models.reading import Read
from personaclick_async.names import SESSION_LIFETIME_SECONDS

SESSION_LIFETIME = timedelta(seconds=SESSION_LIFETIME_SECONDS)


@attrs.frozen(kw_only=True, repr=False)
class Session:
    """What a web application keeps in its visitor's cookies.

    ``did`` names the device and stays for good; ``seance`` names the session (``sid`` is the
    newer word for the same value) and ends two hours after the last event, at ``expires_at``
    (protocol, section 6.2). ``seance`` and ``expires_at`` may be unknown.

    :raises ValidationError: ``expires_at`` has no time zone, so it could not be compared later.
    """

    did: str
    seance: str | None = None
    expires_at: datetime | None = attrs.field(default=None)

    @expires_at.validator
    def _check_expires_at(self, at: attrs.Attribute[object], value: datetime | None) -> None:
        if value is not None and value.utcoffset() is None:
            raise ValidationError(at.name, "a date-time with a time zone", "one without")

    @property
    def sid(self) -> str | None:
        """The newer name of ``seance``."""
        return self.seance

    def is_over(self, now: datetime | None = None) -> bool:
        """Whether the session has ended at ``now`` (an aware datetime; else the current time)."""
        return self.expires_at is not None and (now or datetime.now(UTC)) >= self.expires_at

    def __repr__(self) -> str:
        return "<Session>"


@attrs.frozen(kw_only=True, repr=False, slots=False)
class InitAnswer(Read):
    """The service's answer to ``init``: ids, and the shop's settings (protocol, section 2.1)."""

    did: str
    seance: str | None = None
    sid: str | None = None
    currency: str | None = None
    email_collector: bool | None = None
    has_email: bool | None = None
    recommendations: bool | None = None
    lazy_load: bool | None = None
    auto_css_recommender: bool | None = None
    cms: str | None = None
    segment: str | None = None
    recone: bool | None = None
    snippets: tuple[Any, ...] | None = None
    search: Any = None
    popup: Any = None
    web_push_settings: Any = None
