"""``personaclick probe``: ask a real shop what no document says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from personaclick_async.cli.options import Connection
from personaclick_async.cli.outcome import Exit, Output, cell, table_of
from personaclick_async.cli.process import run_interruptibly
from personaclick_async.errors import ConfigurationError, ValidationError
from personaclick_async.models.identity import Identity

if TYPE_CHECKING:
    from personaclick_async.emulator.settings import Value

_STYLES: Final = {"agrees": "green", "differs": "yellow", "contradicted": "bold red"}


def probe(
    *,
    connection: Connection,
    write: Annotated[
        bool, typer.Option("--write", help="Write to a device made for the purpose, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking first.")] = False,
    customer: Annotated[
        str | None,
        typer.Option(
            "--customer",
            metavar="KIND=VALUE",
            help="A customer whose profile's keys and types may be looked at: email=… or the like.",
        ),
    ] = None,
    path: Annotated[
        Path, typer.Option("--output", "-o", help="Where to write what was found.")
    ] = Path("probe.json"),
    pause: Annotated[
        float, typer.Option("--pause", min=0, help="Seconds between two requests.")
    ] = 1.0,
    output: Output,
) -> None:
    """Ask a shop how the service behaves where no document says so.

    At most 60 requests, none repeated, none an import. The file has no values and no secret;
    personaclick-emulator --as FILE behaves as the shop did.
    """
    # The emulator comes with it, which other commands do without.
    from personaclick_async.probe import WRITES  # noqa: PLC0415
    from personaclick_async.probe import probe as ask  # noqa: PLC0415

    if write and not yes:
        typer.confirm(f"This writes {WRITES}.\nGo on?", abort=True, err=True)
    config = connection.client().config
    if customer is not None and config.shop_secret is None:
        raise ConfigurationError("--customer: shop_secret is needed")
    asking = ask(
        config.shop_id,
        shop_secret=config.shop_secret,
        api_url=config.api_url,
        write=write,
        customer=None if customer is None else _identifier(customer),
        pause=pause,
        progress=lambda what: output.note(f"asking about {what}"),
    )
    report = run_interruptibly(asking)
    found = report.to_json()
    try:
        path.write_text(json.dumps(found, indent=2) + "\n")
    except OSError as error:
        output.complain("OSError", f"{path}: {error.strerror}")
        raise typer.Exit(Exit.FAILED) from None
    table = table_of("open point", "assumed", "observed", "")
    for one in report.findings:
        observed = "" if one.observed is None else _word(one.observed)
        comment = f"({one.note})" if one.note else ""
        verdict = cell(one.verdict)
        verdict.stylize(_STYLES.get(one.verdict, "dim"))
        cells = (one.point, _word(one.assumed), f"{observed} {comment}".strip())
        table.add_row(*map(cell, cells), verdict)
    output.show(found, table, "", f"{report.requests} requests; written to {path}")
    for contradiction in report.contradictions:
        output.complain("Contradicted", contradiction)
    if report.contradictions:
        raise typer.Exit(Exit.FAILED)


def _identifier(text: str) -> dict[str, str]:
    kind, separator, value = text.partition("=")
    if not separator:
        raise ValidationError("customer", "email=…, phone=… or the like", "a text without =")
    identity = Identity.of(**{kind: value})
    return {identity.kind: identity.value}


def _word(value: Value) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
