"""The user that a call is about: a device, or a customer known by an identifier."""

from __future__ import annotations

from typing import Final, NamedTuple

from personaclick_async.errors import ValidationError
from personaclick_async.models import rules
from personaclick_async.names import (
    DID,
    EMAIL,
    EXTERNAL_ID,
    LOYALTY_ID,
    PHONE,
    TELEGRAM_ID,
)

_RULES: Final[dict[str, rules.Rule[str]]] = {
    # The format of a did is not documented and the SDKs send all sorts: no rule on its length.
    DID: rules.identifier,
    EMAIL: rules.email,
    PHONE: rules.phone,
    EXTERNAL_ID: rules.identifier,
    LOYALTY_ID: rules.identifier,
    TELEGRAM_ID: rules.identifier,
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
        """Make an identity of the one identifier that is given and not None.

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
        return cls.checked(kind, _RULES[kind](kind, named[kind]))

    @classmethod
    def device(cls, did: object) -> Identity:
        """Make the identity of a device.

        :raises ValidationError: it is malformed.
        """
        return tuple.__new__(cls, (DID, rules.identifier(DID, did)))

    @classmethod
    def checked(cls, kind: str, value: str) -> Identity:
        """Make an identity of what was checked before."""
        # Not cls(…), for which a NamedTuple has a slow function of its own.
        return tuple.__new__(cls, (kind, value))

    @property
    def is_device(self) -> bool:
        """Whether a device is named, so that no secret is needed (protocol, section 1)."""
        return self.kind == DID

    def __repr__(self) -> str:
        return f"<Identity by {self.kind}>"
