"""The sync's durable memory: one SQLite file, owned by one process at a time.

It holds row numbers, counts and keyed hashes, and no personal data. The salt of the hashes lies
beside them, so the file still belongs to its owner alone (mode 0600).

WAL with ``synchronous=FULL``: with NORMAL a power cut may take the latest commits back, and what
they marked as delivered would be sent once more. Commits are rare enough to pay for an fsync.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import msgspec

from personaclick_async import codec
from personaclick_async.errors import PersonaClickError
from personaclick_async.names import IDENTIFIERS
from personaclick_async.sync.batch import Chunk, Marks
from personaclick_async.sync.options import SyncRefused
from personaclick_async.sync.reading import Plan
from personaclick_async.sync.records import Admitted, Record, Route

log: Final = logging.getLogger("personaclick_async")

_FORMAT: Final = 3
_APPLICATION_ID: Final = 0x50434A31  # "PCJ1"
_PRIVATE: Final = 0o600
_HASH_BYTES: Final = 16
_SOON: Final = timedelta(minutes=10)

# A chunk without an extent is still being filled: it counts for nothing.
_SCHEMA: Final = """
CREATE TABLE journal(salt BLOB NOT NULL);
CREATE TABLE runs(id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, run TEXT NOT NULL);
CREATE INDEX runs_of_source ON runs(source);
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL REFERENCES runs,
    first_row INTEGER NOT NULL, last_row INTEGER, rows INTEGER, digest BLOB, settled BLOB,
    done INTEGER NOT NULL DEFAULT FALSE);
CREATE INDEX chunks_of_run ON chunks(run, done);
CREATE TABLE contents(person BLOB PRIMARY KEY, content BLOB NOT NULL, chunk INTEGER NOT NULL,
    position INTEGER NOT NULL) WITHOUT ROWID;
"""
_KNOWN: Final = [
    f"SELECT content, chunk FROM contents WHERE person IN ({', '.join('?' * count)})"  # noqa: S608
    for count in range(len(IDENTIFIERS) + 1)
]
"""What finds the contents that a person was sent last, by the number of their identifiers."""


Identifiers: TypeAlias = Iterable[tuple[str, str]]


class JournalLocked(SyncRefused):
    """Another process has the journal open."""


class JournalFailed(PersonaClickError):
    """The journal can't be written or read; what it lacks is sent again by the next run."""


class JournalDamaged(JournalFailed, SyncRefused):
    """The journal's file is damaged, or is none: nothing was sent."""


