"""How a command ends and what it shows: exit codes, and results and errors for people and scripts.

Everything that is shown passes through here, and so through the functions of ``codec``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Coroutine, Mapping
from enum import IntEnum
from typing import Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from personaclick_async.cli.process import Interrupted, run_interruptibly
from personaclick_async.codec import Json, printable, printable_json
from personaclick_async.errors import PersonaClickError, RateLimited

T = TypeVar("T")

# Rich leaves colours out where the output is not a terminal, and where NO_COLOR is set.
console: Final = Console()
stderr: Final = Console(stderr=True)


class Exit(IntEnum):
    """What the exit code says."""

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
    JOURNAL_FAILED = 10
    REJECTS_FAILED = 11
    SOURCE_FAILED = 12
    ALL_REFUSED = 13


EXIT_CODES: Final = (
    "Exit codes: 0 done, 1 refused by the service, 2 wrong command line, 3 wrong configuration, "
    "4 invalid input, 5 not found, 6 wrong credentials or no permission, 7 service not reachable, "
    "8 rate limited, 9 some rows rejected, failed or sent incomplete, 10 journal unusable, "
    "11 reject file unusable, 12 source unreadable, 13 record after record refused; "
    "129, 130 and 143: interrupted by a closed terminal, by Ctrl-C, by SIGTERM."
)

# By the error's class, or by what made a sync stop. Names, as most commands do without the sync.
_CODES: Final[Mapping[str, Exit]] = {
    "ConfigurationError": Exit.CONFIGURATION,
    "ValidationError": Exit.INVALID_INPUT,
    "NotFound": Exit.NOT_FOUND,
    "AuthenticationFailed": Exit.NO_PERMISSION,
    "Forbidden": Exit.NO_PERMISSION,
    "RateLimited": Exit.RATE_LIMITED,
    "ServiceUnavailable": Exit.UNREACHABLE,
    "TransportError": Exit.UNREACHABLE,
    "JournalFailed": Exit.JOURNAL_FAILED,
    "JournalLocked": Exit.JOURNAL_FAILED,
    "RejectsFailed": Exit.REJECTS_FAILED,
    "SourceFailed": Exit.SOURCE_FAILED,
    "credentials": Exit.NO_PERMISSION,
    "unreachable": Exit.UNREACHABLE,
    "refused-in-a-row": Exit.ALL_REFUSED,
    "redirected": Exit.CONFIGURATION,
    "limit": Exit.CONFIGURATION,
    "resources": Exit.CONFIGURATION,
}
_REDIRECTS: Final = range(300, 400)


def code_of(error: PersonaClickError) -> Exit:
    """Return the exit code for an error of a call, or for what stopped a sync."""
    status = getattr(error, "status", None)
    if status == RateLimited.usual_status:
        return Exit.RATE_LIMITED
    if status in _REDIRECTS:
        return Exit.CONFIGURATION  # the address is another one than the service's
    names = (getattr(error, "cause", ""), *(kind.__name__ for kind in type(error).__mro__))
    return next((_CODES[name] for name in names if name in _CODES), Exit.FAILED)


def run(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Run a command's work; an error of ours ends the process with its code and one line."""
    try:
        return run_interruptibly(work)
    except PersonaClickError as error:
        fail(error, as_json=as_json)
    except Interrupted as interrupted:
        interrupted.is_told = True
        complain("Interrupted", "interrupted", as_json=as_json)
        raise


def fail(error: PersonaClickError, *, as_json: bool) -> NoReturn:
    """Write an error to standard error, and end the process with its code."""
    more = {} if (cause := getattr(error, "cause", None)) is None else {"cause": str(cause)}
    complain(type(error).__name__, str(error), as_json=as_json, **more)
    if not as_json:
        # An encoding that can't be told: a line of the text in each, to choose by.
        for candidate in getattr(error, "candidates", ()):
            note(f"--encoding {candidate.encoding:<12} {candidate.sample}")
    raise typer.Exit(code_of(error))


def complain(name: str, message: str, *, as_json: bool, **more: Json) -> None:
    """Write an error to standard error, as a line of text or of JSON."""
    if as_json:
        sys.stderr.write(json.dumps({"error": name, "message": message, **more}) + "\n")
    else:
        line = Text.assemble((name, "bold red"), " ", printable(message))
        stderr.print(line, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Write a line for a person to standard output."""
    console.print(Text(printable(text)), highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Write a line for a person to standard error."""
    stderr.print(Text(printable(text)), highlight=False, soft_wrap=True)


def table_of(*titles: str) -> Table:
    """Return a table without lines; without titles, of names and what belongs to them."""
    if titles:
        return Table(*titles, box=None, pad_edge=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    return table


def cell(value: object) -> Text:
    """Return what a table shows for a value."""
    return Text(printable(str(value)))


def show_fields(fields: Mapping[str, Json], *, as_json: bool) -> None:
    """Write names and values; for a person as a table, without what is empty."""
    if as_json:
        print_json(dict(fields))
        return
    table = table_of()
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, [], {}):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            table.add_row(cell(name), cell(text))
    console.print(table)


def print_json(value: Json) -> None:
    """Write JSON to standard output: indented for a person, one line for a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_unicode, indent=indent)
    sys.stdout.write(printable_json(text) + "\n")
