"""The options that several commands share, and the client, user and source that they describe."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import attrs
import typer

from personaclick_async.client import PersonaClick
from personaclick_async.config import UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.logs import log_requests
from personaclick_async.names import Family
from personaclick_async.user import User

_SHOP: Final = "Shop"
_USER: Final = "User (exactly one)"
_MOST_SECRET_BYTES: Final = 4096

ShopId: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--shop-id",
        envvar="PERSONACLICK_SHOP_ID",
        help="The shop's public key.",
        rich_help_panel=_SHOP,
    ),
]
SecretFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        envvar="PERSONACLICK_SHOP_SECRET_FILE",
        help="A file with the shop's secret; PERSONACLICK_SHOP_SECRET if not given.",
        rich_help_panel=_SHOP,
    ),
]
ApiUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        envvar="PERSONACLICK_API_URL",
        help="The service's address, such as an emulator's.",
        rich_help_panel=_SHOP,
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write JSON, for scripts; errors too.")
]
Verbose: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log every request to standard error.")
]
Did: TypeAlias = Annotated[
    str | None, typer.Option("--did", help="A device.", rich_help_panel=_USER)
]
Email: TypeAlias = Annotated[
    str | None, typer.Option("--email", help="An e-mail address.", rich_help_panel=_USER)
]
Phone: TypeAlias = Annotated[
    str | None, typer.Option("--phone", help="A phone number.", rich_help_panel=_USER)
]
ExternalId: TypeAlias = Annotated[
    str | None,
    typer.Option("--external-id", help="The shop's own user id.", rich_help_panel=_USER),
]
LoyaltyId: TypeAlias = Annotated[
    str | None, typer.Option("--loyalty-id", help="A loyalty card.", rich_help_panel=_USER)
]
TelegramId: TypeAlias = Annotated[
    str | None, typer.Option("--telegram-id", help="A Telegram user.", rich_help_panel=_USER)
]


@attrs.frozen(kw_only=True, repr=False)
class Connection:
    """What the command line says about the shop and the service."""

    shop_id: str | None
    secret_file: Path | None
    api_url: str | None
    verbose: bool

    def client(self, *, limits: Mapping[Family, RateLimit] | Unset = UNSET) -> PersonaClick:
        """Make the client.

        :param limits: requests per window; the documented ones if not given.
        :raises ConfigurationError: a setting is missing or wrong, or the file can't be read.
        """
        if self.verbose:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        return PersonaClick(
            self.shop_id or UNSET,
            shop_secret=self._secret() or UNSET,
            api_url=self.api_url or UNSET,
            limits=limits,
            hooks=log_requests(level=logging.INFO) if self.verbose else (),
        )

    def _secret(self) -> str | None:
        if self.secret_file is None:
            return None
        try:
            with self.secret_file.open("rb") as file:
                if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
                    raise ConfigurationError("--secret-file: expected a file, got a device")
                # Not all of it: the path may name a pipe that never ends.
                content = file.read(_MOST_SECRET_BYTES + 1)
            secret = content.decode().strip()
        except OSError as error:
            raise ConfigurationError(f"--secret-file: can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError("--secret-file: can't be read: it is not text") from None
        if not secret or len(content) > _MOST_SECRET_BYTES:
            raise ConfigurationError("--secret-file: expected one line of text, the secret")
        return secret


@attrs.frozen(kw_only=True, repr=False)
class Who:
    """What the command line says about the user."""

    did: str | None = None
    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    loyalty_id: str | None = None
    telegram_id: str | None = None

    def of(self, client: PersonaClick) -> User:
        """Return the user.

        :raises ValidationError: none or several identifiers were given, or one is malformed.
        """
        return client.user(**attrs.asdict(self))
