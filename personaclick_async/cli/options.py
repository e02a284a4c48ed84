"""The options that several commands share, and the client and user that they describe.

A command takes attrs classes of options; :func:`with_options` makes their fields its own.
"""

from __future__ import annotations

import inspect
import logging
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import attrs
import typer

from personaclick_async.client import PersonaClick
from personaclick_async.config import UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.logs import log_requests
from personaclick_async.names import Family
from personaclick_async.user import User

_EMPTY: Final = inspect.Parameter.empty
_NO_SHOP: Final = "0" * 30
_MOST_SECRET_BYTES: Final = 4096
_shop: Final = partial(typer.Option, rich_help_panel="Shop")
_user: Final = partial(typer.Option, rich_help_panel="User (exactly one)")

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write JSON, for scripts; errors too.")
]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose options are the fields of its attrs arguments, and its others."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if attrs.has(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if parameter.name not in groups:
            parameters.append(parameter.replace(annotation=hint))
            continue
        inner = get_type_hints(hint, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty
                if field.default is attrs.NOTHING
                else field.default,
                annotation=inner[field.name],
            )
            for field in attrs.fields(hint)
        ]

    @wraps(command)
    def expanded(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
        made = {
            name: group(**{field.name: given.pop(field.name) for field in attrs.fields(group)})
            for name, group in groups.items()
        }
        command(**made, **given)

    parameters.sort(key=lambda one: one.kind)
    vars(expanded)["__signature__"] = inspect.Signature(parameters)
    return expanded


@attrs.frozen(kw_only=True, repr=False)
class Connection:
    """What the command line says about the shop and the service."""

    shop_id: Annotated[
        str | None,
        _shop("--shop-id", envvar="PERSONACLICK_SHOP_ID", help="The shop's public key."),
    ] = None
    secret_file: Annotated[
        Path | None,
        _shop(
            "--secret-file",
            envvar="PERSONACLICK_SHOP_SECRET_FILE",
            help="A file with the shop's secret; PERSONACLICK_SHOP_SECRET if not given.",
        ),
    ] = None
    api_url: Annotated[
        str | None,
        _shop(
            "--api-url",
            envvar="PERSONACLICK_API_URL",
            help="The service's address, such as an emulator's.",
        ),
    ] = None
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every request to standard error.")
    ] = False

    def client(
        self, *, limits: Mapping[Family, RateLimit] | Unset = UNSET, sends: bool = True
    ) -> PersonaClick:
        """Make the client.

        :param limits: requests per window; the documented ones if not given.
        :param sends: False for a dry run, which needs no shop.
        :raises ConfigurationError: a setting is missing or wrong, or the file can't be read.
        """
        if self.verbose:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        return PersonaClick(
            self.shop_id or (UNSET if sends else _NO_SHOP),
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
class UserOptions:
    """What the command line says about the user."""

    did: Annotated[str | None, _user("--did", help="A device.")] = None
    email: Annotated[str | None, _user("--email", help="An e-mail address.")] = None
    phone: Annotated[str | None, _user("--phone", help="A phone number.")] = None
    external_id: Annotated[str | None, _user("--external-id", help="The shop's own user id.")] = (
        None
    )
    loyalty_id: Annotated[str | None, _user("--loyalty-id", help="A loyalty card.")] = None
    telegram_id: Annotated[str | None, _user("--telegram-id", help="A Telegram user.")] = None

    def of(self, client: PersonaClick) -> User:
        """Return the user.

        :raises ValidationError: none or several identifiers were given, or one is malformed.
        """
        return client.user(**attrs.asdict(self))