@attrs.define
class Run:
    """A sync as the journal knows it: what it may be resumed for, and how far it is.

    :ivar settings: the options that must not change while it is unfinished, by name.
    :ivar tally: how many rows it has settled, by the report's counters.
    :ivar rejects_at: how much the reject file held when its rows were counted last.
    :ivar ended_at: when it was finished or, as it could not go on, abandoned.
    :ivar id: its number in the journal; 0 until it has one.
    """

    source: str
    route: Route
    settings: dict[str, str]
    fingerprint: str | None = None
    tally: dict[str, int] = attrs.field(factory=dict)
    rejects_at: int = 0
    ended_at: datetime | None = None
    is_finished: bool = False
    id: int = 0

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
    """An open journal. Use it from one thread only.

    :ivar salt: the key of all hashes in it, drawn when it was made.
    """

    salt: bytes

    def __init__(self, path: Path, *, sets_aside: bool = False) -> None:
        """Open a journal, or make one; a damaged file is renamed if it ``sets_aside``."""
        self._name = path.name
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
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
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
        [is_used] = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        [application] = db.execute("PRAGMA application_id").fetchone()
        [version] = db.execute("PRAGMA user_version").fetchone()
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
        self._undone = {number for (number,) in db.execute("SELECT id FROM chunks WHERE NOT done")}

    def close(self) -> None:
        """Close the file and unlock it."""
        with suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def transaction(self, *, ends: bool = True) -> Iterator[sqlite3.Connection]:
        """Do something wholly or not at all; unless it ``ends``, together with what comes next."""
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            with self._db if ends else nullcontext():
                yield self._db
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: sqlite3.Error) -> SyncRefused | JournalFailed:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return JournalLocked(
                "journal: another sync is using it; wait for it, or take another file"
            )
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

    # Runs

    def resume(self, asked: Run, now: datetime, *, restarts: bool) -> tuple[Run, Plan]:
        """Return the unfinished run to go on with and what it left to do; else the one asked for.

        One that can't go on is refused if something of it was sent, and ended otherwise.
        """
        earlier = self.unfinished(asked.source)
        if earlier is None:
            return asked, Plan()
        changes = asked.changes_since(earlier)
        if restarts or (changes and not earlier.tally.get("sent")):
            self.end(earlier, now)
            return asked, Plan()
        if changes:
            raise SyncRefused(
                f"an earlier sync of this source has not finished, and can't be resumed: {changes}."
                " Restore what it was to resume, or send everything again with --restart"
            )
        return earlier, self.plan(earlier)

    def unfinished(self, source: str) -> Run | None:
        """Return the unfinished run of a source, without its failed records: they come again."""
        found = next((run for run in self._runs(source) if run.ended_at is None), None)
        if found is not None:
            found.tally.pop("failed", None)
        return found

    def warn_of_repetition(self, asked: Run, now: datetime) -> None:
        """Log that a source is sent again that was synced to its end, unchanged, just before."""
        if asked.fingerprint is None:
            return
        for run in reversed(self._runs(asked.source)):
            is_same = run.is_finished and run.fingerprint == asked.fingerprint
            if is_same and run.ended_at and abs(now - run.ended_at) < _SOON:
                when = run.ended_at.isoformat(" ", "seconds")
                log.warning("the same source was synced to its end at %s: it is sent again", when)
                return

    def _runs(self, source: str) -> list[Run]:
        with self.transaction() as db:
            found = db.execute("SELECT id, run FROM runs WHERE source = ?", (source,)).fetchall()
        runs = [(number, msgspec.json.decode(run, type=Run)) for number, run in found]
        return [attrs.evolve(run, id=number) for number, run in runs]

    def start(self, run: Run) -> None:
        """Begin a run of a source that has no unfinished one."""
        values = (run.source, codec.encode(run))
        with self.transaction() as db:
            started = db.execute("INSERT INTO runs(source, run) VALUES (?, ?)", values)
        run.id = started.lastrowid or 0

    def plan(self, run: Run) -> Plan:
        """Return what a run has left to do."""
        with self.transaction() as db:
            self._drop(db, run, "rows IS NULL")
            chunks = [
                Chunk(number, first, last, rows, digest, Marks(bits))
                for number, first, last, rows, digest, bits in db.execute(
                    "SELECT id, first_row, last_row, rows, digest, settled FROM chunks"
                    " WHERE run = ? ORDER BY first_row",
                    (run.id,),
                )
            ]
        left = tuple(chunk for chunk in chunks if not chunk.is_done)
        return Plan(left, max((chunk.last_row for chunk in chunks), default=0))

    def end(self, run: Run, now: datetime, *, is_finished: bool = False) -> None:
        """Close a run for good."""
        run.ended_at, run.is_finished = now, is_finished
        with self.transaction() as db:
            self._drop(db, run, "NOT done")
            db.execute("DELETE FROM chunks WHERE run = ?", (run.id,))
            db.execute("UPDATE runs SET run = ? WHERE id = ?", (codec.encode(run), run.id))

    def _drop(self, db: sqlite3.Connection, run: Run, which: str) -> None:
        """Forget chunks, and those of their contents that are not known to be delivered."""
        some = f"SELECT id, settled FROM chunks WHERE run = {run.id:d} AND {which}"  # noqa: S608
        for chunk, settled in db.execute(some).fetchall():
            marks = Marks(settled or b"")
            held = "SELECT person, position FROM contents WHERE chunk = ?"
            unsure = [(who,) for who, at in db.execute(held, (chunk,)) if at not in marks]
            db.executemany("DELETE FROM contents WHERE person = ?", unsure)
            db.execute("DELETE FROM chunks WHERE id = ?", (chunk,))
            self._undone.discard(chunk)

    # Chunks

    def begin(self, run: Run, first_row: int) -> Chunk:
        """Make room for a chunk; until it is saved it counts for nothing."""
        begun = (run.id, first_row)
        with self.transaction() as db:
            number = db.execute("INSERT INTO chunks(run, first_row) VALUES (?, ?)", begun).lastrowid
        self._undone.add(number or 0)
        return Chunk(number or 0, first_row)

    def save(self, run: Run, chunks: Collection[Chunk], refused: Identifiers = ()) -> None:
        """Write down how far a run and its chunks are, and forget contents that were refused."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE chunks SET last_row = ?, rows = ?, digest = ?, settled = ?, done = ?"
                " WHERE id = ?",
                [
                    (one.last_row, one.rows, one.digest, bytes(one.settled), one.is_done, one.id)
                    for one in chunks
                ],
            )
            keys = [(key,) for key in self._keys(run, refused)]
            db.executemany("DELETE FROM contents WHERE person = ?", keys)
            db.execute("UPDATE runs SET run = ? WHERE id = ?", (codec.encode(run), run.id))
        self._undone -= {chunk.id for chunk in chunks if chunk.is_done}

    # What people were sent last

    def unchanged(
        self, run: Run, chunk: Chunk, rows: Sequence[Admitted], first: int
    ) -> frozenset[int]:
        """Return the positions in a chunk of records that need not be sent; note the others.

        A record is unchanged if each of its person's identifiers was last sent just this content,
        in a chunk that is done. What must be sent is noted at once, for the person's next record
        to be compared with. That is durable when the chunk is saved, which comes before it is sent.

        :param first: the position of the first of the rows.
        """
        found = set()
        wording = run.settings["segment_id"].encode()
        with self.transaction(ends=False) as db:
            for position, (outcome, content) in enumerate(rows, first):
                if not isinstance(outcome, Record) or position in chunk.settled:
                    continue
                what = self._hash(wording + content)
                keys = self._keys(run, outcome.identifiers)
                known = db.execute(_KNOWN[len(keys)], keys).fetchall()
                if len(known) == len(keys) and all(
                    last == what and where not in self._undone for last, where in known
                ):
                    found.add(position)
                else:
                    noted = [(key, what, chunk.id, position) for key in keys]
                    db.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", noted)
        return frozenset(found)

    def _keys(self, run: Run, identifiers: Identifiers) -> list[bytes]:
        """Return the keys of people, each of whom is another one in another shop."""
        whose = f"{run.settings['api_url']} {run.settings['shop_id']}"
        return [self._hash(f"{whose}\n{name}\n{value}".encode()) for name, value in identifiers]

    def _hash(self, content: bytes) -> bytes:
        return blake2b(content, key=self.salt, digest_size=_HASH_BYTES).digest()


def _make(path: Path) -> None:
    """Make the file before SQLite does, for its owner alone; the -wal file takes over its mode."""
    # A link may lead to somebody else's file.
    if path.is_symlink() or Path(f"{path}-wal").is_symlink():
        raise SyncRefused(f"journal: {path.name} is a symbolic link; give the file's own path")
    # Without opening one that is there: closing it again would give up SQLite's lock on it.
    path.touch(_PRIVATE)
    if not os.access(path, os.R_OK | os.W_OK):
        raise SyncRefused(
            f"journal: {path.name} is not yours to write; change its mode, or name another"
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # or a power cut may take the file itself
    finally:
        os.close(folder)


def _set_aside(path: Path) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    # It belongs to the damaged file: beside the new one SQLite would read it.
    with suppress(FileNotFoundError):
        Path(f"{path}-wal").rename(f"{aside}-wal")
    log.warning("the damaged journal was set aside as %s", aside.name)


def _is_text(path: Path) -> bool:
    """Return whether a file is somebody's text rather than what is left of a journal."""
    with path.open("rb") as file:
        return all(byte >= ord(" ") or byte in b"\t\r\n" for byte in file.read(512))


def _damaged(name: str) -> str:
    return (
        f"the journal {name} is damaged: move it away, or restart the sync with --restart, "
        "which sets it aside; all records are sent again then"
    )
