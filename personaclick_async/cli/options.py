"""The options of all commands, and the client and user that they describe.

A command takes attrs classes of options; :func:`command` makes their fields its own. Nothing of
the sync is imported here: help and completion do without.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_type_hints

import attrs
import typer

from personaclick_async.cli.outcome import OPTION
from personaclick_async.cli.process import Interrupted, run_interruptibly
from personaclick_async.client import PersonaClick
from personaclick_async.config import UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.logs import log_requests
from personaclick_async.names import Family
from personaclick_async.user import User

_NO_SHOP: Final = "0" * 30
_MOST_SECRET_BYTES: Final = 4096

KindName: TypeAlias = Literal["csv", "jsonl", "json", "parquet", "workbook"]
RouteName: TypeAlias = Literal["auto", "bulk", "per-profile"]


def command(work: Callable[..., object]) -> Callable[..., None]:
    """Return the command of a function, whose options are the fields of its attrs arguments.

    A coroutine that the function returns is run; an error of ours is shown by its ``output``, and
    ends the process with the error's code.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[attrs.AttrsInstance]] = {}
    for name, one in inspect.signature(work, eval_str=True).parameters.items():
        if not attrs.has(one.annotation):
            parameters.append(one)
            continue
        groups[name] = one.annotation
        kinds = get_type_hints(one.annotation)
        for field in attrs.fields(one.annotation):
            option = field.metadata[OPTION]
            parameters.append(
                one.replace(name=field.name, default=option, annotation=kinds[field.name])
            )

    @wraps(work)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
        made: dict[str, Any] = {
            name: group(**{field.name: given.pop(field.name) for field in attrs.fields(group)})
            for name, group in groups.items()
        }
        try:
            begun = work(**made, **given)
            if inspect.iscoroutine(begun):
                run_interruptibly(begun)
        except PersonaClickError as error:
            made["output"].fail(error)
        except Interrupted as interrupted:
            made["output"].complain("Interrupted", interrupted.untold or "")
            interrupted.untold = None
            raise

    vars(run)["__signature__"] = inspect.Signature(parameters)
    return run


def _option(
    panel: str | None,
    text: str,
    default: object = None,
    *names: str,
    envvar: str | None = None,
    metavar: str | None = None,
    at_least: int | None = None,
) -> Any:  # noqa: ANN401 - a field of any type
    """Describe an option: under which heading the help shows it, and what it says there."""
    option = typer.Option(
        default,
        *names,
        help=text,
        envvar=envvar,
        metavar=metavar,
        min=at_least,
        rich_help_panel=panel,
    )
    return attrs.field(default=default, metadata={OPTION: option})


_any: Final = partial(_option, None)
_shop: Final = partial(_option, "Shop")
_user: Final = partial(_option, "User (exactly one)")
_reads: Final = partial(_option, "How the source is read")
_sends: Final = partial(_option, "How it is sent")
_shares: Final = partial(_option, "On several machines")


@attrs.frozen(kw_only=True, repr=False)
class Connection:
    """What the command line says about the shop and the service."""

    shop_id: str | None = _shop("The shop's public key.", envvar="PERSONACLICK_SHOP_ID")
    secret_file: Path | None = _shop(
        "A file with the shop's secret; PERSONACLICK_SHOP_SECRET if not given.",
        envvar="PERSONACLICK_SHOP_SECRET_FILE",
    )
    api_url: str | None = _shop(
        "The service's address, such as an emulator's.", envvar="PERSONACLICK_API_URL"
    )
    verbose: bool = _any("Log every request to standard error.", False, "--verbose", "-v")

    def client(
        self, *, limits: Mapping[Family, RateLimit] | Unset = UNSET, sends: bool = True
    ) -> PersonaClick:
        """Make the client; one that never sends needs no shop."""
        if self.verbose:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        return PersonaClick(
            self.shop_id or (UNSET if sends else _NO_SHOP),
            shop_secret=UNSET if self.secret_file is None else _secret(self.secret_file),
            api_url=self.api_url or UNSET,
            limits=limits,
            hooks=log_requests(level=logging.INFO) if self.verbose else (),
        )


def _secret(path: Path) -> str:
    try:
        if path.is_char_device():
            raise ConfigurationError("--secret-file: expected a file, got a device")
        with path.open("rb") as file:
            # Not all of it: the path may name a pipe that never ends.
            content = file.read(_MOST_SECRET_BYTES + 1)
        secret = content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"--secret-file: can't be read: {why}") from None
    if not secret or len(content) > _MOST_SECRET_BYTES:
        raise ConfigurationError("--secret-file: expected one line of text, the secret")
    return secret


