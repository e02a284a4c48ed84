"""The command ``personaclick-emulator``."""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from personaclick_async import codec
from personaclick_async.codec import printable
from personaclick_async.emulator import Behaviour, Emulator, EmulatorSettings, Fault
from personaclick_async.emulator.service import LOADED
from personaclick_async.emulator.settings import DEFAULT_SECRET, DEFAULT_SHOP_ID
from personaclick_async.errors import PersonaClickError

_SWITCHES: Final = {
    "--public": "listen where other machines can reach it",
    "--no-limits": "imports without a rate limit",
    "--strict": "404 for unknown devices, undeclared properties go",
    "--cors": "let pages of other sites call the service's addresses",
}
_FILES: Final = {
    "--as": "behave as the service that personaclick probe asked",
    **{f"--{kind}": f"{kind} to load, a JSON object a line" for kind in LOADED},
}
_REPEATED: Final = {
    "--host-name": "answer to this name, too, such as a container's",
    "--fault": "such as path=/profile,status=503,probability=0.1 or delay=0.2 or drop,times=3",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="personaclick-emulator",
        description="The PersonaClick service on this machine, to develop and test against.",
    )
    shop_id = os.environ.get("PERSONACLICK_SHOP_ID", DEFAULT_SHOP_ID)
    parser.add_argument("--host", help="address to listen on; 127.0.0.1 unless --public")
    parser.add_argument("--port", type=int, default=8787, help="0 finds a free one")
    parser.add_argument("--shop-id", default=shop_id, help="30 hexadecimal characters")
    parser.add_argument("--database", default=":memory:", help="a file that keeps everything")
    parser.add_argument("--seed", type=int, default=0, help="makes the chances repeatable")
    for name, words in _SWITCHES.items():
        parser.add_argument(name, action="store_true", help=words)
    for name, words in _FILES.items():
        parser.add_argument(name, type=Path, metavar="FILE", help=words)
    for name, words in _REPEATED.items():
        parser.add_argument(name, action="append", default=[], help=words)
    return parser


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    value = codec.decode(line)
                except ValueError:
                    value = None
                if not isinstance(value, dict):
                    raise ValueError(f"{path}: line {number} is not a JSON object")
                yield value


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until interrupted."""
    options = vars(_parser().parse_args(arguments))
    try:
        _run(options)
    except (PersonaClickError, OSError, ValueError, OverflowError, sqlite3.Error) as error:
        sys.exit(f"personaclick-emulator: {printable(str(error))}")


def _run(options: dict[str, Any]) -> None:
    settings = EmulatorSettings(
        shop_id=options["shop_id"],
        # Not an option of the command line: those are visible to every user of the machine.
        shop_secret=os.environ.get("PERSONACLICK_SHOP_SECRET", DEFAULT_SECRET),
        import_limit=None if options["no_limits"] else EmulatorSettings().import_limit,
        cors=options["cors"],
        host_names=tuple(options["host_name"]),
        seed=options["seed"],
    )
    behaviour = Behaviour.load(options["as"]) if options["as"] else Behaviour()
    if options["strict"]:
        behaviour = attrs.evolve(behaviour, device_unknown=404, undeclared_property="ignored")
    emulator = Emulator(
        settings,
        behaviour=behaviour,
        host=options["host"] or ("0.0.0.0" if options["public"] else "127.0.0.1"),  # noqa: S104 - asked for
        port=options["port"],
        database=options["database"],
        allow_public=options["public"],
    )
    for fault in options["fault"]:
        emulator.add_fault(Fault.from_text(fault))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with emulator:
        for kind in LOADED:
            if options[kind] is not None:
                count = getattr(emulator, f"add_{kind}")(_lines(options[kind]))
                _say(f"{count:,} {kind} loaded")
        _say(f"listening on {emulator.url}")
        _say(f"a page to look at it: {emulator.url}_emulator/")
        _say("")
        _say(f"export PERSONACLICK_API_URL={emulator.url}")
        _say(f"export PERSONACLICK_SHOP_ID={emulator.shop_id}")
        if emulator.shop_secret == DEFAULT_SECRET:
            _say(f"export PERSONACLICK_SHOP_SECRET={DEFAULT_SECRET}")
        stopped.wait()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
