"""What the command ``sync`` does: read, send, and say how it ended."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

import attrs
import typer

from personaclick_async.cli import signals
from personaclick_async.cli.account import show
from personaclick_async.cli.machines import Machines
from personaclick_async.cli.options import Connection
from personaclick_async.cli.outcome import Exit, code_of, complain, fail, note
from personaclick_async.cli.progress import progress
from personaclick_async.cli.reading import Reading, watched
from personaclick_async.cli.sending import Sending
from personaclick_async.cli.summary import SharedIds, Summary
from personaclick_async.errors import ConfigurationError, PersonaClickError, ValidationError
from personaclick_async.sync import (
    Cause,
    FaultyRow,
    JournalFailed,
    Report,
    Route,
    SyncOptions,
    SyncStopped,
    Unfinished,
)
from personaclick_async.sync.errors import JournalLocked
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.rejects import RejectFile, RejectsFailed
from personaclick_async.sync.shards import Shard
from personaclick_async.sync.sources import SourceFailed, TableSource

_STOPS: Final = {
    Cause.CREDENTIALS: Exit.NO_PERMISSION,
    Cause.UNREACHABLE: Exit.UNREACHABLE,
    Cause.REFUSED_IN_A_ROW: Exit.ALL_REFUSED,
    Cause.REDIRECTED: Exit.CONFIGURATION,
    Cause.LIMIT: Exit.CONFIGURATION,
    Cause.RESOURCES: Exit.CONFIGURATION,
}


class LateRejects:
    """A reject file that is made when the first row is rejected, and not before."""

    def __init__(self, path: Path, source: TableSource, delimiter: str | None) -> None:
        self.path = path
        self._source = source
        # Resubmitted with the options of its source, it has to be read the same way.
        self._delimiter = delimiter or ","
        self._file: RejectFile | None = None

    def check(self) -> None:
        """Make sure that rows can be written there, before anything is sent.

        :raises ConfigurationError: they can't.
        """
        is_new = not os.path.lexists(self.path)
        RejectFile(self.path, self._source.columns, delimiter=self._delimiter).close()
        if is_new:
            self.path.unlink()

    @property
    def position(self) -> int:
        """Its size in bytes."""
        if self._file is not None:
            return self._file.position
        return self.path.stat().st_size if self.path.exists() else 0

    def resume(self, position: int, /) -> None:
        """Keep rows once that stand after a position and come again."""
        if self.path.exists():
            self._opened().resume(position)

    def append(self, rows: Sequence[FaultyRow], /) -> None:
        """Add rows."""
        self._opened().append(rows)

    def _opened(self) -> RejectFile:
        if self._file is None:
            self._file = RejectFile(self.path, self._source.columns, delimiter=self._delimiter)
        return self._file

    def flush(self) -> None:
        """Make what was added durable."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file, if one was made."""
        if self._file is not None:
            self._file.close()


def run_sync(
    reading: Reading, sending: Sending, connection: Connection, *, as_json: bool
) -> NoReturn:
    """Run the command to its end, or to an interruption; both have an account."""
    summary = Summary(keeps_examples=sending.show_values) if sending.dry_run else None
    shared = SharedIds()
    try:
        machines = Machines.parse(
            shard=sending.shard,
            by=sending.shard_by,
            dask=sending.dask,
            parts_folder=sending.parts_folder,
            limit_url=sending.shared_limit,
        )
        if sending.dask is not None and reading.limit is not None:
            raise ConfigurationError("--limit and --dask: expected one of them, got both")
        mapping = _mapping(reading, sending, summary)
        kind, layout = reading.source_kind, reading.layout
        source = machines.share_of(reading.open(mapping))
        if summary is not None:
            source = watched(source, summary.see)
        source = watched(source, shared.see)
        path = sending.rejects or _rejects_path(source, machines.shard)
        with closing(LateRejects(path, source, layout.delimiter)) as sink:
            options = _options(sending, sink)
            _check_paths(path, reading, sending)
            if not sending.dry_run:
                sink.check()
            if not as_json:
                for notice in source.notices:
                    note(notice)
            # A query may have nothing to tell, and so may a share; a file should.
            needs_rows = reading.query is None and machines.shard is None
            run = _Run(
                connection=connection,
                source=source,
                on_cluster=partial(
                    machines.sync_on_cluster,
                    where=reading.source,
                    mapping=mapping,
                    kind=kind,
                    layout=layout,
                    rejects=path,
                ),
                options=options,
                machines=machines,
                summary=summary,
                needs_rows=needs_rows,
            )
            end = run.to_the_end(is_resumable=reading.is_resumable, as_json=as_json)
    except PersonaClickError as error:
        fail(error, as_json=as_json, code=stop_code(error))
    if run.report is not None:
        notices = (*source.notices, *shared.notices)
        show(run.report, path, summary, notices, as_json=as_json)
        for notice in () if as_json else shared.notices:
            note(notice)
    raise end


