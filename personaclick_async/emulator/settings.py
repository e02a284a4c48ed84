"""What an emulator is told: its shop, its limits, and from where it may be reached."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import attrs

from personaclick_async import names
from personaclick_async.errors import ConfigurationError

DEFAULT_SHOP_ID: Final = "e0" * 15
DEFAULT_SECRET: Final = "5e" * 16

_SHOP_ID: Final = re.compile(r"[0-9a-f]{30}")


@attrs.frozen(kw_only=True)
class EmulatorSettings:
    """The shop, its limits and the server. How the service behaves is :class:`Behaviour`'s.

    :ivar shop_id: the shop's public key, 30 hexadecimal characters.
    :ivar shop_secret: its secret key.
    :ivar currency: the symbol in formatted prices.
    :ivar active: False answers 403 to everything, as for a shop that has not paid.
    :ivar import_limit: import requests per window, None for no limit.
    :ivar import_window: that window in seconds.
    :ivar request_limit: the same for all other requests; the service documents none.
    :ivar max_import_bytes: how large an import's body may be.
    :ivar cors: whether pages of other sites may call the service's addresses from a browser.
    :ivar host_names: by which names it is answered besides this machine's own, such as a
        container's. An emulator that other machines may reach answers to any name if none is given.
    :ivar seed: makes the chances of faults repeatable.
    :ivar recorded: how many of the latest requests are kept for inspection.
    """

    shop_id: str = attrs.field(default=DEFAULT_SHOP_ID)
    shop_secret: str = attrs.field(default=DEFAULT_SECRET, repr=False)
    currency: str = "$"
    active: bool = True
    import_limit: int | None = attrs.field(default=names.IMPORT_REQUESTS_PER_MINUTE)
    import_window: float = attrs.field(default=60.0)
    request_limit: int | None = attrs.field(default=None)
    request_window: float = attrs.field(default=60.0)
    max_import_bytes: int = attrs.field(default=names.IMPORT_MAX_BODY_BYTES)
    cors: bool = False
    host_names: tuple[str, ...] = ()
    seed: int = 0
    recorded: int = attrs.field(default=200_000)

    @shop_id.validator
    def _check_shop_id(self, _: object, value: str) -> None:
        if not _SHOP_ID.fullmatch(value):
            raise ConfigurationError("shop_id: expected 30 hexadecimal characters in lower case")

    @shop_secret.validator
    def _check_secret(self, _: object, value: str) -> None:
        if not value:
            raise ConfigurationError("shop_secret: expected a non-empty text")

    @import_limit.validator
    @request_limit.validator
    @import_window.validator
    @request_window.validator
    @max_import_bytes.validator
    @recorded.validator
    def _check_positive(self, at: attrs.Attribute[float], value: float | None) -> None:
        if value is not None and not value > 0:
            raise ConfigurationError(f"{at.name}: expected more than 0")


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, as 127.0.0.1 is."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
