"""What the command ``sync`` does: read, send, and say how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import attrs
import typer

from personaclick_async.cli import machines
from personaclick_async.cli.options import Connection, Reading, Sending, Sharing
from personaclick_async.cli.outcome import Exit, complain, fail, note
from personaclick_async.cli.process import Interrupted, run_interruptibly
from personaclick_async.cli.report import SharedIds, Summary, progress, show
from personaclick_async.errors import ConfigurationError, PersonaClickError, ValidationError
from personaclick_async.sync import Outcome, Report, Route, SyncOptions, Unfinished
from personaclick_async.sync.mapping import FieldMapping
from personaclick_async.sync.parts import Shard, ShardOf
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.sources import TableSource
from personaclick_async.sync.sources.base import SourceView


def run_sync(
    reading: Reading, sending: Sending, sharing: Sharing, connection: Connection, *, as_json: bool
) -> NoReturn:
    """Run the command to its end, or to an interruption; both have an account."""
    run = _Run(reading, sending, sharing, connection, as_json)
    try:
        report = run.to_the_end()
    except PersonaClickError as error:
        fail(error, as_json=as_json)
    except Interrupted as interrupted:
        interrupted.is_told = True
        if sending.dry_run:
            told = "interrupted: the check is not finished; nothing was sent"
        elif reading.source != "-" and reading.query is None:
            told = "interrupted, not finished: run the same command again to continue"
        else:
            told = "interrupted, not finished: this can't be resumed, the next run sends all of it"
        complain("Interrupted", told, as_json=as_json)
        raise
    is_incomplete = report.rejected or report.incomplete or report.failed
    raise typer.Exit(Exit.INCOMPLETE if is_incomplete else Exit.DONE)


@attrs.define
class _Run:
    """One run of the command."""

    reading: Reading
    sending: Sending
    sharing: Sharing
    connection: Connection
    as_json: bool
    report: Report | None = None
    summary: Summary | None = None
    shared_ids: SharedIds = attrs.field(factory=SharedIds)

    def to_the_end(self) -> Report:
        """Check all that can be checked, then send, and show the account of what was done."""
        if self.sending.dry_run:
            self.summary = Summary(keeps_examples=self.sending.show_values)
        shard = machines.shard_of(self.sharing, self.reading)
        mapping = self._mapping()
        source = self.reading.open(mapping)
        if shard is not None:
            source = ShardOf(source, shard, by=self.sharing.shard_by)
        source = SourceView(source, see=self._see)
        rejects = self.sending.rejects or _rejects_path(source, shard)
        self._check_paths(rejects)
        with self._reject_file(rejects, source) as sink:
            for notice in () if self.as_json else source.notices:
                note(notice)
            work = self._work(source, mapping, rejects, _options(self.sending, sink), shard)
            try:
                return run_interruptibly(work)
            finally:
                notices = (*source.notices, *self.shared_ids.notices)
                if self.report is not None:
                    show(self.report, rejects, self.summary, notices, as_json=self.as_json)
                for notice in () if self.as_json else self.shared_ids.notices:
                    note(notice)

    async def _work(
        self,
        source: TableSource,
        mapping: FieldMapping | None,
        rejects: Path,
        options: SyncOptions,
        shard: Shard | None,
    ) -> Report:
        limits = machines.limits_of(self.sharing, shard)
        async with (
            self.connection.client(limits=limits, sends=not options.dry_run) as client,
            machines.shared_limit(self.sharing, options, client.config.shop_id) as shared,
        ):
            sync = client.sync(source, options=shared)
            report = self.report = sync.report
            async with progress(report, shown=not self.as_json):
                if self.summary is not None:
                    await self.summary.gather(sync)
                elif self.sharing.dask is not None:
                    await machines.sync_on_cluster(
                        client,
                        self.sharing,
                        self.reading,
                        mapping=mapping,
                        options=shared,
                        rejects=rejects,
                        report=report,
                    )
                else:
                    await sync.run()
        # A query may have nothing to tell, and so may a share; a file should.
        if not report.read and self.reading.query is None and shard is None:
            raise ValidationError(report.source, "rows of data", "none")
        return report

    def _see(self, outcome: Outcome) -> None:
        self.shared_ids.see(outcome)
        if self.summary is not None:
            self.summary.see(outcome)

    def _mapping(self) -> FieldMapping | None:
        """Return the mapping with what the command line adds; None for a source without need."""
        given, country, reading = self.sending.mapping, self.reading.country, self.reading
        mapping = None if given is None else FieldMapping.load(given)
        if mapping is None and (country or self.summary) and reading.source != "-":
            source = reading.open()
            if source.columns:
                try:
                    mapping = FieldMapping.by_name(source.columns)
                except ConfigurationError as error:
                    raise ConfigurationError(f"{source.name}: {error}") from None
        if country is not None:
            if mapping is None:
                raise ConfigurationError("--country: expected a mapping (--map)")
            mapping = mapping.with_country(country)
        if mapping is not None and self.summary is not None:
            mapping = attrs.evolve(mapping, changes=self.summary.changes)
        return mapping

    def _check_paths(self, rejects: Path) -> None:
        """Make sure that no file is both read and written.

        :raises ConfigurationError: one is.
        """
        journal, mapping = self.sending.journal, self.sending.mapping
        sources = self.reading.files
        for option, path, what, files in (
            ("--rejects", rejects, "the source", sources),
            ("--journal", journal, "the source", sources),
            ("--rejects", rejects, "the mapping", [] if mapping is None else [mapping]),
            ("--journal", journal, "the mapping", [] if mapping is None else [mapping]),
            ("--rejects", rejects, "the journal", [journal]),
        ):
            if any(_is_same(path, file) for file in files):
                raise ConfigurationError(f"{option}: expected another file than {what}")

    @contextmanager
    def _reject_file(self, path: Path, source: TableSource) -> Iterator[RejectFile | None]:
        """Open the reject file; without a row it is removed, unless it is somebody else's."""
        if self.sending.dry_run:
            yield None
            return
        is_made_by_others = path.exists() and not path.stat().st_size
        # Resubmitted with the options of its source, it has to be read the same way.
        delimiter = self.reading.layout.delimiter or ","
        with closing(RejectFile(path, source.columns, delimiter=delimiter)) as file:
            try:
                yield file
            finally:
                if file.is_empty and not is_made_by_others:
                    path.unlink(missing_ok=True)


def _options(sending: Sending, sink: RejectFile | None) -> SyncOptions:
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


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.absolute() == other.absolute()
