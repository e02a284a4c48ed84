"""The options of the command ``sync`` that say how records are sent."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import attrs
import typer

RouteName: TypeAlias = Literal["auto", "bulk", "per-profile"]

_sending: Final = partial(typer.Option, rich_help_panel="How it is sent")
_machines: Final = partial(typer.Option, rich_help_panel="On several machines")


@attrs.frozen(kw_only=True, repr=False)
class Sending:
    """What the command line says about sending."""

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
    route: Annotated[RouteName, _sending("--route", help="How records travel.")] = "auto"
    concurrency: Annotated[
        int,
        _sending("--concurrency", help="Requests at once, per profile."),
    ] = 32
    journal: Annotated[
        Path,
        _sending("--journal", help="Remembers what was delivered."),
    ] = Path("personaclick-sync.db")
    restart: Annotated[
        bool,
        _sending("--restart", help="Forget an earlier sync that did not end."),
    ] = False
    skip_unchanged: Annotated[
        bool,
        _sending("--skip-unchanged", help="Send only what changed since."),
    ] = False
    rejects: Annotated[
        Path | None,
        _sending(
            "--rejects",
            help="Where rows go that can't be sent; SOURCE-rejected.csv here if not given.",
        ),
    ] = None
    patience: Annotated[
        float,
        _sending("--patience", help="Seconds to wait for a service that is down before stopping."),
    ] = 3600.0
    segment_id: Annotated[
        int | None,
        _sending("--segment-id", help="Import into a segment (bulk)."),
    ] = None
    shard: Annotated[
        str | None,
        _machines(
            "--shard",
            help="Send only this share of the users, such as 2/8, with its part of the quota.",
        ),
    ] = None
    shard_by: Annotated[
        str | None,
        _machines(
            "--shard-by",
            help="The identifier to divide users by, such as email; the first one if not given.",
        ),
    ] = None
    dask: Annotated[
        str | None,
        _machines(
            "--dask", help="Use a cluster: its scheduler's address, or local:4 for 4 processes."
        ),
    ] = None
    parts_folder: Annotated[
        Path | None,
        _machines(
            "--parts-folder",
            help="Journals of the cluster's parts: a private folder that all machines see.",
        ),
    ] = None
    shared_limit: Annotated[
        str | None,
        _machines(
            "--shared-limit",
            envvar="PERSONACLICK_SHARED_LIMIT_URL",
            help="A Redis that keeps the quota for all shards, in place of a part for each.",
        ),
    ] = None
