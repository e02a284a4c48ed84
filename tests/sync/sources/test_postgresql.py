"""A query of a real PostgreSQL server is a source like any other."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from personaclick_async.sync import Record
from personaclick_async.sync.sources import open_source

FOUND = shutil.which("postgres") or next(
    iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")), reverse=True)), None
)
pytest.importorskip("psycopg", reason="psycopg is not installed")
pytestmark = pytest.mark.skipif(FOUND is None, reason="no PostgreSQL server on this machine")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Start a server of its own, reachable through a socket in its folder alone."""
    assert FOUND is not None
    programs = Path(FOUND).resolve().parent
    # Not pytest's folder: its parents are closed to the server's user.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        # The server refuses to run as root.
        user = "postgres" if os.getuid() == 0 else None
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        yield from serve(programs, folder, user)


def serve(programs: Path, folder: str, user: str | None) -> Iterator[str]:
    """Run a server on a new data directory in the folder."""

    def run(*arguments: str) -> None:
        subprocess.run(
            [str(programs / arguments[0]), *arguments[1:]],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=60,
        )

    data = f"{folder}/data"
    run("initdb", "-D", data, "-U", "shop", "--auth=trust", "--no-sync", "--encoding=UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start")
    try:
        yield f"postgresql+psycopg://shop@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def test_rows_of_postgresql_become_records(database: str) -> None:
    query = (
        "SELECT 'c' || n AS external_id, 'user' || n || '@shop.example' AS email, "
        "DATE '1990-03-11' + n AS birthday, (n % 2 = 0) AS bought_something, "
        "12.5::numeric AS loyalty_bonuses, ARRAY['a', 'b'] AS tastes, n AS visits "
        "FROM generate_series(1, 2500) AS n ORDER BY n"
    )
    outcomes = list(open_source(database, query=query).outcomes())

    assert len(outcomes) == 2500
    assert all(isinstance(one, Record) for one in outcomes)
    last = outcomes[-1]
    assert isinstance(last, Record)
    assert last.row == 2500
    assert last.wire == {
        "external_id": "c2500",
        "email": "user2500@shop.example",
        "birthday": "1997-01-13",
        "bought_something": True,
        "loyalty_bonuses": 12.5,
        "tastes": ["a", "b"],
        "visits": 2500,
    }
