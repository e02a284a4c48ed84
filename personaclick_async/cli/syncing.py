"""The commands ``sync`` and ``mapping``: open the source, read, send, report."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

import attrs
import typer

from personaclick_async.cli import machines
from personaclick_async.cli.options import Connection, Reading, Syncing
from personaclick_async.cli.outcome import Exit, Output
from personaclick_async.cli.process import run_interruptibly
from personaclick_async.cli.report import Summary, progress
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.parts import Shard, ShardOf, finish_parts, parts_of
from personaclick_async.sync.proposal import propose_mapping
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.sources import Layout, SeveralSources, SourceKind, TableSource
from personaclick_async.sync.sources.base import need
from personaclick_async.sync.sources.csv_source import is_reject_file
from personaclick_async.sync.sources.opening import expand, open_source

_SAMPLE_ROWS: Final = 10_000
_STDIN: Final = "-"
_TABS: Final = ("\\t", "tab")  # a tab is hard to type in a shell


def propose(reading: Reading, output: Output) -> None:
    """Write a mapping that fits a source."""
    source = _open(reading)
    sample = source.sample(_SAMPLE_ROWS)
    if not sample.rows:
        raise ValidationError(source.name, "rows of data", "none")
    proposal = propose_mapping(sample, country=reading.country)
    output.note(*source.notices)
    if output.as_json:
        output.show({"mapping": proposal, "notices": list(source.notices)})
    else:
        sys.stdout.write(proposal)


def run_sync(given: Syncing, connection: Connection, output: Output) -> None:
    """Check everything, then send, and show the account, even after an interruption."""
    summary = Summary(is_dry_run=given.dry_run, keeps_examples=given.show_values)
    shard = machines.shard_of(given)
    mapping = _mapping(given, summary)
    source = _open(given, mapping)
    if shard is not None:
        source = ShardOf(source, shard, by=given.shard_by)
    source = SeveralSources([source], choose=summary.see)
    rejects = given.rejects or _rejects_path(source, shard)
    _check_paths(given, rejects)
    with nullcontext() if given.dry_run else _reject_file(given, source, rejects) as sink:
        output.note(*source.notices)
        client = connection.client(limits=machines.limits_of(given, shard), sends=not given.dry_run)
        limit = machines.shared_limit(given, client.config.shop_id)
        options = SyncOptions(
            route=given.route,
            concurrency=given.concurrency,
            journal=given.journal,
            unfinished="restart" if given.restart else "resume",
            skip_unchanged=given.skip_unchanged,
            rejects=sink,
            patience=given.patience,
            limit=limit,
            segment_id=given.segment_id,
            dry_run=given.dry_run,
        )
        sync = client.sync(source, options=options)
        report = sync.report

        async def on_cluster() -> None:
            with machines.cluster_of(given, client.config) as cluster:
                output.note(f"the cluster's dashboard: {cluster.dashboard_link}")
                threads = sum(cluster.nthreads().values())
                kind, layout = _kind(given), _layout(given)
                parts = parts_of(given.source, threads, mapping, kind=kind, layout=layout)
                settings = machines.part_settings(given, client.config, options, len(parts))
                dask = need("personaclick_async.integrations.dask", extra="dask", purpose="--dask")
                try:
                    await dask.sync_on_dask(cluster, parts, settings, report)
                finally:
                    report.source = source.name  # it was that of a part
                finish_parts(parts, settings, rejects)

        async def work() -> None:
            async with client, limit or nullcontext():
                with progress(report, output):
                    if given.dry_run:
                        await summary.gather(sync)
                    elif given.dask is not None:
                        await on_cluster()
                    else:
                        await sync.run()

        try:
            run_interruptibly(work(), unfinished=_unfinished(given))
        finally:
            summary.show(report, rejects, source.notices, output)
    # A query and a shard may be empty; a file should not.
    if not report.read and given.query is None and shard is None:
        raise ValidationError(report.source, "rows of data", "none")
    if report.rejected or report.incomplete or report.failed:
        raise typer.Exit(Exit.INCOMPLETE)


def _unfinished(given: Syncing) -> str:
    if given.dry_run:
        return "interrupted: the check is not finished; nothing was sent"
    if given.source == _STDIN or given.query is not None:
        return "interrupted, not finished: this can't be resumed, the next run sends all of it"
    return "interrupted, not finished: run the same command again to continue"


def _open(reading: Reading, mapping: FieldMapping | None = None) -> TableSource:
    """Open the source, or its first rows."""
    kind, layout = _kind(reading), _layout(reading)
    source = open_source(reading.source, mapping, kind=kind, layout=layout, query=reading.query)
    return source if reading.limit is None else SeveralSources([source], limit=reading.limit)


def _kind(reading: Reading) -> SourceKind | None:
    return None if reading.kind is None else SourceKind(reading.kind)


def _layout(reading: Reading) -> Layout:
    columns = None
    if reading.columns is not None:
        try:
            columns = next(csv.reader([reading.columns]), [])
        except csv.Error:
            raise ConfigurationError("--columns: expected one line of CSV") from None
    return Layout(
        encoding=reading.encoding,
        delimiter="\t" if reading.delimiter in _TABS else reading.delimiter,
        quote=None if reading.quote in ("", "none") else reading.quote,
        escape=reading.escape,
        header=reading.header,
        columns=columns,
        skip_rows=reading.skip_rows,
        sheet=reading.sheet,
    )


def _mapping(given: Syncing, summary: Summary) -> FieldMapping | None:
    """Return the mapping of the command line; None if the source needs none."""
    mapping = None
    if given.mapping is not None:
        mapping = FieldMapping.load(given.mapping)
    elif (given.country or given.dry_run) and given.source != _STDIN:
        source = _open(given)
        columns = source.columns
        try:
            mapping = FieldMapping.by_name(columns) if columns else None
        except ConfigurationError as error:
            raise ConfigurationError(f"{source.name}: {error}") from None
    if given.country is not None:
        if mapping is None:
            raise ConfigurationError("--country: expected a mapping (--map)")
        mapping = mapping.with_country(given.country)
    if mapping is not None and given.dry_run:
        mapping = attrs.evolve(mapping, changes=summary.changes)
    return mapping


def _rejects_path(source: TableSource, shard: Shard | None) -> Path:
    name = Path(source.name).name.removesuffix(".gz")
    stem = Path(name).stem if name.isprintable() and Path(name).stem else "sync"
    share = "" if shard is None else f"-{shard.number}-of-{shard.of}"
    return Path(f"{stem}{share}-rejected{'.csv' if source.columns else '.jsonl'}")


@contextmanager
def _reject_file(given: Syncing, source: TableSource, path: Path) -> Iterator[RejectFile]:
    """Open the reject file; if it stays empty it is removed, unless it was there before."""
    was_there = False
    with suppress(OSError):
        was_there = not path.stat().st_size
    # So that it can be resubmitted with the options of its source.
    delimiter = _layout(given).delimiter or ","
    with closing(RejectFile(path, source.columns, delimiter=delimiter)) as file:
        try:
            yield file
        finally:
            if file.is_empty and not was_there:
                path.unlink(missing_ok=True)


def _check_paths(given: Syncing, rejects: Path) -> None:
    """Make sure that no file is both read and written, or written by two."""
    taken = {_identity(file): "the source" for file in _local_files(given.source)}
    if given.mapping is not None:
        taken[_identity(given.mapping)] = "the mapping"
    for option, path in (("--journal", given.journal), ("--rejects", rejects)):
        if (what := taken.get(_identity(path))) is not None:
            raise ConfigurationError(f"{option}: expected another file than {what}")
        taken[_identity(path)] = "the journal"


def _local_files(source: str) -> list[Path]:
    """Return the files of a source that lie on this machine."""
    if source == _STDIN:
        return [Path("/dev/stdin")]
    scheme, is_url, rest = source.partition("://")
    path = rest.partition("?")[0]
    if not is_url:
        # The pattern does not read reject files of earlier runs: these may be written again.
        return [Path(source), *(Path(one) for one in expand(source) if not is_reject_file(one))]
    if scheme == "file":
        return [Path(path)]
    return [Path(path[1:])] if scheme.startswith(("sqlite", "duckdb")) else []


def _identity(path: Path) -> object:
    """Return a value that is equal for two names of one file."""
    try:
        file = path.stat()
    except OSError:  # not there
        return path.absolute()
    return file.st_dev, file.st_ino
