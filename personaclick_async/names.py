"""Every path, wire name and documented limit of the service, each with its source.

Sections are those of ``docs/protocol.md``. Client and emulator have these names from here alone, so
that they can't drift apart.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final

import attrs

DEFAULT_API_URL: Final = "https://api.personaclick.com/"

# The answer's envelope (section 9).
STATUS: Final = "status"
STATUS_SUCCESS: Final = "success"
SUCCESS_BODY: Final = b'{"status":"success"}'  # nearly every answer to an update, to the byte
STATUS_ERROR: Final = "error"
PAYLOAD: Final = "payload"
MESSAGE: Final = "message"
DATA: Final = "data"

# Shared parameters (section 1).
SHOP_ID: Final = "shop_id"
SHOP_SECRET: Final = "shop_secret"
DID: Final = "did"
SID: Final = "sid"
SEANCE: Final = "seance"
SEGMENT: Final = "segment"
STREAM: Final = "stream"
REFERER: Final = "referer"
REFERRER: Final = "referrer"

# Identifiers of a user (section 1) and their old spelling (section 3.1).
EMAIL: Final = "email"
PHONE: Final = "phone"
EXTERNAL_ID: Final = "external_id"
ID: Final = "id"
LOYALTY_ID: Final = "loyalty_id"
TELEGRAM_ID: Final = "telegram_id"

IDENTIFIERS: Final = (EMAIL, PHONE, EXTERNAL_ID, LOYALTY_ID, TELEGRAM_ID)

# init (section 2.1).
API_VERSION: Final = "v"
TZ: Final = "tz"

# orders/by_user (section 2.7) and last_for_user's tolerated wrappers (section 12).
DATE_FROM: Final = "date_from"
ORDERS: Final = "orders"
PRODUCTS: Final = "products"

# import/* and sync/* (sections 2.8 to 2.10).
AUDIENCE: Final = "audience"
SEGMENT_ID: Final = "segment_id"

CUSTOM_PROPERTIES: Final = "custom_properties"
EMAIL_REGISTERED_AT: Final = "email_registered_at"

RESERVED_PARAMETERS: Final = frozenset(
    {SHOP_ID, SHOP_SECRET, DID, SID, SEANCE, SEGMENT, STREAM, REFERER, REFERRER}
) | {ID, API_VERSION, TZ, EMAIL_REGISTERED_AT, CUSTOM_PROPERTIES}
"""What a custom property can't be called, besides the fields of a profile (section 3.2)."""

# Limits, documented for import/* and sync/* only (section 2); 32 MB are read as mebibytes (12).
IMPORT_REQUESTS_PER_MINUTE: Final = 40
IMPORT_MAX_BODY_BYTES: Final = 32 * 1024 * 1024

SESSION_LIFETIME: Final = timedelta(hours=2)  # without events (section 6.2)
STREAM_MAX_CHARACTERS: Final = 16  # section 6.3


class Gender(StrEnum):
    """The two values of ``gender`` on the wire (section 3.1)."""

    MALE = "m"
    FEMALE = "f"


class Segment(StrEnum):
    """The two A/B groups (section 1)."""

    A = "A"
    B = "B"


class Family(StrEnum):
    """Endpoints that share one limit of requests per window."""

    SESSION = "session"
    PROFILE = "profile"
    ORDERS = "orders"
    IMPORT = "import"
    OTHER = "other"
    """What has no method of its own; see ``client.request``."""


_FAMILIES: Final = {
    "init": Family.SESSION,
    "profile": Family.PROFILE,
    "orders": Family.ORDERS,
    "import": Family.IMPORT,
    "sync": Family.IMPORT,
}


@attrs.frozen
class Endpoint:
    """One address of the service and what is known of it."""

    name: str
    method: str
    # Whether twice has the effect of once; else a call is sent again only if the service certainly
    # did not act on it: no connection, 425, 429 or 503.
    is_idempotent: bool = attrs.field(default=True, kw_only=True)
    path: str = attrs.field(init=False)
    family: Family = attrs.field(init=False)  # whose limit it shares, by the name's first part

    @path.default
    def _path(self) -> str:
        return f"/{self.name}"

    @family.default
    def _family(self) -> Family:
        return _FAMILIES.get(self.name.partition("/")[0], Family.OTHER)


INIT: Final = Endpoint("init", "GET")
PROFILE: Final = Endpoint("profile", "GET")
PROFILE_SET: Final = Endpoint("profile/set", "POST")
# A second purge of one profile answers "Profile not found": only a certain failure is repeated.
PROFILE_PURGE: Final = Endpoint("profile/purge", "DELETE", is_idempotent=False)
FORCE_CHANGE_EMAIL: Final = Endpoint("profile/force_change_email", "POST", is_idempotent=False)
FORCE_CHANGE_PHONE: Final = Endpoint("profile/force_change_phone", "POST", is_idempotent=False)
FORCE_CHANGE_ID: Final = Endpoint("profile/force_change_id", "POST", is_idempotent=False)
LAST_ORDER: Final = Endpoint("orders/last_for_user", "GET")
ORDERS_BY_USER: Final = Endpoint("orders/by_user", "GET")
# For these the client has no call; the emulator answers every endpoint that stands here.
SYNC_ORDERS: Final = Endpoint("sync/orders", "POST")
IMPORT_ORDERS: Final = Endpoint("import/orders", "POST")
IMPORT_AUDIENCE: Final = Endpoint("import/audience", "POST")
IMPORT_SUPPRESSED: Final = Endpoint("import/suppressed", "POST")