@attrs.frozen(kw_only=True, repr=False)
class UserOptions:
    """What the command line says about the user."""

    did: str | None = _user("A device.")
    email: str | None = _user("An e-mail address.")
    phone: str | None = _user("A phone number.")
    external_id: str | None = _user("The shop's own user id.")
    loyalty_id: str | None = _user("A loyalty card.")
    telegram_id: str | None = _user("A Telegram user.")

    def of(self, client: PersonaClick) -> User:
        """Return the one user who is named."""
        return client.user(**attrs.asdict(self))


@attrs.frozen(kw_only=True, repr=False)
class Reading:
    """What the command line says about the source, for ``sync`` and ``mapping``."""

    source: str = attrs.field(
        metadata={
            OPTION: typer.Argument(
                help="A file (CSV, JSON, Parquet, Excel; also .gz, .zip …), here or at an address "
                "such as s3://…; a pattern; a database's URL; or - for standard input."
            )
        }
    )
    kind: KindName | None = _reads("What it is; found out if not given.")
    encoding: str | None = _reads("Of text, such as cp1252; UTF-8 is found out.")
    delimiter: str | None = _reads("Of CSV; found out if not given.")
    quote: str = _reads("What stands around texts in CSV; none if nothing does.", '"')
    escape: str | None = _reads("What stands before a quote in CSV, as a backslash.")
    header: bool | None = _reads("Whether the first row holds the columns' names.")
    columns: str | None = _reads("The columns' names, comma-separated, if there is no header.")
    skip_rows: int = _reads("Rows above the header.", 0, at_least=0)
    sheet: str | None = _reads("Of a workbook; the first with rows if not given.")
    country: str | None = _reads("Of national phone numbers, such as CH.")
    query: str | None = _reads("What to ask the database.")
    limit: int | None = _reads("Only the first rows, to try it out.", at_least=1)


@attrs.frozen(kw_only=True, repr=False)
class Syncing(Reading):
    """What the command line says about a sync."""

    mapping: Path | None = _any(
        "Which column becomes which field: a TOML file; by name if not given.", None, "--map"
    )
    dry_run: bool = _any("Check every row, send nothing, show a summary.", False, "--dry-run")
    show_values: bool = _any(
        "With --dry-run: three examples of each field.", False, "--show-values"
    )
    route: RouteName = _sends("How records travel.", "auto")
    concurrency: int = _sends("Requests at once, per profile.", 32)
    journal: Path = _sends("Remembers what was delivered.", Path("personaclick-sync.db"))
    restart: bool = _sends("Forget an earlier sync that did not end.", False, "--restart")
    skip_unchanged: bool = _sends("Send only what changed since.", False, "--skip-unchanged")
    rejects: Path | None = _sends(
        "Where rows go that can't be sent; SOURCE-rejected.csv here if not given."
    )
    patience: float = _sends("Seconds to wait for a service that is down before stopping.", 3600.0)
    segment_id: int | None = _sends("Import into a segment (bulk).")
    shard: str | None = _shares(
        "Send only this share of the users, such as 2/8, with its part of the quota."
    )
    shard_by: str | None = _shares(
        "The identifier to divide users by, such as email; the first if not given."
    )
    dask: str | None = _shares(
        "Use a cluster: its scheduler's address, or local:4 for 4 processes."
    )
    parts_folder: Path | None = _shares(
        "Journals of the cluster's parts: a private folder that all machines see."
    )
    shared_limit: str | None = _shares(
        "A Redis that keeps the quota for all shards, in place of a part for each.",
        envvar="PERSONACLICK_SHARED_LIMIT_URL",
    )


@attrs.frozen(kw_only=True, repr=False)
class Probing:
    """What the command line says about a probe."""

    write: bool = _any("Write to a device made for the purpose, too.", False, "--write")
    yes: bool = _any("Write without asking first.", False, "--yes", "-y")
    customer: str | None = _any(
        "A customer whose profile's keys and types may be looked at: email=… or the like.",
        metavar="KIND=VALUE",
    )
    path: Path = _any("Where to write what was found.", Path("probe.json"), "--output", "-o")
    pause: float = _any("Seconds between two requests.", 1.0, at_least=0)
