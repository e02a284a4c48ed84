"""The options of all commands; imports no sync, so that help and completion are quick."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_type_hints

import attrs
import typer

from personaclick_async.cli.outcome import Output
from personaclick_async.cli.process import Interrupted, run_interruptibly
from personaclick_async.client import PersonaClick
from personaclick_async.config import UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.logs import log_requests
from personaclick_async.names import Family
from personaclick_async.user import User

_NO_SHOP: Final = "0" * 30
_MOST_CHARACTERS: Final = 4096

KindName: TypeAlias = Literal["csv", "jsonl", "json", "parquet", "workbook"]
RouteName: TypeAlias = Literal["auto", "bulk", "per-profile"]


def command(work: Callable[..., object]) -> Callable[..., None]:
    """Make a function a command; the fields of its attrs arguments become options."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[attrs.AttrsInstance]] = {}
    for name, one in inspect.signature(work, eval_str=True).parameters.items():
        if not attrs.has(one.annotation):
            parameters.append(one)
            continue
        groups[name] = one.annotation
        kinds = get_type_hints(one.annotation)
        options = inspect.signature(one.annotation).parameters.values()
        parameters += [option.replace(annotation=kinds[option.name]) for option in options]

    @wraps(work)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
        for name, group in groups.items():
            fields = [at.name for at in attrs.fields(group) if at.init]
            given[name] = group(**{key: given.pop(key) for key in fields})
        output: Output = given["output"]
        if output.as_json:
            # Python would write it as text, between the errors.
            output.log.setLevel(logging.WARNING)
            logging.getLogger("personaclick_async").addHandler(output.log)
        try:
            begun = work(**given)
            if inspect.iscoroutine(begun):
                run_interruptibly(begun)
        except PersonaClickError as error:
            output.fail(error)
        except Interrupted as interrupted:
            output.complain("Interrupted", interrupted.untold)
            interrupted.untold = ""
            raise

    vars(run)["__signature__"] = inspect.Signature(parameters)
    return run


# By their panel in the help; the first is Typer's own.
_main: Final = typer.Option
_shop: Final = partial(typer.Option, rich_help_panel="Shop")
_user: Final = partial(typer.Option, rich_help_panel="User (exactly one)")
_reads: Final = partial(typer.Option, rich_help_panel="How the source is read")
_sends: Final = partial(typer.Option, rich_help_panel="How it is sent")
_shares: Final = partial(typer.Option, rich_help_panel="On several machines")


@attrs.frozen(kw_only=True, repr=False)
class Connection:
    """What the command line says about the shop and the service."""

    shop_id: str | None = _shop(None, envvar="PERSONACLICK_SHOP_ID", help="The shop's public key.")
    secret_file: Path | None = _shop(
        None,
        envvar="PERSONACLICK_SHOP_SECRET_FILE",
        help="A file with the shop's secret; PERSONACLICK_SHOP_SECRET if not given.",
    )
    api_url: str | None = _shop(
        None, envvar="PERSONACLICK_API_URL", help="The service's address, such as an emulator's."
    )
    verbose: bool = _main(False, "--verbose", "-v", help="Log every request to standard error.")

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
        with path.open(encoding="utf-8", errors="replace") as file:
            # Not all of it: a pipe may never end.
            secret = file.read(_MOST_CHARACTERS + 1).strip()
    except OSError as error:
        raise ConfigurationError(f"--secret-file: can't be read: {error.strerror}") from None
    if not 0 < len(secret) <= _MOST_CHARACTERS:
        raise ConfigurationError("--secret-file: expected one line of text, the secret")
    return secret


@attrs.frozen(kw_only=True, repr=False)
class UserId:
    """What the command line says about the user: one of these."""

    did: str | None = _user(None, help="A device.")
    email: str | None = _user(None, help="An e-mail address.")
    phone: str | None = _user(None, help="A phone number.")
    external_id: str | None = _user(None, help="The shop's own user id.")
    loyalty_id: str | None = _user(None, help="A loyalty card.")
    telegram_id: str | None = _user(None, help="A Telegram user.")

    def of(self, client: PersonaClick) -> User:
        """Return the user."""
        return client.user(**attrs.asdict(self))


