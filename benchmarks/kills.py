"""Syncs that are killed a hundred times: what is lost, torn, out of order or sent twice.

Each sync reads 600 rows (200 people in three versions, and a few rows that can't be sent) from a
CSV file, a JSON Lines file or a database, on either route. It is killed with SIGKILL at random
moments and started again; in the end it is left alone. Then the service must have each person as
their last row says, each rejected row must stand in the reject file once, and within a run nobody
may have been sent an older version after a newer one. Requests are counted, repeated ones too.

Part of ``make soak``; alone: ``python -m benchmarks.kills --kills 12``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from personaclick_async import PersonaClick, RetryPolicy
from personaclick_async.emulator import Emulator
from personaclick_async.emulator.settings import EmulatorSettings
from personaclick_async.sync import SyncOptions
from personaclick_async.sync.rejects import RejectFile
from personaclick_async.sync.sources import SqlSource, open_source

PEOPLE: Final = 200
VERSIONS: Final = 3
BAD: Final = 6
ROUTES: Final = {"bulk": "/import/audience", "per-profile": "/profile/set"}
KINDS: Final = ("csv", "jsonl", "db")
LONGEST_LIFE: Final = 0.8
"""Seconds until a process is killed at the latest, mostly counted from its first request."""


def rows() -> list[dict[str, Any]]:
    """Make the rows: each person in each version, and a few without a possible e-mail address."""
    made = []
    for number in range(PEOPLE * VERSIONS):
        version = number // PEOPLE + 1
        email = f"user{number % PEOPLE}@shop.example"
        fields = {"first_name": f"First {version}", "last_name": f"Last {version}"}
        made.append({"email": email, **fields, "version": f"v{version}"})
        if number % (PEOPLE * VERSIONS // BAD) == 0:
            made.append({"email": f"nowhere{number}", **fields, "version": "bad"})
    return made


def write(path: Path) -> None:
    """Write the rows in the format of the path's suffix."""
    values = [tuple(row.values()) for row in rows()]
    if path.suffix == ".db":
        with sqlite3.connect(path) as database:
            database.execute("create table people (email, first_name, last_name, version)")
            database.executemany("insert into people values (?, ?, ?, ?)", values)
    elif path.suffix == ".csv":
        lines = [",".join(rows()[0]), *(",".join(row) for row in values)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows()))


async def sync(path: Path, route: str) -> None:
    """Sync a file of the rows, in the process that may be killed."""
    query = "select * from people order by rowid"
    is_database = path.suffix == ".db"
    source = (
        SqlSource(f"sqlite:///{path}", query, version="1") if is_database else open_source(path)
    )
    options = SyncOptions(
        route=route,
        concurrency=8,
        chunk_rows=25,
        max_chunk_bytes=4096,
        journal=path.with_name("sync.journal"),
        rejects=RejectFile(path.with_name("rejects.jsonl")),
    )
    retry = RetryPolicy(first_wait=0.01, longest_wait=0.05)
    async with PersonaClick(retry=retry, limits={}) as client:
        await client.sync_all(source, options=options)


def has_ended(journal: Path) -> bool:
    """Return whether a sync had come to its end; a copy tells, so that the journal stays as is."""
    with tempfile.TemporaryDirectory() as folder:
        for file in journal.parent.glob(f"{journal.name}*"):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder, journal.name))) as copy:
            if not copy.execute("select 1 from sqlite_schema where name = 'runs'").fetchall():
                return False
            ended = "select 1 from runs where json_extract(run, '$.finished_at') is not null"
            return bool(copy.execute(ended).fetchall())


def kill_and_resume(kind: str, route: str, kills: int) -> list[str]:
    """Kill a sync so many times, let it end, and return what is wrong."""
    wrong: list[str] = []
    chance, sent, runs = random.Random(f"{kind} {route}"), 0, 0
    with (
        Emulator(EmulatorSettings(import_limit=None)) as emulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        emulator.fault(path=ROUTES[route], delay=0.02)
        path = Path(folder, f"people.{kind}")
        write(path)
        environment = {
            **os.environ,
            "PERSONACLICK_API_URL": emulator.url,
            "PERSONACLICK_SHOP_ID": emulator.shop_id,
            "PERSONACLICK_SHOP_SECRET": emulator.shop_secret,
        }
        while True:
            emulator.clear_requests()
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.kills", "--sync", str(path), "--route", route],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            runs += 1
            if runs <= kills:
                if chance.random() < 0.8:
                    while process.poll() is None and not emulator.requests_to(ROUTES[route]):
                        time.sleep(0.01)
                time.sleep(chance.random() * LONGEST_LIFE)
                process.kill()
            _, said = process.communicate()
            code = process.returncode
            requests = emulator.requests_to(ROUTES[route])
            sent += len(requests)
            newest: dict[str, str] = {}
            for request in requests:
                body = request.body if isinstance(request.body, dict) else {}
                email, version = str(body.get("email")), str(body.get("version"))
                if version < newest.get(email, ""):
                    wrong.append(f"{kind}, {route}: an older row after a newer one")
                newest[email] = version
            if runs > kills:
                break
            if code == 0 or has_ended(path.with_name("sync.journal")):
                # It was faster: the next one begins anew.
                for left in (*Path(folder).glob("sync.journal*"), path.with_name("rejects.jsonl")):
                    left.unlink()
        emulator.drain()
        last = {row["email"]: row for row in rows() if row["version"] != "bad"}
        stored = {
            p["email"]: {
                "email": p["email"],
                "first_name": p["first_name"],
                "last_name": p["last_name"],
                **p["custom_properties"],
            }
            for p in emulator.profiles()
        }
        rejected = [
            json.loads(line)["email"]
            for line in path.with_name("rejects.jsonl").read_text().splitlines()
        ]
        if code or stored != last:
            sys.stderr.write(said)
            torn = sum(stored.get(email) != row for email, row in last.items())
            wrong.append(
                f"{kind}, {route}: ended with {code}, {torn} people are not as they should"
            )
        bad = [row["email"] for row in rows() if row["version"] == "bad"]
        if sorted(rejected) != sorted(bad):
            wrong.append(f"{kind}, {route}: {len(rejected)} rejected rows, {BAD} expected")
        sys.stdout.write(f"  {kind:5} {route:11} {kills:3} kills, {sent:5} requests\n")
    return wrong


def run(kills: int) -> int:
    """Share the kills among formats and routes; return the exit code."""
    pairs = [(kind, route) for kind in KINDS for route in ROUTES]
    wrong: list[str] = []
    for number, (kind, route) in enumerate(pairs):
        wrong += kill_and_resume(kind, route, (kills + number) // len(pairs))
    sys.stdout.write(
        "".join(f"  WRONG {one}\n" for one in wrong) or "  nothing lost, nothing torn\n"
    )
    return int(bool(wrong))


def main() -> None:
    """Kill syncs, or be one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--sync", type=Path)
    parser.add_argument("--route")
    options = parser.parse_args()
    if options.sync is None:
        sys.exit(run(options.kills))
    asyncio.run(sync(options.sync, options.route))


if __name__ == "__main__":
    main()
