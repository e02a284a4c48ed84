"""The user of a call, a device or a customer, and the session in which it is made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import attrs

from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.models.reading import Read
from personaclick_async.names import DID, EMAIL, IDENTIFIERS, PHONE

# The format of a did is not documented and the SDKs send all sorts: no rule on its length.
_RULES: Final[dict[str, rules.Rule[str]]] = {
    **dict.fromkeys((DID, *IDENTIFIERS), rules.identifier),
    EMAIL: rules.email,
    PHONE: rules.phone,
}


class Identity(NamedTuple):
    """One way to name a user: ``kind`` is a wire name, ``value`` its text.

    Equal identities share a cache entry. The value stays out of ``repr``.
    """

    # A tuple, because a cache hashes its key a dozen times per entry, and a tuple does so in C.

    kind: str
    value: str

    @classmethod
    def of(cls, /, **named: object) -> Identity:
        """Return the identity of the one identifier that is given and not None.

        :raises ValidationError: none or several were given, or the one is malformed.
        """
        given = [kind for kind, value in named.items() if value is not None]
        if len(given) != 1 or given[0] not in _RULES:
            raise ValidationError(
                "user",
                f"exactly one of {', '.join(_RULES)}",
                " and ".join(sorted(_RULES.keys() & given)) or "none of them",
            )
        [kind] = given
        return cls(kind, _RULES[kind](kind, named[kind]))

    @classmethod
    def device(cls, did: object) -> Identity:
        """Return the identity of a device, or raise ValidationError as :meth:`of` does."""
        # Not cls(…), for which a NamedTuple has a slow function of its own.
        return tuple.__new__(cls, (DID, rules.identifier(DID, did)))

    @property
    def is_device(self) -> bool:
        """Whether a device is named, so that no secret is needed (protocol, section 1)."""
        return self.kind == DID

    def __repr__(self) -> str:
        return f"<Identity by {self.kind}>"


@attrs.frozen(kw_only=True, repr=False)
class Session:
    """What a web application keeps in its visitor's cookies.

    ``did`` names the device and stays for good; ``seance`` names the session (``sid`` is the
    newer word for the same value) and ends two hours after the last event, at ``expires_at``
    (protocol, section 6.2). ``seance`` and ``expires_at`` may be unknown.

    :raises ValidationError: ``expires_at`` is no date-time, or has no time zone, so that it could
        not be compared later.
    """

    did: str
    seance: str | None = None
    expires_at: datetime | None = None

    def __attrs_post_init__(self) -> None:
        end, rule = self.expires_at, "a date-time with a time zone"
        if end is not None and not isinstance(end, datetime):
            raise rules.refuse("expires_at", rule, end)
        if end is not None and end.utcoffset() is None:
            raise ValidationError("expires_at", rule, "one without")

    @property
    def sid(self) -> str | None:
        """The newer name of ``seance``."""
        return self.seance

    def is_over(self, now: datetime | None = None) -> bool:
        """Whether the session has ended at ``now`` (an aware datetime; else the current time)."""
        return self.expires_at is not None and (now or datetime.now(UTC)) >= self.expires_at

    def __repr__(self) -> str:
        return "<Session>"


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
