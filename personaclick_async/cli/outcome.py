"""How a command ends: exit codes, and errors in a form that a person or a script can read."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console

from personaclick_async.codec import Json
from personaclick_async.errors import (
    AuthenticationFailed,
    ConfigurationError,
    Forbidden,
    NotFound,
    PersonaClickError,
    RateLimited,
    ServiceUnavailable,
    TransportError,
    ValidationError,
)

T = TypeVar("T")

# Rich leaves colours out where the output is not a terminal, and where NO_COLOR is set.
console = Console()
stderr = Console(stderr=True)


class Exit(IntEnum):
    """What the exit code says; 2 is a wrong command line, 130 is Ctrl-C."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    INVALID_INPUT = 4
    NOT_FOUND = 5
    NO_PERMISSION = 6
    UNREACHABLE = 7
    RATE_LIMITED = 8
    INCOMPLETE = 9
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 done, 1 refused by the service, 2 wrong command line, 3 wrong configuration, "
    "4 invalid input, 5 not found, 6 no permission, 7 service not reachable, 8 rate limited, "
    "9 some rows rejected or failed, 130 interrupted."
)

_CODES: tuple[tuple[type[PersonaClickError], Exit], ...] = (
    (ConfigurationError, Exit.CONFIGURATION),
    (ValidationError, Exit.INVALID_INPUT),
    (NotFound, Exit.NOT_FOUND),
    (AuthenticationFailed, Exit.NO_PERMISSION),
    (Forbidden, Exit.NO_PERMISSION),
    (RateLimited, Exit.RATE_LIMITED),
    (ServiceUnavailable, Exit.UNREACHABLE),
    (TransportError, Exit.UNREACHABLE),
)


def code_of(error: PersonaClickError) -> Exit:
    """Give the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


def run(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Run a command's work; an error of ours ends the process with its code and one line."""
    try:
        return asyncio.run(work)
    except PersonaClickError as error:
        fail(error, as_json=as_json)
    except KeyboardInterrupt:
        stderr.print("interrupted")
        raise typer.Exit(Exit.INTERRUPTED) from None


def fail(error: PersonaClickError, *, as_json: bool) -> NoReturn:
    """End the process with an error's code; the error goes to standard error."""
    if as_json:
        shown = {"error": type(error).__name__, "message": str(error)}
        sys.stderr.write(json.dumps(shown) + "\n")
    else:
        stderr.print(f"[bold red]{type(error).__name__}[/] ", end="")
        stderr.print(str(error), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code_of(error))


def print_json(value: Json) -> None:
    """Write JSON to standard output: indented for a person, one line for a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
