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
from typing import Any

import attrs

from personaclick_async import codec
from personaclick_async.emulator.emulator import Emulator
from personaclick_async.emulator.faults import Fault
from personaclick_async.emulator.settings import (
    DEFAULT_SECRET,
    DEFAULT_SHOP_ID,
    Behaviour,
    EmulatorSettings,
)
from personaclick_async.errors import ConfigurationError, PersonaClickError
from personaclick_async.escaping import printable


def _fault(text: str) -> Fault:
    try:
        return Fault.from_text(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="personaclick-emulator",
        description="The PersonaClick service on this machine, to develop and test against.",
    )
    parser.add_argument("--host", help="address to listen on; 127.0.0.1 unless --public")
    parser.add_argument("--port", type=int, default=8787, help="0 finds a free one")
    parser.add_argument(
        "--public", action="store_true", help="listen where other machines can reach it"
    )
    parser.add_argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="answer to this name, too, such as a container's",
    )
    parser.add_argument("--database", default=":memory:", help="a file that keeps everything")
    parser.add_argument(
        "--shop-id", default=os.environ.get("PERSONACLICK_SHOP_ID", DEFAULT_SHOP_ID)
    )
    parser.add_argument("--no-limits", action="store_true", help="imports without a rate limit")
    parser.add_argument(
        "--as",
        type=Path,
        metavar="FILE",
        dest="behaves_as",
        help="behave as the service that personaclick probe asked",
    )
    parser.add_argument(
        "--strict", action="store_true", help="404 for unknown devices, undeclared properties go"
    )
    parser.add_argument(
        "--cors", action="store_true", help="let pages of other sites call the service's addresses"
    )
    parser.add_argument("--seed", type=int, default=0, help="makes the chances repeatable")
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="PARTS",
        help="such as path=/profile,status=503,probability=0.1 or delay=0.2 or drop,times=3",
    )
    for name in ("products", "orders", "profiles"):
        parser.add_argument(
            f"--{name}", type=Path, metavar="FILE", help=f"{name} to load, a JSON object a line"
        )
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
    # Not an option of the command line: those are visible to every user of the machine.
    secret = os.environ.get("PERSONACLICK_SHOP_SECRET", DEFAULT_SECRET)
    options = _parser().parse_args(arguments)
    try:
        settings = EmulatorSettings(
            shop_id=options.shop_id,
            shop_secret=secret,
            import_limit=None if options.no_limits else EmulatorSettings().import_limit,
            cors=options.cors,
            host_names=tuple(options.host_name),
            seed=options.seed,
        )
        behaviour = Behaviour.load(options.behaves_as) if options.behaves_as else Behaviour()
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
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        with emulator:
            for fault in options.fault:
                emulator.add_fault(fault)
            for name in ("products", "profiles", "orders"):
                path = getattr(options, name)
                if path is not None:
                    count = getattr(emulator, f"add_{name}")(_lines(path))
                    _say(f"{count:,} {name} loaded")
            _say(f"listening on {emulator.url}")
            _say(f"a page to look at it: {emulator.url}_emulator/")
            _say("")
            _say(f"export PERSONACLICK_API_URL={emulator.url}")
            _say(f"export PERSONACLICK_SHOP_ID={emulator.shop_id}")
            if secret == DEFAULT_SECRET:
                _say(f"export PERSONACLICK_SHOP_SECRET={secret}")
            stopped.wait()
    except (PersonaClickError, OSError, ValueError, OverflowError, sqlite3.Error) as error:
        sys.exit(f"personaclick-emulator: {printable(str(error))}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
