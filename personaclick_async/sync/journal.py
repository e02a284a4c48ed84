"""The sync's durable memory: one SQLite file, owned by one process at a time.

It holds row numbers, counts and keyed hashes, and no personal data. The salt of the hashes lies
beside them, so the file still belongs to its owner alone (mode 0600).
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import count, starmap
from pathlib import Path
from typing import Final

import attrs
import msgspec

from personaclick_async import codec
from personaclick_async.errors import PersonaClickError
from personaclick_async.sync.batch import Chunk, Compared, Settlement
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.records import Admitted, Record, Refused, Route, identifiers_of
from personaclick_async.sync.report import Unchanged

log: Final = logging.getLogger("personaclick_async")

_FORMAT: Final = 5
_APPLICATION_ID: Final = 0x50434A31  # "PCJ1"
_PRIVATE: Final = 0o600
_HASH_BYTES: Final = 16
_SOON: Final = timedelta(minutes=10)

# Chunks that are done are not kept: rows up to the run's last one that stand in none are done.
# A chunk without an extent is still being filled: it counts for nothing.
_SCHEMA: Final = """
CREATE TABLE journal(salt BLOB NOT NULL);
CREATE TABLE runs(source TEXT PRIMARY KEY, run TEXT NOT NULL);
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL REFERENCES runs,
    first_row INTEGER NOT NULL, last_row INTEGER, digest BLOB, settled BLOB);
CREATE TABLE contents(person BLOB PRIMARY KEY, content BLOB NOT NULL, chunk INTEGER NOT NULL,
    position INTEGER NOT NULL) WITHOUT ROWID;
"""
_STATE: Final = """
SELECT (SELECT count(*) FROM sqlite_schema), application_id, user_version
FROM pragma_application_id, pragma_user_version
"""
_LEFT: Final = """
SELECT id, first_row, last_row, digest, settled FROM chunks WHERE source = ? ORDER BY first_row
"""
_SAVE: Final = "UPDATE chunks SET last_row = ?, digest = ?, settled = ? WHERE id = ?"
_WAS_LAST: Final = """
SELECT content = ? AND NOT EXISTS (SELECT 1 FROM chunks WHERE id = chunk)
FROM contents WHERE person = ?
"""
_FORGET_UNSETTLED: Final = """
DELETE FROM contents WHERE person IN (
    SELECT person FROM chunks CROSS JOIN contents ON chunk = id
    WHERE source = ? AND substr(settled, position + 1, 1) IS NOT x'01')
"""


class JournalLocked(SyncRefused):
    """Another process has the journal open."""


class JournalFailed(PersonaClickError):
    """The journal can't be written or read; what it lacks is sent again by the next run."""


class JournalDamaged(JournalFailed, SyncRefused):
    """The journal's file is damaged, or is none: nothing was sent."""


@attrs.define
class Run:
    """A sync as the journal knows it: what it may be resumed for, and how far it is."""

    source: str
    route: Route
    settings: dict[str, str]  # the options that must not change while it is unfinished, by name
    fingerprint: str | None = None
    tally: dict[str, int] = attrs.field(factory=dict)  # the settled rows, as the report counts them
    last_row: int = 0  # the last row that is settled or stands in a chunk
    rejects_at: int = 0  # the reject file's size when the journal was last saved
    finished_at: datetime | None = None

    def changes_since(self, earlier: Run) -> str:
        """Say why an unfinished sync can't go on; empty if it can."""
        if self.fingerprint is None or earlier.fingerprint is None:
            return "its source has no fingerprint, so it is not known whether it has changed"
        changed = [name for name, value in self.settings.items() if earlier.settings[name] != value]
        if self.route not in (Route.AUTO, earlier.route):
            changed.append("route")
        if self.fingerprint != earlier.fingerprint:
            changed.insert(0, "the source, or how it is read")
        return f"since then, changed: {', '.join(changed)}" if changed else ""