@attrs.frozen(kw_only=True, repr=False)
class Reading:
    """What the command line says about the source, for ``sync`` and ``mapping``."""

    source: str = typer.Argument(
        help="A file (CSV, JSON, Parquet, Excel; also .gz, .zip …), here or at an address "
        "such as s3://…; a pattern; a database's URL; or - for standard input."
    )
    kind: KindName | None = _reads(None, help="What it is; found out if not given.")
    encoding: str | None = _reads(None, help="Of text, such as cp1252; UTF-8 is found out.")
    delimiter: str | None = _reads(None, help="Of CSV, such as ; or tab; found out if not given.")
    quote: str = _reads('"', help="What stands around texts in CSV; none if nothing does.")
    escape: str | None = _reads(None, help="What stands before a quote in CSV, as a backslash.")
    header: bool | None = _reads(None, help="Whether the first row holds the columns' names.")
    columns: str | None = _reads(None, help="Their names, comma-separated, if no header has them.")
    skip_rows: int = _reads(0, min=0, max=10**9, help="Rows above the header.")
    sheet: str | None = _reads(None, help="Of a workbook; the first with rows if not given.")
    country: str | None = _reads(None, help="Of national phone numbers, such as CH.")
    query: str | None = _reads(None, help="What to ask the database.")
    limit: int | None = _reads(None, min=1, help="Only the first rows, to try it out.")


@attrs.frozen(kw_only=True, repr=False)
class Syncing(Reading):
    """What the command line says about a sync."""

    mapping: Path | None = _main(
        None, "--map", help="Which column becomes which field: a TOML file; by name if not given."
    )
    dry_run: bool = _main(False, "--dry-run", help="Check every row, send nothing, show a summary.")
    show_values: bool = _main(False, "--show-values", help="With --dry-run: three values a field.")
    route: RouteName = _sends("auto", help="How records travel.")
    concurrency: int = _sends(32, help="Requests at once, per profile.")
    journal: Path = _sends(Path("personaclick-sync.db"), help="Remembers what was delivered.")
    restart: bool = _sends(False, "--restart", help="Forget an earlier sync that did not end.")
    skip_unchanged: bool = _sends(False, "--skip-unchanged", help="Send only what changed since.")
    rejects: Path | None = _sends(
        None, help="Where rows go that can't be sent; SOURCE-rejected.csv here if not given."
    )
    patience: float = _sends(3600.0, help="Seconds to wait for a service that is down.")
    segment_id: int | None = _sends(None, help="Import into a segment (bulk).")
    shard: str | None = _shares(
        None, help="Send only this share of the users, such as 2/8, with its part of the quota."
    )
    shard_by: str | None = _shares(
        None, help="The identifier to divide users by, such as email; the first if not given."
    )
    dask: str | None = _shares(
        None, help="Use a cluster: its scheduler's address, or local:4 for 4 processes."
    )
    parts_folder: Path | None = _shares(
        None, help="Journals of the cluster's parts: a private folder that all machines see."
    )
    shared_limit: str | None = _shares(
        None,
        envvar="PERSONACLICK_SHARED_LIMIT_URL",
        help="A Redis that keeps the quota for all shards, in place of a part for each.",
    )


@attrs.frozen(kw_only=True, repr=False)
class Probing:
    """What the command line says about a probe."""

    write: bool = _main(False, "--write", help="Write to a device made for the purpose, too.")
    yes: bool = _main(False, "--yes", "-y", help="Write without asking first.")
    customer: str | None = _main(
        None,
        metavar="KIND=VALUE",
        help="A customer whose profile's keys and types may be looked at: email=… or the like.",
    )
    path: Path = _main("probe.json", "--output", "-o", help="Where to write what was found.")
    pause: float = _main(1.0, min=0, help="Seconds between two requests.")
