"""The options that several commands share, and the client and user that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import attrs
import typer

from personaclick_async.client import PersonaClick
from personaclick_async.config import UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.names import Family
from personaclick_async.user import User

SHOP = "Shop"
WHO = "Whom it is about (exactly one)"

ShopId: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--shop-id",
        envvar="PERSONACLICK_SHOP_ID",
        help="The shop's public key.",
        rich_help_panel=SHOP,
    ),
]
SecretFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        envvar="PERSONACLICK_SHOP_SECRET_FILE",
        help="A file that holds the shop's secret. Else PERSONACLICK_SHOP_SECRET is read.",
        rich_help_panel=SHOP,
    ),
]
ApiUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        envvar="PERSONACLICK_API_URL",
        help="Where the service is, such as an emulator's address.",
        rich_help_panel=SHOP,
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write JSON, for scripts; errors too.")
]
Did: TypeAlias = Annotated[str | None, typer.Option("--did", help="A device.", rich_help_panel=WHO)]
Email: TypeAlias = Annotated[
    str | None, typer.Option("--email", help="An e-mail address.", rich_help_panel=WHO)
]
Phone: TypeAlias = Annotated[
    str | None, typer.Option("--phone", help="A phone number.", rich_help_panel=WHO)
]
ExternalId: TypeAlias = Annotated[
    str | None,
    typer.Option("--external-id", help="The shop's own user id.", rich_help_panel=WHO),
]
LoyaltyId: TypeAlias = Annotated[
    str | None, typer.Option("--loyalty-id", help="A loyalty card.", rich_help_panel=WHO)
]
TelegramId: TypeAlias = Annotated[
    str | None, typer.Option("--telegram-id", help="A Telegram user.", rich_help_panel=WHO)
]


@attrs.frozen(kw_only=True, repr=False)
class Connection:
    """What the command line says about the shop and the service."""

    shop_id: str | None
    secret_file: Path | None
    api_url: str | None

    def client(self, *, limits: Mapping[Family, RateLimit] | Unset = UNSET) -> PersonaClick:
        """Make the client.

        :param limits: requests per window; the documented ones if not given.
        :raises ConfigurationError: a setting is missing or wrong, or the file can't be read.
        """
        return PersonaClick(
            self.shop_id or UNSET,
            shop_secret=self._secret() or UNSET,
            api_url=self.api_url or UNSET,
            limits=limits,
        )

    def _secret(self) -> str | None:
        if self.secret_file is None:
            return None
        try:
            return self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigurationError(f"--secret-file: can't be read: {reason}") from None


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
        """Give the user.

        :raises ValidationError: none or several identifiers were given, or one is malformed.
        """
        return client.user(**attrs.asdict(self))
