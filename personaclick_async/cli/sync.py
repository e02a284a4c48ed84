"""The commands ``sync`` and ``mapping``: a file of customers to the platform."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from personaclick_async.cli.machines import (
    Dask,
    Machines,
    ShardBy,
    ShardText,
    SharedLimitUrl,
    SpoolFolder,
)
from personaclick_async.cli.options import ApiUrl, AsJson, Connection, SecretFile, ShopId
from personaclick_async.cli.outcome import Exit, console, fail, print_json, stderr
from personaclick_async.cli.reasons import Reasons
from personaclick_async.codec import Json
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.sync import (
    Record,
    Records,
    Rejected,
    Report,
    Route,
    Sync,
    SyncOptions,
    SyncStopped,
    Unfinished,
)
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.proposal import propose_mapping
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.shards import Shard
from personaclick_async.sync.sources import CsvLayout, SourceKind, TableSource, open_source

JOURNAL: Final = Path("personaclick-sync.db")
_SHOWN: Final = 3
_TICK_SECONDS: Final = 0.2
READING: Final = "How the source is read"
SENDING: Final = "How it is sent"

Where = Annotated[
    str,
    typer.Argument(
        help="A file (CSV, JSON Lines, Parquet; also .gz), a pattern, a database's URL, or - "
        "for standard input.",
        metavar="SOURCE",
    ),
]
Kind = Annotated[
    SourceKind | None,
    typer.Option("--kind", help="What it is, if the suffix does not say.", rich_help_panel=READING),
]
Delimiter = Annotated[
    str | None,
    typer.Option("--delimiter", help="Of CSV; found out if not given.", rich_help_panel=READING),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="Of text; found out if not given.", rich_help_panel=READING),
]
Query = Annotated[
    str | None,
    typer.Option("--query", help="What to ask the database.", rich_help_panel=READING),
]


class LateRejects:
    """A reject file that is made when the first row is rejected, and not before."""

    def __init__(self, path: Path, source: TableSource, delimiter: str | None) -> None:
        self.path = path
        self._source = source
        # Fed back with the options of its source, it has to be read the same way.
        self._delimiter = delimiter or ","
        self._file: RejectFile | None = None

    def append(self, rejected: list[Rejected], /) -> None:
        """Take rows."""
        if self._file is None:
            self._file = RejectFile(self.path, self._source.columns, delimiter=self._delimiter)
        self._file.append(rejected)

    def flush(self) -> None:
        """Make what was taken durable."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file, if one was made."""
        if self._file is not None:
            self._file.close()


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
        bool,
        typer.Option("--dry-run", help="Check every row, send nothing, show the first records."),
    ] = False,
    route: Annotated[
        Route, typer.Option("--route", help="How records travel.", rich_help_panel=SENDING)
    ] = Route.AUTO,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency", help="Requests at once, per profile.", rich_help_panel=SENDING
        ),
    ] = SyncOptions().concurrency,
    journal: Annotated[
        Path,
        typer.Option("--journal", help="What was delivered is kept here.", rich_help_panel=SENDING),
    ] = JOURNAL,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Forget an earlier sync that did not end.", rich_help_panel=SENDING
        ),
    ] = False,
    skip_unchanged: Annotated[
        bool,
        typer.Option(
            "--skip-unchanged", help="Send only what changed since.", rich_help_panel=SENDING
        ),
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            help="Where rows go that can't be sent; else SOURCE-rejected.csv here.",
            rich_help_panel=SENDING,
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            help="Seconds to wait for a service that is down before stopping.",
            rich_help_panel=SENDING,
        ),
    ] = 3600.0,
    segment_id: Annotated[
        int | None,
        typer.Option("--segment-id", help="Import into a segment (bulk).", rich_help_panel=SENDING),
    ] = None,
    shard: ShardText = None,
    shard_by: ShardBy = None,
    dask: Dask = None,
    spool: SpoolFolder = None,
    shared_limit: SharedLimitUrl = None,
    kind: Kind = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    query: Query = None,
    shop_id: ShopId = None,
    secret_file: SecretFile = None,
    api_url: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send every customer of a file, a query or a stream; go on after any interruption."""
    connection = Connection(shop_id=shop_id, secret_file=secret_file, api_url=api_url)
    sink: LateRejects | None = None
    try:
        machines = Machines.parse(
            shard=shard, by=shard_by, dask=dask, spool=spool, limit_url=shared_limit
        )
        known = None if mapping is None else FieldMapping.load(mapping)
        layout = _layout(delimiter, encoding)
        opened = machines.share_of(
            open_source(source, known, kind=kind, layout=layout, query=query)
        )
        sink = LateRejects(rejects or _rejects_of(opened, machines.shard), opened, layout.delimiter)
        options = SyncOptions(
            route=route,
            concurrency=concurrency,
            journal=None if dry_run else journal,
            unfinished=Unfinished.RESTART if restart else Unfinished.RESUME,
            skip_unchanged=skip_unchanged,
            rejects=sink,
            patience=patience,
            segment_id=segment_id,
            dry_run=dry_run,
        )
        if dry_run and not as_json:
            _show_first(opened)
        with machines.records(opened, source, known, kind=kind, layout=layout) as records:
            reasons = Reasons()
            report, code = _run(connection, records, options, machines, reasons, as_json=as_json)
    except PersonaClickError as error:
        fail(error, as_json=as_json)
    finally:
        if sink is not None:
            sink.close()
    _show(report, sink.path, reasons if dry_run else None, as_json=as_json)
    raise typer.Exit(code)


def propose(
    source: Where,
    *,
    kind: Kind = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    query: Query = None,
    as_json: AsJson = False,
) -> None:
    """Propose a mapping for a source, as TOML: look it over, and give it to sync --map."""
    try:
        layout = _layout(delimiter, encoding)
        opened = open_source(source, kind=kind, layout=layout, query=query)
        proposal = propose_mapping(opened.sample())
    except PersonaClickError as error:
        fail(error, as_json=as_json)
    if as_json:
        print_json({"mapping": proposal})
    else:
        typer.echo(proposal, nl=False)


def _layout(delimiter: str | None, encoding: str | None) -> CsvLayout:
    # A tab is hard to type in a shell.
    tab = delimiter in ("\\t", "tab")
    return CsvLayout(delimiter="\t" if tab else delimiter, encoding=encoding)


def _rejects_of(source: TableSource, shard: Shard | None) -> Path:
    name = Path(source.name).name.removesuffix(".gz")
    stem = Path(name).stem if name.isprintable() and Path(name).stem else "sync"
    share = "" if shard is None else f"-{shard.number}-of-{shard.of}"
    return Path(f"{stem}{share}-rejected{'.csv' if source.columns else '.jsonl'}")


def _run(
    connection: Connection,
    records: Records,
    options: SyncOptions,
    machines: Machines,
    reasons: Reasons,
    *,
    as_json: bool,
) -> tuple[Report, Exit]:
    """Run to the end, or to an interruption; both have a report."""
    under_way: list[Sync] = []

    async def work() -> None:
        async with (
            connection.client(limits=machines.limits) as client,
            machines.shared(options, client.config.shop_id) as shared,
        ):
            sync = client.sync(records, options=shared)
            under_way.append(sync)
            with _progress(sync.report, shown=not as_json) as tick:
                ticking = asyncio.create_task(_tick(tick))
                try:
                    await (reasons.gather(sync) if options.dry_run else sync.run())
                finally:
                    ticking.cancel()

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except SyncStopped as stopped:
        stderr.print(str(stopped), markup=False, highlight=False, soft_wrap=True)
        code = Exit.UNREACHABLE
    else:
        code = Exit.DONE
    if not under_way:
        raise ConfigurationError("the sync did not begin")
    report = under_way[0].report
    if code is Exit.DONE and (report.rejected or report.failed):
        code = Exit.INCOMPLETE
    return report, code


@contextmanager
def _progress(report: Report, *, shown: bool) -> Iterator[_Tick]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=stderr, disable=not (shown and stderr.is_terminal)) as bar:
        tick = _Tick(report, bar, bar.add_task("syncing", total=None, state=""))
        yield tick
        tick()


class _Tick:
    """Brings the progress line up to date with the report."""

    def __init__(self, report: Report, bar: Progress, task: TaskID) -> None:
        self._report = report
        self._bar = bar
        self._task = task

    def __call__(self) -> None:
        report, now = self._report, datetime.now(UTC)
        if report.waiting is not None:
            seconds = max(0.0, (report.waiting.until - now).total_seconds())
            state = f"waiting {seconds:.0f} s: {report.waiting.reason}"
        else:
            left = report.seconds_left(now)
            state = f"{report.rate(now):,.0f}/s" + ("" if left is None else f", {left:,.0f} s left")
        total = None if report.total is None else max(report.total, report.settled)
        self._bar.update(self._task, completed=report.settled, total=total, state=state)


async def _tick(tick: _Tick) -> None:
    while True:
        tick()
        await asyncio.sleep(_TICK_SECONDS)


def _show_first(source: TableSource) -> None:
    console.print("the first records as they would be sent:")
    records = (one for one in source.outcomes() if isinstance(one, Record))
    for record in islice(records, _SHOWN):
        print_json(dict(record.wire))


def _account(report: Report, rejects: Path, reasons: Reasons | None) -> dict[str, Json]:
    account: dict[str, Json] = {
        "source": report.source,
        "route": report.route,
        "read": report.read,
        "sent": report.sent,
        "queued": report.queued,
        "unchanged": report.unchanged,
        "rejected": report.rejected,
        "failed": report.failed,
        "requests": report.requests,
        "retries": report.retries,
        "bytes_sent": report.bytes_sent,
        "seconds": round(report.elapsed(datetime.now(UTC)), 3),
    }
    if reasons is not None:
        account["checked"] = report.checked
        account["reasons"] = reasons.as_json()
    elif report.rejected:
        account["rejects"] = str(rejects)
    return account


def _show(report: Report, rejects: Path, reasons: Reasons | None, *, as_json: bool) -> None:
    """Show the account; reasons are those of a dry run."""
    dry_run = reasons is not None
    account = _account(report, rejects, reasons)
    if as_json:
        print_json(account)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column()
    table.add_row("read", f"{report.read:,}", "" if dry_run else f"from {report.source}")
    if dry_run:
        table.add_row("fit to be sent", f"{report.checked:,}", "nothing was sent")
    else:
        how = "queued by the service, to be applied in the background" if report.queued else ""
        table.add_row("sent", f"{report.sent:,}", how)
        table.add_row("unchanged", f"{report.unchanged:,}", "")
    if not dry_run and report.rejected:
        table.add_row("rejected", f"{report.rejected:,}", f"see {rejects}")
    else:
        table.add_row("rejected", f"{report.rejected:,}", "")
    if not dry_run:
        again = "run it again to try these once more" if report.failed else ""
        table.add_row("failed", f"{report.failed:,}", again)
        seconds = report.elapsed(datetime.now(UTC))
        table.add_row("requests", f"{report.requests:,}", f"{report.retries:,} sent again")
        table.add_row("time", f"{seconds:,.1f} s", f"{report.rate(datetime.now(UTC)):,.0f} rows/s")
    console.print(table)
    for reason in reasons.as_text() if reasons is not None else ():
        console.print(reason, markup=False, highlight=False, soft_wrap=True)
