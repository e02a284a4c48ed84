"""The command ``personaclick-emulator``."""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import attrs

from personaclick_async import codec
from personaclick_async.emulator import Behaviour, Emulator, EmulatorSettings, Fault
from personaclick_async.emulator.parameters import json_objects
from personaclick_async.emulator.service import LOADED
from personaclick_async.emulator.settings import DEFAULT_SECRET, DEFAULT_SHOP_ID
from personaclick_async.errors import PersonaClickError
from personaclick_async.names import IMPORT_REQUESTS_PER_MINUTE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="personaclick-emulator",
        description="The PersonaClick service on this machine, to develop and test against.",
    )
    add = parser.add_argument
    add("--host", help="address to listen on; 127.0.0.1 unless --public")
    add("--port", type=int, default=8787, help="0 finds a free one")
    shop_id = os.environ.get("PERSONACLICK_SHOP_ID", DEFAULT_SHOP_ID)
    add("--shop-id", default=shop_id, help="30 hexadecimal characters")
    add("--database", default=":memory:", help="a file that keeps everything")
    add("--seed", type=int, default=0, help="makes random faults repeatable")
    for name, words in {
        "--public": "listen where other machines can reach it",
        "--no-limits": "imports without a rate limit",
        "--strict": "404 for unknown devices, undeclared properties are ignored",
        "--cors": "let pages of other sites call the service's addresses",
    }.items():
        add(name, action="store_true", help=words)
    add("--as", dest="probed", metavar="FILE", help="behave as personaclick probe found")
    for kind in LOADED:
        add(f"--{kind}", metavar="FILE", help=f"{kind} to load: an array, or an object per line")
    for name, words in {
        "--host-name": "answer to this name, too, such as a container's",
        "--fault": "such as path=/profile,status=503,probability=0.1 or delay=0.2 or drop,times=3",
    }.items():
        add(name, action="append", default=[], help=words)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until interrupted."""
    try:
        _run(_parse(arguments))
    except (PersonaClickError, OSError, ValueError, OverflowError, sqlite3.Error) as error:
        sys.exit(f"personaclick-emulator: {codec.printable(str(error))}")


def _run(options: argparse.Namespace) -> None:
    settings = EmulatorSettings(
        shop_id=options.shop_id,
        # Not an option of the command line: those are visible to every user of the machine.
        shop_secret=os.environ.get("PERSONACLICK_SHOP_SECRET", DEFAULT_SECRET),
        import_limit=None if options.no_limits else IMPORT_REQUESTS_PER_MINUTE,
        cors=options.cors,
        host_names=tuple(options.host_name),
        seed=options.seed,
    )
    behaviour = Behaviour.load(options.probed) if options.probed is not None else Behaviour()
    if options.strict:
        behaviour = attrs.evolve(behaviour, device_unknown=404, undeclared_property="ignored")
    emulator = Emulator(
        settings,
        behaviour=behaviour,
        host=options.host or ("0.0.0.0" if options.public else "127.0.0.1"),  # noqa: S104 - asked for
        port=options.port,
        database=options.database,
        allow_public=options.public,
    )
    for fault in options.fault:
        emulator.add_fault(Fault.from_text(fault))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with emulator:
        for kind in LOADED:
            if (path := getattr(options, kind)) is not None:
                _load(emulator, kind, path)
        secret = f"export PERSONACLICK_SHOP_SECRET={DEFAULT_SECRET}\n"
        sys.stdout.write(
            f"listening on {emulator.url}\n"
            f"a page to look at it: {emulator.url}_emulator/\n\n"
            f"export PERSONACLICK_API_URL={emulator.url}\n"
            f"export PERSONACLICK_SHOP_ID={emulator.shop_id}\n"
            f"{secret if emulator.shop_secret == DEFAULT_SECRET else ''}"
        )
        sys.stdout.flush()
        stopped.wait()


def _load(emulator: Emulator, kind: str, path: str) -> None:
    try:
        count = getattr(emulator, f"add_{kind}")(json_objects(Path(path).read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    sys.stdout.write(f"{count:,} {kind} loaded\n")


if __name__ == "__main__":
    main()
