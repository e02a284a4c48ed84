"""The options of all commands, and the client, user and source that they describe.

A command takes attrs classes of options; :func:`with_options` makes their fields its own. What
only syncs need is imported when a source is opened: help and completion do without.
"""

from __future__ import annotations

import csv
import glob
import inspect
import logging
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, get_type_hints

import attrs
import typer

from personaclick_async.client import PersonaClick
from personaclick_async.config import UNSET, RateLimit, Unset
from personaclick_async.errors import ConfigurationError
from personaclick_async.logs import log_requests
from personaclick_async.names import Family
from personaclick_async.user import User

if TYPE_CHECKING:
    from personaclick_async.sync.mapping import FieldMapping
    from personaclick_async.sync.sources import Layout, SourceKind, TableSource

_NO_SHOP: Final = "0" * 30
_MOST_SECRET_BYTES: Final = 4096
_TABS: Final = ("\\t", "tab")  # a tab is hard to type in a shell

_shop: Final = partial(typer.Option, rich_help_panel="Shop")
_user: Final = partial(typer.Option, rich_help_panel="User (exactly one)")
_reads: Final = partial(typer.Option, rich_help_panel="How the source is read")
_sends: Final = partial(typer.Option, rich_help_panel="How it is sent")
_shares: Final = partial(typer.Option, rich_help_panel="On several machines")

AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write JSON, for scripts; errors too.")
]
KindName: TypeAlias = Literal["csv", "jsonl", "json", "parquet", "workbook"]
RouteName: TypeAlias = Literal["auto", "bulk", "per-profile"]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose options are the fields of its attrs arguments, and its others."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if attrs.has(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        types = get_type_hints(group, include_extras=True)
        parameters += [
            option.replace(annotation=types[option.name])
            for option in inspect.signature(group).parameters.values()
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
        str | None, _shop(envvar="PERSONACLICK_SHOP_ID", help="The shop's public key.")
    ] = None
    secret_file: Annotated[
        Path | None,
        _shop(
            envvar="PERSONACLICK_SHOP_SECRET_FILE",
            help="A file with the shop's secret; PERSONACLICK_SHOP_SECRET if not given.",
        ),
    ] = None
    api_url: Annotated[
        str | None,
        _shop(envvar="PERSONACLICK_API_URL", help="The service's address, such as an emulator's."),
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

    did: Annotated[str | None, _user(help="A device.")] = None
    email: Annotated[str | None, _user(help="An e-mail address.")] = None
    phone: Annotated[str | None, _user(help="A phone number.")] = None
    external_id: Annotated[str | None, _user(help="The shop's own user id.")] = None
    loyalty_id: Annotated[str | None, _user(help="A loyalty card.")] = None
    telegram_id: Annotated[str | None, _user(help="A Telegram user.")] = None

    def of(self, client: PersonaClick) -> User:
        """Return the user.

        :raises ValidationError: none or several identifiers were given, or one is malformed.
        """
        return client.user(**attrs.asdict(self))


@attrs.frozen(kw_only=True)
class Reading:
    """What the command line says about the source, for ``sync`` and ``mapping``."""

    source: Annotated[
        str,
        typer.Argument(
            help="A file (CSV, JSON, Parquet, Excel; also .gz, .zip …), here or at an address "
            "such as s3://…; a pattern; a database's URL; or - for standard input.",
        ),
    ]
    kind: Annotated[KindName | None, _reads(help="What it is; found out if not given.")] = None
    encoding: Annotated[str | None, _reads(help="Of text, such as cp1252; UTF-8 is found out.")] = (
        None
    )
    delimiter: Annotated[str | None, _reads(help="Of CSV; found out if not given.")] = None
    quote: Annotated[str, _reads(help="What stands around texts in CSV; none if nothing does.")] = (
        '"'
    )
    escape: Annotated[
        str | None, _reads(help="What stands before a quote in CSV, as a backslash.")
    ] = None
    header: Annotated[
        bool | None, _reads(help="Whether the first row holds the columns' names.")
    ] = None
    columns: Annotated[
        str | None, _reads(help="The columns' names, comma-separated, if there is no header.")
    ] = None
    skip_rows: Annotated[int, _reads(min=0, help="Rows above the header.")] = 0
    sheet: Annotated[
        str | None, _reads(help="Of a workbook; the first with rows if not given.")
    ] = None
    country: Annotated[str | None, _reads(help="Of national phone numbers, such as CH.")] = None
    query: Annotated[str | None, _reads(help="What to ask the database.")] = None
    limit: Annotated[int | None, _reads(min=1, help="Only the first rows, to try it out.")] = None

    @property
    def layout(self) -> Layout:
        """How delimited text is laid out.

        :raises ConfigurationError: an option is not one of those that make sense.
        """
        from personaclick_async.sync.sources import Layout  # noqa: PLC0415 - only syncs need it

        return Layout(
            encoding=self.encoding,
            delimiter="\t" if self.delimiter in _TABS else self.delimiter,
            quote=None if self.quote in ("", "none") else self.quote,
            escape=self.escape,
            header=self.header,
            columns=None if self.columns is None else next(csv.reader([self.columns]), []),
            skip_rows=self.skip_rows,
            sheet=self.sheet,
        )

    @property
    def source_kind(self) -> SourceKind | None:
        """What the file is, if that was said."""
        from personaclick_async.sync.sources import SourceKind  # noqa: PLC0415 - only syncs need it

        return None if self.kind is None else SourceKind(self.kind)

    @property
    def files(self) -> list[Path]:
        """The local files of the source, which nothing else may write to."""
        scheme, is_url, rest = self.source.partition("://")
        if is_url:
            path = rest.partition("?")[0]
            if scheme == "file":
                return [Path(path)]
            return [Path(path[1:])] if scheme.startswith(("sqlite", "duckdb")) else []
        if self.source == "-":
            return [Path("/dev/stdin")]
        from personaclick_async.sync.sources.opening import holds_rejects  # noqa: PLC0415 - as above

        found = map(Path, glob.glob(self.source, recursive=True))  # noqa: PTH207 - as sources do
        # A pattern leaves out what earlier runs have rejected, which may be written to again.
        return [Path(self.source), *(one for one in found if not holds_rejects(str(one)))]

    def open(self, mapping: FieldMapping | None = None) -> TableSource:
        """Open the source, or its first rows.

        :raises ConfigurationError: there is no such file, or it can't be told what it is.
        """
        from personaclick_async.sync.sources import open_source  # noqa: PLC0415 - as above
        from personaclick_async.sync.sources.base import SourceView  # noqa: PLC0415 - only syncs need it

        source = open_source(
            self.source, mapping, kind=self.source_kind, layout=self.layout, query=self.query
        )
        return source if self.limit is None else SourceView(source, limit=self.limit)


@attrs.frozen(kw_only=True, repr=False)
class Sending:
    """What the command line says about sending, for ``sync``."""

    mapping: Annotated[
        Path | None,
        typer.Option(
            "--map", help="Which column becomes which field: a TOML file; by name if not given."
        ),
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, send nothing, show a summary.")
    ] = False
    show_values: Annotated[
        bool, typer.Option("--show-values", help="With --dry-run: three examples of each field.")
    ] = False
    route: Annotated[RouteName, _sends(help="How records travel.")] = "auto"
    concurrency: Annotated[int, _sends(help="Requests at once, per profile.")] = 32
    journal: Annotated[Path, _sends(help="Remembers what was delivered.")] = Path(
        "personaclick-sync.db"
    )
    restart: Annotated[
        bool, _sends("--restart", help="Forget an earlier sync that did not end.")
    ] = False
    skip_unchanged: Annotated[
        bool, _sends("--skip-unchanged", help="Send only what changed since.")
    ] = False
    rejects: Annotated[
        Path | None,
        _sends(help="Where rows go that can't be sent; SOURCE-rejected.csv here if not given."),
    ] = None
    patience: Annotated[
        float, _sends(help="Seconds to wait for a service that is down before stopping.")
    ] = 3600.0
    segment_id: Annotated[int | None, _sends(help="Import into a segment (bulk).")] = None


@attrs.frozen(kw_only=True, repr=False)
class Sharing:
    """What the command line says about several machines, for ``sync``."""

    shard: Annotated[
        str | None,
        _shares(help="Send only this share of the users, such as 2/8, with its part of the quota."),
    ] = None
    shard_by: Annotated[
        str | None,
        _shares(help="The identifier to divide users by, such as email; the first if not given."),
    ] = None
    dask: Annotated[
        str | None,
        _shares(help="Use a cluster: its scheduler's address, or local:4 for 4 processes."),
    ] = None
    parts_folder: Annotated[
        Path | None,
        _shares(help="Journals of the cluster's parts: a private folder that all machines see."),
    ] = None
    shared_limit: Annotated[
        str | None,
        _shares(
            envvar="PERSONACLICK_SHARED_LIMIT_URL",
            help="A Redis that keeps the quota for all shards, in place of a part for each.",
        ),
    ] = None
