"""The command ``sync``: its options. What it does is in ``syncing``, which imports the sync."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import attrs
import typer

from personaclick_async.cli.options import ApiUrl, AsJson, Connection, SecretFile, ShopId, Verbose
from personaclick_async.cli.reading import Delimiter, Encoding, Kind, Query, Reading, Where

_SENDING: Final = "How it is sent"
_MACHINES: Final = "On several machines"

RouteName: TypeAlias = Literal["auto", "bulk", "per-profile"]


@attrs.frozen(kw_only=True)
class Sending:
    """What the command line says about sending."""

    mapping: Path | None
    dry_run: bool
    route: RouteName
    concurrency: int
    journal: Path
    restart: bool
    skip_unchanged: bool
    rejects: Path | None
    patience: float
    segment_id: int | None
    shard: str | None
    shard_by: str | None
    dask: str | None
    spool: Path | None
    shared_limit: str | None = attrs.field(repr=False)


def sync(
    source: Where,
    *,
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--map", help="Which column becomes which field: a TOML file; by name if not given."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, send nothing, show a summary.")
    ] = False,
    route: Annotated[
        RouteName, typer.Option("--route", help="How records travel.", rich_help_panel=_SENDING)
    ] = "auto",
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", help="Requests at once, per profile.", rich_help_panel=_SENDING
        ),
    ] = 32,
    journal: Annotated[
        Path,
        typer.Option("--journal", help="Remembers what was delivered.", rich_help_panel=_SENDING),
    ] = Path("personaclick-sync.db"),
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Forget an earlier sync that did not end.", rich_help_panel=_SENDING
        ),
    ] = False,
    skip_unchanged: Annotated[
        bool,
        typer.Option(
            "--skip-unchanged", help="Send only what changed since.", rich_help_panel=_SENDING
        ),
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            help="Where rows go that can't be sent; SOURCE-rejected.csv here if not given.",
            rich_help_panel=_SENDING,
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            help="Seconds to wait for a service that is down before stopping.",
            rich_help_panel=_SENDING,
        ),
    ] = 3600.0,
    segment_id: Annotated[
        int | None,
        typer.Option(
            "--segment-id", help="Import into a segment (bulk).", rich_help_panel=_SENDING
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            help="Send only this share of the users, such as 2/8, with its part of the quota.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    shard_by: Annotated[
        str | None,
        typer.Option(
            "--shard-by",
            help="The identifier to divide users by, such as email; the first one if not given.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            help="Use a cluster: its scheduler's address, or local:4 for 4 processes.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            help="A private folder that this machine and the cluster's share.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    shared_limit: Annotated[
        str | None,
        typer.Option(
            "--shared-limit",
            envvar="PERSONACLICK_SHARED_LIMIT_URL",
            help="A Redis that keeps the quota for all shards, in place of a part for each.",
            rich_help_panel=_MACHINES,
        ),
    ] = None,
    kind: Kind = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    query: Query = None,
    shop_id: ShopId = None,
    secret_file: SecretFile = None,
    api_url: ApiUrl = None,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Send every customer of a file, a query or a stream; resume after any interruption."""
    from personaclick_async.cli.syncing import run_sync  # noqa: PLC0415 - only this command

    run_sync(
        Reading(where=source, kind=kind, delimiter=delimiter, encoding=encoding, query=query),
        Sending(
            mapping=mapping,
            dry_run=dry_run,
            route=route,
            concurrency=concurrency,
            journal=journal,
            restart=restart,
            skip_unchanged=skip_unchanged,
            rejects=rejects,
            patience=patience,
            segment_id=segment_id,
            shard=shard,
            shard_by=shard_by,
            dask=dask,
            spool=spool,
            shared_limit=shared_limit,
        ),
        Connection(shop_id=shop_id, secret_file=secret_file, api_url=api_url, verbose=verbose),
        as_json=as_json,
    )