@attrs.define(kw_only=True)
class _Run:
    """One run of the sync.

    :ivar report: its account, once it has begun.
    """

    connection: Connection
    source: TableSource
    on_cluster: Callable[..., Awaitable[None]]
    options: SyncOptions
    machines: Machines
    summary: Summary | None
    needs_rows: bool
    report: Report | None = None

    def to_the_end(self, *, is_resumable: bool, as_json: bool) -> SystemExit | typer.Exit:
        """Run until it is done, stops or is interrupted; return how the process is to end."""
        try:
            signals.run(self._work(shows_progress=not as_json))
        except signals.Interrupted as interrupted:
            message = _interrupted(self.options, is_resumable=is_resumable)
            complain("Interrupted", message, as_json=as_json)
            interrupted.is_told = True
            return interrupted
        except PersonaClickError as error:
            more = {"cause": error.cause.value} if isinstance(error, SyncStopped) else {}
            complain(type(error).__name__, str(error), as_json=as_json, **more)
            return typer.Exit(stop_code(error))
        report = self.report
        incomplete = report is not None and (report.rejected or report.incomplete or report.failed)
        return typer.Exit(Exit.INCOMPLETE if incomplete else Exit.DONE)

    async def _work(self, *, shows_progress: bool) -> None:
        limits, sends = self.machines.limits, not self.options.dry_run
        async with (
            self.connection.client(limits=limits, sends=sends) as client,
            self.machines.shared(self.options, client.config.shop_id) as options,
        ):
            sync = client.sync(self.source, options=options)
            report = self.report = sync.report
            async with progress(report, shown=shows_progress):
                if self.machines.uses_cluster and sends:
                    await self.on_cluster(client, options=options, report=report)
                else:
                    await (self.summary.gather(sync) if self.summary else sync.run())
        if self.needs_rows and not report.read:
            raise ValidationError(report.source, "rows of data", "none")


def _mapping(reading: Reading, sending: Sending, summary: Summary | None) -> FieldMapping | None:
    """Return the mapping with what the command line adds; None for a source that needs none."""
    mapping = None if sending.mapping is None else FieldMapping.load(sending.mapping)
    if mapping is None and (reading.country or summary) and reading.source != "-":
        source = reading.open()
        if source.columns:
            try:
                mapping = FieldMapping.by_name(source.columns)
            except ConfigurationError as error:
                raise ConfigurationError(f"{source.name}: {error}") from None
    if reading.country is not None:
        if mapping is None:
            raise ConfigurationError("--country: expected a mapping (--map)")
        mapping = mapping.with_country(reading.country)
    if mapping is not None and summary is not None:
        mapping = attrs.evolve(mapping, changes=summary.changes)
    return mapping


def _options(sending: Sending, sink: LateRejects) -> SyncOptions:
    return SyncOptions(
        route=Route(sending.route),
        concurrency=sending.concurrency,
        journal=None if sending.dry_run else sending.journal,
        unfinished=Unfinished.RESTART if sending.restart else Unfinished.RESUME,
        skip_unchanged=sending.skip_unchanged and not sending.dry_run,
        rejects=sink,
        patience=sending.patience,
        segment_id=sending.segment_id,
        dry_run=sending.dry_run,
    )


def _rejects_path(source: TableSource, shard: Shard | None) -> Path:
    name = Path(source.name).name.removesuffix(".gz")
    stem = Path(name).stem if name.isprintable() and Path(name).stem else "sync"
    share = "" if shard is None else f"-{shard.number}-of-{shard.of}"
    return Path(f"{stem}{share}-rejected{'.csv' if source.columns else '.jsonl'}")


def _check_paths(rejects: Path, reading: Reading, sending: Sending) -> None:
    """Make sure that no file is both read and written.

    :raises ConfigurationError: one is.
    """
    mapping = [] if sending.mapping is None else [sending.mapping]
    read = {"the source": reading.files, "the mapping": mapping}
    written = {"--rejects": rejects, "--journal": sending.journal}
    for option, path in written.items():
        for what, files in read.items():
            if any(_is_same(path, file) for file in files):
                raise ConfigurationError(f"{option}: expected another file than {what}")
    if _is_same(rejects, sending.journal):
        raise ConfigurationError("--rejects: expected another file than the journal")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.absolute() == other.absolute()


def _interrupted(options: SyncOptions, *, is_resumable: bool) -> str:
    if options.dry_run:
        return "interrupted: the check is not finished; nothing was sent"
    if is_resumable:
        return "interrupted, not finished: run the same command again to continue"
    return "interrupted, not finished: this source can't be resumed, the next run sends all of it"


def stop_code(error: PersonaClickError) -> Exit:
    """Return the exit code for what ended a sync."""
    match error:
        case SyncStopped(status=429):
            return Exit.RATE_LIMITED
        case SyncStopped():
            return _STOPS.get(error.cause, Exit.FAILED)
        case JournalFailed() | JournalLocked():
            return Exit.JOURNAL_FAILED
        case RejectsFailed():
            return Exit.REJECTS_FAILED
        case SourceFailed():
            return Exit.SOURCE_FAILED
        case _:
            return code_of(error)
