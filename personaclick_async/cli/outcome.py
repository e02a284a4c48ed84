"""Exit codes, and the output of results and errors, with control characters escaped."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import partial
from logging.handlers import BufferingHandler
from typing import Final, NoReturn, Self

import attrs
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from personaclick_async.codec import Json, printable, printable_json
from personaclick_async.errors import PersonaClickError, RateLimited

# Rich leaves colours out where the output is not a terminal, and where NO_COLOR is set.
console: Final = Console()
stderr: Final = Console(stderr=True)


class Exit(IntEnum):
    """An exit code, its meaning, and the errors and causes of a stop that lead to it."""

    words: str
    causes: list[str]  # names, as most commands don't import the sync

    def __new__(cls, number: int, words: str, causes: str = "") -> Self:
        """Make a member of the values on its line."""
        member = int.__new__(cls, number)
        member._value_, member.words, member.causes = number, words, causes.split()
        return member

    DONE = 0, "done"
    FAILED = 1, "refused by the service"
    USAGE = 2, "wrong command line"
    CONFIGURATION = 3, "wrong configuration", "ConfigurationError redirected limit resources"
    INVALID_INPUT = 4, "invalid input", "ValidationError UnknownField"
    NOT_FOUND = 5, "not found", "NotFound"
    DENIED = 6, "wrong credentials or no permission", "AuthenticationFailed Forbidden credentials"
    UNREACHABLE = 7, "service not reachable", "ServiceUnavailable TransportError unreachable"
    RATE_LIMITED = 8, "rate limited", "RateLimited"
    INCOMPLETE = 9, "some rows rejected, failed or sent incomplete"
    JOURNAL_FAILED = 10, "journal unusable", "JournalFailed JournalLocked"
    REJECTS_FAILED = 11, "reject file unusable", "RejectsFailed"
    SOURCE_FAILED = 12, "source unreadable", "SourceFailed"
    ALL_REFUSED = 13, "record after record refused", "refused-in-a-row"


EXIT_CODES: Final = (
    f"Exit codes: {', '.join(f'{code} {code.words}' for code in Exit)}; 129, 130 and 143: "
    "interrupted by a closed terminal, by Ctrl-C, by SIGTERM."
)


def code_of(error: PersonaClickError) -> Exit:
    """Return the exit code for an error of a call, or for what stopped a sync."""
    status = getattr(error, "status", None)
    if status == RateLimited.usual_status:
        return Exit.RATE_LIMITED
    if status in range(300, 400):  # a redirect: the address is another one than the service's
        return Exit.CONFIGURATION
    codes = {cause: code for code in Exit for cause in code.causes}
    names = (getattr(error, "cause", ""), *(kind.__name__ for kind in type(error).__mro__))
    return next((codes[name] for name in names if name in codes), Exit.FAILED)


def table(rows: Iterable[Iterable[object]], *columns: str | Column) -> Table:
    """Return a table without lines, and without a header if no column has a name."""
    made = Table(*columns, box=None, pad_edge=False)
    made.show_header = any(column.header for column in made.columns)
    for row in rows:
        made.add_row(*map(cell, row))
    return made


@attrs.frozen(kw_only=True)
class Output:
    """Shows results and errors: to a person, or as JSON to a script."""

    as_json: bool = typer.Option(False, "--json", help="Write JSON, for scripts; errors too.")
    log: BufferingHandler = attrs.field(factory=partial(BufferingHandler, sys.maxsize), init=False)

    def show(self, value: Json, *parts: str | Table) -> None:
        """Write a result to standard output: its value as JSON, or its parts for a person."""
        if self.as_json:
            # One line for a pipe.
            indent = 2 if sys.stdout.isatty() else None
            is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
            text = json.dumps(value, ensure_ascii=not is_unicode, indent=indent)
            sys.stdout.write(printable_json(text) + "\n")
            return
        for part in parts:
            is_text = isinstance(part, str)
            console.print(cell(part) if is_text else part, soft_wrap=is_text)

    def show_fields(self, fields: Mapping[str, Json]) -> None:
        """Write names and values; for a person as a table, without what is empty."""
        rows = (
            (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in fields.items()
            if value not in (None, [], {})
        )
        self.show(dict(fields), table(rows, Column(style="bold"), Column(overflow="fold")))

    def note(self, *texts: str) -> None:
        """Write lines for a person to standard error; scripts get errors only there."""
        for text in () if self.as_json else texts:
            stderr.print(cell(text), soft_wrap=True)

    def complain(self, name: str, message: str, **more: Json) -> None:
        """Write an error to standard error, as a line of text or of JSON."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": name, "message": message, **more}) + "\n")
        else:
            stderr.print(Text.assemble((name, "bold red"), " ", cell(message)), soft_wrap=True)

    def fail(self, error: PersonaClickError) -> NoReturn:
        """Write an error to standard error, and end the process with its code."""
        more = {} if (cause := getattr(error, "cause", None)) is None else {"cause": str(cause)}
        self.complain(type(error).__name__, str(error), **more)
        # Of an encoding that is not certain: a line of the text in each candidate.
        for candidate in getattr(error, "candidates", ()):
            self.note(f"--encoding {candidate.encoding:<12} {candidate.sample}")
        raise typer.Exit(code_of(error))


def cell(value: object) -> Text:
    """Return a value as text that is safe to show."""
    if isinstance(value, Text):
        return value
    return Text(f"{value:,}" if type(value) is int else printable(str(value)))