class Journal:
    """An open journal; thread-safe."""

    salt: bytes  # the key of all hashes in it, drawn when it was made
    run: Run  # the one that was begun or resumed
    compares: bool  # whether it notes contents: once it has any, also in runs that skip none

    def __init__(self, path: Path, *, sets_aside: bool = False) -> None:
        """Open a journal, or make one; a damaged file is renamed if it ``sets_aside``."""
        self._name = path.name
        self._lock = threading.Lock()
        try:
            self._open(path)
        except JournalDamaged:
            if _is_text(path):
                reason = "journal: the file is no database but a text; name another than "
                raise JournalDamaged(reason + path.name) from None
            if not sets_aside:
                raise
            _set_aside(path)
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            _make(path)
            self._db = sqlite3.connect(path.absolute(), timeout=0, check_same_thread=False)
            try:
                self._begin(path)
            except BaseException:
                self._db.close()
                raise
        except OSError as error:
            raise JournalFailed(f"the journal can't be opened ({error.strerror})") from None
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _begin(self, path: Path) -> None:
        """Lock the file, make it a journal if it is new, and check it."""
        db = self._db
        # Held until the process ends, however it ends; and no -shm file is needed.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        is_used, application, version = db.execute(_STATE).fetchone()
        db.execute("COMMIT")
        if is_used and application != _APPLICATION_ID:
            raise SyncRefused("journal: the file is a database of another kind")
        if is_used and version != _FORMAT:
            raise SyncRefused(
                f"journal: of format {version}, this version knows {_FORMAT}; finish the sync with "
                "the version that began it, or move the file away and send all records again"
            )
        # Only now is it certain that the file is ours to change.
        for name in (path, Path(f"{path}-wal")):
            if name.exists():
                name.chmod(_PRIVATE)
        # With synchronous = NORMAL a power cut may take back the latest commits, and what they mark
        # as delivered would be sent once more. Commits are rare enough to pay for an fsync.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -16384"):
            db.execute(f"PRAGMA {pragma}")
        if not is_used:
            db.executescript(f"""
                BEGIN; {_SCHEMA} INSERT INTO journal VALUES (x'{secrets.token_hex(32)}');
                PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_FORMAT}; COMMIT;
            """)  # noqa: S608
        [problem] = db.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise JournalDamaged(_damaged(path.name))
        [self.salt] = db.execute("SELECT salt FROM journal").fetchone()

    def close(self) -> None:
        """Close the file and unlock it."""
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def transaction(self, *, commits: bool = True) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or undo it; without ``commits``, leave that to the next."""
        try:
            with self._lock, self._db if commits else nullcontext():
                yield self._db
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: sqlite3.Error) -> SyncRefused | JournalFailed:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            said = "journal: another sync is using it; wait for it, or take another file"
            return JournalLocked(said)
        if code == sqlite3.SQLITE_NOTADB:
            return JournalDamaged(f"journal: the file is no database; {_damaged(self._name)}")
        if code == sqlite3.SQLITE_CORRUPT:
            return JournalDamaged(_damaged(self._name))
        # SQLite's names say what happened; its texts may hold paths.
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        return JournalFailed(
            f"the journal can't be read or written ({kind}); what it does not hold "
            "counts as not delivered and is sent again by the next run"
        )

    def resume(
        self, asked: Run, now: datetime, *, restarts: bool = False, skips_unchanged: bool = False
    ) -> list[Chunk]:
        """Begin a run, or resume the source's unfinished one; return its unfinished chunks.

        An unfinished run that can't be resumed is refused if it has sent anything, else forgotten.

        :param skips_unchanged: whether records with the same content as before need not be sent.
        """
        source = (asked.source,)
        self._skips_unchanged = skips_unchanged
        with self.transaction() as db:
            [has_contents] = db.execute("SELECT EXISTS (SELECT 1 FROM contents)").fetchone()
            self.compares = skips_unchanged or bool(has_contents)
            found = db.execute("SELECT run FROM runs WHERE source = ?", source).fetchone()
            earlier = msgspec.json.decode(found[0], type=Run) if found else None
            db.execute(_FORGET_UNSETTLED, source)
            if earlier and not earlier.finished_at and not restarts:
                if not (changes := asked.changes_since(earlier)):
                    self.run = earlier
                    earlier.tally.pop("failed", None)  # they come again
                    db.execute("DELETE FROM chunks WHERE source = ? AND last_row IS NULL", source)
                    return list(starmap(Chunk, db.execute(_LEFT, source)))
                if earlier.tally.get("sent"):
                    raise SyncRefused(
                        "an earlier sync of this source has not finished, and can't be resumed: "
                        f"{changes}. Restore what it was to resume, or send everything again with "
                        "--restart"
                    )
            db.execute("DELETE FROM chunks WHERE source = ?", source)
            self.run = asked
            self._keep(db)
        if earlier and earlier.finished_at and not skips_unchanged:
            is_same = asked.fingerprint is not None and asked.fingerprint == earlier.fingerprint
            if is_same and abs(now - earlier.finished_at) < _SOON:
                when = earlier.finished_at.isoformat(" ", "seconds")
                log.warning("the same source was synced to its end at %s: it is sent again", when)
        return []

    def forget(self) -> None:
        """Forget all runs, and what their unfinished chunks have sent."""
        with self.transaction() as db:
            db.execute("DELETE FROM contents WHERE chunk IN (SELECT id FROM chunks)")
            db.execute("DELETE FROM chunks")
            db.execute("DELETE FROM runs")

    def finish(self, now: datetime) -> None:
        """Note that the run has come to its end: it is not resumed."""
        self.run.finished_at = now
        with self.transaction() as db:
            self._keep(db)

    def _keep(self, db: sqlite3.Connection) -> None:
        run = (self.run.source, codec.encode(self.run))
        db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", run)

    def begin(self, first_row: int) -> Chunk:
        """Add a chunk; until it is saved it counts for nothing."""
        begun = (self.run.source, first_row)
        with self.transaction(commits=False) as db:
            made = db.execute("INSERT INTO chunks(source, first_row) VALUES (?, ?)", begun)
        return Chunk(made.lastrowid or 0, first_row)

    def save(self, settled: Sequence[Settlement], *, rejects_at: int = 0) -> None:
        """Save what became of rows; drop the contents of records that were refused."""
        run = self.run
        run.rejects_at = rejects_at
        for one in settled:
            for position in one.positions:
                one.chunk.settled[position] = 1
            for name, rows in one.tally.items():
                run.tally[name] = run.tally.get(name, 0) + rows
        chunks = {one.chunk for one in settled}
        run.last_row = max(run.last_row, *(chunk.last_row for chunk in chunks))
        refused = [row for one in settled for row in one.faulty if isinstance(row, Refused)]
        with self.transaction() as db:
            for chunk in chunks:
                if chunk.is_done:
                    db.execute("DELETE FROM chunks WHERE id = ?", (chunk.id,))
                else:
                    db.execute(_SAVE, (chunk.last_row, chunk.digest, chunk.settled, chunk.id))
            for row in refused:
                for key in self._keys(identifiers_of(row.source_row)):
                    db.execute("DELETE FROM contents WHERE person = ?", (key,))
            self._keep(db)

    def compared(self, chunk: Chunk, rows: Sequence[Admitted], first: int) -> list[Compared]:
        """Put ``Unchanged`` in place of records that need not be sent, if asked; note the others.

        A record is unchanged if each of its person's identifiers was last sent just this content,
        in a chunk that is done. What must be sent is noted at once, for the person's next record
        to be compared with. That is durable when the chunk is saved, which comes before it is sent.

        :param first: the position in the chunk of the first of the rows.
        """
        found: list[Compared] = [*rows]
        wording = self.run.settings["segment_id"].encode()
        with self.transaction(commits=False) as db:
            for position, (outcome, content) in enumerate(rows, first):
                is_settled = any(chunk.settled[position : position + 1])
                if is_settled or not isinstance(outcome, Record):
                    continue
                what, keys = self._hash(wording + content), self._keys(outcome.identifiers)
                if self._skips_unchanged and all(
                    db.execute(_WAS_LAST, (what, key)).fetchone() == (1,) for key in keys
                ):
                    found[position - first] = Unchanged(outcome.row), content
                else:
                    noted = [(key, what, chunk.id, position) for key in keys]
                    db.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", noted)
        return found

    def _keys(self, identifiers: Iterable[tuple[str, str]]) -> list[bytes]:
        """Hash identifiers, each within its shop."""
        whose = f"{self.run.settings['api_url']} {self.run.settings['shop_id']}"
        return [self._hash(f"{whose}\n{name}\n{value}".encode()) for name, value in identifiers]

    def _hash(self, content: bytes) -> bytes:
        return blake2b(content, key=self.salt, digest_size=_HASH_BYTES).digest()


def _make(path: Path) -> None:
    """Make the file before SQLite does, for its owner alone; the -wal file takes over its mode."""
    # A link may lead to another user's file.
    if path.is_symlink() or Path(f"{path}-wal").is_symlink():
        raise SyncRefused(f"journal: {path.name} is a symbolic link; give the file's own path")
    # Without opening one that is there: closing it again would give up SQLite's lock on it.
    path.touch(_PRIVATE)
    if not path.is_file():
        raise SyncRefused("journal: expected a file of its own, found a folder or a device")
    if not os.access(path, os.R_OK | os.W_OK):
        reason = "is not yours to write; change its mode, or name another"
        raise SyncRefused(f"journal: {path.name} {reason}")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # or a power cut may take the file itself
    finally:
        os.close(folder)


def _set_aside(path: Path) -> None:
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    aside = path.rename(next(name for name in names if not name.exists()))
    # It belongs to the damaged file: beside the new one SQLite would read it.
    with suppress(FileNotFoundError):
        Path(f"{path}-wal").rename(f"{aside}-wal")
    log.warning("the damaged journal was set aside as %s", aside.name)


def _is_text(path: Path) -> bool:
    """Return whether a file is a text, and not the remains of a journal."""
    with path.open("rb") as file:
        return all(byte >= ord(" ") or byte in b"\t\r\n" for byte in file.read(512))


def _damaged(name: str) -> str:
    return (
        f"the journal {name} is damaged: move it away, or restart the sync with --restart, "
        "which sets it aside; all records are sent again then"
    )
