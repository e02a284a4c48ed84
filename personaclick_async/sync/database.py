"""The journal's file: made private, opened by one process, written all or nothing."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from personaclick_async.sync.errors import (
    JournalDamaged,
    JournalFailed,
    JournalLocked,
    SyncRefused,
)

log: Final = logging.getLogger("personaclick_async")

_FORMAT: Final = 2
_APPLICATION_ID: Final = 0x50434A31  # "PCJ1"
_PRIVATE: Final = 0o600
_CACHE_KIBIBYTES: Final = 16 * 1024

_SCHEMA: Final = """
CREATE TABLE journal(salt BLOB NOT NULL);
CREATE TABLE runs(
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, fingerprint TEXT,
    route TEXT NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'unfinished',
    started_at TEXT NOT NULL, ended_at TEXT, sent INTEGER NOT NULL DEFAULT 0,
    queued INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    incomplete INTEGER NOT NULL DEFAULT 0, rejects_at INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX one_unfinished_run ON runs(source) WHERE state = 'unfinished';
CREATE TABLE chunks(
    id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL REFERENCES runs,
    first_row INTEGER NOT NULL, last_row INTEGER, rows INTEGER, digest BLOB, settled BLOB,
    state TEXT NOT NULL DEFAULT 'filling');
CREATE INDEX chunks_of_run ON chunks(run, state);
CREATE TABLE contents(person BLOB PRIMARY KEY, content BLOB NOT NULL, chunk INTEGER NOT NULL,
    position INTEGER NOT NULL) WITHOUT ROWID;
"""


class Database:
    """The open file. Use it from one thread only.

    :ivar salt: the key of all hashes in it, drawn when it was made.
    """

    def __init__(self, path: Path, *, sets_aside: bool = False) -> None:
        """Open a journal, or make one.

        :param sets_aside: whether a damaged file is renamed, to begin with an empty one.
        :raises SyncRefused: another process has it open, or the file is no journal.
        :raises JournalFailed: it can't be read or written.
        """
        self._name = path.name
        try:
            self.salt = self._open(path)
        except JournalDamaged:
            if not sets_aside or _is_text(path):
                raise
            _set_aside(path)
            self.salt = self._open(path)

    def _open(self, path: Path) -> bytes:
        try:
            _make(path)
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
        except OSError as error:
            raise JournalFailed(f"the journal can't be opened ({error.strerror})") from None
        except sqlite3.Error as error:
            raise self._failed(error) from None
        try:
            return self._opened(path)
        except BaseException:
            self._db.close()
            raise

    def _opened(self, path: Path) -> bytes:
        try:
            # Held until the process ends, however it ends; and no -shm file is needed.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("BEGIN EXCLUSIVE")
            is_new = self._check()
            self._db.execute("COMMIT")
            # Only now is it certain that the file is ours to change.
            for name in (path, Path(f"{path}-wal")):
                if name.exists():
                    name.chmod(_PRIVATE)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}")
            if is_new:
                with self.transaction():
                    self._create()
            [problem] = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if problem != "ok":
                raise JournalDamaged(_damaged(path.name))
            [salt] = self._db.execute("SELECT salt FROM journal").fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        except OSError as error:
            raise JournalFailed(f"the journal can't be opened ({error.strerror})") from None
        return bytes(salt)

    def _check(self) -> bool:
        """Check that the file is a journal or empty; return whether it is empty."""
        [application] = self._db.execute("PRAGMA application_id").fetchone()
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        [tables] = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            return True
        if application != _APPLICATION_ID:
            raise SyncRefused("journal: the file is a database of another kind")
        if version != _FORMAT:
            raise SyncRefused(f"journal: of format {version}, this version knows {_FORMAT}")
        return False

    def _create(self) -> None:
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute("INSERT INTO journal VALUES (?)", (secrets.token_bytes(32),))
        self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {_FORMAT}")

    def close(self) -> None:
        """Close the file and unlock it."""
        with suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def transaction(self, *, ends: bool = True) -> Iterator[sqlite3.Connection]:
        """Do something wholly or not at all; unless it ``ends``, together with what comes next.

        :raises JournalFailed: nothing was done.
        """
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            if ends:
                self._db.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._failed(error) from None
            raise

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


def _make(path: Path) -> None:
    """Make the file before SQLite does, for its owner alone; the -wal file takes over its mode.

    :raises SyncRefused: there is a symbolic link, which may lead to somebody else's file.
    """
    if path.is_symlink() or Path(f"{path}-wal").is_symlink():
        raise SyncRefused(f"journal: {path.name} is a symbolic link; give the file's own path")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE))
    except FileExistsError:
        return
    if hasattr(os, "O_DIRECTORY"):
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
        head = file.read(512)
    return all(byte >= ord(" ") or byte in b"\t\r\n" for byte in head)


def _damaged(name: str) -> str:
    return (
        f"the journal {name} is damaged: move it away, or restart the sync with --restart "
        "(unfinished='restart'), which sets it aside; all records are sent again then"
    )
